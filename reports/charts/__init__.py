"""What a snapshot holds -> the four chart specifications of the page, in their order."""

from __future__ import annotations

from collections.abc import Mapping

from reports.axes import Axes
from reports.charts.benchmarks import benchmarks
from reports.charts.landscape import landscape
from reports.charts.space import space
from reports.charts.spec import Chart
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
    speeds: Rows,
    marks: Rows,
) -> tuple[Chart, ...]:
    """Return trajectory, space, landscape and benchmarks."""
    return (
        trajectory(facts, axes, found, losses),
        space(facts, axes, found),
        landscape(facts, axes, speeds),
        benchmarks(facts, axes, marks),
    )
