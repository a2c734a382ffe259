"""Files to be read -> what their readers gave, read ahead of the merge, so that all cores work.

A reader that computes in DuckDB leaves the interpreter to the merge, so a thread beside it does.
That of ``.wandb`` files is Python and numpy: many bytes of them are read by processes of their own,
which cost 0.4 CPU s each to start. Small files are read when it is their turn. What comes back, and
in which order, is the same in each of these ways.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from etl import discover
from etl.discover import Found
from etl.errors import was_stopped
from etl.sources import withheld
from etl.sources.facts import Facts
from etl.sources.reading import Part, Reading, Reject, Source

Read = tuple[Source | None, Reading]

_SMALL_BYTES = 256 * 1024  # a file of less costs less than to hand it over
_AHEAD_BYTES = 256 * 2**20  # of files read at a time: larger ones are read one by one
_MOST = 4  # processes that read, before which the merge is what there is to wait for
_PYTHON = ".wandb"  # the suffix of files whose reader holds the interpreter
_PYTHON_BYTES = 128 * 2**20  # so many of these are worth processes


@dataclass(frozen=True, slots=True)
class Job:
    """One file to be read from byte ``start`` on; ``facts`` are of what was read before.

    ``same`` says that what was read before is still there, ``grown`` that it is read on from its
    end, and ``problem`` is what kept that from being found out.
    """

    path: Path
    size: int
    start: int = 0
    facts: tuple[Facts, ...] = ()
    same: bool = False
    grown: bool = False
    problem: OSError | None = None

    @property
    def bytes(self) -> int:
        """How many there are to read."""
        return self.size - self.start


class ReadAhead:
    """Reads the files of *jobs* in their order; to be used in a ``with``."""

    def __init__(
        self, jobs: Iterable[Job], readers: Sequence[Source], files: Sequence[Found]
    ) -> None:
        """Begin with nothing; *files* are those that the jobs will be of."""
        self.jobs, self.readers = iter(jobs), readers
        self.waiting: deque[tuple[Job, Callable[[], Read]]] = deque()
        self.thread = ThreadPoolExecutor(1)
        sizes = [file.size for file in files if file.name.endswith(_PYTHON)]
        count = min(_processes(), len(sizes)) if sum(sizes) >= _PYTHON_BYTES else 1
        self.pool: Executor = self.thread if count < 2 else _pool(count)
        self.depth = count  # beside the one that is asked for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for executor in {self.thread, self.pool}:
            executor.shutdown(cancel_futures=True)

    def take(self) -> tuple[Job, Source | None, Reading]:
        """Return the next job and what came of it; no source where none reads the file.

        Raises:
            OSError: the file cannot be read.
            KeyboardInterrupt: the person stopped the sync.
        """
        self._fill(0)
        job, read = self.waiting.popleft()
        self._fill(job.bytes)
        return (job, *read())

    def _fill(self, bytes_taken: int) -> None:
        """Begin to read further files, as far as they fit into memory beside what is taken."""
        while len(self.waiting) < self.depth:
            if bytes_taken + sum(job.bytes for job, _ in self.waiting) > _AHEAD_BYTES:
                return
            job = next(self.jobs, None)
            if job is None:
                return
            self.waiting.append((job, self._begun(job)))

    def _begun(self, job: Job) -> Callable[[], Read]:
        alone = partial(_read, job, self.readers)
        if job.problem or job.bytes < _SMALL_BYTES:
            return alone
        executor = self.pool if job.path.suffix == _PYTHON else self.thread
        try:
            future = executor.submit(_read, job, self.readers)
        except BrokenExecutor:
            return alone

        def result() -> Read:
            try:
                return future.result()
            except BrokenExecutor:  # the system ended a process, mostly for want of memory
                return alone()

        return result


def _processes() -> int:
    """Return how many processes may work: one where ``__main__`` is a script, run again by each."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    return 1 if module is None else min(_MOST, os.cpu_count() or 1)


def _pool(count: int) -> Executor:
    import multiprocessing  # 20 ms that few syncs need
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # to fork would copy the locks of threads
    return ProcessPoolExecutor(count, context, initializer=_follow)


def _follow() -> None:
    """Leave Ctrl-C to the process that began this one, and end when that ends, even if killed."""
    import signal
    from multiprocessing import connection, parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        ended = parent.sentinel
        Thread(target=lambda: (connection.wait([ended]), os._exit(1)), daemon=True).start()


def _read(job: Job, readers: Sequence[Source]) -> Read:
    if job.problem:
        raise job.problem
    return attempt(job.path, job.start, job.facts, readers)


def attempt(
    path: Path, start: int, known: tuple[Facts, ...], readers: Sequence[Source]
) -> tuple[Source | None, Reading]:
    """Read *path*; a reader that fails on it costs this file alone.

    Raises:
        OSError: the file cannot be read.
        KeyboardInterrupt: the person stopped the sync.
    """
    source = discover.source_of(path, readers)
    if source is None:
        return None, Reading(())
    try:
        reading = source.read(path, start, known)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001  one strange file must not stop the others
        if was_stopped(problem):
            raise KeyboardInterrupt from None
        reason = f"the reader failed on it: {type(problem).__name__}: {problem}"
        failed = Reject(start, reason, b"")
        return source, Reading(tuple(Part(facts) for facts in known), (failed,), start)
    parts = tuple(
        dataclasses.replace(
            withheld.from_texts(part),
            facts=dataclasses.replace(part.facts.normal(), read_to=reading.end),
        )
        for part in reading.parts
    )
    return source, dataclasses.replace(reading, parts=parts)
