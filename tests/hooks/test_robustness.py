"""Whatever the training does to its log: no exception, no deadlock, no line that nobody counts."""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import hooks
from hooks import capture

ROOT = Path(__file__).resolve().parents[2]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="ascii").splitlines()]


def script(code, folder, *options):
    """Run *code* as a process of its own and return what its one log file holds, and stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.jsonl")
    return lines(path), done.stderr


def test_many_threads_lose_no_line_and_the_count_is_exact(tmp_path):
    run = hooks.init("p", dir=tmp_path, wandb=False)

    def log(name):
        for step in range(2000):
            run.log({name: float(step), "odd": float("nan")} if step % 9 == 0 else {name: 1.0})

    threads = [threading.Thread(target=log, args=(f"m{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish()

    found = lines(run.path)
    assert (found[-1]["lines"], found[-1]["dropped"], len(found)) == (8001, 0, 8002)
    assert sorted(line["step"] for line in found[1:-1]) == list(range(8000))


def test_a_signals_handler_may_log_and_finish_in_the_midst_of_a_log(tmp_path):
    """A preempted job says so in its log; a lock taken twice by one thread would hang it."""
    code = """
import os, signal, sys, hooks
run = hooks.init("p", dir=sys.argv[1], wandb=False)
seen = 0
def tick(*_):
    global seen
    seen += 1
    run.log({"handler": float(seen)}, step=seen)
def stop(*_):
    run.finish(exit_code=143)
    sys.exit(0)
signal.signal(signal.SIGALRM, tick)
signal.signal(signal.SIGTERM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
while seen < 300:
    run.log({"loop": 1.0}, step=1)
signal.setitimer(signal.ITIMER_REAL, 0)
os.kill(os.getpid(), signal.SIGTERM)
while True:
    run.log({"loop": 1.0}, step=1)
"""
    found, _ = script(code, tmp_path)

    # a handler may interrupt itself, so that its lines change places
    handled = sorted(line["handler"] for line in found if "handler" in line)
    assert handled[:300] == list(range(1, 301))
    assert (found[-1]["exit_code"], found[-1]["lines"]) == (143, len(found) - 1)


def test_fsync_writes_the_same_lines(tmp_path):
    run = hooks.init("p", dir=tmp_path, wandb=False, durability="fsync")
    for step in range(20):
        run.log({"x": 1.0}, step=step)
    run.finish()

    assert [line.get("step") for line in lines(run.path)[1:-1]] == list(range(20))
    with pytest.raises(ValueError, match="durability"):
        hooks.init("p", dir=tmp_path, durability="never")


def test_a_disk_that_does_not_confirm_costs_no_line_and_is_said_once(tmp_path, capsys, monkeypatch):
    """A full or failing disk may refuse the sync alone: the lines are in the kernel."""
    run = hooks.init("p", dir=tmp_path, wandb=False, durability="fsync")

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    run.log({"x": 1.0}, step=1)
    run.log({"x": 1.0}, step=2)
    monkeypatch.undo()
    run.finish()

    found = lines(run.path)
    assert [line["step"] for line in found[1:3]] == [1, 2]
    assert found[-1]["reasons"] == {
        "written, but not known to be on the disk: Input/output error": 2
    }
    assert capsys.readouterr().err.count("Input/output error") == 1


def test_a_value_of_ten_megabytes_is_one_line(tmp_path):
    run = hooks.init("p", dir=tmp_path, wandb=False)
    for text in ("x" * 10_000_000, "é" * 2_000_000):
        run.log({"text": text}, step=1)
    run.finish()

    found = lines(run.path)
    assert [len(line["text"]) for line in found[1:3]] == [10_000_000, 2_000_000]


@pytest.mark.parametrize("folder", ["/proc/runatlas", "file", "file/raw", "x" * 300])
@pytest.mark.parametrize("more", [{}, {"durability": "fsync"}, {"run_id": "r", "resume": True}])
def test_a_folder_that_cannot_be_written_is_said_once_and_training_goes_on(
    tmp_path, capsys, folder, more
):
    """A file system for reading only, as a full disk, is found while the machine is being paid."""
    (tmp_path / "file").write_text("")
    run = hooks.init("p", dir=tmp_path / folder, wandb=False, config={"x": object()}, **more)
    for step in range(3):
        run.log({"x": 1.0}, step=step)
    run.summary["best"] = 1.0
    run.finish()
    run.log({"x": 1.0})

    said = capsys.readouterr().err
    assert said.count("no log file: ") == 1
    assert f"{run.path} cannot be created: " in said
    assert "training goes on" in said
    assert "fix: dir=FOLDER" in said
    assert "after finish" not in said
    assert not os.path.isdir(run.path.parent)


def test_without_a_log_file_everything_still_goes_to_wandb(tmp_path):
    class Wandb:
        id, name, step = "w1", "w1", 0

        def __init__(self):
            self.rows, self.config, self.summary = [], {}, {}

        def log(self, row, step=None, **_):
            self.rows.append((step, row))

        def finish(self, *_, **__):
            pass

    wandb = Wandb()
    run = hooks.init("p", dir="/proc/runatlas", wandb=wandb)
    run.log({"x": 1.0}, step=4)
    run.finish()

    assert any(row.get("x") == 1.0 for _, row in wandb.rows)


def test_reasons_that_differ_from_step_to_step_are_counted_in_constant_memory(tmp_path, capsys):
    run = hooks.init("p", dir=tmp_path, wandb=False)
    for step in range(200):
        run.log({f"sample_{step}": object()}, step=step)
    run.finish()

    finish = lines(run.path)[-1]
    assert finish["dropped"] == sum(finish["reasons"].values()) == 200
    assert finish["reasons"]["other reasons"] == 200 - capture.MOST_REASONS
    assert capsys.readouterr().err.count("could not log") == capture.MOST_REASONS + 1


def test_logging_leaves_nothing_to_a_garbage_collector_that_is_off(tmp_path):
    """As in nanochat's loop: what log() made cyclic would never be freed."""
    run = hooks.init("p", dir=tmp_path, wandb=False)
    rows = [
        {"train/loss": 2.5, "text": "E1"},
        {"nan": float("nan"), "nested": {"a": [1, {"b": 2.0}]}},
        {"bad": object(), "worse": {1}},
        None,
    ]
    for row in rows:  # what is made once may be
        run.log(row, step=1)
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            for row in rows:
                run.log(row, step=1)
        assert gc.collect() == 0
    finally:
        gc.enable()
        run.finish()


GOING_DOWN = """
import atexit, sys, threading, time
class Last:
    def __del__(self):
        self.run.log({"end": 1.0}, step=4)
keep = Last()
atexit.register(lambda: keep.run.log({"exit": 1.0}, step=3))
import hooks
run = keep.run = hooks.init("p", dir=sys.argv[1], wandb=False)
def loop():
    while True:
        run.log({"thread": 1.0}, step=2)
"""
A_THREAD = """
threading.Thread(target=loop, daemon=True).start()
while run._capture.lines < 100:
    time.sleep(0.001)
"""


def test_what_is_logged_while_the_interpreter_goes_down_is_in_the_file(tmp_path):
    """From atexit, and from an object that ends with its module."""
    found, said = script(GOING_DOWN, tmp_path)

    assert said == ""
    assert [line.get("exit", line.get("end")) for line in found[1:]] == [1.0, 1.0]


def test_a_thread_that_nobody_waits_for_does_not_hold_up_the_end(tmp_path):
    """It is stopped wherever it is, and may hold the lock."""
    found, said = script(GOING_DOWN + A_THREAD, tmp_path)

    assert said == ""
    assert sum("exit" in line for line in found) == 1


def test_a_forked_process_logs_into_the_file_and_never_ends_the_run(tmp_path):
    """The child of a with-block leaves it as well; the run is its parent's."""
    code = """
import os, sys, hooks
with hooks.init("p", dir=sys.argv[1], wandb=False) as run:
    child = os.fork()
    run.log({"child" if child == 0 else "parent": 1.0}, step=1)
    if child:
        os.waitpid(child, 0)
        run.log({"parent": 2.0}, step=2)
"""
    found, _ = script(code, tmp_path)

    assert [line["_kind"] for line in found if "_kind" in line] == ["run", "finish"]
    assert sum("child" in line for line in found) == 1
    assert found[-2]["parent"] == 2.0


class OnDevice:
    """A tensor as far as the hooks look at it: this machine has no device."""

    device = argparse.Namespace(type="cuda")
    shape = ()

    def item(self):
        return 2.5


def test_a_read_that_waits_for_a_device_is_said_once_and_counted(tmp_path, capsys):
    run = hooks.init("p", dir=tmp_path, wandb=False)
    for step in range(3):
        run.log({"train": {"loss": OnDevice()}, "x": 1.0}, step=step)
    run.finish()

    assert [line["train.loss"] for line in lines(run.path)[1:4]] == [2.5] * 3
    assert lines(run.path)[-1]["device_reads"] == 3
    assert capsys.readouterr().err.count("waits for the device") == 1


def test_tensors_of_torch_are_numbers(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    run = hooks.init("p", dir=tmp_path, wandb=False)
    run.log(
        {
            "loss": torch.tensor(2.5, requires_grad=True),
            "half": torch.tensor([0.5], dtype=torch.bfloat16),
            "list": torch.arange(3),
            "meta": torch.empty(2, device="meta"),
        },
        step=torch.tensor(7),
    )
    run.finish()

    _, row, finish = lines(run.path)
    assert {key: row[key] for key in row if key != "_ts"} == {
        "step": 7, "loss": 2.5, "half": 0.5, "list": [0, 1, 2]
    }  # fmt: skip
    assert (finish["dropped"], "device_reads" in finish) == (1, False)


def test_a_step_that_is_no_whole_number_is_said(tmp_path, capsys):
    run = hooks.init("p", dir=tmp_path, wandb=False)
    run.log({"x": 1.0}, step=7.5)
    run.finish()

    assert lines(run.path)[1]["step"] == 7
    assert "its fraction" in capsys.readouterr().err


def test_a_config_may_be_a_namespace_and_nonsense_costs_itself(tmp_path, capsys):
    run = hooks.init("p", dir=tmp_path, config=argparse.Namespace(depth=4), wandb=False)
    run.config.update(argparse.Namespace(lr=0.1))
    run.summary.update(5)
    run.finish()

    head, config, finish = lines(run.path)
    assert (head["config"], config["config"]) == ({"depth": 4}, {"lr": 0.1})
    assert finish["dropped"] == 1
    assert "no dict" in capsys.readouterr().err


@pytest.mark.slow
def test_a_million_steps_take_constant_memory(tmp_path):
    """What the process holds after a million logs is what it held after the first thousands."""
    code = """
import os, sys, hooks
run = hooks.init("p", dir=sys.argv[1], wandb=False, telemetry=False)
page = os.sysconf("SC_PAGE_SIZE")
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * page
for step in range(20_000):
    run.log({"train/loss": step / 7, "train/mfu": 40.0}, step=step)
before = resident()
for step in range(20_000, 1_000_000):
    run.log({"train/loss": step / 7, "train/mfu": 40.0}, step=step)
run.finish()
print(resident() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (path,) = tmp_path.iterdir()

    assert int(done.stdout) < 1024 * 1024
    with path.open("rb") as file:
        assert sum(1 for _ in file) == 1_000_002
