"""The machine, every few seconds -> ``telemetry`` lines in the run's log, on a thread of its own.

    {"_kind": "telemetry", "_ts": 1763800000.25, "system.gpu.0.powerWatts": 412.1, ...}

Measured by time and not by step, and never by the thread that trains. What a machine does not have
is not in the line. One process of a node (``LOCAL_RANK`` 0) measures the node; the others measure
what they hold of their GPUs. ``ENDINGS`` of ``etl.catalog`` has the unit and meaning of each name.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hooks import record
from hooks.capture import Capture, say

INTERVAL_SEC = 15.0  # W&B's
LEAST_SEC = 1.0  # shares of a shorter time say little, and a shorter run is not measured
STOP_SEC = 2.0  # what finish() waits for a sample that hangs, as on a GPU that fell off the bus
PREFIX = "system."


class Probe(NamedTuple):
    """Something that is measured, and how; what it returns lacks the prefix."""

    name: str
    read: Callable[[], dict[str, float]]


class Sampler:
    """Samples until it is stopped, collected, or forked away from.

    Samples are taken every *interval* seconds and once more at the end. *probes* is called on the
    thread, a moment after the start: opening a driver may take seconds.
    """

    def __init__(
        self, capture: Capture, probes: Callable[[], list[Probe]], interval: float
    ) -> None:
        self._capture = capture
        self._open = probes
        self._probes: list[Probe] = []
        self._stopped = threading.Event()
        self._given_up = False
        self._pid = os.getpid()
        me = weakref.ref(self)
        self._thread = threading.Thread(
            target=_loop, args=(me, self._stopped, interval), name="runatlas-telemetry", daemon=True
        )
        # a thread within a driver when the interpreter ends would take the process down with it
        self._at_exit = lambda: _stop(me)
        atexit.register(self._at_exit)
        self._thread.start()

    @property
    def thread(self) -> threading.Thread:
        """The thread that samples."""
        return self._thread

    def stop(self) -> None:
        """Take a last sample and end; a forked child, which has no such thread, does nothing."""
        if os.getpid() != self._pid:
            return
        atexit.unregister(self._at_exit)
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(STOP_SEC)
        self._given_up = self._thread.is_alive()

    def begin(self) -> None:
        """Open what is to be measured."""
        self._probes = self._open()

    def sample(self) -> None:
        """Write one line of all that can be measured now."""
        found: dict[str, float] = {}
        for probe in tuple(self._probes):
            try:
                found |= probe.read()
            except Exception as problem:  # noqa: BLE001  drivers raise what they like
                self._probes.remove(probe)
                what = f"{type(problem).__name__}: {problem}"
                say(f"{probe.name} is not measured any more ({what}); training goes on")
        if not found:
            return
        fields = {PREFIX + name: value for name, value in found.items()}
        line = record.encode_event("telemetry", time.time(), fields)
        if not self._given_up:
            self._capture.write(line)


def _loop(me: weakref.ref[Sampler], stopped: threading.Event, interval: float) -> None:
    """Sample for as long as somebody holds the sampler; between samples nobody here does."""
    try:
        last = time.monotonic()
        due = last + interval
        # a second later: a script that begins has enough to import, and may be over by then
        if stopped.wait(min(LEAST_SEC, interval / 2)):
            return
        _take(me, Sampler.begin)
        while not stopped.wait(max(0.0, due - time.monotonic())):
            if not _take(me, Sampler.sample):
                return
            last = time.monotonic()
            due += interval
            due = due if due > last else last + interval  # a machine that slept does not catch up
        if time.monotonic() - last >= LEAST_SEC:
            _take(me, Sampler.sample)
    except Exception as problem:  # noqa: BLE001  a thread's traceback would be all there is of it
        say(f"telemetry ended ({type(problem).__name__}: {problem}); training goes on")


def _take(me: weakref.ref[Sampler], call: Callable[[Sampler], None]) -> bool:
    sampler = me()
    if sampler is not None:
        call(sampler)
    return sampler is not None


def _stop(me: weakref.ref[Sampler]) -> None:
    sampler = me()
    if sampler is not None:
        sampler.stop()


def interval_of(telemetry: Any) -> float | None:
    """Return how many seconds lie between samples: 15 for True, None for False or None.

    Raises:
        ValueError: *telemetry* is neither True nor False nor a number of seconds.
    """
    if telemetry is None or telemetry is False:
        return None
    if telemetry is True:
        return INTERVAL_SEC
    if isinstance(telemetry, (int, float)) and 0 < telemetry < math.inf:
        return float(telemetry)
    raise ValueError(f"telemetry is True, False or seconds above 0, not {telemetry!r}")


def start(capture: Capture, interval: float | None) -> Sampler | None:
    """Return a sampler that writes to *capture* every *interval* seconds, or None without one."""
    if interval is None:
        return None
    folder = capture.path.parent
    first = node_rank(os.environ) == 0
    try:
        return Sampler(capture, lambda: _probes(folder, whole_node=first), interval)
    except RuntimeError as problem:  # as many threads as the machine allows
        say(f"the machine is not measured: {problem}")
        return None


def _probes(folder: Path, *, whole_node: bool) -> list[Probe]:
    """Return what this process is to measure."""
    from hooks import machine, machine_nvml, machine_torch  # noqa: PLC0415  on the thread alone

    probes = [Probe("the CUDA allocator", machine_torch.read)]
    if whole_node:
        probes.append(Probe("the machine", machine.Machine(folder).read))
        probes += [Probe(f"GPU {gpu.index}", gpu.read) for gpu in machine_nvml.open_all()]
    return probes


def node_rank(environment: Mapping[str, str]) -> int:
    """Return the number of this process among those of its node, 0 where none is told.

    >>> node_rank({"RANK": "9", "LOCAL_RANK": "1"}), node_rank({"SLURM_LOCALID": "3"})
    (1, 3)
    """
    for name in ("LOCAL_RANK", "SLURM_LOCALID", "RANK"):
        text = environment.get(name, "")
        if text.isdecimal():
            return int(text)
    return 0
