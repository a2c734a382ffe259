"""A snapshot -> what the section of each run says, once and small: it is made when it is opened.

A config value that many runs share stands once for a stretch of runs, texts stand once in a list,
and numbers go as packed columns: 1,000 runs of 2,000 keys are 40 kB. A list that grows beyond its
limit is cut and counted; the page names the query that gives the rest.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from etl import naming
from reports import words
from reports.axes import Metric
from reports.load import Facts, query
from reports.pack import Packed, pack

LONGEST = 2_000  # characters of one text
MOST_VALUES = 40_000  # of summary, telemetry, segments and provenance each
MOST_PRINTED = 400_000  # characters of what runs printed
MOST_SETTINGS = 400_000  # lengths and values of stretches of runs that share one
_NO_KEY, _NO_VALUE = -2, -1  # where a run does not have the key, or has it without a value

# What a reader looks for first in a run's results.
_FAMILIES = ("loss", "aggregate", "accuracy", "pass", "reward", "throughput", "efficiency")
_RESULTS = """
    with results as (
        select p.run, s.metric,
            max(s.value) filter (where s.rule = 'last') as last,
            max(s.value) filter (where s.rule = 'min') as min,
            max(s.value) filter (where s.rule = 'max') as max,
            max(s.value) filter (where s.rule = 'reported') as reported,
            max(s.step) filter (where s.rule = 'best') as best_step,
            sum(distinct case s.rule when 'last' then 1 when 'min' then 2 when 'max' then 4
                when 'reported' then 8 else 0 end)::bigint as has
        from summary s join places p using (run_id)
        where s.value is not null group by p.run, s.metric
    ), sources as (
        select p.run, h.metric, string_agg(distinct h.source, ' + ' order by h.source) as source,
            sum(h.points)::bigint as points
        from (
            select run_id, metric, source, points from slots
            union all select run_id, metric, source, count(*) as points from long group by all
        ) h join places p using (run_id) group by p.run, h.metric
    )
    select run, metric, last, min, max, reported, best_step, coalesce(has, 0) as has, source, points
    from results full join sources using (run, metric) order by metric, run
"""
# one row for all devices of a kind: system.gpu.0.temp and system.gpu.7.temp are system.gpu.*.temp
_TELEMETRY = """
    select p.run,
        regexp_replace(regexp_replace(t.metric, '^rank[0-9]+/', ''), '[.][0-9]+[.]', '.*.')
            as metric,
        min(t.value) as min, median(t.value) as median, max(t.value) as max,
        count(distinct t.metric) as devices, count(*) as points
    from telemetry t join places p using (run_id) where isfinite(t.value)
    group by all order by p.run, metric
"""
_SEGMENTS = """
    select p.run, s.segment, s.rank, strftime(s.started_at, '%Y-%m-%d %H:%M') as started,
        s.resume_step, s.first_step, s.last_step, s.points, s.state, s.exit_code,
        s.abandoned_from, s.versions
    from segments s join places p using (run_id) order by p.run, s.segment, s.rank
"""
_LABELS = """
    select p.run, strftime(r.created_at, '%Y-%m-%d %H:%M') as created,
        strftime(r.ended_at, '%Y-%m-%d %H:%M') as ended, r.exit_code, r.job_type, r.group_name,
        r.tags, r.notes, r.script
    from runs r join places p using (run_id) order by p.run
"""
_DISAGREEMENTS = """
    select p.run, d.metric, d.source, d.other, d.points, d.largest
    from disagreements d join places p using (run_id) order by p.run, d.metric, d.source, d.other
"""
# what did not finish comes first: there is a reason to look
_CONSOLE = """
    select p.run, string_agg(c.text, chr(10) order by c.segment, c.line) as text
    from console c join places p using (run_id) join runs r using (run_id)
    group by p.run, r.state order by r.state = 'finished', p.run
"""
_CONFIG = """
    select c.kind, c.key, c.value, list(p.run order by p.run) as runs
    from config c join places p using (run_id)
    group by c.kind, c.key, c.value order by c.kind, c.key, c.value nulls first
"""


@dataclass(frozen=True, slots=True)
class Details:
    """The texts and small tables as compressed JSON; the columns of numbers, packed."""

    document: bytes
    packed: Packed


def details(db: duckdb.DuckDBPyConnection, facts: Facts) -> Details:
    """Return what the sections of all runs say."""
    texts = _Texts()
    _register(db, facts)
    summary, left = _summary(db, texts)
    telemetry = query(db, _TELEMETRY)
    document = {
        "labels": _rows(db, _LABELS, texts),
        "segments": _limited(_rows(db, _SEGMENTS, texts)),
        "config": _config(db, len(facts.runs), texts),
        "inherited": [
            [run.index, texts.place(key), texts.place(whose)]
            for run in facts.runs
            for key, whose in sorted(run.inherited.items())
        ],
        "units": _telemetry_units(telemetry),
        "metrics": {
            name: [metric.unit_words, metric.direction or "", _rank(metric)]
            for name, metric in sorted(facts.catalog.items())
        },
        "disagreements": _limited(_rows(db, _DISAGREEMENTS, texts)),
        "console": _console(db),
        "left": {"summary": left, "telemetry": max(0, telemetry.height - MOST_VALUES)},
        "most": LONGEST,
    }
    tables = {"summary": summary, "telemetry": _coded(telemetry.head(MOST_VALUES), texts)}
    packed = pack(tables)
    document |= {"index": packed.index, "texts": texts.listed}
    text = json.dumps(document, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return Details(gzip.compress(text.encode(), 9, mtime=0), packed)


def _register(db: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Make ``places`` the runs' ids and places; as a frame they would need pyarrow, 40 ms."""
    ids, places = [run.run_id for run in facts.runs], [run.index for run in facts.runs]
    made = "create temp table places as select unnest($1::varchar[]) as run_id,"
    db.execute(f"{made} unnest($2::bigint[]) as run", [ids, places])


def _rank(metric: Metric) -> int:
    return _FAMILIES.index(metric.family) if metric.family in _FAMILIES else len(_FAMILIES)


class _Texts:
    """Texts that are referred to by their place, each of them once and none too long."""

    def __init__(self) -> None:
        self.listed: list[str | list[Any]] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Return where *text* stands; a longer one than fits stands with its whole length."""
        if text not in self._places:
            self._places[text] = len(self.listed)
            self.listed.append(text if len(text) <= LONGEST else [text[:LONGEST], len(text)])
        return self._places[text]


def _summary(db: duckdb.DuckDBPyConnection, texts: _Texts) -> tuple[pl.DataFrame, int]:
    """Return last, least and greatest value by run and metric, and how many rows found no room.

    Where they are too many, the metrics that most runs have come first.
    """
    rows = query(db, _RESULTS)
    left = rows.height - MOST_VALUES
    if left > 0:
        coverage = rows.group_by("metric").len("runs")
        ordered = rows.join(coverage, on="metric").sort("runs", "metric", descending=[True, False])
        rows = ordered.head(MOST_VALUES).drop("runs").sort("metric", "run")
    return _coded(rows, texts), max(0, left)


def _coded(rows: pl.DataFrame, texts: _Texts) -> pl.DataFrame:
    """Return *rows* with each text as its place, -1 where there is none."""
    columns = []
    for column in rows.get_columns():
        if column.dtype in {pl.String, pl.Null}:
            places = [-1 if text is None else texts.place(text) for text in column.to_list()]
            columns.append(pl.Series(column.name, places, dtype=pl.Int64))
        else:
            columns.append(column)
    return pl.DataFrame(columns)


def _telemetry_units(telemetry: pl.DataFrame) -> dict[str, str]:
    units = {}
    for name in sorted(set(telemetry["metric"].to_list())) if telemetry.height else ():
        known = naming.describe(name)
        units[name] = (known.unit or "") if known and known.unit_known else "unit not known"
    return units


def _rows(db: duckdb.DuckDBPyConnection, sql: str, texts: _Texts) -> list[list[Any]]:
    found = db.execute(sql).fetchall()
    place: Callable[[Any], Any] = lambda v: [texts.place(v)] if isinstance(v, str) else v  # noqa: E731
    return [[place(value) for value in row] for row in found]


def _console(db: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Return by run the last lines that it printed, None where they found no room."""
    found: dict[str, str | None] = {}
    room = MOST_PRINTED
    for run, text in db.execute(_CONSOLE).fetchall():
        room -= len(text)
        found[str(run)] = text if room >= 0 else None
    return found


def _limited(rows: Sequence[Any]) -> dict[str, Any]:
    return {"rows": rows[:MOST_VALUES], "left": max(0, len(rows) - MOST_VALUES)}


def _config(db: duckdb.DuckDBPyConnection, runs: int, texts: _Texts) -> dict[str, Any]:
    """Return by kind and key stretches of runs that share a value: how many, and which value."""
    found: dict[str, dict[str, list[int]]] = {}
    used = left = 0
    for (kind, key), group in groupby(db.execute(_CONFIG).fetchall(), key=lambda row: row[:2]):
        codes = np.full(runs, _NO_KEY)
        for _, _, value, places in group:
            text = None if value is None else words.plain(value) or "null"
            codes[np.asarray(places)] = _NO_VALUE if text is None else texts.place(text)
        stretches = _stretches(codes)
        if used + len(stretches) > MOST_SETTINGS:
            left += int((codes != _NO_KEY).sum())
            continue
        used += len(stretches)
        found.setdefault(kind, {})[str(texts.place(key))] = stretches
    return {"of": found, "left": left}


def _stretches(codes: npt.NDArray[np.int64]) -> list[int]:
    """Return the length and the code of each stretch of equal ones, in turns."""
    starts = np.concatenate(([0], np.flatnonzero(np.diff(codes)) + 1))
    lengths = np.diff(np.append(starts, len(codes)))
    return [int(number) for number in np.stack([lengths, codes[starts]], axis=1).ravel()]
