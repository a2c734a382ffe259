"""W&B beside the file: on its own thread, in order, bounded, and never waited for by a step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import hooks
from hooks import wandb_start, wandb_tee

ROOT = Path(__file__).resolve().parents[2]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="ascii").splitlines()]


class Recorder:
    """A W&B run object as far as the hooks use it, which notes what it is told, in order."""

    def __init__(self):
        self.told, self.threads = [], set()
        self.config = self.summary = self

    def log(self, row):
        self.threads.add(threading.current_thread().name)
        self.told.append({key: value for key, value in row.items() if key != "_timestamp"})

    def update(self, values, allow_val_change=False):
        self.told.append(("changed", dict(values)))

    def finish(self, exit_code):
        self.told.append(("finish", exit_code))


class Stuck(Recorder):
    """A W&B that never comes back from a call, until the test is over."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()

    def log(self, row):
        super().log(row)
        self.over.wait(60)


@pytest.fixture
def stuck():
    run = Stuck()
    yield run
    run.over.set()


def test_everything_reaches_wandb_in_order_from_another_thread(tmp_path):
    other = Recorder()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    run.log({"a": 1.0}, step=1)
    run.config.update({"lr": 0.1})
    run.log({"a": float("nan"), "n": {"b": 2}}, step=2)
    run.summary["best"] = 1.0
    run.log({"step": 3, "a": 3})
    run.finish(exit_code=2)

    assert repr(other.told) == repr(
        [
            {"step": 1, "a": 1.0},
            ("changed", {"lr": 0.1}),
            {"a": float("nan"), "n": {"b": 2}, "step": 2},
            ("changed", {"best": 1.0}),
            {"step": 3, "a": 3},
            ("finish", 2),
        ]
    )
    assert other.threads == {"runatlas-wandb"}


def test_what_the_caller_changes_after_a_log_is_not_what_wandb_gets(tmp_path, stuck):
    import numpy as np

    run = hooks.init("p", dir=tmp_path, wandb=stuck)
    run.log({"first": 1.0}, step=0)
    values, inner, array = {"x": 1.0}, {"list": [1]}, np.array([1.0, 2.0])
    run.log(values, step=1)
    run.log({"inner": inner, "array": array, "one": array[:1].reshape(())}, step=2)
    values["x"] = 9.0
    inner["list"].append(2)
    array[:] = 9.0
    stuck.over.set()
    run.finish()

    _, row, nested, _ = stuck.told
    assert row == {"x": 1.0, "step": 1}
    assert nested.pop("array").tolist() == [1.0, 2.0]
    assert nested == {"inner": {"list": [1]}, "one": 1.0, "step": 2}


def test_an_object_that_only_wandb_knows_reaches_it(tmp_path, capsys):
    other, image = Recorder(), object()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    run.log({"image": image, "x": 1.0}, step=1)
    run.finish()

    assert other.told[0]["image"] is image
    assert lines(run.path)[-1]["dropped"] == 1


def test_a_wandb_that_hangs_is_left_behind_and_what_it_lacks_is_counted(tmp_path, capsys, stuck):
    run = hooks.init("p", dir=tmp_path, wandb=stuck)
    for step in range(500):
        run.log({"x": 1.0}, step=step)
    run.finish(timeout=0.2)

    assert not stuck.over.is_set()
    *_, first, last = lines(run.path)
    assert "wandb_missing" not in first
    assert last["wandb_missing"] == 500
    assert last["wandb_left"] == "W&B did not take everything within 0.2 s"
    assert capsys.readouterr().err.count("it lacks 500 entries") == 1


def test_a_queue_that_is_full_is_said_once_and_holds_no_more(tmp_path, capsys, monkeypatch, stuck):
    monkeypatch.setattr(wandb_tee, "MOST_ENTRIES", 100)
    run = hooks.init("p", dir=tmp_path, wandb=stuck)
    for step in range(500):
        run.log({"x": 1.0}, step=step)
    held = len(run._tee._queue)
    run.finish(timeout=0.1)

    assert held == 100
    assert capsys.readouterr().err.count("slower than the log") == 1
    assert lines(run.path)[-1]["wandb_missing"] == 500
    assert len(lines(run.path)) == 503


def test_a_queue_holds_so_many_bytes_and_no_more(tmp_path, monkeypatch, stuck):
    monkeypatch.setattr(wandb_tee, "MOST_BYTES", 1_000_000)
    run = hooks.init("p", dir=tmp_path, wandb=stuck)
    for step in range(100):
        run.log({"text": "x" * 50_000}, step=step)
    held = sum(map(len, run._tee._queue))
    run.finish(timeout=0.1)

    assert 500_000 < held <= 1_000_000


def test_a_row_that_wandb_refuses_costs_wandb_that_row(tmp_path, capsys):
    class Picky(Recorder):
        def log(self, row):
            if row["step"] in (3, 5):
                raise ValueError("secret")
            super().log(row)

    other = Picky()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    for step in range(10):
        run.log({"x": 1.0}, step=step)
    run.finish()

    assert [row["step"] for row in other.told[:-1]] == [0, 1, 2, 4, 6, 7, 8, 9]
    assert lines(run.path)[-1]["wandb_missing"] == 2
    said = capsys.readouterr().err
    assert said.count("W&B failed (ValueError)") == 1
    assert "secret" not in said


def test_a_wandb_that_refuses_everything_is_given_up(tmp_path, capsys):
    class Broken(Recorder):
        def log(self, row):
            super().log(row)
            raise ConnectionError

    other = Broken()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    for step in range(50):
        run.log({"x": 1.0}, step=step)
    run.finish()

    assert len(other.told) == wandb_tee.MOST_FAILURES
    last = lines(run.path)[-1]
    assert (last["wandb_missing"], last["wandb_left"]) == (50, "W&B failed 10 times in a row")


def test_a_wandb_that_ends_the_process_ends_itself_alone(tmp_path, capsys):
    class Exiting(Recorder):
        def log(self, row):
            sys.exit(3)

    run = hooks.init("p", dir=tmp_path, wandb=Exiting())
    run.log({"x": 1.0}, step=1)
    run.finish()

    assert "W&B failed (SystemExit)" in capsys.readouterr().err


def test_without_wandb_the_log_goes_on_and_says_how_to_have_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    run = hooks.init("p", dir=tmp_path, wandb=True)
    run.log({"x": 1.0}, step=1)
    run.finish()

    assert [line.get("x") for line in lines(run.path)][1] == 1.0
    assert "runatlas[wandb]" in capsys.readouterr().err


def test_what_waits_for_a_wandb_that_never_starts_is_counted_at_the_end(tmp_path):
    """A process that forgets to finish does not drop it silently, and comes to its end."""
    code = """
import sys, time, hooks
from hooks import wandb_start, wandb_tee
wandb_start.START_SEC = wandb_tee.AT_EXIT_SEC = 0.1
wandb_start._start = lambda *_: time.sleep(1000)
run = hooks.init("p", dir=sys.argv[1], wandb="offline")
run.log({"x": 1.0}, step=1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert "training goes on without waiting" in done.stderr
    assert "it lacks 1 entries" in done.stderr


def test_ranks_other_than_the_first_have_no_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    other = Recorder()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    run.log({"x": 1.0}, step=1)
    run.finish()

    assert other.told == []


def test_a_forked_process_passes_nothing_on(tmp_path):
    """W&B takes one writer a run, and its thread is not there after a fork."""
    code = """
import os, sys, hooks
class Other:
    told = []
    def log(self, row):
        self.told.append(row)
    def finish(self, exit_code):
        print(len(self.told), flush=True)
run = hooks.init("p", dir=sys.argv[1], wandb=Other())
child = os.fork()
run.log({"x": 1.0}, step=1)
if child:
    os.waitpid(child, 0)
run.finish()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout == "1\n"


def test_a_process_that_forgets_to_finish_gives_wandb_its_rows(tmp_path):
    code = """
import sys, hooks
class Other:
    def log(self, row):
        print(row["step"], flush=True)
run = hooks.init("p", dir=sys.argv[1], wandb=Other())
for step in range(200):
    run.log({"x": 1.0}, step=step)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout.split() == [str(step) for step in range(200)]


@pytest.fixture
def black_hole():
    """The address of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        open_ones = []

        def accept():
            while True:
                try:
                    open_ones.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in open_ones:
            connection.close()


@pytest.mark.slow
def test_a_wandb_server_that_never_answers_costs_the_start_and_no_step(tmp_path, black_hole):
    """The real client, online, against a black hole: a call that waited for it would never end."""
    pytest.importorskip("wandb", reason="wandb is the client that hangs here")
    code = """
import sys, hooks
from hooks import wandb_start, wandb_tee
wandb_start.START_SEC = wandb_tee.STUCK_START_SEC = 2.0
run = hooks.init("p", dir=sys.argv[1], wandb="online")
for step in range(2000):
    run.log({"x": 1.0}, step=step)
run.finish(timeout=30)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "WANDB_BASE_URL": black_hole, "WANDB_API_KEY": "x" * 40},
    )  # fmt: skip
    (path,) = tmp_path.glob("*.jsonl")

    assert sum("x" in line for line in lines(path)) == 2000
    assert lines(path)[-1]["wandb_missing"] == 2000
    assert "training goes on without waiting" in done.stderr


SECRETS = ("--api-key=topsecret-argv", "topsecret-env", "topsecret-remote")


def test_an_offline_run_holds_no_argument_and_no_secret(tmp_path):
    """What the real client writes beside our file, byte by byte: it lies where sync looks."""
    pytest.importorskip("wandb", reason="wandb writes the files that this test reads")
    code = """
import hooks
run = hooks.init("p", wandb="offline", config={"depth": 4})
run.log({"x": 1.0}, step=1)
run.finish()
"""
    (tmp_path / "train.py").write_text(code)
    for command in (["init", "-q"], ["remote", "add", "origin", f"https://u:{SECRETS[2]}@h.x/r"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    subprocess.run(
        [sys.executable, "train.py", SECRETS[0]],
        cwd=tmp_path, capture_output=True, timeout=120, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MY_TOKEN": SECRETS[1]},
    )  # fmt: skip
    raw = tmp_path / "data" / "p" / "raw"
    files = [path for path in raw.rglob("*") if path.is_file()]

    assert list(raw.glob("wandb/offline-run-*/run-*.wandb"))
    for path in files:
        data = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_a_setting_that_the_environment_has_is_left_to_it(monkeypatch):
    settings = pytest.importorskip("wandb", reason="wandb has the settings").Settings()
    ours = wandb_start._settings(settings)
    monkeypatch.setenv("WANDB_SAVE_CODE", "true")
    monkeypatch.setenv("RUNATLAS_WANDB_TIMEOUT", "7")

    assert (ours["x_disable_meta"], ours["save_code"]) == (True, False)
    assert "save_code" not in wandb_start._settings(settings)
    assert wandb_start._settings(settings)["finish_timeout"] == 7.0
