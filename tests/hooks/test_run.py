"""A script under ``hooks.run`` is the script under Python, and a log of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from launched import PLAIN, environment, hooked, logs, of_kind, plain, printed

SHOWS = """
import __main__, atexit, os, sys, threading
sys.stdout.write("begun ")
print(__name__, __file__, __package__, sys.argv, sys.path[0], file=sys.stderr)
print(sorted(k for k in vars(__main__) if k.startswith("__")), __main__.__spec__ is None)
print("\\u00e9\\u4e2d 10%\\r20%\\r", end="")
print("no newline yet", end="", flush=True)
os.write(1, b"straight to the file\\n")
sys.stdout.buffer.write(b"\\xff bytes\\n")
atexit.register(print, "at exit")
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
"""

ENDS = {
    "returns": "",
    "exits with a number": "sys.exit(7)",
    "exits with words": "sys.exit('words')",
    "exits with nothing": "sys.exit()",
    "raises": "def f():\n    raise ValueError('x') from KeyError('y')\nf()",
    "raises a group": "raise ExceptionGroup('g', [ValueError(1), OSError(2)])",
    "has a hook of its own": "sys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno)\n1/0",
    "is interrupted": "import signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)",
    "terminates itself": "import signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
    "leaves at once": "os._exit(4)",
    "does not parse": "def f(:",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("form", ["file", "module"])
def test_a_script_prints_and_ends_as_it_does_without_us(tmp_path, end, form):
    """stdout, stderr and exit code are equal byte for byte, whichever way it is called and ends."""
    package = tmp_path / "scripts"
    package.mkdir()
    (package / "__init__.py").write_text("import sys; print('package', sys.argv)")
    (package / "train.py").write_text(SHOWS + ENDS[end], encoding="utf-8")
    command = ["-m", "scripts.train"] if form == "module" else ["scripts/train.py"]

    alone = plain(tmp_path, *command, "a", "--b=c d")
    ours = hooked(tmp_path, *command, "a", "--b=c d")

    assert (ours.stdout, ours.returncode) == (alone.stdout, alone.returncode)
    assert ours.stderr == alone.stderr


@pytest.mark.parametrize(
    "command",
    [["nothing.py"], ["-m", "nothing"], ["-m", "json"], ["folder"], ["-m", "folder"], ["app.zip"]],
)
def test_what_python_says_of_a_script_that_is_none_or_is_a_folder_it_says_with_us(
    tmp_path, command
):
    import zipfile

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text("import sys; print(sys.argv, sys.path[0])")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(tmp_path / "folder" / "__main__.py", "__main__.py")

    alone, ours = plain(tmp_path, *command), hooked(tmp_path, *command)

    assert (ours.stdout, ours.returncode) == (alone.stdout, alone.returncode)
    assert ours.stderr == alone.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [("returns", 0), ("exits with a number", 7), ("exits with words", 1), ("raises", 1),
     ("is interrupted", 130), ("terminates itself", 143), ("leaves at once", None)],
)  # fmt: skip
def test_a_script_that_knows_no_wandb_has_its_console_and_its_exit_code_logged(tmp_path, end, code):
    """Only what ends without Python's knowledge leaves no finish line."""
    (tmp_path / "train.py").write_text(SHOWS + ENDS[end], encoding="utf-8")
    hooked(tmp_path, "train.py", "--secret=1")

    (lines,) = logs(tmp_path / "raw")
    assert (lines[0]["name"], lines[0]["script"]) == ("train.py", "train.py")
    assert "--secret" not in json.dumps(lines[0])
    assert [line["exit_code"] for line in of_kind(lines, "finish")] == [code] * (code is not None)
    if code is not None:
        assert "no newline yet" in "\n".join(printed(lines))
    if end == "raises":
        assert "ValueError: x" in printed(lines)


def test_the_console_holds_every_line_as_it_stood_at_last(tmp_path):
    """Lines of both streams in their order; of a progress bar, its last state."""
    code = """
import sys
for i in range(3000):
    print("line", i)
for i in range(5000):
    print(f"\\r{i}%", end="", file=sys.stderr)
print(file=sys.stderr)
sys.stdout.writelines(["a\\n", "b\\nc", "d\\n", "\\udcff\\u4e2d\\r\\n"])
print("x" * 100_000)
print("last", end="")
"""
    (tmp_path / "train.py").write_text(code, encoding="utf-8")
    done = hooked(tmp_path, "train.py", PYTHONIOENCODING="utf-8:surrogateescape")
    assert done.returncode == 0, done.stderr

    (lines,) = logs(tmp_path / "raw")
    found = printed(lines)
    assert found[:3000] == [f"line {i}" for i in range(3000)]
    assert found[3000:3005] == ["4999%", "a", "b", "cd", "?\u4e2d"]
    assert "".join(found[3005:-1]) == "x" * 100_000
    assert found[-1] == "last"
    assert of_kind(lines, "finish")[0]["dropped"] == 0


@pytest.mark.parametrize("sort", [signal.SIGTERM, signal.SIGKILL])
def test_a_script_that_is_killed_dies_of_the_signal_and_what_it_printed_is_there(tmp_path, sort):
    """SIGTERM in the midst of a C call that never returns: a finish line, and no delay."""
    code = "import threading; print('begun', flush=True); lock = threading.Lock(); lock.acquire()\n"
    (tmp_path / "train.py").write_text(code + "lock.acquire()")
    command = ["-m", "hooks.run", "--project", "p", "--dir", "raw", "--", "train.py"]
    process = subprocess.Popen(
        [*PLAIN, *command], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    time.sleep(0.3)
    process.send_signal(sort)
    began = time.monotonic()

    assert process.wait(20) == -sort
    assert time.monotonic() - began < 5
    (lines,) = logs(tmp_path / "raw")
    assert printed(lines) == ["begun"]
    codes = [line["exit_code"] for line in of_kind(lines, "finish")]
    assert codes == ([143] if sort == signal.SIGTERM else [])
    process.stdout.close()


def test_a_forked_worker_that_is_terminated_ends_neither_the_run_nor_its_parent(tmp_path):
    """DataLoader's workers are forks, which are ended by SIGTERM."""
    code = """
import multiprocessing, os, signal, sys, time
def work():
    print("worker")
    time.sleep(60)
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
time.sleep(0.3)
worker.terminate()
worker.join()
print("worker ended with", worker.exitcode)
child = os.fork()
if child == 0:
    sys.exit(5)
print("child", os.waitpid(child, 0)[1] >> 8)
time.sleep(0.3)
print("parent goes on")
"""
    (tmp_path / "train.py").write_text(code)
    done = hooked(tmp_path, "train.py")

    (lines,) = logs(tmp_path / "raw")
    assert done.returncode == 0
    assert printed(lines) == ["worker ended with -15", "child 5", "parent goes on"]
    assert [line["exit_code"] for line in of_kind(lines, "finish")] == [0]


def test_a_script_that_handles_sigterm_itself_handles_it(tmp_path):
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
"""
    (tmp_path / "train.py").write_text(code)
    done = hooked(tmp_path, "train.py")

    (lines,) = logs(tmp_path / "raw")
    assert (done.returncode, of_kind(lines, "finish")[0]["exit_code"]) == (9, 9)


def test_a_log_that_cannot_be_made_is_said_once_and_the_script_runs(tmp_path):
    (tmp_path / "raw").write_text("a file where the folder should be")
    (tmp_path / "train.py").write_text(
        "import wandb\nwandb.init(project='p')\nwandb.log({'x': 1})\nwandb.config.a = 1\n"
        "print(wandb.run.id, wandb.config.a)\nwandb.finish()"
    )
    done = hooked(tmp_path, "train.py", python=[sys.executable, "-S"])

    assert (done.returncode, done.stdout) == (0, b"none 1\n")
    assert done.stderr.count(b"no log file") == 1


def test_a_script_that_changes_its_folder_is_logged_where_it_was_begun(tmp_path):
    code = "import os; os.mkdir('sub'); os.chdir('sub'); from wandb import init; init(project='q')"
    (tmp_path / "train.py").write_text(code)
    hooked(tmp_path, "train.py", python=[sys.executable, "-S"])

    (lines,) = logs(tmp_path / "raw")
    assert lines[0]["source_project"] == "q"


def test_a_script_that_logs_with_hooks_has_its_console_in_the_same_file(tmp_path):
    code = """
import hooks
print("before")
run = hooks.init("p", "mine", dir="raw", config={"a": 1})
run.log({"x": 1.0}, step=3)
print("after")
"""
    (tmp_path / "train.py").write_text(code)
    hooked(tmp_path, "train.py")

    (lines,) = logs(tmp_path / "raw")
    assert (lines[0]["name"], lines[0]["config"]) == ("mine", {"a": 1})
    assert printed(lines) == ["before", "after"]
    assert of_kind(lines, "finish")[0]["exit_code"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--project", "p"], "no script"),
        (["--project", "p", "--", "-m"], "no script"),
        (["--project", "p", "--resume", "3", "--", "x.py"], "--run-id"),
        (["--project", "p", "--", "python", "x.py"], "python -m hooks.run --project p -- SCRIPT"),
        (["--project", "a/b", "--", "x.py"], "--dir"),
        (["--", "x.py"], "--project"),
    ],
)
def test_a_wrong_command_line_runs_nothing_and_says_what_to_do(tmp_path, arguments, says):
    (tmp_path / "x.py").write_text("print('ran')")
    done = plain(tmp_path, "-m", "hooks.run", *arguments)

    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()


def test_the_dashes_before_the_script_may_be_missing(tmp_path):
    """Some launchers take them for their own."""
    (tmp_path / "x.py").write_text("import sys; print(sys.argv)")
    done = plain(tmp_path, "-m", "hooks.run", "--project=p", "--dir", "raw", "x.py", "--", "--y")

    assert done.stdout == b"['x.py', '--', '--y']\n"


@pytest.mark.slow
def test_no_moment_of_a_kill_loses_a_row_of_a_script_that_logs_to_wandb(tmp_path):
    """20 kills at random moments: each step that the script had logged before it said so."""
    code = """
import os, wandb
run = wandb.init(project="p")
for step in range(10**9):
    wandb.log({"step": step, "loss": 1.0})
    os.write(1, b"%d\\n" % step)
"""
    (tmp_path / "train.py").write_text(code)
    command = [sys.executable, "-S", "-m", "hooks.run", "--project", "p", "--dir", "raw", "--"]
    for _ in range(20):
        process = subprocess.Popen(
            [*command, "train.py"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        said = process.stdout.readline()
        time.sleep(random.random() / 5)
        process.send_signal(random.choice([signal.SIGTERM, signal.SIGKILL]))
        said += process.stdout.read()
        process.wait()
        process.stdout.close()
        lines = logs(tmp_path / "raw")[-1]

        steps = [line["step"] for line in of_kind(lines, None)]
        assert steps == list(range(len(steps)))
        assert len(steps) >= said.count(b"\n")
        for path in (tmp_path / "raw").iterdir():
            os.unlink(path)
