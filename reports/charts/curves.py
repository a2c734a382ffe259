"""Losses along the steps -> a panel for each stage: a loss means something else in each."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from reports import theme, words
from reports.axes import Axes, Metric
from reports.charts import plane
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col
from reports.load import Facts
from reports.results import Results
from reports.series import Rows


def curves(
    facts: Facts, axes: Axes, found: Results, rows: Mapping[str, Rows], history: pl.DataFrame
) -> Chart:
    """Return the chart; *rows* tells, by loss, how much of what was logged is in *history*."""
    losses = {metric.name: metric for metric in axes.losses if metric.name in rows}
    stages = plane.stages(facts, rows)
    across, along = plane.along()
    height = plane.axis(
        by("loss", {name: metric.label for name, metric in losses.items()}),
        by("loss", {name: metric.unit_words for name, metric in losses.items()}),
        by("scale", {"log": "log", "linear": "linear"}),
    )
    return Chart(
        key="curves",
        kind="plane",
        title="Loss",
        subtitle="what was logged and, bold, smoothed; a panel for each stage",
        summary=_summary(rows, stages),
        tables={"history": history},
        traces=tuple(_trace(stage, along, losses) for stage in stages),
        layout={
            "columns": 2,
            "logged": plane.logged("loss", rows),
            "panels": plane.stage_panels(stages, across, height),
        },
        colour=plane.own_colour(found),
        options=(
            Option("loss", "Loss", tuple((name, metric.name) for name, metric in losses.items())),
            Option("scale", "Scale", (("log", "log"), ("linear", "linear"))),
        ),
        notes=(*(_note(loss, rows[loss]) for loss in losses), *([plane.SMOOTHED] if rows else [])),
        absent=tuple(a for loss in losses for a in _absent(facts, loss, rows[loss])),
        shown=tuple(Shown("history", (loss,), ("loss", loss), column=loss) for loss in losses),
        counts=plane.counts(rows),
    )


def _trace(stage: int, along: Json, losses: Mapping[str, Metric]) -> Json:
    names = by("loss", {name: metric.name for name, metric in losses.items()})
    units = by("loss", {name: metric.unit_words for name, metric in losses.items()})
    value = by("loss", {name: col(name) for name in losses})
    return plane.stage_line(stage, along, value, (names, units), table="history")


def _note(loss: str, rows: Rows) -> Note:
    drawn, logged = rows.frame.height, rows.total("logged")
    text = f"{drawn:,} of {words.count(logged, 'point')} of {loss} drawn{plane.lost(rows)}"
    return Note(f"{text}.", ("loss", loss))


def _absent(facts: Facts, loss: str, rows: Rows) -> list[Absent]:
    tried = set(rows.tally["run"].to_list())
    drawn = set(rows.frame["run"].unique().to_list())
    return [
        Absent(
            run.index, f"no finite {loss}" if run.index in tried else f"no {loss}", ("loss", loss)
        )
        for run in facts.runs
        if run.index not in drawn
    ]


def _summary(rows: Mapping[str, Rows], stages: list[int]) -> str:
    if not stages:
        return "No loss was measured."
    loss, first = next(iter(rows.items()))
    runs = first.frame["run"].n_unique()
    named = words.listed([theme.STAGES[stage] for stage in stages])
    return (
        f"{loss} of {words.count(runs, 'run')} along training, a line each, in panels for {named}."
        " The runs table has the last values."
    )
