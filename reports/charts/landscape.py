"""Efficiency, throughput and the accuracy that held -> a marker for each run before its steps."""

from __future__ import annotations

from typing import Any

import polars as pl

from reports import words
from reports.axes import Axes
from reports.charts import spec
from reports.charts.spec import Absent, Chart, Json, Note, Shown, col, of_run
from reports.load import Facts
from reports.series import Rows

SMALLEST, LARGEST = 5.0, 11.0
WIDE = spec.view((1.2, 1.2, 0.82), (1.32, -1.5, 0.72), (0, 0, -0.12), 1.25)
NARROW = spec.view((1.05, 1.05, 0.85), (1.45, -1.62, 0.75), (0, 0, -0.1), 1.25)


def landscape(facts: Facts, axes: Axes, rows: Rows) -> Chart:
    """Return the chart of MFU x tokens per second x accuracy."""
    mfu = axes.mfu.titled if axes.mfu else "MFU"
    speed = axes.throughput.titled if axes.throughput else "throughput"
    accuracy = axes.height.label if axes.height else "accuracy"
    frame = rows.frame
    speeds = frame["throughput"]
    wide_range = frame.height > 0 and speeds.min() > 0 and speeds.max() / speeds.min() > 8  # type: ignore[operator]
    y = (
        spec.logarithmic(f"{speed}, log", speeds, "tokens/s")
        if wide_range
        else spec.linear(speed, spec.span(speeds), "tokens/s", tickformat="~s")
    )
    heights = spec.span(frame["accuracy"])
    middles = _middles(frame)
    names = [metric.name for metric in (axes.mfu, axes.throughput) if metric]
    hover = [
        spec.line("", of_run("status")),
        spec.line("step", col("step"), "int"),
        spec.line("MFU", col("mfu"), "g", _unit(axes.mfu)),
        spec.line("throughput", col("throughput"), "g", _unit(axes.throughput)),
        spec.line(accuracy, col("accuracy"), "f4"),
        spec.line("evaluated at step", col("eval_step"), "int"),
    ]
    return Chart(
        key="landscape",
        title="Performance landscape",
        subtitle=f"MFU × tokens per second × {accuracy}",
        summary=_summary(rows),
        tables={
            "landscape": frame.select("run", "step", "mfu", "throughput", "accuracy", "eval_step"),
            "landscape_runs": middles,
        },
        traces=_traces(hover, axes, accuracy),
        layout=spec.layout(
            spec.linear(mfu, spec.span(frame["mfu"]), "MFU"),
            y,
            spec.linear(accuracy, heights),
            WIDE,
            NARROW,
        ),
        colour="stage",
        section="performance",
        notes=tuple(_notes(rows)),
        absent=tuple(_absent(facts, rows)),
        shown=(Shown("landscape", (*names, *axes.accuracies)),),
        counts={"logged": rows.total("logged"), "drawn": frame.height},
    )


def _middles(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the medians of each run's drawn steps, its last accuracy and how many steps."""
    middle = (
        frame.sort("run", "step")
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("step").last(),
            pl.col("mfu", "throughput").median(),
            pl.col("accuracy").last(),
            pl.len().cast(pl.Int64).alias("steps"),
        )
    )
    most = middle["steps"].max() or 1
    share = (pl.col("steps") / most).sqrt()
    return middle.with_columns((SMALLEST + (LARGEST - SMALLEST) * share).alias("size"))


def _traces(hover: list[list[Any]], axes: Axes, accuracy: str) -> tuple[Json, ...]:
    """Return the steps as a faint cloud, a marker for each run, and what is pointed at."""
    place = {"x": col("mfu"), "y": col("throughput"), "z": col("accuracy")}
    base: Json = {"type": "scatter3d", "mode": "markers", **place}
    # small squares: drawing a circle costs twice as much (measured)
    cloud = {"size": 2, "symbol": "square", "line": {"width": 0}}
    middle = [
        spec.line("", of_run("status")),
        spec.line("median MFU", col("mfu"), "g", _unit(axes.mfu)),
        spec.line("median throughput", col("throughput"), "g", _unit(axes.throughput)),
        spec.line(f"last {accuracy}", col("accuracy"), "f4"),
        spec.line("steps drawn", col("steps"), "int"),
    ]
    marker = {"size": col("size"), "symbol": of_run("symbol"), "line": {"width": 0}}
    pointed = {"size": 3, "symbol": "square", "color": spec.ink("ink"), "line": {"width": 0}}
    steps = {"table": "landscape", "rows": "points", "hover": hover}
    return (
        {
            **steps,
            "role": "data",
            "colour": "marker",
            "plotly": {**base, "marker": cloud, "opacity": 0.14},
        },
        {
            "table": "landscape_runs",
            "rows": "points",
            "role": "mark",
            "colour": "marker",
            "labels": True,
            "hover": middle,
            "plotly": {**base, "marker": marker},
        },
        {**steps, "role": "mark", "only": "highlight", "plotly": {**base, "marker": pointed}},
    )


def _unit(metric: object) -> str:
    return getattr(metric, "unit_words", "")


def _notes(rows: Rows) -> list[Note]:
    logged = rows.total("logged")
    text = f"{rows.frame.height:,} of {words.count(logged, 'logged step')} drawn"
    if before := rows.total("before"):
        text += f"; {before:,} lie before their run's first evaluation and have no accuracy"
    if broken := rows.total("not_finite"):
        text += f"; {broken:,} have a value that is NaN or infinite"
    if rows.thinned:
        text += "; the rest was thinned, keeping the extremes of all three"
    large = "A large marker stands at its run's median MFU and throughput and at its last height,"
    return [Note(f"{text}. {large} larger with more steps; each logged step is small and faint.")]


def _absent(facts: Facts, rows: Rows) -> list[Absent]:
    drawn = set(rows.frame["run"].unique().to_list())
    tally = {row["run"]: row for row in rows.tally.to_dicts()}
    absent = []
    for run in facts.runs:
        if run.index in drawn:
            continue
        row = tally.get(run.index)
        if row is None:
            reason = "no step with both MFU and throughput"
        else:
            reason = "no accuracy" if row["before"] == row["logged"] else "no finite values"
        absent.append(Absent(run.index, reason))
    return absent


def _summary(rows: Rows) -> str:
    runs = rows.frame["run"].n_unique()
    return (
        f"{words.count(rows.frame.height, 'logged step')} of {words.count(runs, 'run')}, placed by"
        " MFU, by throughput and by the accuracy that held at the step."
    )
