"""What every source yields: what a file holds of its runs, what of it was rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from etl.sources.facts import Facts
from etl.sources.frames import no_points

HEAD_BYTES = 64 * 1024  # what a source sees of a file to recognise it
STEP_KEYS = ("step", "_step", "iter", "iteration", "global_step", "trainer/global_step")
TIME_KEYS = ("_ts", "_timestamp", "timestamp")
RUNTIME_KEYS = ("_runtime",)
GROUPED = "grouped by W&B"  # the job type of a mean of runs, which is none of them


@dataclass(frozen=True, slots=True)
class Reject:
    """A piece of a file that was not understood; ``line`` is None where the file has no lines."""

    at_byte: int
    reason: str
    raw: bytes
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one file holds of one run: facts, ``points`` (POINTS), TELEMETRY and CONSOLE rows.

    A source of many points gives ``rows`` instead, in file order, and as ``points`` only what is
    text: a frame with step (Int64), ts (Float64, seconds), and a Float64 column ``=key`` for each
    key, which is NULL where there is no point. No key is in both.
    """

    facts: Facts
    points: pl.DataFrame = field(default_factory=no_points)
    telemetry: pl.DataFrame | None = None
    console: pl.DataFrame | None = None
    rows: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one read of one file gave of a run: its source's kind, its facts, its rows."""

    source: str
    facts: Facts
    points: pl.DataFrame
    telemetry: pl.DataFrame | None = None
    console: pl.DataFrame | None = None
    rows: pl.DataFrame | None = None

    @classmethod
    def of(cls, source: str, part: Part) -> Piece:
        """Return *part*, which *source* gave."""
        return cls(source, part.facts, part.points, part.telemetry, part.console, part.rows)

    @property
    def count(self) -> int:
        """How many points it holds."""
        if self.rows is None:
            return self.points.height
        columns = self.rows.get_columns()[2:]
        return self.points.height + sum(len(c) - c.null_count() for c in columns)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read of a file gave. ``end`` is the byte up to which it need not be read again.

    ``parts`` are sorted by (run id, segment id, rank); a file of one run has one. ``anew`` says
    that what earlier reads gave of this file does not hold, as what it has since shows: these parts
    are all of it, whatever byte the read began at.
    """

    parts: tuple[Part, ...]
    rejects: tuple[Reject, ...] = ()
    end: int = 0
    notes: tuple[str, ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A reader of one format. Where two give the same point, the greater ``precedence`` stands.

    ``read`` is given a path, the byte to begin at and the facts of each run that the file was known
    to hold up to there: ``(path, 0, ())`` for all of it. Only the files of a source that ``grows``
    are read on; those of another one are read anew when they change. ``processes`` tells a source
    whose files each are of one process, and so show where a run's segments begin.
    """

    kind: str
    precedence: int
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, int, tuple[Facts, ...]], Reading]
    grows: bool = False
    processes: bool = False
