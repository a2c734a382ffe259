"""Training compute and what it reached -> a marker for each run, the frontier, and a power law.

A power law is drawn only where the frontier lets one be told: five runs or more, over a factor of
ten in FLOPs, with an R² of 0.9 or more in the logarithms; and only over what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from reports import theme, words
from reports.axes import Metric
from reports.charts import plane, spec
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col, ink, of_run
from reports.load import Facts, Run
from reports.results import Results

FLOPS = "total_training_flops"
FEWEST, LEAST_SPAN, LEAST_R2 = 5, 10.0, 0.9

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Law:
    """loss = factor x FLOPs^exponent, with the exponent's standard error."""

    factor: float
    exponent: float
    error: float
    r2: float
    points: int
    ends: tuple[float, float]


def scaling(facts: Facts, found: Results, metrics: Sequence[Metric]) -> Chart:
    """Return the chart; of each of *metrics*, all losses, the least of each run is drawn."""
    columns = {metric.name: f"m{place}" for place, metric in enumerate(metrics)}
    rows = [run for run in facts.runs if _flops(found, run) is not None]
    frame = _frame(rows, found, metrics)
    stages = sorted({theme.stage_index(facts.runs[run].stage) for run in frame["run"]})
    steady = frame.filter(~pl.col("run").is_in(list(found.diverged)))
    laws = {
        (stage, name): _law(_of(steady, facts, stage, column))
        for stage in stages
        for name, column in columns.items()
    }
    y = by("loss", {name: col(column) for name, column in columns.items()})
    across = plane.axis("training compute", "FLOPs", "log")
    height = plane.axis(
        by("loss", {m.name: f"least {m.label}" for m in metrics}),
        by("loss", {m.name: m.unit_words for m in metrics}),
        "log",
    )
    return Chart(
        key="scaling",
        kind="plane",
        section="scaling",
        title="Scaling",
        subtitle="the least loss against the FLOPs that were spent, both log",
        summary=_summary(frame),
        tables={"scaling": frame} | {f"law{s}": _lines(laws, s, columns) for s in stages},
        traces=tuple(t for stage in stages for t in _traces(stage, y, metrics)),
        layout={"columns": 2, "panels": plane.stage_panels(stages, across, height)},
        colour=plane.own_colour(found),
        options=(Option("loss", "Loss", tuple((m.name, m.name) for m in metrics)),),
        notes=tuple(_notes(laws, stages, metrics)),
        absent=tuple(_absent(facts, found, frame, metrics)),
        shown=tuple(Shown("scaling", (m.name,), ("loss", m.name)) for m in metrics),
        counts={"logged": len(facts.runs), "drawn": frame.height},
    )


def _number(found: Results, key: str, run: Run) -> float | None:
    column = found.columns.get(key)
    value = column.values[run.index] if column else None
    good = isinstance(value, float | int) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]


def _flops(found: Results, run: Run) -> float | None:
    flops = _number(found, FLOPS, run)
    return flops if flops and flops > 0 else None


def _frame(rows: Sequence[Run], found: Results, metrics: Sequence[Metric]) -> pl.DataFrame:
    values = [
        (run.index, _flops(found, run), *(_number(found, m.name, run) for m in metrics))
        for run in rows
    ]
    measured = [row for row in values if any(value is not None for value in row[2:])]
    schema = {"run": pl.Int64, "flops": pl.Float64}
    schema |= {f"m{place}": pl.Float64 for place in range(len(metrics))}
    return pl.DataFrame(measured, schema=schema, orient="row")


def _of(frame: pl.DataFrame, facts: Facts, stage: int, column: str) -> list[Point]:
    rows = frame.select("run", "flops", column).drop_nulls().rows()
    return [(x, y) for run, x, y in rows if theme.stage_index(facts.runs[run].stage) == stage]


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return those of *points* that nothing cheaper has reached, by their x."""
    best, kept = math.inf, []
    for x, y in sorted(points):
        if y < best:
            best = y
            kept.append((x, y))
    return kept


def _law(points: Sequence[Point]) -> Law | None:
    front = [(x, y) for x, y in frontier(points) if y > 0]
    if len(front) < FEWEST or front[-1][0] < LEAST_SPAN * front[0][0]:
        return None
    x, y = (np.log10(np.array(values)) for values in zip(*front, strict=True))
    slope, level = (float(value) for value in np.polyfit(x, y, 1))
    rest = y - (slope * x + level)
    spread = float(((x - x.mean()) ** 2).sum())
    r2 = 1 - float((rest**2).sum()) / float(((y - y.mean()) ** 2).sum())
    if r2 < LEAST_R2:
        return None
    error = math.sqrt(float((rest**2).sum()) / (len(front) - 2) / spread)
    return Law(10**level, slope, error, r2, len(front), (front[0][0], front[-1][0]))


def _lines(
    laws: Mapping[tuple[int, str], Law | None], stage: int, columns: Mapping[str, str]
) -> pl.DataFrame:
    """Return each law of the stage as a line of its own between the ends of what was measured."""
    schema = {"run": pl.Int64, "line": pl.Int64, "flops": pl.Float64}
    schema |= dict.fromkeys(columns.values(), pl.Float64)
    rows = []
    for place, name in enumerate(columns):
        law = laws[stage, name]
        for flops in law.ends if law else ():
            row: Json = {"run": -1, "line": place, "flops": flops}
            rows.append(row | {columns[name]: law.factor * flops**law.exponent if law else None})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _traces(stage: int, y: Json, metrics: Sequence[Metric]) -> list[Json]:
    names = {m.name: f"least {m.label}" for m in metrics}
    units = {m.name: m.unit_words for m in metrics}
    shared = {"panel": theme.STAGES[stage], "stage": stage}
    place = {"type": "scatter", "x": col("flops"), "y": y}
    dashes = {"color": ink("muted"), "width": 1.2}
    law = {**place, "mode": "lines", "line": {**dashes, "dash": "dash"}}
    front = {**place, "mode": "lines", "line": dashes}
    marks = {**place, "mode": "markers", "marker": {"size": 10, "symbol": of_run("symbol")}}
    hover = [
        spec.line("", of_run("status")),
        spec.line("training compute", col("flops"), "g", "FLOPs"),
        [by("loss", names), y, "f4", by("loss", units)],
    ]
    data = {"table": "scaling", "rows": "points", "role": "data", "colour": "marker"}
    return [
        {**shared, "table": f"law{stage}", "rows": "line", "role": "mark", "plotly": law},
        {**shared, "table": "scaling", "rows": "frontier", "role": "mark", "plotly": front},
        {**shared, **data, "hover": hover, "labels": True, "plotly": marks},
    ]


def _notes(
    laws: Mapping[tuple[int, str], Law | None], stages: Sequence[int], metrics: Sequence[Metric]
) -> list[Note]:
    if not stages:
        return [Note("No run has both a loss and its FLOPs (total_training_flops).")]
    notes = [
        Note(
            "The line joins the runs that no cheaper one of their stage has beaten; one that"
            " diverged is not on it."
        )
    ]
    for metric in metrics:
        told = [(stage, laws[stage, metric.name]) for stage in stages]
        for stage, law in told:
            if law:
                text = (
                    f"Dashed, {theme.STAGES[stage]}: {metric.label} falls as"
                    f" FLOPs^({law.exponent:.3f} ± {law.error:.3f}) over the {law.points} runs"
                    f" of the frontier (R² {law.r2:.2f}); nothing is claimed beyond them."
                )
                notes.append(Note(text, ("loss", metric.name)))
        if not any(law for _, law in told):
            text = (
                f"No power law is drawn: that takes {FEWEST} runs on a stage's frontier, over"
                f" {LEAST_SPAN:.0f} times the FLOPs, on one line (R² ≥ {LEAST_R2})."
            )
            notes.append(Note(text, ("loss", metric.name)))
    return notes


def _absent(
    facts: Facts, found: Results, frame: pl.DataFrame, metrics: Sequence[Metric]
) -> list[Absent]:
    absent = []
    for place, metric in enumerate(metrics):
        drawn = set(frame.filter(pl.col(f"m{place}").is_not_null())["run"].to_list())
        for run in facts.runs:
            if run.index not in drawn:
                reason = "no FLOPs" if _flops(found, run) is None else f"no finite {metric.name}"
                absent.append(Absent(run.index, reason, ("loss", metric.name)))
    return absent


def _summary(frame: pl.DataFrame) -> str:
    if frame.is_empty():
        return "No run has both a loss and its FLOPs."
    return (
        f"{words.count(frame.height, 'run')} by the FLOPs of their training and the least loss they"
        " reached, with the line of the best for their FLOPs."
    )
