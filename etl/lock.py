"""A project -> the one process that may write it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from etl.errors import LockedError, UsageError


@contextmanager
def held(path: Path, project: str, now: datetime, work: str = "sync") -> Iterator[None]:
    """Hold the lock file *path*; the kernel lets go of it when this process ends, however it ends.

    *work* is what its holders do, in the words of the error.

    Raises:
        LockedError: another process holds it.
        UsageError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as problem:
        raise UsageError(
            f"cannot write there: {problem.strerror}",
            where=str(path.parent),
            done="nothing was changed",
            fix="name a folder that can be written with --data-dir or RUNATLAS_DATA",
        ) from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LockedError(
                f"another {work} holds {project}{_holder(file)}",
                done="nothing was changed",
                fix="wait for it to end and run this again",
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "since": f"{now:%H:%M:%S}"}).encode(), 0)
        yield
    finally:
        os.close(file)


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 200, 0))
        return f" (pid {int(holder['pid'])}, since {str(holder['since'])[:8]} UTC)"
    except (ValueError, KeyError, TypeError):
        return ""
