"""What a snapshot holds -> the chart specifications of the page, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from reports.axes import Axes, Metric, evaluated
from reports.charts.benchmarks import benchmarks
from reports.charts.curves import curves as loss_curves
from reports.charts.evaluations import evaluations
from reports.charts.landscape import landscape
from reports.charts.metrics import metrics
from reports.charts.parallel import parallel
from reports.charts.performance import performance
from reports.charts.scaling import scaling
from reports.charts.space import space
from reports.charts.spec import Chart
from reports.charts.surface import surface
from reports.charts.trajectory import trajectory
from reports.load import Facts
from reports.results import Results
from reports.series import Rows

__all__ = ["Chart", "all_charts"]


def all_charts(
    facts: Facts,
    axes: Axes,
    found: Results,
    *,
    losses: Mapping[str, Rows],
    curves: Mapping[str, Rows],
    speeds: Rows,
    steady: Mapping[Metric, Rows],
    machine: Mapping[Metric, Rows],
    others: Mapping[Metric, Rows],
    left_out: Sequence[Metric],
    history: pl.DataFrame,
    marks: Rows,
) -> tuple[Chart, ...]:
    """Return the charts, section after section."""
    return (
        trajectory(facts, axes, found, losses),
        loss_curves(facts, axes, found, curves, history),
        *metrics(facts, found, others, left_out),
        space(facts, axes, found),
        *surface(facts, axes, found, curves),
        parallel(facts, axes, found),
        landscape(facts, axes, speeds),
        performance(facts, found, steady, machine, history),
        benchmarks(facts, axes, marks),
        evaluations(facts, found),
        scaling(facts, found, evaluated(facts.catalog, axes)),
    )
