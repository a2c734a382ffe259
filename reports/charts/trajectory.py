"""Loss and accuracy along the steps -> one line for each run, with its shadow on the floor."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from reports import words
from reports.axes import Axes, Metric
from reports.charts import spec
from reports.charts.spec import Absent, Chart, Json, Note, Option, Shown, by, col, ink, of_run
from reports.load import Facts
from reports.pack import MEDIAN_WINDOW
from reports.results import Results
from reports.series import Rows

MANY = 200  # runs, from which on their shadows must stand back
WIDE = spec.view((2.1, 1.0, 0.8), (0.42, -1.74, 0.58), (0.03, 0, -0.13), 2.25)
NARROW = spec.view((1.15, 0.95, 0.9), (0.85, -1.75, 0.55), (0.0, 0, -0.08), 1.2)


def trajectory(facts: Facts, axes: Axes, found: Results, rows: Mapping[str, Rows]) -> Chart:
    """Return the chart; *rows* holds, by loss, what was logged."""
    tables = {loss: f"trajectory{place}" for place, loss in enumerate(rows)}
    losses = {metric.name: metric for metric in axes.losses if metric.name in rows}
    accuracy = axes.height.label if axes.height else "accuracy"
    every = pl.concat([r.frame.select("accuracy") for r in rows.values()])["accuracy"]
    heights = spec.span(every)
    limits = {loss: list(spec.span(_steady(r, found)["loss"])) for loss, r in rows.items()}
    within = by("range", {"steady": by("loss", limits), "all": None})
    return Chart(
        key="trajectory",
        title="Training trajectory",
        subtitle=f"step × loss × {accuracy}",
        summary=_summary(axes, rows),
        tables={tables[loss]: _table(r) for loss, r in rows.items()},
        traces=tuple(
            _traces(by("loss", tables), heights[0], losses, axes, within, runs=len(facts.runs))
        ),
        layout=spec.layout(
            by("loss", {loss: _steps(r) for loss, r in rows.items()}),
            by("loss", {loss: _losses(losses[loss], r, found) for loss, r in rows.items()}),
            spec.linear(_titled(axes), heights),
            WIDE,
            NARROW,
        ),
        colour="stage",
        options=_options(facts, losses, rows, found),
        notes=(
            *(_notes(loss, r, axes) for loss, r in rows.items()),
            *_beyond_notes(rows, found),
            *_shared_notes(axes),
        ),
        absent=tuple(a for loss, r in rows.items() for a in _absent(facts, loss, r, found)),
        shown=tuple(
            Shown(table, (loss, *axes.accuracies), ("loss", loss)) for loss, table in tables.items()
        ),
        counts={"logged": _first(rows, "logged"), "drawn": _drawn(rows)},
    )


def _drawn(rows: Mapping[str, Rows]) -> int:
    return next((r.frame.height for r in rows.values()), 0)


def _first(rows: Mapping[str, Rows], column: str) -> int:
    return next((r.total(column) for r in rows.values()), 0)


def _titled(axes: Axes) -> str:
    return axes.height.label if axes.height else "accuracy"


def _table(rows: Rows) -> pl.DataFrame:
    columns = ("run", "line", "step", "total_step", "loss", "loss_median", "accuracy", "eval_step")
    return rows.frame.select(columns)


def _traces(
    table: Json, floor: float, losses: Mapping[str, Metric], axes: Axes, within: Json, *, runs: int
) -> list[Json]:
    place = {
        "x": by("x", {"lineage": col("total_step"), "own": col("step")}),
        "y": by("line", {"median": col("loss_median"), "raw": col("loss")}),
        "z": col("accuracy"),
    }
    base = {"type": "scatter3d", "mode": "lines", **place}
    quiet = {**base, "hoverinfo": "skip"}
    shared = {"table": table, "rows": "line", "role": "mark"}
    hover = _hover(losses, axes)
    shadow = 2 if runs <= MANY else 0.7
    smooth = by("line", {"median": True, "raw": False})
    return [
        {
            **shared,
            "rows": "shadow",
            "foot": floor,
            "smooth": smooth,
            "plotly": {**quiet, "line": {"color": ink("shadow"), "width": shadow}},
        },
        {  # what was logged: bold, or thin behind its running median
            **shared,
            "role": "data",
            "colour": "line",
            "hover": hover,
            "plotly": {
                **base,
                "y": col("loss"),
                "line": {"width": by("line", {"median": 1.5, "raw": 4})},
                "opacity": by("line", {"median": 0.4, "raw": 1}),
            },
        },
        {
            **shared,
            "smooth": smooth,
            "colour": "line",
            "hover": hover,
            "plotly": {
                **base,
                "line": {"width": 5},
                "visible": by("line", {"median": True, "raw": False}),
            },
        },
        {  # a line that leaves the range has its name where it leaves
            **shared,
            "rows": "ends",
            "within": {"column": "loss", "limits": within},
            "colour": "marker",
            "labels": True,
            "hover": hover,
            "plotly": _ends(base),
        },
        {
            **shared,
            "only": "highlight",
            "hover": hover,
            "plotly": {**base, "line": {"width": 9, "color": ink("ink")}},
        },
    ]


def _ends(base: Json) -> Json:
    return {
        **base,
        "mode": "markers",
        "marker": {"size": 4.5, "symbol": of_run("symbol"), "line": {"width": 0}},
    }


def _hover(losses: Mapping[str, Metric], axes: Axes) -> list[list[object]]:
    names = {name: metric.name for name, metric in losses.items()}
    units = {name: metric.unit_words for name, metric in losses.items()}
    accuracy = axes.height.label if axes.height else "accuracy"
    return [
        spec.line("", of_run("status")),
        spec.line("step", col("step"), "int"),
        [by("loss", names), col("loss"), "g", by("loss", units)],
        spec.line(accuracy, col("accuracy"), "f4"),
        spec.line("evaluated at step", col("eval_step"), "int"),
    ]


def _steps(rows: Rows) -> Json:
    more: Json = {"tickformat": "~s", "nticks": 7}
    own, total = (spec.span(rows.frame[c].cast(pl.Float64), 0.02) for c in ("step", "total_step"))
    return by(
        "x",
        {
            "lineage": spec.linear(
                "step, counted on through the parents", total, "step, counted on", **more
            ),
            "own": spec.linear("step", own, **more),
        },
    )


def _losses(metric: Metric, rows: Rows, found: Results) -> Json:
    ranges = {"steady": _steady(rows, found)["loss"], "all": rows.frame["loss"]}
    return by("range", {name: _loss_axis(metric, rows, values) for name, values in ranges.items()})


def _loss_axis(metric: Metric, rows: Rows, values: pl.Series) -> Json:
    straight = spec.linear(metric.titled, spec.span(values), metric.label, nticks=5)
    if not _positive(rows):
        return by("scale", {"log": straight, "linear": straight})
    log = spec.logarithmic(f"{metric.titled}, log", values, metric.label)
    return by("scale", {"log": log, "linear": straight})


def _steady(rows: Rows, found: Results) -> pl.DataFrame:
    """Return the rows of the runs that did not diverge, or all if every run did."""
    steady = rows.frame.filter(~pl.col("run").is_in(list(found.diverged)))
    return rows.frame if steady.is_empty() else steady


def _beyond(rows: Rows, found: Results) -> pl.DataFrame:
    """Return the rows, all of diverged runs, that lie beyond the range of the others."""
    low, high = spec.span(_steady(rows, found)["loss"])
    return rows.frame.filter(~pl.col("loss").is_between(low, high))


def _positive(rows: Rows) -> bool:
    return rows.frame.filter(pl.col("loss") <= 0).is_empty()


def _options(
    facts: Facts, losses: Mapping[str, Metric], rows: Mapping[str, Rows], found: Results
) -> tuple[Option, ...]:
    options = [
        Option("loss", "Loss", tuple((name, metric.name) for name, metric in losses.items())),
        Option("x", "Steps", (("lineage", "through the parents"), ("own", "each run's own"))),
        Option("scale", "Scale", (("log", "log"), ("linear", "linear"))),
        Option("line", "Line", (("median", "median over raw"), ("raw", "raw"))),
    ]
    if not any(run.parent is not None for run in facts.runs):
        options[1] = Option("x", "Steps", (("own", "each run's own"),))
    beyond = any(not _beyond(r, found).is_empty() for r in rows.values())
    ranges = (("steady", "without divergence"), ("all", "all"))
    options.append(Option("range", "Range", ranges if beyond else ranges[1:]))
    if not all(_positive(r) for r in rows.values()):
        options[2] = Option("scale", "Scale", (("linear", "linear"),))
    return tuple(options)


def _notes(loss: str, rows: Rows, axes: Axes) -> Note:
    drawn, logged = rows.frame.height, rows.total("logged")
    text = f"{drawn:,} of {words.count(logged, 'point')} of {loss} drawn"
    reasons = []
    if axes.height is None:
        reasons.append("no accuracy was measured; [axes] accuracy in project.toml can name one")
    elif before := rows.total("before"):
        reasons.append(f"{before:,} lie before their run's first evaluation and have no accuracy")
    if broken := rows.total("not_finite"):
        reasons.append(f"{broken:,} are NaN or infinite: there the line ends")
    if rows.thinned:
        reasons.append("the rest was thinned, keeping the extremes of loss and accuracy")
    return Note(f"{text}{'; ' + '; '.join(reasons) if reasons else ''}.", ("loss", loss))


def _beyond_notes(rows: Mapping[str, Rows], found: Results) -> list[Note]:
    notes = []
    for loss, r in rows.items():
        beyond = _beyond(r, found)
        if not beyond.is_empty():
            largest = words.number(float(beyond["loss"].max()))  # type: ignore[arg-type]
            text = (
                f"{words.count(beyond.height, 'point')} of {loss} of diverged runs, up to"
                f" {largest}, lie beyond the axis: choose the range “all” to see them."
            )
            notes.append(Note(text, ("range", "steady")))
    return notes


def _shared_notes(axes: Axes) -> list[Note]:
    median = (
        f"Bold is the running median over {MEDIAN_WINDOW} points; thin is what was logged,"
        " which is also what the hover says."
    )
    notes = [Note(median, ("line", "median"))]
    if axes.height:
        explained = axes.height.explained
        notes.append(
            Note(
                f"{explained[0].upper()}{explained[1:]}; at a step it is that of the last"
                " evaluation at or before it."
            )
        )
    return notes


def _absent(facts: Facts, loss: str, rows: Rows, found: Results) -> list[Absent]:
    tally = {row["run"]: row for row in rows.tally.to_dicts()}
    drawn = set(rows.frame["run"].unique().to_list())
    absent = []
    for run in facts.runs:
        if run.index in drawn:
            continue
        row = tally.get(run.index)
        if row is None:
            reason = f"no {loss}"
        elif row["before"] == row["logged"]:
            reason = "no accuracy" if run.index not in found.best_steps else "no accuracy yet"
        else:
            reason = f"no finite {loss}"
        absent.append(Absent(run.index, reason, ("loss", loss)))
    return absent


def _summary(axes: Axes, rows: Mapping[str, Rows]) -> str:
    if not rows or not axes.height:
        return "There is no loss with an accuracy to draw."
    loss, first = next(iter(rows.items()))
    runs = first.frame["run"].n_unique()
    return (
        f"A line for each of {words.count(runs, 'run')} along its steps, its height the"
        f" {axes.height.label}, its depth {loss}. The runs table has the last and best values."
    )
