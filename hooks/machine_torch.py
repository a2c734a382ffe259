"""torch's CUDA allocator -> what it holds, and its peaks since one last asked.

The allocator has one peak for everybody, and a peak of an interval is only to be had by resetting
it. So whoever asks here has peaks of his own, and the training script is one of those who ask: what
``torch.cuda.max_memory_allocated`` and the like tell it is what they would tell without us.

Nothing here waits for the GPU: the numbers are the allocator's own, on the host.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

Stats = dict[str, Any]  # {"allocated_bytes": {"all": {"current": ..., "peak": ...}}, ...}

_NAMES = {
    "allocatedBytes": ("allocated_bytes", "all", "current"),
    "allocatedPeakBytes": ("allocated_bytes", "all", "peak"),
    "reservedBytes": ("reserved_bytes", "all", "current"),
    "reservedPeakBytes": ("reserved_bytes", "all", "peak"),
    "allocRetries": ("num_alloc_retries",),
    "ooms": ("num_ooms",),
}
_WATCHING = threading.Lock()
_EVER = "nobody"  # never takes a peak, so it has those of one who asks for the first time


class Peaks:
    """Peaks of several who ask, each since that one last asked, made of one that is reset.

    ``read`` returns the statistics of a device, ``reset`` sets its peaks to what is held now.
    """

    def __init__(self, read: Callable[[int], Stats], reset: Callable[[int], None]) -> None:
        self._read, self._reset = read, reset
        # one that its holder may take again: a signal's handler asks in the midst of asking
        self._lock = threading.RLock()
        self._missed: dict[tuple[str, int], Stats] = {}
        self._asking = {"script", _EVER}

    def seen(self, who: str, read: Callable[[int], Stats], device: int) -> Stats:
        """Return what *read* gives of *device*, with its peaks since *who* last took them."""
        with self._lock:
            return raised(read(device), self._missed.get((who, device), {}))

    def take(self, who: str, device: int) -> Stats:
        """Return the statistics of *device*, and begin anew for *who*; others miss nothing."""
        with self._lock:
            found = self._read(device)
            place = (who if who in self._asking else _EVER), device
            own = raised(found, self._missed.get(place, {}))
            self._missed.pop((who, device), None)
            self._asking.add(who)
            for other in sorted(self._asking - {who}):
                place = other, device
                self._missed[place] = raised(found, self._missed.get(place, {}))
            self._reset(device)
            return own

    def taken(self, who: str, device: int) -> None:
        """Begin anew for *who*."""
        self.take(who, device)


def raised(stats: Stats, missed: Stats) -> Stats:
    """Return *stats* with each ``peak`` at least what it is in *missed*.

    >>> raised({"a": {"peak": 1, "current": 0}}, {"a": {"peak": 5, "current": 4}})
    {'a': {'peak': 5, 'current': 0}}
    """
    found: Stats = {}
    for name, value in stats.items():
        before = missed.get(name)
        if isinstance(value, dict):
            found[name] = raised(value, before if isinstance(before, dict) else {})
        elif name == "peak" and before is not None:
            found[name] = max(value, before)
        else:
            found[name] = value
    return found


def peaks() -> Peaks | None:
    """Return the peaks of this process's CUDA devices, or None while it does not use CUDA."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # None while torch is only half imported
    initialised = getattr(cuda, "is_initialized", None)
    if torch is None or initialised is None or not initialised():
        return None
    with _WATCHING:
        return _watch(torch._C)  # noqa: SLF001  where all of torch's own functions go through


@functools.cache
def _watch(core: Any) -> Peaks:
    """Put the peaks between the allocator and what torch tells the script of it."""
    book = Peaks(core._cuda_memoryStats, core._cuda_resetPeakMemoryStats)  # noqa: SLF001
    for name in ("_cuda_memoryStats", "_accelerator_getDeviceStats"):
        if hasattr(core, name):
            setattr(core, name, functools.partial(book.seen, "script", getattr(core, name)))
    for name in ("_cuda_resetPeakMemoryStats", "_accelerator_resetPeakStats"):
        if hasattr(core, name):
            setattr(core, name, functools.partial(book.taken, "script"))
    return book


def read() -> dict[str, float]:
    """Return what this process holds of each GPU that it uses; peaks are since the last call."""
    book = peaks()
    if book is None:
        return {}
    import torch  # noqa: PLC0415  already there

    found: dict[str, float] = {}
    for device in range(torch.cuda.device_count()):
        stats = book.take("telemetry", device)
        if not _value(stats, ("reserved_bytes", "all", "peak")):
            continue  # of another process
        for name, path in _NAMES.items():
            value = _value(stats, path)
            if value is not None:
                found[f"torch.{device}.{name}"] = value
    return found


def _value(stats: Stats, path: tuple[str, ...]) -> float | None:
    value: Any = stats
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else float(value)
