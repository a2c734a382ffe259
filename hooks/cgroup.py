"""The kernel's files -> what a container allows this process: memory and CPU, cgroup v1 and v2.

A limit may be set on the process's own group or on any group above it; the tightest one counts.
psutil and nproc know nothing of memory and CPU quotas, so they show the host's numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/self")
_NO_LIMIT = 2**60  # v1 writes "no limit" as the largest page count


class MemoryLimit(NamedTuple):
    """Bytes that the group uses, its page cache among them, and may use."""

    used: int
    limit: int


class CpuLimit(NamedTuple):
    """How many CPUs' time the group may use, and the folder of the group that says so."""

    cpus: float
    folder: Path


def folders(controller: str, proc: Path = PROC) -> list[Path]:
    """Return the folders of this process's groups under *controller*, its own first."""
    try:
        memberships = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:
        return []
    paths: dict[str, str] = {}
    for _, controllers, own in (line.split(":", 2) for line in memberships if line.count(":") > 1):
        paths.update(dict.fromkeys(controllers.split(","), own))
    # a host may have both: then v1 has the controllers that it names
    kind = "cgroup" if controller in paths else "cgroup2"
    path = paths.get(controller, paths.get(""))
    for place, _, system in (line.partition(" - ") for line in mounts if " - " in line):
        root, point = place.split(" ")[3:5]
        fstype, _, options = system.split(" ", 2)
        wanted = fstype == kind and (kind == "cgroup2" or controller in options.split(","))
        if wanted and path is not None:
            return _upwards(Path(point), root, path)
    return []


def _upwards(point: Path, root: str, path: str) -> list[Path]:
    """Return the folders from group *path* up to where the hierarchy's part *root* is mounted."""
    inside = Path(path).relative_to(root) if Path(path).is_relative_to(root) else Path()
    if ".." in inside.parts:  # a group outside of the container's namespace
        inside = Path()
    own = point / inside
    return [own, *own.parents[: len(inside.parts)]]


def memory_limit(groups: list[Path]) -> MemoryLimit | None:
    """Return the tightest memory limit of *groups*, or None where nothing limits them."""
    found: list[MemoryLimit] = []
    for folder in groups:
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = number(folder / limit_file), number(folder / used_file)
            if limit is not None and used is not None and limit < _NO_LIMIT:
                found.append(MemoryLimit(used, limit))
    return min(found, key=lambda memory: memory.limit, default=None)


def cpu_limit(groups: list[Path]) -> CpuLimit | None:
    """Return the tightest CPU quota of *groups*, or None where nothing limits them."""
    found: list[CpuLimit] = []
    for folder in groups:
        quota, period = number(folder / "cpu.max"), number(folder / "cpu.max", at=1)
        if period is None:
            quota = number(folder / "cpu.cfs_quota_us")
            period = number(folder / "cpu.cfs_period_us")
        if quota is not None and period and quota > 0:
            found.append(CpuLimit(quota / period, folder))
    return min(found, key=lambda cpu: cpu.cpus, default=None)


def number(path: Path, at: int = 0) -> int | None:
    """Return word *at* of a file as a number; None where it is "max", or where there is none."""
    try:
        return int(path.read_text().split()[at])
    except (OSError, ValueError, IndexError):
        return None


def counters(path: Path) -> dict[str, int]:
    """Return a file of lines ``name number``, such as cpu.stat; empty where there is none."""
    try:
        pairs = [line.split() for line in path.read_text().splitlines()]
        return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) > 1}
    except (OSError, ValueError):
        return {}
