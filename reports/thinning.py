"""Long rows of several metrics -> one row for each place on the x axis, thinned by joint M4.

Above a budget, of each run, metric and bucket those points stay that are first, last, hold the
least or the greatest finite value, or are the first that is not finite. Where one stays, all that
was measured at the same place stays with it: every extreme is kept, and what belongs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from reports.load import Facts, query

# Both tables as points of a run and metric at some x: a step, or a microsecond.
HISTORY = "(select run_id, metric, step as x, value, ts from history)"
TELEMETRY = "(select run_id, metric, epoch_us(ts) as x, value, ts from telemetry)"
_MOST = 2**62  # a bucket's width that takes in everything

Logged = dict[str, dict[int, int]]  # metric -> run -> points
Spans = dict[int, tuple[int, int]]  # run -> its least and its greatest x


@dataclass(frozen=True, slots=True)
class Points:
    """The points of *metrics* in *source*, one of the two above."""

    db: duckdb.DuckDBPyConnection
    facts: Facts
    source: str
    metrics: Sequence[str]

    @property
    def _spots(self) -> str:
        return ", ".join("?" for _ in self.metrics) or "null"

    def counted(self) -> tuple[Logged, Spans]:
        """Return how many points there are, and from where to where each run goes."""
        rows = query(
            self.db,
            f"select run_id, metric, count(*), min(x), max(x) from {self.source}"
            f" where metric in ({self._spots}) and value is not null"
            " group by run_id, metric order by run_id, metric",
            self.metrics,
        )
        places = {run.run_id: run.index for run in self.facts.runs}
        found: Logged = {metric: {} for metric in self.metrics}
        spans: Spans = {}
        for run_id, metric, points, first, last in rows.iter_rows():
            if run_id in places:
                run = places[run_id]
                found[metric][run] = points
                low, high = spans.get(run, (first, last))
                spans[run] = min(low, first), max(high, last)
        return {metric: dict(sorted(of.items())) for metric, of in found.items()}, spans

    def thinned(self, spans: Spans, widths: Mapping[int, int]) -> pl.DataFrame:
        """Return by run and x what stays in buckets of *widths*: ts, and a column for each metric.

        ts is in seconds of the epoch. NaN is not measured there, infinity measured and not finite.
        """
        self._keep(spans, widths)
        picks = "".join(
            f", coalesce(max(value) filter (metric = ?), 'nan') as m{place}"
            for place in range(len(self.metrics))
        )
        value = "case when isfinite(value) then value else 'inf'::double end as value"
        rows = query(
            self.db,
            f"select run_id, x, min(epoch_us(ts)) / 1e6 as ts{picks} from (select run_id, x, ts,"
            f" metric, {value} from {self.source} semi join kept using (run_id, x)"
            f" where metric in ({self._spots}) and value is not null) group by run_id, x",
            [*self.metrics, *self.metrics],
        )
        self.db.execute("drop table kept").fetchall()
        named = {f"m{place}": metric for place, metric in enumerate(self.metrics)}
        return (
            rows.rename(named)
            .with_columns(pl.col("run_id").cast(pl.String), pl.col("ts").cast(pl.Float64))
            .join(self.facts.indices, on="run_id")
            .drop("run_id", "offset")
            .sort("run", "x")
        )

    def _keep(self, spans: Spans, widths: Mapping[int, int]) -> None:
        """Make the table ``kept`` (run_id, x) of what stays."""
        columns = {
            "run_id": np.array([self.facts.runs[run].run_id for run in spans], dtype=object),
            "low": np.array([low for low, _ in spans.values()], dtype=np.int64),
            "width": np.array([widths.get(run, _MOST) for run in spans], dtype=np.int64),
        }
        self.db.register("widths", columns)
        points = (
            "(select p.run_id, p.metric, p.x, p.value, (p.x - w.low) // w.width as bucket"
            f" from {self.source} p join widths w on p.run_id = w.run_id"
            f" where p.metric in ({self._spots}) and p.value is not null)"
        )
        self.db.execute(
            "create or replace temp table ends as select run_id, metric, bucket,"
            " min(x) as first, max(x) as last, min(x) filter (not isfinite(value)) as broken,"
            " min(value) filter (isfinite(value)) as lo, max(value) filter (isfinite(value)) as hi"
            f" from {points} group by run_id, metric, bucket",
            list(self.metrics),
        ).fetchall()
        # the first of equal extremes, found by a join: which of equals arg_min takes is not fixed
        self.db.execute(
            "create or replace temp table kept as select run_id, unnest([first, last, broken]) as x"
            " from ends union select run_id, unnest([low, high]) as x from (select run_id,"
            " min(x) filter (value = lo) as low, min(x) filter (value = hi) as high"
            f" from {points} join ends using (run_id, metric, bucket)"
            " where value = lo or value = hi group by run_id, metric, bucket)",
            list(self.metrics),
        ).fetchall()
        self.db.execute("drop table ends").fetchall()
        self.db.unregister("widths")


def widths(spans: Spans, logged: Logged, budget: int) -> dict[int, int]:
    """Return by run how wide a bucket is: 1 where all of its rows fit its share of *budget*.

    What short runs leave of an equal share goes to the long ones.
    """
    rows: dict[int, int] = {}
    for of in logged.values():
        for run, points in of.items():
            rows[run] = max(rows.get(run, 0), points)  # most are logged at the same steps
    left, waiting, found = budget, len(rows), {}
    for run in sorted(rows, key=lambda run: (rows[run], run)):
        share = left // waiting
        if rows[run] <= share:
            found[run] = 1
            left -= rows[run]
        else:
            low, high = spans[run]
            count = _buckets([of[run] for of in logged.values() if run in of], share)
            found[run] = (high - low) // count + 1
            left -= share
        waiting -= 1
    return found


def _buckets(points: Sequence[int], share: int) -> int:
    """Return into how many buckets a run goes so that no more than about *share* rows stay."""
    few, many = 1, max(1, share)
    while few < many:
        middle = (few + many + 1) // 2
        if sum(min(count, 4 * middle) for count in points) <= share:
            few = middle
        else:
            many = middle - 1
    return few
