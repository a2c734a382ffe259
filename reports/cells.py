"""Results and facts -> the rows and cells of the page's tables, as words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from reports import theme, words
from reports.charts.spec import Chart, When
from reports.gather import Report
from reports.load import Run, Value
from reports.results import Column, measured_keys


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, or why there is none."""

    text: str
    title: str = ""
    missing: bool = False
    run: int | None = None  # where it leads


@dataclass(frozen=True, slots=True)
class Row:
    """One run's cells."""

    run: Run
    stage: int
    symbol: str
    diverged: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """The runs table."""

    columns: Sequence[Column]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Absence:
    """Why some runs are not in a chart, which they are, and at which choice that holds."""

    reason: str
    runs: Sequence[Run]


def runs_table(report: Report) -> Table:
    """Return the runs table; its first three columns are drawn by the template."""
    columns = [report.results.columns[key] for key in report.results.shown]
    rows = []
    for run in report.facts.runs:
        stage = theme.stage_index(run.stage)
        diverged = report.results.diverged.get(run.index)
        rows.append(
            Row(
                run,
                stage,
                theme.STAGE_SYMBOLS[stage],
                f"diverged at step {diverged[1]:,} ({diverged[0]})" if diverged else "",
                [_cell(report, run, column) for column in columns[3:]],
            )
        )
    return Table(columns, rows)


def _cell(report: Report, run: Run, column: Column) -> Cell:
    value = column.values[run.index]
    if column.key == "parent":
        return _parent(run, value)
    if value is None:
        reasons = {"config": "not in config", "run": "not known"}
        title = reasons.get(column.group, "not measured")
        return Cell(words.MISSING, title, missing=True)
    title = ""
    source = report.axes.keys.get(column.key, column.key)
    if column.group == "config" and source in run.inherited:
        title = f"from {run.inherited[source]}"
    if column.key == "accuracy" and run.index in report.results.best_steps:
        title = f"at step {report.results.best_steps[run.index]:,}"
    return Cell(_value(value, column.form), title)


def _parent(run: Run, value: Value) -> Cell:
    if value is None:
        return Cell(words.MISSING, "none recorded", missing=True)
    if run.parent is None:
        return Cell(str(value), "not in this snapshot")
    return Cell(str(value), run=run.parent)


def _value(value: Value, form: str) -> str:
    return words.number(value, form) if isinstance(value, float | int) else str(value)


def config_words(report: Report, run: Run, role: str) -> str | None:
    """Return a config value for a hover, with the run that it is inherited from."""
    key = report.axes.keys.get(role, role)
    value = run.config.get(key)
    if value is None:
        return None
    inherited = f" (from {run.inherited[key]})" if key in run.inherited else ""
    return _value(value, "g") + inherited


def best_by_stage(report: Report) -> list[tuple[Column, list[Cell]]]:
    """Return for each quantity and stage the best value and whose it is."""
    keys = ["accuracy", *measured_keys(report.axes), "bpb"]
    columns = [report.results.columns[key] for key in keys if key in report.results.columns]
    stages = sorted({theme.stage_index(run.stage) for run in report.facts.runs})
    return [(column, [_best(report, stage, column) for stage in stages]) for column in columns]


def _best(report: Report, stage: int, column: Column) -> Cell:
    values = [
        (value, run)
        for run, value in zip(report.facts.runs, column.values, strict=True)
        if theme.stage_index(run.stage) == stage
        and isinstance(value, float | int)
        and math.isfinite(value)
    ]
    if not values:
        return Cell(words.MISSING, "not measured", missing=True)
    best = min if column.key == "bpb" else max
    value, run = best(values, key=lambda pair: pair[0])
    return Cell(_value(value, column.form), run.name, run=run.index)


def tray(report: Report, chart: Chart) -> list[tuple[When | None, list[Absence]]]:
    """Return, by choice, the runs that a chart does not show, together by reason."""
    found = []
    for when, absent in groupby(chart.absent, key=lambda item: item.when):
        listed = list(absent)
        reasons = dict.fromkeys(item.reason for item in listed)
        found.append(
            (
                when,
                [
                    Absence(
                        reason,
                        [report.facts.runs[item.run] for item in listed if item.reason == reason],
                    )
                    for reason in reasons
                ],
            )
        )
    return found


def sources(report: Report) -> list[tuple[str, int, float]]:
    """Return the kinds of source, the points that came from each, and their share.

    Where nothing has points they are those of what runs reported.
    """
    told = report.facts.sources.select("source", "points").rows()
    by_source = report.facts.manifest.sources or dict(told)
    total = sum(by_source.values()) or 1
    ordered = sorted(by_source.items(), key=lambda item: (-item[1], item[0]))
    return [(name, points, points / total) for name, points in ordered]


def colour_groups(report: Report) -> list[tuple[str, list[Column]]]:
    """Return what the page can colour by, in groups: of the run, results, config."""
    titles = (("run", "Run"), ("result", "Results"), ("config", "Config"))
    hidden = {"name", "id", "stage"}
    groups = []
    for group, title in titles:
        columns = [
            column
            for column in report.results.columns.values()
            if column.group == group and column.key not in hidden and _varies(column)
        ]
        if columns:
            groups.append((title, columns))
    return groups


def _varies(column: Column) -> bool:
    return len({value for value in column.values if value is not None}) > 1
