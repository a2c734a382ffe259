"""This machine, as its container sees it -> CPU, memory and disk numbers under W&B's names.

On Linux read from ``/proc`` and the control groups, with or without psutil installed, so that a
number means the same everywhere; on other systems from psutil. What cannot be read is absent.
The definitions are those of wandb 0.31, as a run that goes to both has both in one series.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from hooks import cgroup

PROC = Path("/proc")
CORES = Path("/sys/devices/system/cpu")
MIB, GIB = 1024**2, 1024**3


class Memory(NamedTuple):
    """Bytes of memory: all that the machine or the container has, and what is free of it."""

    total: int
    available: int


def memory(groups: list[Path], proc: Path = PROC) -> Memory | None:
    """Return the memory of the container that limits *groups*, else of the machine."""
    limited = cgroup.memory_limit(groups)
    if limited is not None:
        return Memory(limited.limit, max(limited.limit - limited.used, 0))
    found = _meminfo(proc)
    if "MemTotal" in found and "MemAvailable" in found:
        return Memory(found["MemTotal"], found["MemAvailable"])
    psutil = _psutil()
    if psutil is None:
        return None
    said = psutil.virtual_memory()
    return Memory(said.total, said.available)


def _meminfo(proc: Path) -> dict[str, int]:
    """Return bytes by name."""
    return {name: 1024 * value for name, value in cgroup.counters(proc / "meminfo").items()}


def _psutil() -> Any:
    """Return psutil, or None where it is not installed."""
    try:
        import psutil  # noqa: PLC0415  an extra
    except ImportError:
        return None
    return psutil


class Busy:
    """Shares of time between one call and the next: of all processes, and of this one."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._limit = cgroup.cpu_limit(cgroup.folders("cpu"))
        self._accounts = cgroup.folders("cpuacct")[:1]
        allowed = _allowed()
        self.allowed = allowed if self._limit is None else min(self._limit.cpus, allowed)
        self.cpus = _cpus() if self._limit is None else self.allowed
        self._last: dict[str, tuple[float, float]] = {}
        self._periods: tuple[int, int] | None = None

    def percent(self) -> float | None:
        """Return the time in which CPUs were busy, of all that the container may use, in %."""
        group = self._group_seconds()
        if group is not None:
            return self._since("all", group, time.monotonic() * self.cpus)
        busy, total = self._machine_seconds()
        return None if total is None else self._since("all", busy, total)

    def own_percent(self) -> float | None:
        """Return the CPU time of this process, of all that it may use, in %."""
        return self._since("own", time.process_time(), time.monotonic() * self.cpus)

    def throttled_percent(self) -> float | None:
        """Return in how many of the scheduler's periods the quota had been used up, in %."""
        if self._limit is None:
            return None
        stat = cgroup.counters(self._limit.folder / "cpu.stat")
        if "nr_periods" not in stat or "nr_throttled" not in stat:
            return None
        return self._since("throttled", stat["nr_throttled"], stat["nr_periods"])

    def _since(self, name: str, part: float, whole: float) -> float | None:
        """Return by how much *part* grew since the last call, in % of what *whole* did."""
        before = self._last.get(name)
        self._last[name] = part, whole
        if before is None or whole <= before[1]:
            return None
        return max(0.0, 100 * (part - before[0]) / (whole - before[1]))

    def _group_seconds(self) -> float | None:
        """Return the CPU time of the container, where a quota limits it."""
        if self._limit is None:
            return None
        micro = cgroup.counters(self._limit.folder / "cpu.stat").get("usage_usec")
        if micro is not None:
            return micro / 1e6
        nano = [cgroup.number(folder / "cpuacct.usage") for folder in self._accounts]
        return nano[0] / 1e9 if nano and nano[0] is not None else None

    def _machine_seconds(self) -> tuple[float, float | None]:
        """Return (busy, in all) of the machine's CPU time, in any unit."""
        try:
            with (self._proc / "stat").open() as file:
                # user nice system idle iowait irq softirq steal; guests are counted as users
                ticks = [int(word) for word in file.readline().split()[1:9]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
        except (OSError, ValueError, IndexError):
            psutil = _psutil()
        if psutil is None:
            return 0.0, None
        times = psutil.cpu_times()
        return sum(times[:4]) - times.idle, sum(times[:4])


def _allowed() -> int:
    """Return the number of CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpus() -> float:
    """Return the number of cores, two threads of one core being one, or of CPUs allowed if fewer.

    As W&B counts them, so a process with two threads on each core may come to 200%.
    """
    if _allowed() < (os.cpu_count() or 1):
        return _allowed()
    cores = set()
    for path in sorted(CORES.glob("cpu[0-9]*/topology/core_cpus_list")):
        try:
            cores.add(path.read_text())
        except OSError:
            continue
    return len(cores) or _allowed()


class Machine:
    """Reads the machine, the container and this process."""

    def __init__(self, folder: Path, proc: Path = PROC) -> None:
        """Open; *folder* is the one whose file system's use is measured."""
        self._folder, self._proc = folder, proc
        self._groups = cgroup.folders("memory")
        self._busy = Busy(proc)
        self._kills = self._oom_kills()
        self.read()  # what the next call's shares of time are since

    def read(self) -> dict[str, float]:
        """Return what can be measured now; shares of time are since the last call."""
        found: dict[str, float | None] = {
            "cpu": self._busy.own_percent(),
            "cpu_percent": self._busy.percent(),
            "proc.cpu.throttledPercent": self._busy.throttled_percent(),
        }
        rss, found["proc.cpu.threads"] = self._process()
        has = memory(self._groups, self._proc)
        if has is not None:
            found["memory_percent"] = 100 * (has.total - has.available) / has.total
            found["proc.memory.availableMB"] = has.available / MIB
        if rss is not None:
            found["proc.memory.rssMB"] = rss / MIB
        if rss is not None and has is not None:
            found["proc.memory.percent"] = 100 * rss / has.total
        kills = self._oom_kills()
        if kills is not None and self._kills is not None:
            found["proc.memory.oomKills"] = kills - self._kills
        found |= self._swap() | self._disk()
        return {name: float(value) for name, value in found.items() if value is not None}

    def _process(self) -> tuple[int | None, int | None]:
        """Return (bytes of memory, threads) of this process."""
        try:
            with (self._proc / "self/status").open() as file:
                pairs = dict(line.split(":", 1) for line in file if ":" in line)
            return 1024 * int(pairs["VmRSS"].split()[0]), int(pairs["Threads"])
        except (OSError, ValueError, KeyError, IndexError):
            psutil = _psutil()
        if psutil is None:
            return None, None
        process = psutil.Process()
        return process.memory_info().rss, process.num_threads()

    def _oom_kills(self) -> int | None:
        """Return how often the kernel killed a process of the container for want of memory."""
        for folder in self._groups[:1]:
            for name in ("memory.events", "memory.oom_control"):
                kills = cgroup.counters(folder / name).get("oom_kill")
                if kills is not None:
                    return kills
        return None

    def _swap(self) -> dict[str, float | None]:
        found = _meminfo(self._proc)
        total, free = found.get("SwapTotal"), found.get("SwapFree")
        return {"swap.used_percent": 100 * (total - free) / total} if total and free else {}

    def _disk(self) -> dict[str, float | None]:
        """Return the use of the disk that the log is on, whose path is a person's own matter."""
        try:
            has = os.statvfs(self._folder)
        except OSError:
            return {}
        used, free = has.f_blocks - has.f_bfree, has.f_bavail
        if not used + free:
            return {}
        return {
            "disk.log.usagePercent": 100 * used / (used + free),
            "disk.log.usageGB": used * has.f_frsize / GIB,
        }
