"""Rows of trackio's tables, of any of its runs -> one part for each run."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from etl.sources import jsonl_rows
from etl.sources.facts import Facts
from etl.sources.frames import CONSOLE, POINTS, TELEMETRY
from etl.sources.reading import Part, Reject

_OWN = re.compile(r"_[A-Z]\w*")  # of a config: the user, the group, when it was made


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one table; ``content`` is JSON, or the text of an alert."""

    place: str
    run_id: Any
    name: Any
    project: Any
    step: Any
    time: Any
    content: Any


def _columns(schema: pl.Schema) -> dict[str, list[Any]]:
    return {name: [] for name in schema}


@dataclass(slots=True)
class _Run:
    run_id: str | None
    name: str
    project: str
    points: dict[str, list[Any]] = field(default_factory=lambda: _columns(POINTS))
    telemetry: dict[str, list[Any]] = field(default_factory=lambda: _columns(POINTS))
    console: dict[str, list[Any]] = field(default_factory=lambda: _columns(CONSOLE))
    config: dict[str, Any] = field(default_factory=dict)
    created: float | None = None
    group: str | None = None
    began: float | None = None
    rows: int = 0


class Rows:
    """Rows of one file, taken one by one."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.runs: dict[tuple[str, str], _Run] = {}
        self.rejects: list[Reject] = []

    def take(self, table: str, row: Row) -> None:
        """Take one row; one that is not understood is rejected."""
        run = self._run(row)
        ts = seconds(row.time)
        if ts is not None and table != "configs":
            run.began = ts if run.began is None else min(run.began, ts)
        if table == "alerts":
            run.console["line"].append(len(run.console["line"]) + 1)
            run.console["ts"].append(ts)
            run.console["text"].append(str(row.content))
            return
        try:
            self._values(table, run, row, dict(json.loads(row.content)), ts)
        except (ValueError, TypeError, RecursionError) as problem:
            raw = row.content if isinstance(row.content, bytes) else str(row.content).encode()
            reason = f"{row.place} is not understood: {type(problem).__name__}: {problem}"
            self.rejects.append(Reject(0, reason, raw))

    def _run(self, row: Row) -> _Run:
        project = row.project or self.project
        key = (project, str(row.run_id or f"name {row.name}"))
        if key not in self.runs:
            run_id = str(row.run_id) if row.run_id else None
            self.runs[key] = _Run(run_id, str(row.name), str(project))
        return self.runs[key]

    def _values(
        self, table: str, run: _Run, row: Row, values: dict[str, Any], ts: float | None
    ) -> None:
        if table == "configs":
            run.config = {k: v for k, v in values.items() if not _OWN.fullmatch(k)}
            run.created = seconds(values.get("_Created")) or ts
            run.group = values.get("_Group")
            return
        step = run.rows if row.step is None else row.step  # the oldest databases only count
        if isinstance(step, bool) or not isinstance(step, (int, float)) or step != int(step):
            raise TypeError("a step that is no whole number")
        columns = run.telemetry if table == "system_metrics" else run.points
        jsonl_rows.add_row(columns, {**values, "timestamp": ts}, int(step), "step", "timestamp")
        run.rows += table == "metrics"

    def parts(self) -> tuple[Part, ...]:
        """Return a part for each run, sorted by id."""
        made = [_part(run) for run in self.runs.values()]
        return tuple(sorted(made, key=lambda part: part.facts.run_id))


def _part(run: _Run) -> Part:
    points = pl.DataFrame(run.points, schema=POINTS)
    measured = pl.DataFrame(run.telemetry, schema=POINTS).filter(pl.col("value").is_not_null())
    console = pl.DataFrame(run.console, schema=CONSOLE)
    telemetry = measured.select(list(TELEMETRY))
    # without an id of its own: its name, which stays when the project grows
    content = f"{run.project}\n{run.name}".encode("utf-8", "surrogatepass")
    run_id = run.run_id or "trackio-" + hashlib.blake2b(content, digest_size=5).hexdigest()
    facts = Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=run.run_id is not None,
        name=run.name,
        source_project=run.project,
        started_at=run.created or run.began,
        tells_end=False,
        group=run.group,
        config=run.config,
    )
    return Part(
        facts.counted(run.rows, points, {}),
        points,
        telemetry if telemetry.height else None,
        console if console.height else None,
    )


def seconds(time: Any) -> float | None:
    """Return an ISO time as seconds since the epoch; without a zone it is taken for UTC."""
    try:
        found = datetime.fromisoformat(str(time))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
