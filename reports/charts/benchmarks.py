"""Evaluations of four benchmarks -> three axes and a size: one marker for each evaluation."""

from __future__ import annotations

import math

import polars as pl

from reports import theme, words
from reports.axes import Axes, Metric
from reports.charts import spec
from reports.charts.spec import Absent, Chart, Json, Note, Shown, col, of_run
from reports.load import Facts
from reports.series import Rows

COLUMNS = ("a", "b", "c", "d")
SMALLEST, LARGEST, LARGEST_OF_MANY = 3.0, 13.0, 7.0
MANY = 100  # evaluations, from which on large markers hide each other
WIDE = spec.view((1.2, 1.2, 0.82), (1.42, -1.54, 0.72), (0, 0, -0.13), 1.25)
NARROW = spec.view((1.05, 1.05, 0.9), (1.5, -1.6, 0.75), (0, 0, -0.1), 1.25)


def benchmarks(facts: Facts, axes: Axes, rows: Rows) -> Chart:
    """Return the chart; the size's own value may be missing, the axes' may not."""
    names = [metric.label for metric in axes.benchmarks]
    frame, scale = _sized(rows.frame, len(names))
    subtitle = " × ".join(names[:3])
    if len(names) == 4:
        subtitle += f", size {names[3]}"
    limits = [spec.span(frame[column], 0.07) for column in COLUMNS[:3]]
    titles = [metric.titled for metric in axes.benchmarks[:3]]
    x, y, z = [
        *(spec.linear(*texts) for texts in zip(titles, limits, names, strict=False)),
        *[spec.axis("not measured")] * (3 - len(titles)),
    ]
    return Chart(
        key="benchmarks",
        title="Benchmarks",
        subtitle=subtitle,
        summary=_summary(names, rows),
        tables={"benchmarks": frame},
        traces=tuple(_traces(axes.benchmarks)),
        layout=spec.layout(x, y, z, WIDE, NARROW),
        colour="stage",
        section="evaluations",
        sizes=scale,
        sizes_title=f"size: {axes.benchmarks[3].titled}" if len(names) == 4 else "",
        notes=tuple(_notes(names, frame, rows)),
        absent=tuple(_absent(facts, rows, names)),
        shown=(Shown("benchmarks", tuple(metric.name for metric in axes.benchmarks)),),
        counts={
            "logged": rows.total("logged") + frame["step"].null_count(),
            "drawn": frame.height,
        },
    )


def _sized(frame: pl.DataFrame, width: int) -> tuple[pl.DataFrame, tuple[tuple[str, float], ...]]:
    """Return the rows with a marker size, and the sizes' legend; missing is smallest and open."""
    columns = ["run", "line", "step", *COLUMNS[:3]]
    if width < 4:
        plain = frame.select(*columns).with_columns(
            pl.lit(8.0).alias("size"), pl.lit(1, dtype=pl.Int64).alias("known")
        )
        return plain, ()
    value = pl.col("d").cast(pl.Float64)
    known = value.is_finite().fill_null(value=False)
    finite = frame.filter(known)["d"]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)  # type: ignore[arg-type]
    width_of = (value - low) / ((high - low) or 1.0)
    largest = LARGEST if frame.height <= MANY else LARGEST_OF_MANY
    size = SMALLEST + (largest - SMALLEST) * width_of.sqrt()
    sized = frame.select(*columns, "d", known.cast(pl.Int64).alias("known"), size.alias("size"))
    sized = sized.with_columns(
        pl.when(pl.col("known") == 1).then(pl.col("size")).otherwise(SMALLEST).alias("size")
    )
    return sized, _legend(low, high, largest) if len(finite) else ()


def _legend(low: float, high: float, largest: float) -> tuple[tuple[str, float], ...]:
    if low == high:
        return ((words.number(low), largest),)
    values = [low, (low + high) / 2, high]
    shares = [math.sqrt((value - low) / (high - low)) for value in values]
    return tuple(
        (words.number(float(f"{value:.3g}")), SMALLEST + (largest - SMALLEST) * share)
        for value, share in zip(values, shares, strict=True)
    )


def _traces(metrics: tuple[Metric, ...]) -> list[Json]:
    place = {"x": col("a"), "y": col("b"), "z": col("c")}
    base = {"type": "scatter3d", **place}
    hover = [
        spec.line("", of_run("status")),
        spec.line("step", col("step"), "int"),
        *(
            spec.line(metric.label, col(column), "f4", metric.unit_words)
            for metric, column in zip(metrics, COLUMNS, strict=False)
        ),
    ]
    return [
        {
            "table": "benchmarks",
            "rows": "line",
            "role": "mark",
            "colour": "line",
            "hover": hover,
            "plotly": {
                **base,
                "mode": "lines",
                "line": {"width": 2},
                "opacity": 0.45,
            },
        },
        {
            "table": "benchmarks",
            "rows": "points",
            "role": "data",
            "colour": "marker",
            "hover": hover,
            "plotly": {
                **base,
                "mode": "markers",
                "marker": {
                    "size": col("size"),
                    "symbol": spec.either("known", of_run("symbol"), theme.NOT_MEASURED_SYMBOL),
                    "opacity": 0.95,
                    "line": {"width": 0},
                },
            },
        },
        {
            "table": "benchmarks",
            "rows": "line",
            "role": "mark",
            "only": "highlight",
            "hover": hover,
            "plotly": {
                **base,
                "mode": "lines",
                "line": {"width": 6, "color": spec.ink("ink")},
            },
        },
    ]


def _notes(names: list[str], frame: pl.DataFrame, rows: Rows) -> list[Note]:
    if len(names) < 3:
        return [Note("Fewer than three benchmarks were measured in this project.")]
    reported = frame["step"].null_count()
    text = (
        f"{words.count(frame.height, 'evaluation')} at which {words.listed(names[:3])} were all"
        f" measured"
    )
    missing = frame.height - int(frame["known"].sum())
    if missing:
        text += f"; at {missing:,} of them {names[3]} was not: these are the small open diamonds"
    if reported:
        text += f"; {reported:,} are reported results of runs without history, at no known step"
    if broken := rows.total("not_finite"):
        text += f"; {broken:,} more are not finite"
    if rows.thinned:
        text += f"; thinned from {rows.total('logged'):,}, keeping the extremes of each"
    return [Note(text + ". A thin line goes through a run's evaluations in their order.")]


def _absent(facts: Facts, rows: Rows, names: list[str]) -> list[Absent]:
    drawn = set(rows.frame["run"].unique().to_list())
    reason = f"no evaluation with all of {words.listed(names[:3])}" if names else "no benchmark"
    return [Absent(run.index, reason) for run in facts.runs if run.index not in drawn]


def _summary(names: list[str], rows: Rows) -> str:
    if len(names) < 3:
        return "Fewer than three benchmarks were measured."
    runs = rows.frame["run"].n_unique()
    return (
        f"{words.count(rows.frame.height, 'evaluation')} of {words.count(runs, 'run')}, placed by"
        f" {words.listed(names[:3])}. The table of best values by stage has them as numbers."
    )
