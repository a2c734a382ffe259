"""A project's snapshot -> everything that its report says: facts, axes, results and charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from etl import snapshot
from etl.project import Project, Settings, settings
from reports import axes as choose
from reports import series, theme
from reports.axes import Axes, Metric
from reports.changed import PREVIOUS, changed
from reports.charts import Chart, all_charts, plane
from reports.details import Details, details
from reports.load import Facts, load
from reports.news import Changed
from reports.others import Others, others
from reports.results import STEADY, Results, results
from reports.scan import Scan, Wanted, scan

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
        counts = series.points_of(db)
        axes = _axes(db, facts, asked, counts)
        rest = others(facts, counts, _by_step(facts, axes))
        say(f"{project.name}: snapshot {manifest.snapshot}, {len(facts.runs):,} runs")
        seen = scan(project, manifest, facts, _wanted(facts, axes, rest))
        found = results(db, facts, axes, seen)
        machine = {
            metric: series.machine(db, facts, pattern) for metric, pattern in choose.MACHINE.items()
        }
        sections = details(db, facts)
        named = dict(zip(_marks(axes), "abcd", strict=False))
        marks = series.rows(seen, named, needed=3)
        marks = series.with_reported(marks, db, facts, named, needed=3)
    charts = all_charts(
        facts,
        axes,
        found,
        losses={
            metric.name: series.medians(
                series.rows(seen, {metric.name: "loss"}, accuracy=True), "loss"
            )
            for metric in axes.losses
        },
        curves={m.name: series.rows(seen, {m.name: "value"}) for m in axes.losses},
        speeds=series.rows(
            seen, dict(zip(_speeds(axes), ("mfu", "throughput"), strict=True)), accuracy=True
        ),
        steady={
            metric: series.rows(seen, {metric.name: "value"})
            for metric in choose.steady(facts.catalog, axes)
        },
        machine=machine,
        others={metric: series.alone(seen, metric.name) for metric in rest.drawn},
        left_out=rest.left_out,
        history=_history(seen, facts, axes),
        marks=marks,
    )
    for note in (*axes.notes, *_unknown(person, facts)):
        say(f"{project.name}: {note}")
    since = changed(project, manifest, facts, against, person.baseline)
    return Report(project.name, manifest.snapshot, facts, axes, found, charts, since, sections)


def _unknown(person: Settings, facts: Facts) -> list[str]:
    """Return a note for each name in ``project.toml`` that no run or stage has."""
    notes = []
    names = {name for run in facts.runs for name in (run.run_id, run.name)}
    if person.baseline is not None and person.baseline not in names:
        notes.append(
            f"project.toml names {person.baseline} as baseline, which no run in this snapshot is"
            " called; write the id or the name of a run"
        )
    return notes + [
        f"project.toml names {stage} as the stage of {key}, which is no stage; the stages are"
        f" {', '.join(theme.STAGES)}"
        for key, stage in sorted(person.stages.items())
        if stage not in theme.STAGES
    ]


def _axes(
    db: duckdb.DuckDBPyConnection,
    facts: Facts,
    asked: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
) -> Axes:
    catalog = facts.catalog
    four = choose.benchmarks(catalog, asked)
    shared = series.share_a_step(db, [metric.name for metric in four])
    coverage: dict[str, int] = {}
    for run in facts.runs:
        for key, value in run.config.items():
            if isinstance(value, float | int):
                coverage[key] = coverage.get(key, 0) + 1
    losses = choose.losses(catalog, asked) or (_unmeasured("train/loss", "nats/token"),)

    def with_loss(metrics: tuple[str, ...]) -> int:
        line = counts.get(losses[0].name, {})  # of the one that is drawn first
        several = [counts.get(metric, {}) for metric in metrics]
        return sum(n > 1 and all(run in of for of in several) for run, n in line.items())

    return Axes(
        losses=losses,
        accuracy=choose.accuracy(catalog, asked, four if shared else (), with_loss),
        mfu=choose.single(catalog, asked, "mfu", "train/mfu"),
        throughput=choose.single(catalog, asked, "throughput", "train/tok_per_sec"),
        benchmarks=four,
        keys=choose.config_keys(coverage),
        notes=choose.unmet(catalog, asked),
    )


def _unmeasured(name: str, unit: str) -> Metric:
    return Metric(name, unit, "min", "loss", known=True, runs=0, points=0)


def _wanted(facts: Facts, axes: Axes, rest: Others) -> Wanted:
    """Return what the page reads of the history; losses get most of the rows."""
    names = [metric.name for metric in (*choose.steady(facts.catalog, axes), *axes.benchmarks)]
    losses = [metric.name for metric in axes.losses]
    together: dict[tuple[str, ...], bool] = {(loss,): True for loss in losses}
    together |= {_speeds(axes): True, tuple(_marks(axes)[:3]): False}
    weights = dict.fromkeys((*names, *_speeds(axes), *_marks(axes)), 1) | dict.fromkeys(losses, 3)
    return Wanted(
        metrics=weights,
        accuracy=axes.height,
        together=together,
        medians=tuple(name for name, m in facts.catalog.items() if m.family in STEADY),
        others={metric: rows for metric, rows in rest.rows.items() if metric not in weights},
    )


def _history(seen: Scan, facts: Facts, axes: Axes) -> pl.DataFrame:
    """Return what the lines in two dimensions share: once what stands on x, and each metric."""
    names = _by_step(facts, axes)
    frame = seen.frame.select("run", *plane.X_AXES, *names)
    return frame.filter(pl.any_horizontal(pl.col(name).is_not_nan() for name in names))


def _by_step(facts: Facts, axes: Axes) -> list[str]:
    """Return the metrics that have lines by step in charts of their own."""
    metrics = (*axes.losses, *choose.steady(facts.catalog, axes))
    return list(dict.fromkeys(metric.name for metric in metrics))


def _speeds(axes: Axes) -> tuple[str, str]:
    mfu = axes.mfu.name if axes.mfu else "train/mfu"
    return mfu, axes.throughput.name if axes.throughput else "train/tok_per_sec"


def _marks(axes: Axes) -> list[str]:
    """Return the benchmarks that span three axes and a size, or names that no run has."""
    names = [metric.name for metric in axes.benchmarks]
    return names if len(names) >= 3 else ["benchmark a", "benchmark b", "benchmark c"]


def tables(charts: tuple[Chart, ...]) -> dict[str, pl.DataFrame]:
    """Return the charts' tables by name."""
    return {name: frame for chart in charts for name, frame in chart.tables.items()}
