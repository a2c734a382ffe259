"""A chart's runs and metrics -> the changes of meaning that lie between these runs, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from etl import eras
from etl.eras import Change
from reports.charts.spec import Chart, Shown, When
from reports.gather import Report
from reports.load import Run


@dataclass(frozen=True, slots=True)
class Straddle:
    """A change that some of a chart's runs have and others have not, and what it touches there."""

    change: Change
    metrics: Sequence[str]
    before: Sequence[Run]
    since: Sequence[Run]


def straddles(report: Report, chart: Chart) -> list[tuple[When | None, list[Straddle]]]:
    """Return, by choice, the changes across which what *chart* shows does not compare."""
    found = [(shown.when, _of(report, chart, shown)) for shown in chart.shown]
    return [(when, listed) for when, listed in found if listed]


def _of(report: Report, chart: Chart, shown: Shown) -> list[Straddle]:
    rows = chart.tables[shown.table]
    if shown.column:
        rows = rows.filter(pl.col(shown.column).is_finite())
    drawn = sorted(rows["run"].unique().to_list())
    return of_runs([report.facts.runs[index] for index in drawn], shown.metrics)


def of_runs(runs: Sequence[Run], metrics: Iterable[str]) -> list[Straddle]:
    """Return the changes across which one of *metrics* does not compare between *runs*."""
    touched: dict[Change, list[str]] = {}
    for metric in dict.fromkeys(metrics):
        for change in eras.breaking(metric):
            touched.setdefault(change, []).append(metric)
    found = (_straddle(runs, change, metrics) for change, metrics in sorted(touched.items()))
    return [straddle for straddle in found if straddle.before and straddle.since]


def _straddle(runs: Sequence[Run], change: Change, metrics: Sequence[str]) -> Straddle:
    has = {run.index: change.since(run.stage, run.era) for run in runs}
    return Straddle(
        change,
        metrics,
        before=[run for run in runs if has[run.index] is False],
        since=[run for run in runs if has[run.index] is True],
    )
