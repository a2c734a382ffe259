"""A run object: shaped like W&B's, and its lines survive the process."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hooks

ROOT = Path(__file__).resolve().parents[2]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="ascii").splitlines()]


def test_a_run_leaves_header_history_summary_and_finish(tmp_path):
    run = hooks.init(
        "p", "d20", stage="sft", config={"depth": 20}, dir=tmp_path, run_id="r1", parent="base"
    )
    run.log({"train/loss": 2.5}, step=7)
    run.config.update({"lr": 0.1}, allow_val_change=True)
    run.summary["best"] = 1.0
    run.finish()

    head, row, config, summary, finish = lines(run.path)
    stated = {key: head[key] for key in ("project", "name", "stage", "run_id", "parent_run_id")}
    assert stated == {
        "project": "p", "name": "d20", "stage": "sft", "run_id": "r1", "parent_run_id": "base"
    }  # fmt: skip
    assert head["config"] == {"depth": 20}
    assert (row["step"], row["train/loss"]) == (7, 2.5)
    assert config["config"] == {"lr": 0.1}
    assert summary["summary"] == {"best": 1.0}
    assert (finish["exit_code"], finish["dropped"]) == (0, 0)


def test_the_step_is_found_as_nanochat_logs_it_and_counted_where_there_is_none(tmp_path):
    run = hooks.init("p", dir=tmp_path)
    run.log({"step": 40, "train/loss": 2.5})
    run.log({"train/loss": 2.5})
    run.log({"step": 9, "train/loss": 2.5}, step=41)
    run.finish()

    rows = [line for line in lines(run.path) if "_kind" not in line]
    assert [row["step"] for row in rows] == [40, 1, 41]
    assert [row.get("_=step") for row in rows] == [None, None, 9]


def test_nothing_that_is_logged_can_raise_into_the_loop(tmp_path, capsys):
    run = hooks.init("p", dir=tmp_path)
    run.log({"x": object()}, step=1)
    run.log({"x": 1.0}, step="seven")
    run.log(None, step=1)
    run.finish()
    run.log({"x": 1.0}, step=2)
    run.finish()

    assert lines(run.path)[-1]["dropped"] == 3
    said = capsys.readouterr().err
    assert said.count("could not log") == 4
    assert "'x' is a object" in said


def test_an_exception_in_the_loop_is_a_failed_run(tmp_path):
    with pytest.raises(ZeroDivisionError), hooks.init("p", dir=tmp_path) as run:
        run.log({"x": math.inf}, step=1)
        _ = 1 / 0

    assert lines(run.path)[-1]["exit_code"] == 1


def test_two_runs_of_one_id_never_share_a_file(tmp_path):
    paths = {
        hooks.init("p", dir=tmp_path, run_id="r").path for _ in range(3) if not time.sleep(0.005)
    }

    assert len(paths) == 3


def test_a_resume_without_a_run_id_is_refused(tmp_path):
    with pytest.raises(ValueError, match="run_id"):
        hooks.init("p", dir=tmp_path, resume=3)


def test_a_resumed_run_says_from_which_step(tmp_path):
    known = hooks.init("p", dir=tmp_path, run_id="r", resume=300)
    first = hooks.init("p", dir=tmp_path, run_id="s", resume=0)
    unknown = hooks.init("p", dir=tmp_path, run_id="t", resume=True)
    new = hooks.init("p", dir=tmp_path, run_id="u")

    said = [
        (h["resumed"], h["resume_step"])
        for h in (lines(r.path)[0] for r in (known, first, unknown, new))
    ]
    assert said == [(True, 300), (True, 0), (True, None), (False, None)]


LOOP = """
import sys, hooks
run = hooks.init("p", dir=sys.argv[1], wandb=False)
for step in range(10**9):
    run.log({"train/loss": 1.0 / (step + 1), "train/mfu": 40.0}, step=step)
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_no_signal_loses_a_line_that_log_has_returned_for(tmp_path, death):
    """Killed at a random moment, the file holds every acknowledged step, whole."""
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    seen = [child.stdout.readline() for _ in range(100)]
    time.sleep(random.random() / 5)
    child.send_signal(death)
    seen += child.stdout.read().splitlines(keepends=True)
    child.wait()
    acknowledged = [int(line) for line in seen if line.endswith(b"\n")]

    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    assert data.endswith(b"\n")
    steps = [json.loads(line)["step"] for line in data.splitlines()[1:]]
    assert steps[: len(acknowledged)] == acknowledged
    assert len(steps) - len(acknowledged) <= 1


def test_a_full_disk_costs_lines_and_never_the_loop(tmp_path):
    """A file that cannot grow (RLIMIT_FSIZE) stands for a full disk: a real failing write.

    Wherever in a line the room ends, also just before its newline, the count is exact.
    """
    code = """
import resource, signal, sys, time, hooks
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
time.time = lambda: 1763800000.25  # lines of one length
for room in range(600, 650):
    run = hooks.init("p", dir=sys.argv[1], wandb=False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    for step in range(10, 100):
        run.log({"train/loss": 1.0}, step=step)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run.log({"train/loss": 2.0}, step=100)
    run.finish()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    for path in tmp_path.iterdir():
        good = []
        for line in path.read_text(encoding="ascii").splitlines():
            try:
                good.append(json.loads(line))
            except ValueError:
                continue
        steps = [line["step"] for line in good if "step" in line]
        assert steps[-1] == 100
        assert good[-1]["dropped"] == 90 - (len(steps) - 1)
        assert good[-1]["lines"] == len(good) - 1
    assert done.stderr.count("could not log") == len(list(tmp_path.iterdir())) == 50


class Recorder:
    """A W&B run object as far as the hooks use it."""

    def __init__(self):
        self.rows, self.finished, self.config, self.summary = [], None, {}, {}

    def log(self, row):
        self.rows.append(row)

    def finish(self, exit_code):
        self.finished = exit_code


def test_a_given_wandb_run_gets_one_row_a_step_that_carries_the_step(tmp_path):
    other = Recorder()
    run = hooks.init("p", dir=tmp_path, wandb=other)
    run.log({"train/loss": 1.0}, step=5)
    run.finish(exit_code=3)

    (row,) = other.rows
    assert row.pop("_timestamp") == pytest.approx(time.time(), abs=60)  # when it was logged
    assert row == {"train/loss": 1.0, "step": 5}
    assert other.finished == 3


def test_a_wandb_that_raises_is_left_behind_and_said_once(tmp_path, capsys):
    class Broken(Recorder):
        def log(self, row):
            raise ConnectionError("secret-host:8080")

    run = hooks.init("p", dir=tmp_path, wandb=Broken())
    for step in range(3):
        run.log({"train/loss": 1.0}, step=step)
    run.finish()

    said = capsys.readouterr().err
    assert said.count("W&B failed (ConnectionError)") == 1
    assert "secret-host" not in said
    assert [line["_kind"] for line in lines(run.path)[4:]] == ["finish", "finish"]
    assert lines(run.path)[-1]["wandb_missing"] == 3


class Odd:
    """A value whose every method fails."""

    def item(self):
        raise KeyError("no")

    tolist = __float__ = item


def test_strange_values_cost_themselves_and_never_the_row(tmp_path, capsys):
    """Wrappers of wrappers, lists in themselves, huge integers, keys that are no text."""
    import numpy as np

    inside = []
    inside.append(inside)
    run = hooks.init("p", dir=tmp_path)
    odd = {"a": Odd(), "b": inside, "c": 10**5000, "d": np.longdouble(1.5), 1: 2.0, None: 3.0}
    run.log({**odd, "loss": 4.0}, step=1)
    run.summary.update({"bad": {1}, "good": 2})
    run.finish(exit_code="boom")

    _, row, summary, finish = lines(run.path)
    assert {key: row[key] for key in row if key[0] != "_"} == {
        "step": 1, "d": 1.5, "1": 2.0, "None": 3.0, "loss": 4.0
    }  # fmt: skip
    assert summary["summary"] == {"good": 2}
    assert (finish["exit_code"], finish["dropped"]) == (1, 4)


def test_a_config_may_hold_paths_and_is_changed_in_any_way_that_a_dict_is(tmp_path):
    run = hooks.init("p", dir=tmp_path, config={"out": Path("x/y")})
    run.config |= {"a": 1}
    run.config.setdefault("b", 2)
    run.config.c = 3
    run.finish()

    head, *changes, _ = lines(run.path)
    assert head["config"] == {"out": "x/y"}
    assert [line["config"] for line in changes] == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert (run.config.c, run.config["b"]) == (3, 2)


def test_a_process_without_stderr_logs_all_the_same(tmp_path, monkeypatch):
    run = hooks.init("p", dir=tmp_path)
    monkeypatch.setattr(sys, "stderr", None)
    run.log({"x": object(), "y": 1.0}, step=1)
    run.finish()

    assert lines(run.path)[1]["y"] == 1.0


def test_a_rank_that_is_no_number_does_not_stop_a_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("WORLD_SIZE", "many")
    run = hooks.init("p", dir=tmp_path)

    assert (lines(run.path)[0]["rank"], lines(run.path)[0]["world_size"]) == (0, 1)
    assert "RANK is no number" in capsys.readouterr().err


def test_a_clean_exit_from_within_a_run_is_no_failure(tmp_path):
    with pytest.raises(SystemExit), hooks.init("p", dir=tmp_path) as run:
        sys.exit(0)

    assert lines(run.path)[-1]["exit_code"] == 0


def test_a_header_that_found_no_room_is_written_before_the_next_line(tmp_path):
    """Without its header nobody would know whose lines follow."""
    code = """
import resource, signal, sys, hooks
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
run = hooks.init("p", dir=sys.argv[1], wandb=False, run_id="r9")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.log({"train/loss": 1.0}, step=1)
run.finish()
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    (path,) = tmp_path.iterdir()
    _, header, row, _ = path.read_text(encoding="ascii").splitlines()

    assert json.loads(header)["run_id"] == "r9"
    assert json.loads(row)["train/loss"] == 1.0


def test_a_fork_while_another_thread_logs_can_log_in_the_child(tmp_path):
    """The lock that the other thread held at the fork is not the child's."""
    code = """
import os, sys, threading, hooks
run = hooks.init("p", dir=sys.argv[1], wandb=False)
stop = False
def log():
    while not stop:
        run.log({"x": 1.0}, step=1)
threading.Thread(target=log, daemon=True).start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        run.log({"child": 1.0}, step=2)
        os._exit(0)
    os.waitpid(child, 0)
stop = True
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    (path,) = tmp_path.iterdir()

    assert sum("child" in line for line in lines(path)) == 20
