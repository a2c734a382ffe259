"""What our hooks wrote -> a run's facts and points. The grammar is ``hooks.record``'s."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import hooks_events, jsonl
from etl.sources.facts import Facts
from etl.sources.frames import KEY
from etl.sources.jsonl_rows import Event, Lines
from etl.sources.reading import Part, Reading, Reject
from hooks import record

SUFFIXES = (".jsonl", ".ndjson")
# hooks.capture.file_name
_NAME = re.compile(r"(?P<run>.+)\.(?P<segment>[a-z0-9]+)\.rank(?P<rank>\d+)\.\d+\.jsonl")
_EVENTS = ("run", "config", "summary", "finish")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a log of our hooks, by its first line or, if that is damaged, its name."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    first = head.strip().split(b"\n", 1)[0]
    return b'"_kind":"run"' in first.replace(b" ", b"") or bool(_NAME.fullmatch(path.name))


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    facts = known[0] if known else None
    lines = jsonl.read(path, start, record.STEP, record.TIME)
    other = next((e for e in lines.events if _another(e, lines.events, facts)), None)
    rejects: list[Reject] = []
    if other is not None:  # as of "cat a.jsonl b.jsonl": never mix the rows of two runs
        lines = jsonl.read(path, start, record.STEP, record.TIME, stop=other.place.at_byte)
        reason = "the log of another run begins here: split the file at this line to have both"
        rejects.append(dataclasses.replace(other.place, reason=reason))
    notes: list[str] = []
    for found in lines.events:
        event, kind = found.value, found.value[record.KIND]
        if kind == "run" and facts is None:
            facts = _header(event, path)
            if facts.versions.get("grammar", "1") != str(record.VERSION):
                notes.append(f"written in grammar v{facts.versions['grammar']}; read as v1")
        elif facts is not None and kind in _EVENTS:
            facts = _apply(facts, kind, event)
        elif kind not in (*_EVENTS, *hooks_events.KINDS):
            reason = f"record kind {str(kind)[:40]!r} is not known to grammar v{record.VERSION}"
            rejects.append(dataclasses.replace(found.place, reason=reason))
    placed = jsonl.numbered(path, start, [*lines.rejects, *rejects])
    if facts is None and lines.rows:
        facts = _named(path, lines)
    if facts is None:
        return Reading((), placed, start, tuple(notes))
    points, wide = _of_rank(lines, facts.normal().rank)
    roles = {record.STEP: "step", record.TIME: "wall time"}
    facts = facts.counted(lines.rows, points, roles, wide)
    measured, left_out = hooks_events.telemetry(lines.events)
    notes += [f"{left_out} measurements of the machine are no numbers"] if left_out else []
    facts, printed = hooks_events.console(facts, lines.events)
    part = Part(facts, points, measured, printed, rows=wide)
    return Reading((part,), placed, lines.end, tuple(notes))


def _another(event: Event, events: tuple[Event, ...], facts: Facts | None) -> bool:
    """Whether *event* is the header of another process's log than the one the file began with."""
    if event.value[record.KIND] != "run":
        return False
    if facts is not None:
        return event.value.get("segment") != facts.segment_id
    first = next(e for e in events if e.value[record.KIND] == "run")
    return event.value.get("segment") != first.value.get("segment")


def _named(path: Path, lines: Lines) -> Facts | None:
    """Return what the name of a file without a readable header says; the hooks named it."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    times = [lines.points["ts"].min(), None if lines.wide is None else lines.wide["ts"].min()]
    return Facts(
        run_id=match["run"],
        segment_id=match["segment"],
        rank=int(match["rank"]),
        started_at=min((ts for ts in times if isinstance(ts, float)), default=None),
    )


def _header(event: dict[str, Any], path: Path) -> Facts:
    stage = event.get("stage")
    return Facts(
        run_id=str(event.get("run_id") or path.stem),
        segment_id=str(event.get("segment") or path.stem),
        name=event.get("name"),
        source_project=event.get("source_project") or event.get("project"),
        stage=stage,
        stage_from="the run's own header" if stage else None,
        script=event.get("script"),
        started_at=record.number(event.get(record.TIME)),
        parent_run_id=event.get("parent_run_id"),
        config=_entries(event, "config"),
        versions={"grammar": str(event.get("v", 1)), **_entries(event, "versions")},
        rank=event.get("rank") or 0,
        resumed=bool(event.get("resumed")),
        resume_step=event.get("resume_step"),
    )


def _apply(facts: Facts, kind: str, event: dict[str, Any]) -> Facts:
    if kind == "config":
        return dataclasses.replace(facts, config={**facts.config, **_entries(event, "config")})
    if kind == "summary":
        return dataclasses.replace(facts, summary={**facts.summary, **_entries(event, "summary")})
    if kind == "finish":
        return dataclasses.replace(
            facts,
            finished=True,
            exit_code=event.get("exit_code"),
            ended_at=record.number(event.get(record.TIME)),
        )
    return facts  # a second header adds nothing


def _entries(event: dict[str, Any], name: str) -> dict[str, Any]:
    values = event.get(name)
    return values if isinstance(values, dict) else {}


def _of_rank(lines: Lines, rank: int) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Give the metrics of ranks other than 0 names of their own: they are other measurements."""
    points, wide = lines.points, lines.wide
    if rank == 0:
        return points, wide
    if wide is not None:
        names = {name: KEY + f"rank{rank}/" + name.removeprefix(KEY) for name in wide.columns[2:]}
        wide = wide.rename(names)
    return points.with_columns(key=pl.lit(f"rank{rank}/") + pl.col("key")), wide
