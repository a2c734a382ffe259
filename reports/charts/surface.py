"""Loss over the steps and one setting -> a line for each run, and rungs between neighbours.

The rungs make a surface of the lines without inventing a run: along the steps a loss between two
logged ones is interpolated, between two runs nothing is. Stages share no loss, so it is of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from reports import theme, words
from reports.axes import Axes, Metric
from reports.charts import spec
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col, ink, of_run
from reports.load import Facts, Run
from reports.results import Results
from reports.series import Rows

LEAST = 3  # different values of a setting: two would be no surface
MOST_KEYS = 4
RUNGS = 24
POINTS = 160  # of a line
AIR = 0.16  # of the height: the names at the lines' ends stand above the ticks of the floor
ROLES = ("lr", "depth", "dim", "batch", "params")
WIDE = spec.view((1.7, 1.2, 0.8), (1.05, -1.75, 0.72), (0.05, 0, -0.2), 2.0)
NARROW = spec.view((1.15, 1.0, 0.9), (1.15, -1.65, 0.75), (0, 0, -0.08), 1.2)


def surface(
    facts: Facts, axes: Axes, found: Results, rows: Mapping[str, Rows]
) -> tuple[Chart, ...]:
    """Return the chart of steps x a setting x the first loss, or nothing where no setting spans."""
    metric = axes.losses[0]
    if metric.name not in rows:
        return ()
    frame = rows[metric.name].frame
    spans = [_span(facts, axes, found, frame, stage) for stage in range(len(theme.STAGES))]
    best = max(spans, key=lambda span: (len(span.keys) > 0, len(span.runs)))
    return (_chart(facts, found, metric, frame, best),) if best.keys else ()


@dataclass(frozen=True, slots=True)
class _Span:
    """One stage's steady runs with a line of the loss, and the settings that they span."""

    stage: int
    runs: tuple[Run, ...]
    keys: tuple[str, ...]


def _span(facts: Facts, axes: Axes, found: Results, frame: pl.DataFrame, stage: int) -> _Span:
    lines = frame.group_by("run").len().filter(pl.col("len") > 1)["run"]
    drawn = set(lines.to_list()) - found.diverged.keys()
    of_stage = (run for run in facts.runs if theme.stage_index(run.stage) == stage)
    runs = tuple(run for run in of_stage if run.index in drawn)
    first = [axes.keys[role] for role in ROLES if role in axes.keys]
    seen = sorted({key for run in runs for key in run.config})
    keys = [key for key in dict.fromkeys((*first, *seen)) if _distinct(runs, key) >= LEAST]
    return _Span(stage, runs, tuple(keys[:MOST_KEYS]))


def _value(run: Run, key: str) -> float:
    value = run.config.get(key)
    numeric = isinstance(value, float | int) and not isinstance(value, bool)
    return float(value) if numeric and math.isfinite(value) else math.nan  # type: ignore[arg-type]


def _distinct(runs: Sequence[Run], key: str) -> int:
    return len({value for run in runs if not math.isnan(value := _value(run, key))})


def _chart(facts: Facts, found: Results, metric: Metric, frame: pl.DataFrame, span: _Span) -> Chart:
    lines = _lines(frame, span)
    rungs = {key: _rungs(lines, span.runs, key) for key in span.keys}
    tables = {key: f"surface_rungs{place}" for place, key in enumerate(span.keys)}
    stage = theme.STAGES[span.stage]
    heights = lines["loss"]
    z = (
        spec.logarithmic(f"{metric.titled}, log", heights, metric.label, AIR)
        if lines.filter(pl.col("loss") <= 0).is_empty()
        else spec.linear(metric.titled, spec.span(heights, AIR), metric.label)
    )
    steps = spec.span(lines["step"].cast(pl.Float64), 0.02)
    return Chart(
        key="surface",
        title="Loss surface",
        subtitle=f"step × a setting × {metric.name}, {stage}",
        summary=_summary(span, metric, stage),
        tables={"surface": lines, **{tables[key]: rungs[key] for key in span.keys}},
        traces=tuple(_traces(span, tables, metric)),
        layout=spec.layout(
            spec.linear("step", steps, tickformat="~s", nticks=7),
            by("key", {key: _across(span.runs, key) for key in span.keys}),
            z,
            WIDE,
            NARROW,
        ),
        colour="loss" if "loss" in found.columns else "stage",
        section="configuration",
        options=(Option("key", "Across", tuple((key, key) for key in span.keys)),),
        notes=(_note(span, stage),),
        absent=tuple(_absent(facts, found, span)),
        shown=(Shown("surface", (metric.name,)),),
        counts={"logged": lines.height, "drawn": lines.height},
    )


def _lines(frame: pl.DataFrame, span: _Span) -> pl.DataFrame:
    """Return up to ``POINTS`` rows of each run, evenly by their order, with its settings."""
    wanted = frame.filter(pl.col("run").is_in([run.index for run in span.runs]))
    place, count = pl.int_range(pl.len()).over("run"), pl.len().over("run")
    stride = (count / POINTS).ceil().cast(pl.Int64)
    kept = wanted.filter((place % stride == 0) | (place == count - 1))
    values = {key: {run.index: _value(run, key) for run in span.runs} for key in span.keys}
    settings = [
        pl.col("run").replace_strict(values[key], return_dtype=pl.Float64).alias(f"y{at}")
        for at, key in enumerate(span.keys)
    ]
    return kept.select("run", "line", "step", pl.col("value").alias("loss"), *settings)


def _rungs(lines: pl.DataFrame, runs: Sequence[Run], key: str) -> pl.DataFrame:
    """Return at ``RUNGS`` steps the losses of the runs in the order of the setting.

    Of runs with one value of it the rungs go through the one whose last loss is lowest.
    """
    best: dict[float, tuple[float, int]] = {}
    curves = {}
    for run in runs:
        mine = lines.filter(pl.col("run") == run.index)
        value = _value(run, key)
        if mine.is_empty() or math.isnan(value):
            continue
        curves[run.index] = (mine["step"].to_numpy(), mine["loss"].to_numpy())
        ending = (float(mine["loss"][-1]), run.index)
        best[value] = min(best.get(value, ending), ending)
    order = [(value, best[value][1]) for value in sorted(best)]
    last = max((int(curves[at][0][-1]) for _, at in order), default=0)
    made = []
    for rung, step in enumerate(np.linspace(0, last, RUNGS).astype(int).tolist()):
        for value, index in order:
            steps, losses = curves[index]
            if steps[0] <= step <= steps[-1]:
                made.append((index, rung, step, value, float(np.interp(step, steps, losses))))
    schema = {"run": pl.Int64, "line": pl.Int64, "step": pl.Int64, "y": pl.Float64}
    return pl.DataFrame(made, schema=schema | {"loss": pl.Float64}, orient="row")


def _across(runs: Sequence[Run], key: str) -> Json:
    """Return the axis of one setting, with ticks at its own values where they are few."""
    values = sorted({v for run in runs if not math.isnan(v := _value(run, key))})
    few: Json = {"tickvals": values, "ticktext": [words.short(value) for value in values]}
    more: Json = few if len(values) <= 7 else {}
    drawn = pl.Series(values, dtype=pl.Float64)
    if values[0] > 0 and values[-1] / values[0] >= 4:
        return spec.logarithmic(f"{key}, log", drawn, key, 0.06) | more
    return spec.linear(key, spec.span(drawn, 0.06), **more)


def _traces(span: _Span, tables: Mapping[str, str], metric: Metric) -> list[Json]:
    y = by("key", {key: col(f"y{at}") for at, key in enumerate(span.keys)})
    lines: Json = {"type": "scatter3d", "mode": "lines"}
    place = {"x": col("step"), "y": y, "z": col("loss")}
    hover = [
        spec.line("", of_run("status")),
        spec.line("step", col("step"), "int"),
        [by("key", {key: key for key in span.keys}), y, "g", ""],
        spec.line(metric.name, col("loss"), "g", metric.unit_words),
    ]
    shared: Json = {"table": "surface"}
    return [
        {
            "table": by("key", dict(tables)),
            "rows": "line",
            "role": "mark",
            "colour": "line",
            "plotly": {
                **lines,
                "x": col("step"),
                "y": col("y"),
                "z": col("loss"),
                "line": {"width": 1.5},
                "opacity": 0.55,
            },
        },
        {
            **shared,
            "rows": "line",
            "role": "data",
            "colour": "line",
            "hover": hover,
            "plotly": {**lines, **place, "line": {"width": 4}},
        },
        {
            **shared,
            "rows": "ends",
            "role": "mark",
            "colour": "marker",
            "labels": True,
            "hover": hover,
            "plotly": {
                **lines,
                **place,
                "mode": "markers",
                "marker": {"size": 4.5, "symbol": of_run("symbol"), "line": {"width": 0}},
            },
        },
        {
            **shared,
            "rows": "line",
            "role": "mark",
            "only": "highlight",
            "hover": hover,
            "plotly": {**lines, **place, "line": {"width": 9, "color": ink("ink")}},
        },
    ]


def _note(span: _Span, stage: str) -> Note:
    return Note(
        f"{words.count(len(span.runs), 'run')} of {stage}. Thin lines join neighbours at the same"
        " step: along a run's steps a loss is interpolated between two logged ones, between runs"
        " nothing is. Of runs with one value they go through the one whose last loss is lowest."
    )


def _absent(facts: Facts, found: Results, span: _Span) -> list[Absent]:
    drawn = {run.index for run in span.runs}
    absent = []
    for run in facts.runs:
        if run.index in drawn:
            continue
        same = theme.stage_index(run.stage) == span.stage
        astray = same and run.index in found.diverged
        absent.append(Absent(run.index, "diverged" if astray else _elsewhere(span, same=same)))
    for key in span.keys:
        unset = [run for run in span.runs if math.isnan(_value(run, key))]
        absent += [Absent(run.index, f"no {key} in config", ("key", key)) for run in unset]
    return absent


def _elsewhere(span: _Span, *, same: bool) -> str:
    return "no line of the loss" if same else f"not {theme.STAGES[span.stage]}"


def _summary(span: _Span, metric: Metric, stage: str) -> str:
    return (
        f"{metric.name} of {words.count(len(span.runs), 'run')} of {stage} along their steps, side"
        f" by side in the order of {words.listed(list(span.keys))}, as chosen. The runs table has"
        " the last losses."
    )
