"""The machine is measured beside the training, by time, and ends with the run."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hooks
from etl import naming
from hooks import machine, machine_nvml, machine_torch, record, telemetry
from hooks.capture import Capture

ROOT = Path(__file__).resolve().parents[2]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="ascii").splitlines()]


def measured(path):
    return [line for line in lines(path) if line.get("_kind") == "telemetry"]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def capture(tmp_path):
    return Capture(tmp_path / "log.jsonl", record.encode_event("run", 0, {}))


def test_a_run_is_measured_by_time_until_it_is_finished(tmp_path):
    run = hooks.init("p", dir=tmp_path, telemetry=0.05)
    until(lambda: len(measured(run.path)) >= 3)
    run.finish()
    found = lines(run.path)
    time.sleep(0.15)

    assert lines(run.path) == found
    assert found[-1]["_kind"] == "finish"
    samples = [line for line in found if line["_kind"] == "telemetry"]
    assert all(a["_ts"] < b["_ts"] for a, b in itertools.pairwise(samples))
    assert samples[0]["system.proc.memory.rssMB"] > 1
    assert not any("step" in line for line in samples)


def test_a_run_that_ends_before_the_next_sample_takes_it_at_once(tmp_path, capture):
    sampler = telemetry.start(capture, 3600)
    time.sleep(telemetry.LEAST_SEC + 0.1)
    sampler.stop()

    assert len(measured(capture.path)) == 1


def test_a_run_of_an_instant_has_no_sample_and_no_telemetry_no_thread(tmp_path):
    run = hooks.init("p", dir=tmp_path)
    run.finish()
    before = threading.active_count()
    quiet = hooks.init("p", dir=tmp_path, telemetry=False)

    assert measured(run.path) == []
    assert threading.active_count() == before
    quiet.finish()


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "15"])
def test_what_is_no_time_is_refused_before_a_file_is_made(tmp_path, wrong):
    with pytest.raises(ValueError, match="telemetry is True, False or seconds"):
        hooks.init("p", dir=tmp_path, telemetry=wrong)

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_measured_any_more_is_said_once_and_left_out(capture, capsys):
    calls = []

    def lost():
        calls.append(1)
        raise OSError("GPU is lost")

    probes = [telemetry.Probe("GPU 3", lost), telemetry.Probe("one", lambda: {"one": 1.0})]
    sampler = telemetry.Sampler(capture, lambda: probes, 0.02)
    until(lambda: len(measured(capture.path)) >= 3)
    sampler.stop()

    assert len(calls) == 1
    assert capsys.readouterr().err.count("GPU 3 is not measured any more (OSError: GPU is lost)")
    assert measured(capture.path)[-1]["system.one"] == 1.0


def test_a_driver_that_hangs_holds_up_the_end_for_a_moment_only(capture, monkeypatch):
    monkeypatch.setattr(telemetry, "STOP_SEC", 0.1)
    hangs, goes_on = threading.Event(), threading.Event()

    def read():
        hangs.set()
        goes_on.wait(30)
        return {"late": 1.0}

    sampler = telemetry.Sampler(capture, lambda: [telemetry.Probe("GPU 0", read)], 0.01)
    assert hangs.wait(10)
    began = time.monotonic()
    sampler.stop()
    took = time.monotonic() - began
    capture.close()
    goes_on.set()
    sampler.thread.join(10)

    assert took < 5
    assert (measured(capture.path), capture.dropped) == ([], 0)


def test_a_run_that_nobody_holds_is_not_measured_for_ever(tmp_path):
    run = hooks.init("p", dir=tmp_path, telemetry=0.05)
    thread = run._sampler.thread
    del run
    gc.collect()
    thread.join(10)

    assert not thread.is_alive()


def test_measuring_leaves_nothing_for_the_garbage_collector(tmp_path, capture):
    """A nanochat run switches the collector off: whatever is a cycle stays for good."""
    sampler = telemetry.Sampler(capture, list, 3600)
    gc.collect()
    gc.disable()
    try:
        probes = [telemetry.Probe("it", machine.Machine(tmp_path).read)]
        probes.append(telemetry.Probe("torch", machine_torch.read))
        sampler._probes = probes
        for _ in range(20):
            sampler.sample()
        left = gc.collect()
    finally:
        gc.enable()
        sampler.stop()

    assert left == 0


def test_of_a_node_one_process_measures_what_all_share(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("LOCAL_RANK", "0")
    first = hooks.init("p", dir=tmp_path, telemetry=0.05)
    monkeypatch.setenv("RANK", "9")
    monkeypatch.setenv("LOCAL_RANK", "1")
    second = hooks.init("p", dir=tmp_path, telemetry=0.05)
    until(lambda: measured(first.path))
    time.sleep(0.15)
    first.finish()
    second.finish()

    assert measured(second.path) == []


ENDINGS = {
    "without a word": "",
    "by an exception": "raise SystemExit(3)",
    "in a forked child as well": "pid = os.fork(); pid and os.waitpid(pid, 0)",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_process_ends_as_it_would_without_us(tmp_path, ending):
    """The interpreter's end finds no thread of ours within a driver."""
    code = f"""
import os, sys, time, hooks
run = hooks.init("p", dir={str(tmp_path)!r}, telemetry=0.01, wandb=False)
time.sleep(0.3)
{ending}
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (3 if "SystemExit" in ending else 0, "")
    (log,) = tmp_path.glob("*.jsonl")
    assert len(measured(log)) > 3


def test_a_forked_child_measures_nothing_and_can_finish(tmp_path):
    code = f"""
import os, sys, threading, time, hooks
run = hooks.init("p", dir={str(tmp_path)!r}, telemetry=0.02, wandb=False)
time.sleep(0.1)
pid = os.fork()
if not pid:
    before = run._capture.lines
    time.sleep(0.2)
    same = run._capture.lines == before and threading.active_count() == 1
    run.finish()
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
run.finish()
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("0\n", "")


def test_every_number_has_a_unit_in_the_catalog(tmp_path):
    here = machine.Machine(tmp_path)
    time.sleep(0.05)
    names = set(here.read()) | {f"gpu.0.throttle.{name}" for name in machine_nvml.THROTTLES}
    names |= {f"torch.0.{name}" for name in machine_torch._NAMES}
    names |= {"proc.cpu.throttledPercent", "swap.used_percent", "gpu.0.powerPercent"}
    names |= {"gpu.0.correctedMemoryErrors", "gpu.0.uncorrectedMemoryErrors", "gpu.0.smClock"}
    names |= {"gpu.0.enforcedPowerLimitWatts", "gpu.0.memoryTotalBytes", "gpu.0.memoryClock"}
    known = {name: naming.describe(telemetry.PREFIX + name) for name in sorted(names)}

    assert {name for name, metric in known.items() if metric is None} == set()
    assert {metric.direction for metric in known.values()} == {None}


def test_the_number_of_a_process_on_its_node_is_what_its_launcher_says():
    assert telemetry.node_rank({}) == 0
    assert telemetry.node_rank({"RANK": "3"}) == 3
    assert telemetry.node_rank({"RANK": "9", "LOCAL_RANK": "1"}) == 1
    assert telemetry.node_rank({"RANK": "9", "SLURM_LOCALID": "0"}) == 0
    assert telemetry.node_rank({"LOCAL_RANK": "one"}) == 0
