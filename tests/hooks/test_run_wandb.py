"""What a script sends to W&B, whichever W&B that is, is in our log as well."""

from __future__ import annotations

import json
import math
import time

import nanochat_scripts
import pytest
from launched import BARE, PLAIN, hooked, logs, of_kind, plain, printed, rows

OFFLINE = {"WANDB_MODE": "offline", "WANDB_CONSOLE": "off"}

# how nanochat's scripts come to log: name of the run, the Python, the environment
WAYS = {
    "offline": ("d20", PLAIN, OFFLINE),
    "disabled": ("d20", PLAIN, {"WANDB_MODE": "disabled"}),
    "absent": ("d20", BARE, {}),
    "dummy": ("dummy", PLAIN, {}),
    "dummy without wandb": ("dummy", BARE, {}),
}


def synced(folder, *paths):
    """Return all that etl.sync makes of *paths*: history, config and stages."""
    import duckdb

    data = "-".join(("data", *paths))
    done = plain(folder, "-m", "etl.sync", "--project", "p", "--data-dir", data, *paths)
    assert done.returncode in (0, 3), done.stderr
    with duckdb.connect(str(folder / data / "p" / "runs.duckdb"), read_only=True) as base:
        history = base.execute(
            "select r.stage, h.metric, h.step, h.value, h.text from history h"
            " join runs r using (run_id)"
        ).fetchall()
        config = base.execute(
            "select r.stage, c.key, c.value from config c join runs r using (run_id)"
            " where c.key <> 'run'"
        ).fetchall()
        runs = base.execute("select stage, source_project, state from runs order by all").fetchall()
    points = {
        (stage, metric, step): _same(value, text) for stage, metric, step, value, text in history
    }
    assert len(points) == len(history)
    return points, set(config), runs


def _same(value, text):
    """Return a value so that NaN is equal to itself."""
    return ("NaN" if value is not None and math.isnan(value) else value), text


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """Run the three scripts in each way; return their folders."""
    folders = {}
    for way, (name, python, environment) in WAYS.items():
        folder = folders[way] = tmp_path_factory.mktemp("way")
        nanochat_scripts.write(folder)
        for script in nanochat_scripts.STAGES:
            command = ["-m", f"scripts.{script}", "--run", name]
            done = hooked(folder, *command, python=python, **environment)
            assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.parametrize("way", [way for way in WAYS if way != "offline"])
def test_every_way_to_log_gives_the_same_history(ways, way):
    """Each (metric, step, value), config and stage is that of a real offline W&B run's copy."""
    expected, found = (synced(ways[name], "raw") for name in ("offline", way))

    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert (
        found[2]
        == expected[2]
        == [
            ("pretraining", "nanochat", "finished"),
            ("rl", "nanochat-rl", "finished"),
            ("sft", "nanochat-sft", "finished"),
        ]
    )


def test_the_copy_and_the_run_of_wandb_itself_are_one_run_with_the_same_history(ways):
    """Read alone, both give the same points; read together, no run and no point more."""
    ours = synced(ways["offline"], "raw")
    theirs = synced(ways["offline"], "wandb")
    both = synced(ways["offline"], "raw", "wandb")

    assert theirs[0] == ours[0]
    assert both == ours


def test_the_history_is_all_that_the_script_has_logged(ways):
    """Counted by hand from the cadence: 41 train rows, 17 evaluations, 2 of CORE."""
    points, config, _ = synced(ways["dummy"], "raw")
    base = {(metric, step) for stage, metric, step in points if stage == "pretraining"}

    assert sum(metric == "train/loss" for metric, _ in base) == 41
    assert sum(metric == "val/bpb" for metric, _ in base) == 17
    assert sum(metric.startswith("centered_results.") for metric, _ in base) == 10
    assert points["pretraining", "train/loss", 1300][0] == "NaN"
    assert points["pretraining", "train/mfu", 0][0] == math.inf
    assert points["pretraining", "train/epoch", 3000][1] == "1 pq: 30 rg: 1"
    assert points["sft", "gsm8k_acc", 200][0] == 0.0
    assert {("pretraining", "matrix_lr", "0.02"), ("sft", "depth", "4")} <= config


def test_the_console_of_a_nanochat_run_is_in_its_file_line_by_line(ways):
    """4001 step lines, and evaluations in between, as they were printed."""
    alone = plain(ways["dummy"], "-m", "scripts.base_train", python=PLAIN)
    lines = next(
        found for found in logs(ways["dummy"] / "raw") if found[0]["script"] == "scripts.base_train"
    )

    assert printed(lines) == alone.stdout.decode().splitlines()


SEVERAL = """
import os, sys, wandb
with wandb.init(project="one", name="first", config={"a": 1}) as run:
    assert run is wandb.run
    run.log({"x": 1.0})
    wandb.log({"y": 2.0})
    wandb.config.update({"b": [1, 2]})
    wandb.config["c"] = 3
    run.config.d = 4
    wandb.summary["best"] = 0.5
    run.summary.update({"worst": 0.25})
    wandb.define_metric("x", summary="min")
again = wandb.init(project="two", config={"a": 2})
if os.environ.get("WANDB_MODE") != "disabled":  # then each is another one
    assert wandb.init(project="two") is again
again.log({"x": 1.0, "step": 40}, commit=False)
again.log({"y": 2.0})
again.log({"z": 3.0})
again.log({"n": {"m": 4.0}}, step=9)
again.log({"step": 50, "o": "text"})
again.finish(exit_code=2)
try:
    with wandb.init(project="three", name="fails"):
        wandb.log({"x": 1.0}, step=5)
        wandb.log({"y": 1.0}, step=5)
        wandb.log({"x": 2.0}, step=6, commit=True)
        wandb.log({"x": 3.0})
        raise ValueError("out")
except ValueError:
    pass
left_open = wandb.init(project="four", id="mine", reinit=True)
wandb.log({"x": 1.0})
print("end")
sys.exit(6)
"""


@pytest.mark.parametrize(
    ("python", "environment"),
    [(PLAIN, OFFLINE), (PLAIN, {"WANDB_MODE": "disabled"}), (BARE, {})],
    ids=["offline", "disabled", "absent"],
)
def test_each_run_of_a_script_has_a_file_with_all_that_it_was_told(tmp_path, python, environment):
    """Four runs in one process: by with, by finish, by an exception, and left open."""
    (tmp_path / "train.py").write_text(SEVERAL)
    done = hooked(tmp_path, "train.py", python=python, **environment)
    assert done.returncode == 6, done.stderr
    first, second, third, fourth = logs(tmp_path / "raw")

    assert [head[0]["source_project"] for head in (first, second, third, fourth)] == [
        "one", "two", "three", "four"
    ]  # fmt: skip
    assert (first[0]["name"], third[0]["name"], fourth[0]["run_id"]) == ("first", "fails", "mine")
    assert first[0]["config"] == {"a": 1}
    changed = [line["config"] for line in of_kind(first, "config")]
    assert {key: value for each in changed for key, value in each.items()} == {
        "b": [1, 2], "c": 3, "d": 4
    }  # fmt: skip
    assert [line["summary"] for line in of_kind(first, "summary")] == [
        {"best": 0.5}, {"worst": 0.25}
    ]  # fmt: skip
    assert rows(first) == [(0, {"x": 1.0}), (1, {"y": 2.0})]
    assert rows(second) == [
        (40, {"x": 1.0}), (40, {"y": 2.0}), (40, {"z": 3.0}), (40, {"n.m": 4.0}),
        (50, {"o": "text"}),
    ]  # fmt: skip
    assert rows(third) == [
        (5, {"x": 1.0}), (5, {"y": 1.0}), (6, {"x": 2.0}), (7, {"x": 3.0})
    ]  # fmt: skip
    codes = [of_kind(each, "finish")[0]["exit_code"] for each in (first, second, third, fourth)]
    assert codes == [0, 2, 1, 6]
    assert printed(fourth)[-1] == "end"


def test_what_wandb_raises_the_script_gets_and_what_we_cannot_write_is_counted(tmp_path):
    code = """
import traceback, wandb
run = wandb.init(project="p")
run.log({"x": 1.0, "image": wandb.Html("<b>x</b>")})
for bad in (lambda: run.log("no dict"), lambda: wandb.init(project="a/b:c", reinit=True)):
    try:
        bad()
    except Exception as problem:
        print(type(problem).__name__)
"""
    (tmp_path / "train.py").write_text(code)
    alone = plain(tmp_path, "train.py", **OFFLINE)
    ours = hooked(tmp_path, "train.py", **OFFLINE)

    assert (ours.stdout, ours.returncode) == (alone.stdout, 0)
    first = logs(tmp_path / "raw")[0]
    assert rows(first) == [(0, {"x": 1.0})]
    (finish,) = of_kind(first, "finish")
    assert finish["dropped"] == 1
    assert ours.stderr.count(b"could not log") == 1


def test_a_run_that_is_asked_for_by_id_is_that_run_on_both_sides_and_goes_on(tmp_path):
    """--run-id names our run and W&B's; --resume makes of the second process its continuation."""
    code = "import sys, wandb\nrun = wandb.init(project='p', name='theirs')\n"
    code += "run.log({'step': int(sys.argv[1]), 'x': 1.0})\nprint(run.id)\n"
    (tmp_path / "train.py").write_text(code)
    own = ("--run-id", "d20", "--name", "ours", "--stage", "sft")
    first = hooked(tmp_path, "train.py", 100, options=own, **OFFLINE)
    time.sleep(1.1)  # the names of W&B's offline folders are as of the second
    second = hooked(tmp_path, "train.py", 101, options=(*own, "--resume", "101"), **OFFLINE)
    assert first.returncode == second.returncode == 0, second.stderr

    one, two = logs(tmp_path / "raw")
    assert (first.stdout.split()[0], second.stdout.split()[0]) == (b"d20", b"d20")
    for head in (one[0], two[0]):
        assert (head["run_id"], head["name"], head["stage"]) == ("d20", "ours", "sft")
    assert (one[0]["resumed"], two[0]["resumed"], two[0]["resume_step"]) == (False, True, 101)


def test_a_library_that_only_looks_for_wandb_finds_a_module_in_which_all_is_harmless(tmp_path):
    """Names that the stand-in has not are said once each, and never fail."""
    code = """
import importlib.util, wandb
from wandb.sdk.wandb_run import Run
import wandb.integration.keras as keras
assert importlib.util.find_spec("wandb") is not None
run = wandb.init(project="p", settings=wandb.Settings(silent=True))
table = wandb.Table(columns=["a"])
table.add_data(1)
run.watch(object())
for _ in range(3):
    wandb.Image("x")
assert not isinstance(1, wandb.Image)
class Callback(keras.WandbCallback):
    pass
@wandb.trace
def work():
    return 3
assert work() == 3
run.log({"table": table, "x": 1.0})
wandb.save("file"); wandb.login(); wandb.alert(title="t", text="x")
try:
    raise ValueError
except (wandb.Error, ValueError):
    pass
print(wandb.__version__)
"""
    (tmp_path / "train.py").write_text(code)
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)  # what W&B leaves is no package
    done = hooked(tmp_path, "train.py", python=BARE)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"wandb.Image does nothing here") == 1
    (lines,) = logs(tmp_path / "raw")
    assert rows(lines) == [(0, {"x": 1.0})]


def test_a_script_that_never_imports_wandb_never_has_it_imported(tmp_path):
    (tmp_path / "train.py").write_text("import sys; print('wandb' in sys.modules)")

    assert hooked(tmp_path, "train.py").stdout == b"False\n"


def test_a_dummy_of_any_module_is_captured_from_its_first_row_at_the_latest(tmp_path):
    """A dummy without __init__, one made in a function, and one that is never told anything."""
    (tmp_path / "harness.py").write_text(
        "class DummyWandb:\n    def log(self, data, step=None): pass\n    def finish(self): pass\n"
    )
    code = """
import harness
def begin(user_config):
    return harness.DummyWandb()
run = begin({"run": "mine", "lr": 0.5})
run.log({"x": 1.0}, step=3)
run.log({"x": 2.0}, step=4)
print("end")
"""
    (tmp_path / "train.py").write_text(code)
    done = hooked(tmp_path, "train.py")

    (lines,) = logs(tmp_path / "raw")
    assert done.returncode == 0
    assert (lines[0]["name"], lines[0]["config"]) == ("mine", {"run": "mine", "lr": 0.5})
    assert rows(lines) == [(3, {"x": 1.0}), (4, {"x": 2.0})]


def test_our_own_tee_is_no_second_run(tmp_path):
    """A script that logs with hooks, and through them to W&B, has one file."""
    code = "import hooks\nrun = hooks.init('p', dir='raw', run_id='r', wandb='offline')\n"
    code += "run.log({'x': 1.0}, step=1)\nrun.finish()\n"
    (tmp_path / "train.py").write_text(code)
    done = hooked(tmp_path, "train.py")

    (lines,) = logs(tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    assert rows(lines) == [(1, {"x": 1.0})]


def test_threads_that_log_at_once_lose_no_row_and_no_step(tmp_path):
    code = """
import threading, wandb
run = wandb.init(project="p")
def work():
    for _ in range(500):
        run.log({"x": 1.0})
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""
    (tmp_path / "train.py").write_text(code)
    hooked(tmp_path, "train.py", python=BARE)

    (lines,) = logs(tmp_path / "raw")
    assert sorted(step for step, _ in rows(lines)) == list(range(2000))


@pytest.mark.parametrize("python", [PLAIN, BARE], ids=["offline", "absent"])
def test_a_signals_handler_may_log_and_print_in_the_midst_of_a_log_or_a_print(tmp_path, python):
    """300 signals, at whatever the script does just then: each row is there, and nothing hangs."""
    code = """
import itertools, os, signal, threading, time, wandb
run = wandb.init(project="p")
calls = itertools.count().__next__
def handler(*_):
    call = calls()
    run.log({"handler": call})
    print("handler", call)
signal.signal(signal.SIGUSR1, handler)
def kill():
    for _ in range(300):
        time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)
thread = threading.Thread(target=kill)
thread.start()
while thread.is_alive():
    run.log({"loop": 1.0})
    print("loop", flush=True)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
run.log({"calls": calls()})
"""
    (tmp_path / "train.py").write_text(code)
    done = hooked(tmp_path, "train.py", python=python, **OFFLINE)
    assert done.returncode == 0, done.stderr

    (lines,) = logs(tmp_path / "raw")
    found = [row["handler"] for _, row in rows(lines) if "handler" in row]
    ((calls,),) = [row.values() for _, row in rows(lines) if "calls" in row]
    assert sorted(found) == list(range(calls))  # a signal may come in the midst of a handler
    said = "\n".join(printed(lines)) + "\n"
    assert said.count("handler") == calls
    assert len(said) == len(done.stdout + done.stderr)


def test_a_forked_process_that_begins_a_run_has_a_file_of_its_own(tmp_path):
    """The parent's file, which has nothing but its console, stays the parent's."""
    code = """
import os, wandb
print("parent")
child = os.fork()
if child == 0:
    run = wandb.init(project="c", name="child")
    run.log({"x": 1.0})
    run.finish()
    os._exit(0)
os.waitpid(child, 0)
print("end")
"""
    (tmp_path / "train.py").write_text(code)
    hooked(tmp_path, "train.py", python=BARE)
    by_name = {lines[0]["name"]: lines for lines in logs(tmp_path / "raw")}

    assert rows(by_name["child"]) == [(0, {"x": 1.0})]
    assert printed(by_name["train.py"])[-2:] == ["parent", "end"]
    assert of_kind(by_name["train.py"], "finish")[0]["exit_code"] == 0


def test_nothing_of_a_command_line_or_of_an_environment_is_in_the_log(tmp_path):
    (tmp_path / "train.py").write_text("import wandb; wandb.init(project='p'); wandb.log({'x': 1})")
    hooked(tmp_path, "train.py", "--api-key", "s3cr3t", python=BARE, WANDB_API_KEY="s3cr3t")

    assert "s3cr3t" not in json.dumps(logs(tmp_path / "raw"))
