"""The functions of the original visualiser: a project's four 3D charts as plotly figures.

    from reports.weave_training_visualizer import create_complete_visualization_app
    app = create_complete_visualization_app("nanochat")

They read the project's snapshot, not a server. In a program that has called ``weave.init`` each is
an op, so that Weave keeps what it was asked for and what it gave; else they are plain functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from etl import snapshot
from etl.project import data_dir, locate
from reports.boards.packing import plotly_figure
from reports.charts.spec import Json
from reports.gather import Report, gather

P = ParamSpec("P")
T = TypeVar("T")

# the original's name of each plot -> our chart
PLOTS = {
    "trajectory_3d": "trajectory",
    "hyperparameter_space": "space",
    "performance_landscape": "landscape",
    "multi_metric_3d": "benchmarks",
}


def _op(function: Callable[P, T]) -> Callable[P, T]:
    """Make *function* an op of Weave in a process that uses Weave, and nothing at import."""

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        # without an import of weave there is no weave.init, and nothing to be traced
        weave = sys.modules.get("weave")
        return (_traced(function, weave) if weave else function)(*arguments, **options)

    return call


@cache
def _traced(function: Callable[P, T], weave: Any) -> Callable[P, T]:
    return cast("Callable[P, T]", weave.op(function, enable_code_capture=False))


@_op
def create_3d_trajectory_plot(
    project_name: str = "nanochat", data: str | None = None, snapshot_id: str = "latest"
) -> Json:
    """Return step x loss x accuracy of every run as a plotly figure."""
    return _plot("trajectory_3d", project_name, data, snapshot_id)


@_op
def create_hyperparameter_space_plot(
    project_name: str = "nanochat", data: str | None = None, snapshot_id: str = "latest"
) -> Json:
    """Return depth x width x batch size, coloured by the best accuracy, as a plotly figure."""
    return _plot("hyperparameter_space", project_name, data, snapshot_id)


@_op
def create_performance_landscape_plot(
    project_name: str = "nanochat", data: str | None = None, snapshot_id: str = "latest"
) -> Json:
    """Return MFU x throughput x accuracy as a plotly figure."""
    return _plot("performance_landscape", project_name, data, snapshot_id)


@_op
def create_multi_metric_3d_plot(
    project_name: str = "nanochat", data: str | None = None, snapshot_id: str = "latest"
) -> Json:
    """Return three benchmarks against each other, the fourth as size, as a plotly figure."""
    return _plot("multi_metric_3d", project_name, data, snapshot_id)


@_op
def create_complete_visualization_app(
    project_name: str = "nanochat", data: str | None = None, snapshot_id: str = "latest"
) -> dict[str, Json]:
    """Return the four plots by the original's names.

    *data* is the data folder, by default ``$RUNATLAS_DATA``, else ``data``.

    Raises:
        NoDataError: the project has no snapshot.
        UsageError: it has no such one.
    """
    asked = (project_name, data, snapshot_id)
    return {
        "trajectory_3d": create_3d_trajectory_plot(*asked),
        "hyperparameter_space": create_hyperparameter_space_plot(*asked),
        "performance_landscape": create_performance_landscape_plot(*asked),
        "multi_metric_3d": create_multi_metric_3d_plot(*asked),
    }


def _plot(name: str, project_name: str, data: str | None, snapshot_id: str) -> Json:
    folder = data_dir(data)
    manifest = snapshot.read_manifest(locate(project_name, folder), snapshot_id)
    report = _report(project_name, folder, manifest.snapshot)
    (chart,) = (chart for chart in report.charts if chart.key == PLOTS[name])
    return plotly_figure(report, chart)


@lru_cache(maxsize=1)  # the four plots of one app are of one report
def _report(project_name: str, folder: Path, snapshot_id: str) -> Report:
    return gather(locate(project_name, folder), snapshot_id, lambda _: None)
