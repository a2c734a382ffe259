"""Every metric that has no other chart along the steps -> one of them at a time, by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from reports import words
from reports.axes import Metric
from reports.charts import plane
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col
from reports.load import Facts
from reports.results import Results
from reports.series import Rows

BETTER = {"min": "Lower is better.", "max": "Higher is better."}
# What is set and not measured has corners, which a smoothed line would round.
SET = ("schedule", "compute", "data")


def metrics(
    facts: Facts, found: Results, rows: Mapping[Metric, Rows], left_out: Sequence[Metric]
) -> list[Chart]:
    """Return the chart of *rows*, the most useful first, or none where there are none."""
    drawn = {metric: of for metric, of in rows.items() if of.frame.height}
    if not drawn:
        return []
    tables = {metric.name: f"logged {metric.name}" for metric in drawn}
    stages = plane.stages(facts, drawn)
    across, along = plane.along()
    height = plane.axis(
        by("metric", {metric.name: metric.label for metric in drawn}),
        by("metric", {metric.name: metric.unit_words for metric in drawn}),
        by("scale", {"linear": "linear", "log": "log"}),
    )
    return [
        Chart(
            key="metrics",
            kind="plane",
            title="Other metrics",
            subtitle="whatever else was logged by step, one at a time; a panel for each stage",
            summary=_summary(list(drawn)),
            tables={tables[metric.name]: of.frame for metric, of in drawn.items()},
            traces=tuple(_trace(stage, tables, along, list(drawn)) for stage in stages),
            layout={
                "columns": 2,
                "logged": plane.logged("metric", {m.name: of for m, of in drawn.items()}),
                "panels": plane.stage_panels(stages, across, height),
            },
            colour=plane.own_colour(found),
            options=(
                Option("metric", "Metric", tuple((m.name, m.label) for m in drawn)),
                Option("scale", "Scale", (("linear", "linear"), ("log", "log"))),
            ),
            notes=(
                *(_note(facts, metric, of) for metric, of in drawn.items()),
                plane.SMOOTHED,
                *_left_out(left_out),
            ),
            absent=tuple(_absent(facts, drawn)),
            shown=tuple(
                Shown(table, (name,), ("metric", name), column="value")
                for name, table in tables.items()
            ),
            counts=plane.counts(drawn),
        )
    ]


def _trace(stage: int, tables: Mapping[str, str], along: Json, metrics: Sequence[Metric]) -> Json:
    names = by("metric", {metric.name: metric.label for metric in metrics})
    said = names, by("metric", {metric.name: metric.unit_words for metric in metrics})
    smooth = by("metric", {metric.name: metric.family not in SET for metric in metrics})
    return plane.stage_line(
        stage, along, col("value"), said, table=by("metric", tables), smooth=smooth
    )


def _note(facts: Facts, metric: Metric, rows: Rows) -> Note:
    height, logged = rows.frame.height, words.count(rows.total("logged"), "point")
    runs = rows.frame["run"].n_unique()
    text = f"{height:,} of {logged} of {metric.label} drawn, of {runs} of {len(facts.runs)} runs"
    text += plane.lost(rows, "extremes and corners")
    more = ["It is not smoothed."] if metric.family in SET else []
    more += [BETTER[metric.direction]] if metric.direction in BETTER else []
    return Note(" ".join([f"{text}.", *more]), ("metric", metric.name))


def _left_out(metrics: Sequence[Metric]) -> list[Note]:
    if not metrics:
        return []
    names = words.listed_first([metric.name for metric in metrics])
    return [
        Note(
            f"No room for {names}; in runs.duckdb: select run_id, step, value from history"
            " where metric = …"
        )
    ]


def _absent(facts: Facts, drawn: Mapping[Metric, Rows]) -> list[Absent]:
    frames = pl.concat([of.frame.select("run") for of in drawn.values()])
    there = set(frames["run"].unique().to_list())
    reason = "nothing else was logged by step"
    return [Absent(run.index, reason) for run in facts.runs if run.index not in there]


def _summary(metrics: Sequence[Metric]) -> str:
    named = words.listed_first([metric.titled for metric in metrics])
    return f"One metric at a time of {named}: a line for each run along training, by stage."
