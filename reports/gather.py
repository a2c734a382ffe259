"""A project's snapshot -> everything that its report says: facts, axes, results and charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from etl import snapshot
from etl.project import Project, settings
from reports import axes as choose
from reports import series
from reports.axes import Axes, Metric
from reports.changed import PREVIOUS, Changed, changed
from reports.charts import Chart, all_charts
from reports.details import Details, details
from reports.load import Facts, load
from reports.results import Results, results
from reports.series import Rows, Source

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What one page says, before it is a page."""

    project: str
    snapshot: str
    facts: Facts
    axes: Axes
    results: Results
    charts: tuple[Chart, ...]
    changed: Changed
    details: Details


def gather(project: Project, wanted: str, say: Say, against: str = PREVIOUS) -> Report:
    """Return the report of snapshot *wanted* of *project*; *say* hears of the progress.

    What changed is told since snapshot *against*, by default the one before it.

    Raises:
        NoDataError: the project has no snapshot.
        UsageError: it has no such one, or its ``project.toml`` cannot be used.
    """
    manifest = snapshot.read_manifest(project, wanted)
    person = settings(project)
    asked = person.axes
    with closing(snapshot.connect(project, manifest)) as db:
        facts = load(db, manifest)
        axes = _axes(db, facts, asked)
        say(f"{project.name}: snapshot {manifest.snapshot}, {len(facts.runs):,} runs")
        series.keep_evaluations(db, axes.accuracy)
        found = results(db, facts, axes)
        losses = {
            metric.name: series.medians(
                series.with_accuracy(
                    db, facts, series.one_metric(metric.name, "loss"), series.LINE_ROWS
                ),
                "loss",
            )
            for metric in axes.losses
        }
        curves = {
            metric.name: series.at_evaluations(
                db, facts, series.one_metric(metric.name, "value"), series.LINE_ROWS
            )
            for metric in axes.losses
        }
        steady = {
            metric: series.at_evaluations(
                db, facts, series.one_metric(metric.name, "value"), series.SPEED_ROWS
            )
            for metric in choose.steady(facts.catalog, axes)
        }
        machine = {
            metric: series.at_evaluations(db, facts, series.machine(pattern), series.SPEED_ROWS)
            for metric, pattern in choose.MACHINE.items()
        }
        speeds = _speeds(db, facts, axes)
        marks = _marks(db, facts, axes)
        sections = details(db, facts)
    charts = all_charts(
        facts,
        axes,
        found,
        losses=losses,
        curves=curves,
        speeds=speeds,
        steady=steady,
        machine=machine,
        marks=marks,
    )
    for note in axes.notes:
        say(f"{project.name}: {note}")
    since = changed(project, manifest, facts, against, person.baseline)
    return Report(project.name, manifest.snapshot, facts, axes, found, charts, since, sections)


def _axes(db: duckdb.DuckDBPyConnection, facts: Facts, asked: Mapping[str, Any]) -> Axes:
    catalog = facts.catalog
    four = choose.benchmarks(catalog, asked)
    shared = series.shared_steps(db, [m.name for m in four]) if len(four) == 4 else 0
    coverage: dict[str, int] = {}
    for run in facts.runs:
        for key, value in run.config.items():
            if isinstance(value, float | int):
                coverage[key] = coverage.get(key, 0) + 1
    losses = choose.losses(catalog, asked) or (_unmeasured("train/loss", "nats/token"),)

    def with_loss(metrics: tuple[str, ...]) -> int:
        return series.runs_with(db, losses[0].name, metrics)  # the one that is drawn first

    return Axes(
        losses=losses,
        accuracy=choose.accuracy(catalog, asked, four, shared, with_loss),
        mfu=choose.single(catalog, asked, "mfu", "train/mfu"),
        throughput=choose.single(catalog, asked, "throughput", "train/tok_per_sec"),
        benchmarks=four,
        keys=choose.config_keys(coverage),
        notes=choose.unmet(catalog, asked),
    )


def _unmeasured(name: str, unit: str) -> Metric:
    return Metric(name, unit, "min", "loss", known=True, runs=0, points=0)


def _speeds(db: duckdb.DuckDBPyConnection, facts: Facts, axes: Axes) -> Rows:
    mfu = axes.mfu or _unmeasured("train/mfu", "%")
    throughput = axes.throughput or _unmeasured("train/tok_per_sec", "tokens/s")
    source = series.same_step([mfu.name, throughput.name], ["mfu", "throughput"], 2)
    return series.with_accuracy(db, facts, source, series.MARKER_ROWS)


def _marks(db: duckdb.DuckDBPyConnection, facts: Facts, axes: Axes) -> Rows:
    names = [metric.name for metric in axes.benchmarks]
    columns = ["a", "b", "c", "d"]
    if len(names) < 3:
        nothing = ", ".join(f"0::double as {column}" for column in columns)
        empty = f"select ''::varchar as run_id, 0::bigint as step, {nothing} where false"
        return series.at_evaluations(db, facts, Source(empty, tuple(columns), (), 3), 1)
    source = series.same_step(names, columns[: len(names)], 3)
    return series.at_evaluations(db, facts, source, series.MARKER_ROWS)


def tables(charts: tuple[Chart, ...]) -> dict[str, pl.DataFrame]:
    """Return the charts' tables by name."""
    return {name: frame for chart in charts for name, frame in chart.tables.items()}
