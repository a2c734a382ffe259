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

MOST_REASONS = 32  # told apart and said; a loop may invent a new key for every step


class Capture:
    """A log file that never raises; what it could not write, it counts.

    ``lines`` counts what is in the file, ``dropped`` what is not, and ``reasons`` says of the
    latter how often which reason was the cause. Where no file could be created ``exists`` is
    false, which is said once, and everything is dropped.
    """

    def __init__(self, path: Path, header: bytes, *, sync: bool = False) -> None:
        """Create the file *path*, and its folders, and write its first line.

        With *sync* a line is on the disk, and not in the kernel alone, when write() returns.
        """
        self.path = path
        self.lines = 0
        self.dropped = 0
        self.reasons: dict[str, int] = {}
        self._torn = False
        # one that its holder may take again: a signal's handler logs in the midst of a write
        self._lock = threading.RLock()
        self._missing = ""  # why there is no file
        try:
            self._file = _created(path)
        except OSError as problem:
            self._file = -1
            self._say_missing(problem.strerror or str(problem))
        self.exists = self._file >= 0
        self._sync = sync
        self._header = header  # until it is written: without it nobody knows whose lines follow
        self._ready = False  # whether a line may go the short way
        # a lock that another thread held when this process was forked would never be let go
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _unlock(me()))
        if self.exists:
            self.write(b"")
        if sync:
            _sync_folder(path.parent)

    def _say_missing(self, problem: str) -> None:
        self._missing = f"no file: {problem}"
        self.reasons[self._missing] = 0  # is known from now on: each line would say it again
        say(
            f"no log file: {self.path} cannot be created: {problem}\n"
            f"  training goes on without it\n"
            f"  fix: dir=FOLDER, --dir FOLDER or $RUNATLAS_DIR, one that can be written"
        )

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more: close() was called, or there is no file."""
        return self._file < 0

    def write(self, line: bytes) -> None:
        """Append *line*, which ends with a newline."""
        if not self._lock.acquire(blocking=False):
            self._wait()
        try:
            if self._ready:
                written = os.write(self._file, line)
                if written == len(line):
                    self.lines += 1
                else:
                    self._complete(line, written)
            else:
                self._write_carefully(line)
        except OSError as problem:
            self._drop(problem.strerror or str(problem))
        finally:
            self._lock.release()

    def _wait(self) -> None:
        """Take the lock."""
        while not self._lock.acquire(timeout=0.5):
            if sys.is_finalizing():  # its holder was stopped in the midst of a line, for good
                self._lock = threading.RLock()

    def _write_carefully(self, line: bytes) -> None:
        if self.closed:
            self._drop(self._missing or "it was logged after finish()")
            return
        if self._header:
            self._append(self._header)
            self._header = b""
        if line:
            self._append(line)
        if self._sync:
            self._synchronise()
        else:
            self._ready = True

    def _append(self, line: bytes) -> None:
        # a disk that filled up may hold half a line: the next one starts on a line of its own
        data = b"\n" + line if self._torn else line
        self._complete(data, os.write(self._file, data))

    def _complete(self, data: bytes, written: int) -> None:
        """Write what is left of *data*, and count it as a line once all of it is there."""
        before = self.lines
        while written < len(data):
            self._torn, self._ready = self._torn or written > 0, False
            try:
                written += os.write(self._file, data[written:])
            except OSError:
                if written < len(data) - 1:
                    raise
                break  # it lacks its newline alone, which the next line brings along
            if self.lines != before:  # a signal's handler logged a line of its own in between
                self._torn = True
                raise OSError("a signal's handler logged in the midst of a line")
        self._torn = written < len(data)
        self.lines += 1

    def _synchronise(self) -> None:
        try:
            # fdatasync leaves out the times of the file; macOS has fsync alone
            getattr(os, "fdatasync", os.fsync)(self._file)
        except OSError as problem:
            self._drop(f"written, but not known to be on the disk: {problem.strerror}")

    def note(self, reason: str) -> None:
        """Count a value that could not be written, and say each reason once on stderr."""
        self._wait()
        try:
            self._drop(reason)
        finally:
            self._lock.release()

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        known = reason in self.reasons
        if not known and len(self.reasons) >= MOST_REASONS:
            reason = "other reasons"
            known = reason in self.reasons
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if not known:
            say(
                f"could not log to {self.path.name}: {reason}\n"
                f"  training goes on; the finish line counts what is missing"
            )

    def close(self) -> None:
        """Close the file; later writes are counted as dropped."""
        self._wait()
        try:
            if not self.closed:
                file, self._file, self._ready = self._file, -1, False
                with contextlib.suppress(OSError):
                    os.close(file)
        finally:
            self._lock.release()


def _created(path: Path) -> int:
    """Return a descriptor of the new file *path*.

    Raises:
        OSError: the folder cannot be written, or *path* exists (two processes never share one).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)


def _unlock(capture: Capture | None) -> None:
    if capture is not None:
        capture._lock = threading.RLock()  # noqa: SLF001  its own module


def _sync_folder(folder: Path) -> None:
    """Bring the name of a new file to the disk, where the file system has a way to do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def say(message: str) -> None:
    """Write *message* to stderr, if this process still has one."""
    with contextlib.suppress(Exception):
        sys.stderr.write(f"runatlas: {message}\n")


def file_name(run_id: str, segment: str, rank: int, pid: int) -> str:
    """Return a file name that no other process of any run has.

    >>> file_name("d20/a b", "mfx2k1", 0, 4121)
    'd20-a-b.mfx2k1.rank0.4121.jsonl'
    """
    return f"{file_stem(run_id)}.{segment}.rank{rank}.{pid}.jsonl"


def file_stem(run_id: str) -> str:
    """Return what the names of all files of run *run_id* begin with; another run's may as well."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", run_id)[:80]
