"""A JSONL file with several runs or segments in it -> a part for each of them, line by line.

Only for the files that need it. Each time the whole file is looked at (10 MB/s), as what its later
lines show may decide what its earlier ones are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from etl.sources import jsonl, jsonl_axes, jsonl_rows
from etl.sources.facts import Facts
from etl.sources.frames import no_points
from etl.sources.jsonl_axes import Axes
from etl.sources.jsonl_turns import TangledError, Turns
from etl.sources.reading import Part, Reading, Reject
from hooks import record

FOREIGN_EVENT = "a line of a runatlas log within another program's"
TANGLED = (
    "from here on the steps{whose} go back and forth: several writers at once, or several rows for"
    " one step, and nothing tells them apart; give each writer a file, or name the key that counts"
    " every row with --step-key"
)
_RAW_BYTES = 64 * 1024  # what quarantine keeps of a piece


class _Line(NamedTuple):
    """A line with its newline, if it has one, and where it stands."""

    at: int
    number: int
    text: bytes

    def rejected(self, reason: str) -> Reject:
        return Reject(self.at, reason, self.text.removesuffix(b"\n"), self.number)


@dataclass(slots=True)
class _Rows:
    """Rows of one segment on one side of the byte from which on a read is asked for."""

    count: int = 0
    frames: list[pl.DataFrame] = field(default_factory=list)
    lines: list[_Line] = field(default_factory=list)  # that are no points yet


@dataclass(slots=True)
class _Segment:
    """One stretch of one run: its facts, its first line, its rows before and after."""

    facts: Facts
    line: _Line
    sides: tuple[_Rows, _Rows] = field(default_factory=lambda: (_Rows(), _Rows()))


@dataclass(slots=True)
class _Log:
    """The rows of one name, or of a file whose rows name no run."""

    facts: Facts
    turns: Turns
    config: dict[str, Any] = field(default_factory=dict)
    news: dict[str, Any] | None = None  # a config that came since the last row
    segments: list[_Segment] = field(default_factory=list)
    tangled: bool = False


def read(path: Path, start: int, known: Sequence[Facts], axes: Axes) -> Reading:
    """Return a part for each run and segment of *path*, with the points from byte *start* on.

    Where *known* is not what the whole file shows of its rows before *start*, all points are
    returned, and ``anew`` is set.
    """
    walk = _Walk(path, start, axes)
    at = 0
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not walk.take(_Line(at, number, text)):
                break
            at += len(text)
    return walk.reading(known)


class _Walk:
    """One way through a file, line by line."""

    def __init__(self, path: Path, start: int, axes: Axes) -> None:
        self.path, self.start, self.axes = path, start, axes
        self.none = frozenset(axes.none)
        self.logs: dict[str, _Log] = {}
        self.rejects: list[Reject] = []
        self.config: dict[str, Any] | None = None  # of runs that have no row yet
        self.first = b""
        self.waiting = 0
        self.end = 0

    def take(self, line: _Line) -> bool:
        """Take in one line; return whether the lines after it are of use."""
        self.first = line.text.removesuffix(b"\n") if line.number == 1 else self.first
        found = jsonl_rows.row_of(line.text, self.axes.step)
        if found is None and not line.text.endswith(b"\n"):
            self.rejects += [line.rejected(jsonl.TORN)] if line.text.strip() else []
            return False
        self.end = line.at + len(line.text)
        if found is None:
            self._odd(line)
            return True
        word = found[0].get(self.axes.run) if self.axes.run else ""
        if not isinstance(word, str):
            reason = f"no {self.axes.run!r} that names its run, as other lines have"
            self.rejects.append(line.rejected(reason))
            return True
        return self._row(line, word, *found)

    def _odd(self, line: _Line) -> None:
        """Take in a line that is no row: a config, or what is rejected."""
        axes = self.axes.step, self.axes.time
        found = jsonl_rows.parse(line.text, line.at, line.number, *axes)
        for reject in found.rejects:
            config = config_of(reject)
            if config is None:
                self.rejects.append(reject)
                continue
            self.config = config
            for log in self.logs.values():
                log.news = config
        self.rejects += [dataclasses.replace(e.place, reason=FOREIGN_EVENT) for e in found.events]

    def _row(self, line: _Line, word: str, row: dict[str, Any], step: int) -> bool:
        log = self.logs.get(word) or self._log(word, line)
        if log.tangled:
            return True
        metrics = {k: v for k, v in row.items() if k not in self.none and v is not None}
        other = log.news is not None and bool(log.config) and not _resumes(log.config, log.news)
        try:
            index = log.turns.row(step, metrics, other_config=other)
        except TangledError as problem:
            return self._give_up(log, problem.since, word)
        if index == len(log.segments):
            if not log.turns.stretches[index].resumed:
                log.config = {}  # another run has its own, or says none
            log.segments.append(_Segment(self._facts(log, line, row), line))
        segment = log.segments[index]
        if log.news is not None:
            log.config, log.news = log.news, None
            segment.facts = dataclasses.replace(segment.facts, config=log.config)
        segment.sides[line.at >= self.start].lines.append(line)
        self.waiting += len(line.text)
        if self.waiting > jsonl.CHUNK_BYTES:
            self._parse()
        return True

    def _log(self, word: str, line: _Line) -> _Log:
        if self.axes.run:
            facts = jsonl_axes.named_facts(self.axes, word, line.text.removesuffix(b"\n"))
        else:
            facts = jsonl_axes.log_facts(self.path, self.first)
        log = _Log(facts, Turns(single=facts.id_known), news=self.config)
        self.logs[word] = log
        return log

    def _facts(self, log: _Log, line: _Line, row: dict[str, Any]) -> Facts:
        """Return the facts of the stretch of *log* that begins with *line*."""
        stretch, base = log.turns.stretches[-1], log.facts
        if stretch.run:  # another run, in the same file and under the same name
            start = str(stretch.run).encode(), line.text.removesuffix(b"\n")
            run_id = jsonl_axes.own_id(base.run_id.encode("utf-8", "replace"), *start)
            if stretch.resumed:
                run_id = log.segments[-1].facts.run_id
            name = f"{base.name} ({stretch.run + 1})"
            base = dataclasses.replace(base, run_id=run_id, segment_id=run_id, name=name)
        earlier = sum(segment.facts.run_id == base.run_id for segment in log.segments)
        return dataclasses.replace(
            base,
            # numbered so that they sort as they follow each other
            segment_id=f"{base.run_id}.{earlier + 1:04d}" if earlier else base.segment_id,
            config=log.config,
            started_at=record.number(row.get(self.axes.time)) if self.axes.time else None,
            resumed=stretch.resumed,
            resume_step=stretch.first if stretch.resumed else None,
        )

    def _parse(self) -> None:
        """Make points of the rows that wait."""
        for rows in [r for log in self.logs.values() for s in log.segments for r in s.sides]:
            if not rows.lines:
                continue
            data = b"".join(line.text.removesuffix(b"\n") + b"\n" for line in rows.lines)
            found = jsonl.parse(data, 0, 0, self.axes.step, self.axes.time)
            rows.count += found.rows
            rows.frames.append(found.points.filter(~pl.col("key").is_in(self.axes.none)))
            for reject in found.rejects:
                self.rejects.append(rows.lines[reject.line or 0].rejected(reject.reason))
            rows.lines = []
        self.waiting = 0

    def _give_up(self, log: _Log, since: int, word: str) -> bool:
        """Take back what is of several writers; return whether there are other runs to go on."""
        log.tangled = True
        gone = log.segments[since].line
        del log.segments[since:]
        reason = TANGLED.format(whose=f" of run {word!r}" if self.axes.run else "")
        if self.axes.run:
            self.rejects.append(gone.rejected(reason))
            return True
        with self.path.open("rb") as file:
            file.seek(gone.at)
            raw = file.read(_RAW_BYTES)
        self.rejects = [reject for reject in self.rejects if reject.at_byte < gone.at]
        self.rejects.append(Reject(gone.at, reason, raw, gone.number))
        self.end = gone.at
        return False

    def reading(self, known: Sequence[Facts]) -> Reading:
        """Return what was found; *known* is what earlier reads found up to byte ``start``."""
        self._parse()
        for log in self.logs.values():
            if log.news is not None and log.segments:  # a last line, whose row is to come
                last = log.segments[-1]
                last.facts = dataclasses.replace(last.facts, config=log.news)
        segments = [segment for log in self.logs.values() for segment in log.segments]
        places = {(s.facts.run_id, s.facts.segment_id): s.sides[0].count for s in segments}
        told = {(fact.run_id, fact.segment_id): fact.rows for fact in known}
        anew = told != {place: count for place, count in places.items() if count}
        parts = [self._part(segment, whole=anew) for segment in segments]
        if not self.axes.run and parts:  # the one that further lines belong to
            facts = dataclasses.replace(parts[-1].facts, current_step=parts[-1].facts.last_step)
            parts[-1] = dataclasses.replace(parts[-1], facts=facts)
        parts.sort(key=lambda part: (part.facts.run_id, part.facts.segment_id))
        since = 0 if anew else self.start
        rejects = [reject for reject in self.rejects if reject.at_byte >= since]
        rejects.sort(key=lambda reject: reject.at_byte)
        return Reading(tuple(parts), tuple(rejects), self.end, anew=anew)

    def _part(self, segment: _Segment, *, whole: bool) -> Part:
        before, after = segment.sides
        every = pl.concat([no_points(), *before.frames, *after.frames])
        facts = segment.facts.counted(before.count + after.count, every, dict(self.axes.roles))
        return Part(facts, every if whole else pl.concat([no_points(), *after.frames]))


def config_of(reject: Reject) -> dict[str, Any] | None:
    """Return the config in a line that was rejected for having no step, or None."""
    found = jsonl_rows.object_of(reject.raw)
    return jsonl_axes.config_in(found) if isinstance(found, dict) else None


def _resumes(config: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether *later* is the config of the same run, whatever it says of where to go on from."""
    words = ("resume", "checkpoint", "load", "restore")

    def own(values: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if not any(word in k.lower() for word in words)}

    return own(config) == own(later)
