"""What a snapshot's history came to -> the rows that one chart draws.

A chart's rows are those of the scan at which all that it needs was measured and is finite. A line
is a run, cut wherever a row that cannot be drawn stands between two that can. With accuracy: rows
before a run's first evaluation have none, and are counted instead of drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import polars as pl

from etl.points import Points
from reports.load import Facts, query
from reports.pack import MEDIAN, MEDIAN_WINDOW
from reports.progress import COUNTERS
from reports.scan import Scan
from reports.thinning import extremes, shares

MACHINE_ROWS = 12_000  # of each kind of measurement: there are several, and they are level
_AXES = ("step", "total_step", *COUNTERS)
_TALLY = dict.fromkeys(("run", "logged", "before", "not_finite"), pl.Int64)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a chart draws, and by run how much was logged and why some of it is not drawn."""

    frame: pl.DataFrame
    tally: pl.DataFrame  # run, logged, before (the first evaluation), not_finite

    def total(self, column: str) -> int:
        """Return the sum of one column of the tally."""
        return int(self.tally[column].sum())

    @property
    def thinned(self) -> bool:
        """Whether some of what could be drawn is not."""
        lost = self.total("before") + self.total("not_finite")
        return self.frame.height < self.total("logged") - lost


def rows(
    found: Scan, columns: Mapping[str, str], needed: int | None = None, *, accuracy: bool = False
) -> Rows:
    """Return the rows of some metrics, by the names that their *columns* get.

    A row can be drawn where the first *needed* of them are finite, and with *accuracy* that which
    held. The frame has run, line, step, total_step, tokens, flops, time, the columns, and with
    *accuracy* also that and eval_step, the step at which it was measured.
    """
    metrics = list(columns)
    must = metrics[:needed]
    frame = found.frame.filter(pl.col(metric).is_not_nan() for metric in must)
    tally = _tally(found, tuple(must), accuracy=accuracy)
    if accuracy:
        frame = frame.filter(pl.col("eval_step").is_not_nan())
    kept = _lines(frame, [*must, *["accuracy"] * accuracy])
    named = [
        pl.when(pl.col(metric).is_finite()).then(metric).alias(c) for metric, c in columns.items()
    ]
    held = [pl.col("accuracy"), pl.col("eval_step").cast(pl.Int64)] if accuracy else []
    return Rows(kept.select("run", "line", *_AXES, *named, *held), tally)


def alone(found: Scan, metric: str) -> Rows:
    """Return the rows of *metric*, drawn with no other: run, line, step, the axes and value."""
    if metric in found.frame.columns:
        frame = found.frame.filter(pl.col(metric).is_not_nan()).rename({metric: "value"})
    else:
        frame = found.others[metric]
    lines = _lines(frame, ["value"]).select("run", "line", "step", *COUNTERS, "value")
    return Rows(lines, _tally(found, (metric,), accuracy=False))


def _lines(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows with all *columns* finite, and the ``line`` that each belongs to."""
    broken = pl.any_horizontal(pl.col(column).is_infinite() for column in columns)
    kept = frame.with_columns(broken.alias("broken"))
    kept = kept.with_columns(pl.col("broken").cum_sum().over("run").alias("piece"))
    kept = kept.filter(~pl.col("broken"))
    line = pl.struct("run", "piece").rle_id().cast(pl.Int64).alias("line")
    return kept.with_columns(line)


def with_reported(
    found: Rows,
    db: duckdb.DuckDBPyConnection,
    facts: Facts,
    columns: Mapping[str, str],
    needed: int,
) -> Rows:
    """Return *found* with a row for each run that has none and reported the *needed* metrics.

    Such a run is a row of a table of results: its steps are not known, and null.
    """
    places = {run.run_id: run.index for run in facts.runs}
    told: dict[int, dict[str, float]] = {}
    listed = query(
        db,
        "select run_id, metric, value from summary where rule = 'reported' and isfinite(value)"
        f" and metric in ({', '.join('?' for _ in columns)}) order by run_id, metric",
        list(columns),
    )
    for run_id, metric, value in listed.iter_rows():
        if run_id in places:
            told.setdefault(places[run_id], {})[columns[metric]] = value
    must = list(columns.values())[:needed]
    drawn = set(found.frame["run"].to_list())
    line = found.frame.height  # beyond those of all lines
    rows = [
        {"run": run, "line": line + place, **values}
        for place, (run, values) in enumerate(sorted(told.items()))
        if run not in drawn and values.keys() >= set(must)
    ]
    if not rows:
        return found
    more = pl.DataFrame(
        rows, schema={k: found.frame.schema[k] for k in ("run", "line", *columns.values())}
    )
    frame = pl.concat([found.frame, more], how="diagonal").sort("run", "line", "step")
    return replace(found, frame=frame)


def _tally(found: Scan, metrics: tuple[str, ...], *, accuracy: bool) -> pl.DataFrame:
    listed = [
        (run, of.logged, of.before, of.held_not_finite)
        if accuracy
        else (run, of.logged, 0, of.not_finite)
        for run, of in found.tallies.get(metrics, {}).items()
    ]
    return pl.DataFrame(listed, schema=_TALLY, orient="row").sort("run")


def medians(drawn: Rows, column: str) -> Rows:
    """Return *drawn* with a running median of *column* over the drawn points of a line."""
    median = pl.col(column).rolling_median(MEDIAN_WINDOW, min_samples=1, center=True).over("line")
    return replace(drawn, frame=drawn.frame.with_columns(median.alias(f"{column}{MEDIAN}")))


def points_of(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Return by metric and run id how many points there are, without reading any."""
    counts = query(
        db,
        "select metric, run_id, sum(points)::bigint as points from (select metric, run_id, points"
        " from slots union all select metric, run_id, count(value) from long group by all)"
        " group by all having sum(points) > 0 order by all",
    )
    found: dict[str, dict[str, int]] = {}
    for metric, run_id, points in counts.iter_rows():
        found.setdefault(metric, {})[run_id] = points
    return found


def share_a_step(db: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> bool:
    """Whether there is a step of a run at which all of *metrics* were measured."""
    names = [*metrics]
    spots = ", ".join("?" for _ in names)
    beside = query(
        db,
        f"select 1 as n from slots where metric in ({spots}) group by run_id, place"
        f" having count(*) = {len(names)} limit 1",
        names,
    )
    if beside.height:
        return True
    apart = query(
        db,
        f"select 1 as n from history where metric in ({spots}) and value is not null"
        f" group by run_id, step having count(distinct metric) = {len(names)} limit 1",
        names,
    )
    return bool(apart.height)


def machine(
    db: duckdb.DuckDBPyConnection, facts: Facts, pattern: str, budget: int = MACHINE_ROWS
) -> Rows:
    """Return one kind of telemetry by ``time``, in seconds since the run's first of it.

    Of several GPUs it is the median, which does not depend on the order in which they come.
    """
    measured = query(
        db,
        "select run_id, epoch_us(ts) as us, median(value) as value from telemetry"
        " where ts is not null and value is not null and regexp_matches(metric, ?)"
        " group by run_id, ts order by run_id, ts",
        [pattern],
    )
    places = {run.run_id: run.index for run in facts.runs}
    every = {
        places[run]: Points(us := of["us"].to_numpy(), us / 1e6, of["value"].to_numpy())
        for (run,), of in measured.group_by("run_id", maintain_order=True)
        if run in places
    }
    room = shares({run: of.steps.size for run, of in every.items()}, budget)
    frames, counts = [], []
    for run, of in sorted(every.items()):
        finite = np.isfinite(of.values)
        kept = extremes(of.steps, of.values, room[run])
        columns = {"time": of.ts[kept] - of.ts[0], "value": of.values[kept]}
        pieces = np.cumsum(~finite)[kept]
        frame = pl.DataFrame({"run": np.full(kept.size, run), "piece": pieces, **columns})
        frames.append(frame.filter(pl.Series(finite[kept])))
        counts.append((run, of.steps.size, 0, int((~finite).sum())))
    kinds = {"run": pl.Int64, "piece": pl.Int64, "time": pl.Float64, "value": pl.Float64}
    drawn = pl.concat([pl.DataFrame(schema=kinds), *frames])
    line = pl.struct("run", "piece").rle_id().cast(pl.Int64).alias("line")
    step = (pl.col("time") * 1_000).round().cast(pl.Int64).alias("step")
    tally = pl.DataFrame(counts, schema=_TALLY, orient="row")
    drawn = drawn.select("run", line, step, "time", "value")
    return Rows(drawn, tally)
