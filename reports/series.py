"""A snapshot's history -> the rows that the charts draw, with the accuracy that held at each.

The accuracy at a step is that of the last evaluation at or before it: never the nearest one, never
a later one. Rows before a run's first evaluation have none, and are counted instead of drawn.

Above a budget, rows are thinned in SQL by joint M4: of each run and bucket of steps the whole rows
stay that are first, last, or hold the least or greatest value of any drawn column. So every
extreme stays, and a row's values stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import polars as pl

from reports.axes import Accuracy
from reports.load import Facts, query

LINE_ROWS = 60_000
MARKER_ROWS = 20_000  # drawing a marker costs three times what a line's vertex does (measured)
SPEED_ROWS = 12_000  # of each metric: there are many, and they are level
MEDIAN_WINDOW = 9


@dataclass(frozen=True, slots=True)
class Source:
    """A statement whose rows are (run_id, step, the columns), and its values.

    A row can be drawn when its first *needed* columns are finite.
    """

    sql: str
    columns: tuple[str, ...]
    values: tuple[Any, ...]
    needed: int


@dataclass(frozen=True, slots=True)
class Rows:
    """What a chart draws, and by run how much was logged and why some of it is not drawn."""

    frame: pl.DataFrame
    tally: pl.DataFrame  # run, logged, before (the first evaluation), not_finite
    thinned: bool

    def total(self, column: str) -> int:
        """Return the sum of one column of the tally."""
        return int(self.tally[column].sum())


def one_metric(metric: str, column: str) -> Source:
    """Return one metric's points."""
    sql = (
        f"select run_id, step, value as {column} from history"
        " where metric = ? and value is not null"
    )
    return Source(sql, (column,), (metric,), 1)


def machine(pattern: str) -> Source:
    """Return one kind of telemetry, its step the milliseconds since the run's first of it.

    Of several GPUs it is the median, which does not depend on the order in which they come.
    """
    sql = (
        "select run_id, epoch_ms(ts) - min(epoch_ms(ts)) over (partition by run_id) as step, value,"
        " (epoch_ms(ts) - min(epoch_ms(ts)) over (partition by run_id)) / 1000 as time from ("
        " select run_id, ts, median(value) as value from telemetry"
        " where ts is not null and regexp_matches(metric, ?) group by run_id, ts)"
    )
    return Source(sql, ("value",), (pattern,), 1)


def same_step(metrics: Sequence[str], columns: Sequence[str], needed: int) -> Source:
    """Return the steps at which the first *needed* of *metrics* were all measured."""
    picks = ", ".join(f"max(value) filter (where metric = ?) as {column}" for column in columns)
    places = ", ".join("?" for _ in metrics)
    present = " and ".join(f"{column} is not null" for column in columns[:needed])
    sql = (
        f"select * from (select run_id, step, {picks} from history"
        f" where metric in ({places}) group by run_id, step) where {present}"
    )
    return Source(sql, tuple(columns), (*metrics, *metrics), needed)


def evaluations(accuracy: Accuracy) -> Source:
    """Return accuracy's points: one metric's, or the mean of several where all were measured."""
    if len(accuracy.metrics) == 1:
        return one_metric(accuracy.metrics[0], "accuracy")
    columns = tuple(f"m{place}" for place in range(len(accuracy.metrics)))
    source = same_step(accuracy.metrics, columns, len(columns))
    # written out: avg() adds in whatever order its threads come, and the bytes must not change
    mean = f"({' + '.join(columns)}) / {len(columns)}"
    sql = f"select run_id, step, {mean} as accuracy from ({source.sql})"
    return Source(sql, ("accuracy",), source.values, 1)


def shared_steps(db: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> int:
    """Return at how many (run, step) all of *metrics* were measured."""
    source = same_step(metrics, [f"m{place}" for place in range(len(metrics))], len(metrics))
    return int(query(db, f"select count(*) as n from ({source.sql})", source.values)["n"][0])


def runs_with(db: duckdb.DuckDBPyConnection, line: str, metrics: Sequence[str]) -> int:
    """Return how many runs have a line of metric *line*, two points or more, and all *metrics*."""
    names = sorted({line, *metrics})
    spots = ", ".join("?" for _ in names)
    rows = query(
        db,
        "select count(*) as n from (select run_id from history"
        f" where metric in ({spots}) group by run_id"
        f" having count(distinct metric) = {len(names)} and count(*) filter (metric = ?) > 1)",
        [*names, line],
    )
    return int(rows["n"][0])


def keep_evaluations(db: duckdb.DuckDBPyConnection, accuracy: Accuracy | None) -> None:
    """Make the table ``evaluations`` (run_id, step, accuracy) that ``with_accuracy`` joins."""
    nothing = "select ''::varchar as run_id, 0::bigint as step, 0::double as accuracy where false"
    source = evaluations(accuracy) if accuracy else Source(nothing, ("accuracy",), (), 1)
    _table(db, "evaluations", source.sql, source.values)


def with_accuracy(db: duckdb.DuckDBPyConnection, facts: Facts, source: Source, budget: int) -> Rows:
    """Return *source*'s drawable rows, each with the accuracy that held and its own step."""
    _table(db, "logged", source.sql, source.values)
    columns = ", ".join(f"l.{column}" for column in source.columns)
    _table(
        db,
        "joined",
        f"select l.run_id, l.step, {columns}, e.step as eval_step, e.accuracy from logged l"
        " asof join evaluations e on l.run_id = e.run_id and l.step >= e.step",
    )
    return _rows(db, facts, (*source.columns, "accuracy"), source.needed + 1, budget)


def at_evaluations(
    db: duckdb.DuckDBPyConnection, facts: Facts, source: Source, budget: int
) -> Rows:
    """Return *source*'s drawable rows as they are."""
    _table(db, "logged", source.sql, source.values)
    _table(db, "joined", "select * from logged")
    return _rows(db, facts, source.columns, source.needed, budget)


def medians(rows: Rows, column: str) -> Rows:
    """Return *rows* with a running median of *column* over the drawn points of a line."""
    median = pl.col(column).rolling_median(MEDIAN_WINDOW, min_samples=1, center=True).over("line")
    frame = rows.frame.with_columns(median.alias(f"{column}_median"))
    return replace(rows, frame=frame)


def _rows(
    db: duckdb.DuckDBPyConnection, facts: Facts, columns: Sequence[str], needed: int, budget: int
) -> Rows:
    """Return the rows of the table ``joined``, thinned to *budget*, and the tally of ``logged``."""
    finite = " and ".join(f"isfinite({column})" for column in columns[:needed])
    _table(db, "broken", f"select run_id, step from joined where not ({finite})")
    tally = _tally(db, facts)
    _table(db, "drawable", f"select * from joined where {finite}")
    _drop(db, "logged", "joined")
    total = int(query(db, "select count(*) as n from drawable")["n"][0])
    if total > budget:
        _thin(db, columns, budget)
    frame = query(
        db,
        "select d.*, b.step as broken from drawable d"
        " asof left join broken b on d.run_id = b.run_id and d.step >= b.step",
    )
    _drop(db, "broken", "drawable")
    return Rows(_placed(frame, facts), tally, total > budget)


def _tally(db: duckdb.DuckDBPyConnection, facts: Facts) -> pl.DataFrame:
    counts = query(
        db,
        "with l as (select run_id, count(*) as logged from logged group by run_id),"
        " j as (select run_id, count(*) as joined from joined group by run_id),"
        " b as (select run_id, count(*) as not_finite from broken group by run_id)"
        " select l.run_id, l.logged, l.logged - coalesce(j.joined, 0) as before,"
        " coalesce(b.not_finite, 0) as not_finite"
        " from l left join j using (run_id) left join b using (run_id)",
    )
    keyed = counts.with_columns(pl.col("run_id").cast(pl.String))
    joined = keyed.join(facts.indices, on="run_id")
    return joined.select("run", "logged", "before", "not_finite").sort("run")


def _thin(db: duckdb.DuckDBPyConnection, columns: Sequence[str], budget: int) -> None:
    """Leave in the table ``drawable`` no more than about *budget* rows, by joint M4."""
    runs = int(query(db, "select count(distinct run_id) as n from drawable")["n"][0])
    buckets = max(2, budget // max(1, runs) // (2 + 2 * len(columns)))
    _table(
        db,
        "bucketed",
        "with span as (select run_id, min(step) as lo, max(step) as hi from drawable"
        " group by run_id)"
        f" select d.*, ((d.step - s.lo)::hugeint * {buckets} // (s.hi - s.lo + 1))::integer"
        " as bucket from drawable d join span s using (run_id)",
    )
    _drop(db, "drawable")
    ends = ", ".join(f"min({c}) as {c}_lo, max({c}) as {c}_hi" for c in columns)
    # the first of equal extremes, found by a join: which of equals arg_min takes is not fixed
    extremes = [
        "select d.run_id, min(d.step) as step from bucketed d join ends using (run_id, bucket)"
        f" where d.{column} = ends.{column}_{end} group by d.run_id, d.bucket"
        for column in columns
        for end in ("lo", "hi")
    ]
    firsts = ["select run_id, first_step as step from ends", "select run_id, last_step from ends"]
    _table(
        db,
        "drawable",
        "with ends as (select run_id, bucket, min(step) as first_step, max(step) as last_step,"
        f" {ends} from bucketed group by run_id, bucket),"
        f" steps as ({' union '.join([*firsts, *extremes])})"
        " select b.* exclude (bucket) from bucketed b semi join steps using (run_id, step)",
    )
    _drop(db, "bucketed")


def _table(db: duckdb.DuckDBPyConnection, name: str, sql: str, values: Sequence[Any] = ()) -> None:
    db.execute(f"create or replace temp table {name} as {sql}", list(values)).fetchall()


def _drop(db: duckdb.DuckDBPyConnection, *names: str) -> None:
    # in time: of ten million rows each copy takes half a gigabyte
    for name in names:
        db.execute(f"drop table {name}").fetchall()


def _placed(frame: pl.DataFrame, facts: Facts) -> pl.DataFrame:
    """Return the rows by run and step, with the counted-on step and the line each belongs to.

    A line is a run, cut wherever a row that cannot be drawn stands between two that can.
    """
    placed = (
        frame.with_columns(pl.col("run_id").cast(pl.String))
        .join(facts.indices, on="run_id")
        .with_columns(
            (pl.col("step") + pl.col("offset")).alias("total_step"),
            pl.col("broken").cast(pl.Int64).fill_null(-1),  # not cut yet
        )
        .sort("run", "step")
    )
    pieces = pl.struct("run", "broken").rle_id().cast(pl.Int64).alias("line")
    return placed.with_columns(pieces).drop("run_id", "offset", "broken")
