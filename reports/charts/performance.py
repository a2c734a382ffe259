"""Throughput, MFU and what the machine told of itself, over time -> a line for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from reports import words
from reports.axes import Metric
from reports.charts import plane, spec
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col
from reports.load import Facts
from reports.results import Results
from reports.series import Rows


def performance(
    facts: Facts,
    found: Results,
    speeds: Mapping[Metric, Rows],
    machine: Mapping[Metric, Rows],
    history: pl.DataFrame,
) -> Chart:
    """Return the chart; *speeds* tells, by metric, how much of what was logged is in *history*."""
    rows = {metric: r for metric, r in {**speeds, **machine}.items() if r.frame.height}
    tables = {m.name: m.name if m in machine else "history" for m in rows}
    across, along = plane.along()
    timed = {metric.name for metric in machine}
    elapsed = plane.axis("time since the first measurement", "", "duration")
    x = {name: elapsed if name in timed else across for name in tables}
    at = {name: col("time") if name in timed else along for name in tables}
    clock = spec.line("after", col("time"), "g", "s")
    when = {name: clock if name in timed else plane.STEP for name in tables}
    stages = plane.stages(facts, rows)
    height = plane.axis(
        by("metric", {metric.name: metric.label for metric in rows}),
        by("metric", {metric.name: metric.unit_words for metric in rows}),
    )
    return Chart(
        key="performance",
        kind="plane",
        section="performance",
        title="Throughput and machine",
        subtitle="along training, the machine along the clock; a panel for each stage",
        summary=_summary(list(rows)),
        tables={"history": history}
        | {m.name: _table(m, r) for m, r in rows.items() if m in machine},
        traces=tuple(
            _trace(stage, by("metric", tables), by("metric", at), by("metric", when), list(rows))
            for stage in stages
        ),
        layout={
            "columns": 2,
            "logged": plane.logged(
                "metric", {m.name: r for m, r in rows.items() if m not in machine}
            ),
            "panels": plane.stage_panels(stages, by("metric", x), height),
        },
        colour=plane.own_colour(found),
        options=(Option("metric", "Metric", tuple((m.name, m.label) for m in rows)),),
        notes=(
            *(_note(metric, r, timed=metric in machine) for metric, r in rows.items()),
            *([plane.SMOOTHED] if rows else []),
        ),
        absent=tuple(_absent(facts, rows)),
        shown=tuple(
            Shown("history", (m.name,), ("metric", m.name), column=m.name)
            for m in rows
            if m not in machine
        ),
        counts=plane.counts(rows),
    )


def _table(metric: Metric, rows: Rows) -> pl.DataFrame:
    return rows.frame.select("run", "line", "time", pl.col("value").alias(metric.name))


def _trace(stage: int, table: Json, along: Json, when: Json, metrics: Sequence[Metric]) -> Json:
    names = by("metric", {metric.name: metric.label for metric in metrics})
    units = by("metric", {metric.name: metric.unit_words for metric in metrics})
    value = by("metric", {metric.name: col(metric.name) for metric in metrics})
    return plane.stage_line(stage, along, value, (names, units), table=table, when=when)


def _note(metric: Metric, rows: Rows, *, timed: bool) -> Note:
    measured = words.count(rows.total("logged"), "measurement")
    text = f"{rows.frame.height:,} of {measured} drawn{plane.lost(rows)}"
    if timed:
        text += ". Of a run with several GPUs it is their median"
    return Note(f"{text}.", ("metric", metric.name))


def _absent(facts: Facts, rows: Mapping[Metric, Rows]) -> list[Absent]:
    if not rows:
        return [Absent(run.index, "nothing measured") for run in facts.runs]
    absent = []
    for metric, measured in rows.items():
        drawn = set(measured.frame["run"].unique().to_list())
        when = ("metric", metric.name)
        absent += [
            Absent(run.index, f"no {metric.label}", when)
            for run in facts.runs
            if run.index not in drawn
        ]
    return absent


def _summary(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return "Neither throughput nor the machine was measured."
    named = words.listed([metric.titled for metric in metrics])
    return (
        f"A line for each run along training, in a panel for each stage, of {named}, one at a time."
    )
