"""What a machine and a container have, as the kernel counts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hooks import cgroup, machine, machine_torch

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024**2
psutil = pytest.importorskip("psutil")


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_the_numbers_are_those_of_psutil_where_nothing_limits_us(tmp_path):
    if cgroup.memory_limit(cgroup.folders("memory")) or cgroup.cpu_limit(cgroup.folders("cpu")):
        pytest.skip("this process is limited, which psutil does not see")
    here = machine.Machine(tmp_path)
    process = psutil.Process()
    began = sum(process.cpu_times()[:2])
    spin(0.5)
    found, expected = here.read(), psutil.virtual_memory()
    own = 100 * (sum(process.cpu_times()[:2]) - began) / 0.5

    assert found["proc.memory.availableMB"] == pytest.approx(expected.available / MIB, rel=0.05)
    assert found["memory_percent"] == pytest.approx(expected.percent, abs=3)
    assert found["proc.memory.rssMB"] == pytest.approx(process.memory_info().rss / MIB, rel=0.1)
    assert found["proc.cpu.threads"] == process.num_threads()
    assert found["cpu"] == pytest.approx(own / psutil.cpu_count(logical=False), abs=15)
    assert 0 < found["cpu_percent"] <= 101
    assert found["disk.log.usagePercent"] == pytest.approx(
        psutil.disk_usage(str(tmp_path)).percent, abs=1
    )


def test_a_system_without_proc_is_asked_through_psutil(tmp_path):
    by_kernel = machine.Machine(tmp_path)
    by_psutil = machine.Machine(tmp_path, proc=tmp_path / "none")
    spin(0.2)
    ours, theirs = by_kernel.read(), by_psutil.read()

    for name in ("proc.memory.rssMB", "proc.memory.availableMB", "proc.cpu.threads"):
        assert theirs[name] == pytest.approx(ours[name], rel=0.1)
    assert "cpu_percent" in theirs


def test_without_proc_and_psutil_what_is_not_known_is_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(cgroup, "PROC", tmp_path)
    here = machine.Machine(tmp_path, proc=tmp_path / "none")
    here._busy, here._groups = machine.Busy(tmp_path / "none"), []
    here._busy._limit = None
    here._busy.own_percent()
    time.sleep(0.01)

    assert set(here.read()) == {"cpu", "disk.log.usagePercent", "disk.log.usageGB"}


def container(place, lines, mounts, files):
    """Lay out a process's view of its control groups below *place*."""
    proc = place / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text("".join(f"{line}\n" for line in lines))
    (proc / "mountinfo").write_text("".join(f"{line}\n" for line in mounts).format(place=place))
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc


def test_the_tightest_limit_of_nested_groups_counts_in_v2(tmp_path):
    proc = container(
        tmp_path,
        ["0::/pods/one/box"],
        ["1 0 0:1 / /sys rw - sysfs sysfs rw", "2 0 0:2 / {place}/fs rw,x - cgroup2 cgroup rw"],
        {
            "fs/pods/one/box/memory.max": "max\n",
            "fs/pods/one/box/memory.current": f"{2 * MIB}\n",
            "fs/pods/one/memory.max": f"{8 * MIB}\n",
            "fs/pods/one/memory.current": f"{6 * MIB}\n",
            "fs/pods/memory.max": f"{99 * MIB}\n",
            "fs/pods/memory.current": f"{50 * MIB}\n",
            "fs/pods/one/box/cpu.max": "150000 100000\n",
            "fs/pods/cpu.max": "max 100000\n",
        },
    )
    memory = cgroup.folders("memory", proc)

    assert cgroup.memory_limit(memory) == (6 * MIB, 8 * MIB)
    assert machine.memory(memory) == (8 * MIB, 2 * MIB)
    assert cgroup.cpu_limit(cgroup.folders("cpu", proc)) == (1.5, tmp_path / "fs/pods/one/box")


def test_v1_and_a_mount_of_the_containers_own_part(tmp_path):
    """Docker mounts the group itself, and the path outside is that of the host."""
    proc = container(
        tmp_path,
        ["5:cpu,cpuacct:/docker/abc", "4:memory:/docker/abc", "0::/"],
        [
            "3 0 0:3 /docker/abc {place}/memory rw - cgroup cgroup rw,memory",
            "4 0 0:4 /docker/abc {place}/cpu rw master:1 - cgroup cgroup rw,cpu,cpuacct",
            "5 0 0:5 / {place}/unified rw - cgroup2 cgroup2 rw",
        ],
        {
            "memory/memory.limit_in_bytes": f"{4 * MIB}\n",
            "memory/memory.usage_in_bytes": f"{5 * MIB}\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    memory = cgroup.folders("memory", proc)

    assert memory == [tmp_path / "memory"]
    assert machine.memory(memory) == (4 * MIB, 0)
    assert cgroup.cpu_limit(cgroup.folders("cpu", proc)) is None


@pytest.mark.parametrize(
    "lines", [[], ["0::/../../outside"], ["nonsense"], ["4:memory:/not/mounted"]]
)
def test_groups_that_cannot_be_seen_limit_nothing(tmp_path, lines):
    mounts = ["2 0 0:2 / {place}/fs rw - cgroup2 cgroup rw", "nonsense"]
    proc = container(tmp_path, lines, mounts, {})

    assert cgroup.memory_limit(cgroup.folders("memory", proc)) is None


@pytest.fixture
def limited():
    """A real group with 256 MiB and a fifth of a CPU; v1 or v2, as the machine has it."""
    made = []
    try:
        for controller in ("memory", "cpu"):
            (top, *_) = cgroup.folders(controller) or [Path("/nowhere")]
            made.append(top / f"runatlas-test-{os.getpid()}")
            made[-1].mkdir(exist_ok=True)
        first, second = made
        if (first / "memory.limit_in_bytes").exists():
            (first / "memory.limit_in_bytes").write_text(str(256 * MIB))
            (second / "cpu.cfs_quota_us").write_text("20000")
        else:
            (first / "memory.max").write_text(str(256 * MIB))
            (second / "cpu.max").write_text("20000 100000")
    except OSError as problem:
        pytest.skip(f"no control group of our own here: {problem.strerror}")
    yield made
    for folder in dict.fromkeys(made):
        folder.rmdir()


def test_a_process_in_a_real_group_sees_its_limits(limited, tmp_path):
    code = """
import json, os, sys, time
from pathlib import Path
for folder in sys.argv[2:]:
    Path(folder, "cgroup.procs").write_text(str(os.getpid()))
from hooks import machine
here = machine.Machine(Path(sys.argv[1]))
end = time.monotonic() + 0.6
while time.monotonic() < end:
    pass
print(json.dumps(here.read()))
"""
    command = [sys.executable, "-c", code, str(tmp_path), *map(str, dict.fromkeys(limited))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    found = json.loads(done.stdout)

    assert found["proc.memory.availableMB"] < 256
    assert found["cpu"] > 60  # of a fifth of a CPU
    assert found["proc.cpu.throttledPercent"] > 30


def stats(current, peak):
    return {"allocated_bytes": {"all": {"current": current, "peak": peak}}, "num_ooms": 0}


class Allocator:
    """The part of torch's allocator that matters: what is held, and one peak for everybody."""

    def __init__(self):
        self.held = self.peak = 0

    def hold(self, amount):
        self.held = amount
        self.peak = max(self.peak, amount)

    def read(self, _):
        return stats(self.held, self.peak)

    def reset(self, _):
        self.peak = self.held


def peak(found):
    return found["allocated_bytes"]["all"]["peak"]


def test_whoever_asks_for_peaks_has_his_own_and_the_script_notices_nothing():
    allocator = Allocator()
    book = machine_torch.Peaks(allocator.read, allocator.reset)
    allocator.hold(70)
    allocator.hold(10)
    first = peak(book.take("telemetry", 0))
    allocator.hold(30)
    allocator.hold(5)
    second, rows = peak(book.take("telemetry", 0)), peak(book.take("rows", 0))  # its first time
    script = peak(book.seen("script", allocator.read, 0))
    book.taken("script", 0)
    allocator.hold(20)
    allocator.hold(1)

    assert (first, second, rows, script) == (70, 30, 70, 70)
    assert peak(book.seen("script", allocator.read, 0)) == 20
    assert peak(book.take("telemetry", 0)) == 20
    assert peak(book.take("rows", 0)) == 20
