"""Lines -> one append-only file per process, each in the kernel when the call returns.

There is no buffer in this process: every line is one ``write`` to an O_APPEND descriptor, so no
signal can lose a line that was logged (wandb's own offline file loses up to 32 KiB, measured with
0.31.0).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import weakref
from pathlib import Path


class Capture:
    """An open log file that never raises once it is open; what it could not write, it counts."""

    def __init__(self, path: Path, header: bytes) -> None:
        """Create the file *path*, and its folders, and write its first line.

        Raises:
            OSError: the folder cannot be written, or *path* exists (two processes never share one).
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.lines = 0
        self.dropped = 0
        self._torn = False
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._header = header  # until it is written: without it nobody knows whose lines follow
        # a lock that another thread held when this process was forked would never be let go
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _unlock(me()))
        self.write(b"")

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._file < 0

    def write(self, line: bytes) -> None:
        """Append *line*, which ends with a newline."""
        with self._lock:
            if self.closed:
                self._drop("it was logged after finish()")
                return
            try:
                if self._header:
                    self._append(self._header)
                    self._header = b""
                if line:
                    self._append(line)
            except OSError as problem:
                self._drop(problem.strerror or str(problem))

    def _append(self, line: bytes) -> None:
        # a disk that filled up may hold half a line: the next one starts on a line of its own
        data = b"\n" + line if self._torn else line
        while data:
            data = data[os.write(self._file, data) :]
            self._torn = True
        self._torn = False
        self.lines += 1

    def note(self, reason: str) -> None:
        """Count a value that could not be written, and say each reason once on stderr."""
        with self._lock:
            self._drop(reason)

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if reason not in self._said:
            self._said.add(reason)
            say(
                f"could not log to {self.path.name}: {reason}\n"
                f"  training goes on; the finish line counts what is missing"
            )

    def close(self) -> None:
        """Close the file; later writes are counted as dropped."""
        with self._lock:
            if not self.closed:
                os.close(self._file)
                self._file = -1


def _unlock(capture: Capture | None) -> None:
    if capture is not None:
        capture._lock = threading.Lock()  # noqa: SLF001  its own module


def say(message: str) -> None:
    """Write *message* to stderr, if this process still has one."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"runatlas: {message}\n")


def file_name(run_id: str, segment: str, rank: int, pid: int) -> str:
    """Return a file name that no other process of any run has.

    >>> file_name("d20/a b", "mfx2k1", 0, 4121)
    'd20-a-b.mfx2k1.rank0.4121.jsonl'
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", run_id)[:80]
    return f"{safe}.{segment}.rank{rank}.{pid}.jsonl"
