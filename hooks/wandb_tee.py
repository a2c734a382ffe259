"""A captured run -> the same run on W&B, on a thread of its own that the training never waits for.

What is logged goes into a bounded queue; the file has had it by then. The thread looks into the
queue now and then instead of being woken: a wake-up hands the interpreter over in the midst of a
training step. Whatever W&B does there (hang, raise, be slow, be missing) costs W&B's copy alone,
and what that copy lacks is counted.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from hooks import record
from hooks.capture import say

MOST_ENTRIES = 50_000  # 35 MB of rows of 24 scalars
MOST_BYTES = 256 * 1024 * 1024
POLL_SEC = 0.05
STUCK_SEC = 10.0  # one call that takes longer is not waited for at the end
STUCK_START_SEC = 30.0  # nor is a start: a busy machine takes 10 s to import W&B
AT_EXIT_SEC = 5.0
FINISH_SEC = 60.0
MOST_FAILURES = 10  # in a row; then W&B is given up

Entry = bytes | tuple[str, dict[str, Any], int]  # a line of the file, or kind, values and bytes


class WandbTee:
    """Passes a run on to W&B from a queue.

    ``missing`` counts what W&B was not given, ``left`` says why it was left behind, if it was.
    """

    def __init__(self, start: Callable[[], Any]) -> None:
        """Begin to call *start*, which returns a W&B run, on the tee's own thread."""
        self.missing = 0
        self.left: str | None = None
        self._queue: deque[Entry] = deque()
        self._in = self._bytes_in = 0  # changed under the lock
        self._out = self._bytes_out = self._failures = 0  # changed by the thread alone
        self._lock = threading.RLock()  # a signal's handler may log in the midst of a log
        self._gone = False  # W&B failed, was left behind, or belongs to the parent process
        self._said: set[str] = set()
        self._started, self._closing, self._ended = (threading.Event() for _ in range(3))
        self._run: Any = None
        self._call_began: float | None = time.monotonic()  # starting is a call as well
        self._exit_code: int | None = None
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _leave_to_parent(me()))
        atexit.register(_at_exit, me)
        thread = threading.Thread(target=self._work, args=(start,), name="runatlas-wandb")
        thread.daemon = True
        thread.start()

    def wait_started(self, seconds: float) -> None:
        """Wait until W&B has started or failed, but no longer than *seconds*."""
        if not self._started.wait(seconds):
            say(
                f"W&B has not started within {seconds:g} s; training goes on without waiting."
                " what is logged is kept for it"
            )

    def line(self, line: bytes) -> None:
        """Pass on a history line of plain numbers and text, as ``record`` encoded it.

        One W&B row that carries the training step under ``step``. Not under W&B's own ``step=``:
        that drops rows that go backwards, and leaves the last one open.
        """
        self._put(line, len(line))

    def row(self, step: int, ts: float, metrics: dict[str, Any], size: int) -> None:
        """Pass on a history row of about *size* bytes whose values may be anything."""
        values = {**_still(metrics), record.STEP: step, "_timestamp": ts}
        self._put(("row", values, size), size)

    def change(self, kind: str, values: dict[str, Any]) -> None:
        """Pass on *values* that were set in the ``config`` or the ``summary``."""
        size = 100 * len(values)  # about
        self._put((kind, _still(values), size), size)

    def _put(self, entry: Entry, size: int) -> None:
        with self._lock:
            if self._gone:
                self.missing += 1
            elif (
                len(self._queue) < MOST_ENTRIES
                and self._bytes_in - self._bytes_out + size <= MOST_BYTES
            ):
                self._in += 1
                self._bytes_in += size
                self._queue.append(entry)
            else:
                self.missing += 1
                self._say_once(
                    "W&B is slower than the log: it will lack entries, which the finish line"
                    " counts. the log file has all of them"
                )

    def finish(self, exit_code: int, seconds: float) -> None:
        """Give W&B *seconds* to take what is queued and to finish; then leave it behind."""
        self._exit_code = exit_code
        self.drain(seconds)

    def drain(self, seconds: float) -> None:
        """Give W&B *seconds* to take what is queued, and pass nothing on after that."""
        self._closing.set()
        until = time.monotonic() + seconds
        while not (self._gone or self._ended.wait(POLL_SEC / 10)):
            now, began = time.monotonic(), self._call_began
            most = STUCK_SEC if self._started.is_set() else STUCK_START_SEC
            if began is not None and now - began > most:
                self._leave(f"W&B has not answered for {now - began:.0f} s")
                return
            if not now <= until:  # a NaN is no reason to wait for ever
                self._leave(f"W&B did not take everything within {seconds:g} s")
                return

    def _leave(self, reason: str) -> None:
        """Give W&B up; what it has not taken is counted."""
        with self._lock:
            if self._gone:
                return
            self._gone = True
            self.left = reason
            left = self._in - self._out  # with the one that W&B has not come back from
            self.missing += left
            self._queue.clear()
        lacks = f"; it lacks {left} entries, which the log file has" if left else ""
        say(f"{reason}; logging goes on without it{lacks}")

    # what follows runs on the tee's own thread

    def _work(self, start: Callable[[], Any]) -> None:
        try:
            self._run = start()
            self._call_began = None
            # again, behind W&B's own, so that it is called before it
            atexit.register(_at_exit, weakref.ref(self))
            self._started.set()
            while self._pass_on(self._run):
                self._closing.wait(POLL_SEC)
            if self._exit_code is not None and not self._gone:
                self._run.finish(exit_code=self._exit_code)
        except BaseException as problem:  # noqa: BLE001  W&B may even call sys.exit on this thread
            self._leave(_failed(problem, started=self._run is not None))
        finally:
            self._run = None
            self._started.set()
            self._ended.set()

    def _pass_on(self, run: Any) -> bool:
        """Pass on what is queued; return whether there may be more later."""
        closing = self._closing.is_set()  # asked first: what is queued after that is not waited for
        while not self._gone:
            try:
                entry = self._queue.popleft()
            except IndexError:
                break
            self._bytes_out += len(entry) if isinstance(entry, bytes) else entry[2]
            self._call_began = time.monotonic()
            try:
                _deliver(run, entry)
            except Exception as problem:  # noqa: BLE001  whatever W&B raises costs W&B that entry
                self._refused(problem)
            else:
                self._failures = 0
                self._out += 1
            self._call_began = None
        return not (closing or self._gone)

    def _refused(self, problem: Exception) -> None:
        with self._lock:
            if self._gone:
                return
            self._out += 1
            self.missing += 1
        self._say_once(_failed(problem, started=True) + "; it lacks that entry")
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._leave(f"W&B failed {MOST_FAILURES} times in a row")

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            say(message)


def finish_seconds() -> float:
    """Return how long W&B is waited for when a run finishes: ``$RUNATLAS_WANDB_TIMEOUT``, or 60."""
    text = os.environ.get("RUNATLAS_WANDB_TIMEOUT", "")
    try:
        return float(text or FINISH_SEC)
    except ValueError:
        say(f"RUNATLAS_WANDB_TIMEOUT is no number; taken as {FINISH_SEC:g}")
        return FINISH_SEC


def _deliver(run: Any, entry: Entry) -> None:
    if isinstance(entry, bytes):
        row = json.loads(entry)
        row["_timestamp"] = row.pop(record.TIME)  # when it was logged, not when it came to W&B
        run.log(row)
        return
    kind, values, _ = entry
    if kind == "row":
        run.log(values)
    elif kind == "config":
        run.config.update(values, allow_val_change=True)
    else:
        run.summary.update(values)


def _still(value: Any, depth: int = 0) -> Any:
    """Return *value* as it is now: its owner may change it before W&B sees it.

    Media and other objects without a plain form are passed on as they are.
    """
    if depth > record.MAX_DEPTH or type(value) in (float, int, str, bool, type(None)):
        return value
    if isinstance(value, dict):
        return {key: _still(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_still(item, depth + 1) for item in value]
    # W&B makes a histogram of an array, and not of a list
    names = ("clone", "copy") if getattr(value, "shape", None) else ("item",)
    for name in names:
        method = getattr(value, name, None)
        if callable(method):
            with contextlib.suppress(Exception):  # a logged object's methods may raise anything
                return method()
    return value


def _failed(problem: BaseException, *, started: bool) -> str:
    if started:
        return f"W&B failed ({type(problem).__name__})"
    return (
        f"W&B is not available ({type(problem).__name__})."
        " fix: pip install 'runatlas[wandb]', or wandb login"
    )


def _leave_to_parent(tee: WandbTee | None) -> None:
    """W&B takes one writer a run: a forked process passes nothing on."""
    if tee is not None:
        tee._lock = threading.RLock()  # noqa: SLF001  its own module
        tee._gone = True  # noqa: SLF001
        tee._ended.set()  # noqa: SLF001


def _at_exit(reference: weakref.ref[WandbTee]) -> None:
    tee = reference()
    if tee is not None:
        tee.drain(AT_EXIT_SEC)
