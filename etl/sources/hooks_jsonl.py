"""What our hooks wrote -> a run's facts and points. The grammar is ``hooks.record``'s."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import jsonl
from etl.sources.reading import Facts, Reading, Source
from hooks import record

SUFFIXES = (".jsonl", ".ndjson")
_EVENTS = ("run", "config", "summary", "finish")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a log of our hooks, by its first line."""
    first = head.split(b"\n", 1)[0]
    return path.suffix in SUFFIXES and b'"_kind":"run"' in first.replace(b" ", b"")


def read(path: Path, start: int, facts: Facts | None) -> Reading:
    """Return what *path* holds from byte *start* on; *facts* are those of what came before."""
    lines = jsonl.read(path, start, record.STEP, record.TIME)
    rejects = list(lines.rejects)
    notes: list[str] = []
    for found in lines.events:
        event, kind = found.value, found.value[record.KIND]
        if kind == "run" and facts is None:
            facts = _header(event, path)
            if facts.versions.get("grammar", "1") != str(record.VERSION):
                notes.append(f"written in grammar v{facts.versions['grammar']}; read as v1")
        elif facts is not None and kind in _EVENTS:
            facts = _apply(facts, kind, event)
        else:
            reason = f"record kind {str(kind)[:40]!r} is not known to grammar v{record.VERSION}"
            rejects.append(dataclasses.replace(found.place, reason=reason))
    placed = jsonl.numbered(path, start, rejects)
    if facts is None:
        return Reading(None, lines.points.clear(), placed, start, tuple(notes))
    points = _of_rank(lines.points, facts.rank)
    facts = facts.counted(lines.rows, points, {record.STEP: "step", record.TIME: "wall time"})
    return Reading(facts, points, placed, lines.end, tuple(notes))


def _header(event: dict[str, Any], path: Path) -> Facts:
    resume_step = event.get("resume_step")
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
        config=event.get("config") or {},
        versions={"grammar": str(event.get("v", 1)), **(event.get("versions") or {})},
        rank=int(event.get("rank") or 0),
        resumed=bool(event.get("resumed")),
        resume_step=resume_step if isinstance(resume_step, int) else None,
    )


def _apply(facts: Facts, kind: str, event: dict[str, Any]) -> Facts:
    if kind == "config":
        return dataclasses.replace(facts, config={**facts.config, **(event.get("config") or {})})
    if kind == "summary":
        return dataclasses.replace(facts, summary={**facts.summary, **(event.get("summary") or {})})
    if kind == "finish":
        return dataclasses.replace(
            facts,
            finished=True,
            exit_code=event.get("exit_code"),
            ended_at=record.number(event.get(record.TIME)),
        )
    return facts  # a second header adds nothing


def _of_rank(points: pl.DataFrame, rank: int) -> pl.DataFrame:
    """Give the metrics of ranks other than 0 names of their own: they are other measurements."""
    if rank == 0:
        return points
    return points.with_columns(key=pl.lit(f"rank{rank}/") + pl.col("key"))


SOURCE = Source("hooks-jsonl", 60, recognises, read)
