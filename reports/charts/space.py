"""What runs were asked to be, and their best accuracy -> one marker a run, with a drop line.

Runs of one configuration have the same place, so they stand side by side around it: stages along
the first axis, further runs of the same stage along the second. The hover has the true values.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import groupby

import polars as pl

from reports import theme, words
from reports.axes import Axes
from reports.charts import spec
from reports.charts.spec import Absent, Chart, Json, Note, Shown, col, of_run
from reports.load import Facts, Run
from reports.results import Results

ROLES = ("depth", "dim", "batch")
SMALLEST, LARGEST = 5.0, 15.0
MANY = 200  # runs, from which on what stands beside the data must stand back
STRIDE = 0.06  # of an axis, between neighbours
WIDE = spec.view((1.6, 1.35, 0.8), (1.25, -1.72, 0.72), (0.04, 0, -0.14), 1.6)
NARROW = spec.view((1.05, 1.05, 0.85), (1.42, -1.64, 0.75), (0, 0, -0.1), 1.25)

_SCHEMA = {
    "run": pl.Int64,
    "x": pl.Float64,
    "y": pl.Float64,
    "z": pl.Float64,
    "lr": pl.Float64,
    "accuracy": pl.Float64,
    "size": pl.Float64,
    "known": pl.Int64,
}


def space(facts: Facts, axes: Axes, found: Results) -> Chart:
    """Return the chart of depth x width x batch size, colour accuracy, size learning rate."""
    named = {role: axes.keys.get(role, role) for role in (*ROLES, "lr")}
    placed = [run for run in facts.runs if _place(run, named) is not None]
    frame, scale = _frame(placed, named, found)
    places = [_place(run, named) or () for run in placed]
    x, y, z = [
        _axis(frame["xyz"[i]], [place[i] for place in places], named[role])
        for i, role in enumerate(ROLES)
    ]
    accuracy = axes.accuracy.label if axes.accuracy else "accuracy"
    return Chart(
        key="space",
        title="Hyperparameter space",
        subtitle=f"{named['depth']} × {named['dim']} × {named['batch']}, size {named['lr']}",
        summary=_summary(placed, accuracy),
        tables={"space": frame},
        traces=tuple(_traces(named, accuracy, spec.foot(z), len(placed))),
        layout=spec.layout(x, y, z, WIDE, NARROW),
        colour="accuracy",
        section="configuration",
        sizes=scale,
        sizes_title=f"size: {named['lr']}, log",
        notes=tuple(_notes(facts, placed, frame, accuracy)),
        absent=tuple(
            Absent(run.index, _reason(run, named)) for run in facts.runs if run not in placed
        ),
        shown=(Shown("space", axes.accuracies),),
        counts={"logged": len(facts.runs), "drawn": frame.height},
    )


def _number(run: Run, key: str) -> float | None:
    value = run.config.get(key)
    return value if isinstance(value, float | int) and math.isfinite(value) else None


def _place(run: Run, named: dict[str, str]) -> tuple[float, ...] | None:
    values = [_number(run, named[role]) for role in ROLES]
    found = [value for value in values if value is not None]
    return tuple(found) if len(found) == len(ROLES) else None


def _reason(run: Run, named: dict[str, str]) -> str:
    missing = [named[role] for role in ROLES if _number(run, named[role]) is None]
    return f"no {words.listed(missing)} in config"


def _frame(
    placed: Sequence[Run], named: dict[str, str], found: Results
) -> tuple[pl.DataFrame, tuple[tuple[str, float], ...]]:
    best = found.columns["accuracy"].values if "accuracy" in found.columns else ()
    rates = {run.index: _number(run, named["lr"]) for run in placed}
    sizes, scale = _sizes(rates, found.diverged.keys())
    places = [_place(run, named) or () for run in placed]
    asides = [_Aside([place[axis] for place in places]) for axis in (0, 1)]
    rows = []
    for run, (across, along) in _offsets(placed, named):
        x, y, z = _place(run, named) or (0.0, 0.0, 0.0)
        accuracy = best[run.index] if best else None
        rows.append(
            {
                "run": run.index,
                "x": asides[0].moved(x, across),
                "y": asides[1].moved(y, along),
                "z": z,
                "lr": rates[run.index],
                "accuracy": accuracy,
                "size": sizes[run.index],
                "known": int(accuracy is not None and rates[run.index] is not None),
            }
        )
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("run"), scale


class _Aside:
    """Moves a value some strides along its axis, which may be logarithmic."""

    def __init__(self, values: Sequence[float]) -> None:
        self.log = _doubling(values)
        scaled = [math.log(value) if self.log else value for value in values]
        width = max(scaled) - min(scaled) if scaled else 0.0
        self.stride = STRIDE * (width or abs(scaled[0] if scaled else 0.0) or 1.0)

    def moved(self, value: float, strides: float) -> float:
        if self.log:
            return value * math.exp(strides * self.stride)
        return value + strides * self.stride


def _doubling(values: Sequence[float]) -> bool:
    """Return whether a logarithmic axis shows the values better."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 4


def _offsets(placed: Sequence[Run], named: dict[str, str]) -> list[tuple[Run, tuple[float, float]]]:
    """Return each run's steps aside from its place: across by stage, along by repetition."""
    ordered = sorted(placed, key=lambda run: (_place(run, named), run.index))
    offsets = []
    for _, group in groupby(ordered, key=lambda run: _place(run, named)):
        runs = list(group)
        stages = sorted({theme.stage_index(run.stage) for run in runs})
        rows = [theme.stage_index(run.stage) for run in runs]
        deepest = max(rows.count(stage) for stage in stages)
        room = min(1.0, 6 / deepest)  # a sweep's repetitions share the room of six
        seen: dict[int, int] = {}
        for run, stage in zip(runs, rows, strict=True):
            nth = seen[stage] = seen.get(stage, -1) + 1
            across = stages.index(stage) - (len(stages) - 1) / 2
            along = (nth - (rows.count(stage) - 1) / 2) * room
            offsets.append((run, (across, along)))
    return offsets


def _sizes(
    rates: dict[int, float | None], diverged: Collection[int]
) -> tuple[dict[int, float], tuple[tuple[str, float], ...]]:
    """Return a marker size by run, from the logarithm of its rate, and the legend of sizes.

    A diverged run's rate beyond those of the others has the size at that end of the scale.
    """
    logs = {run: math.log10(rate) for run, rate in rates.items() if rate is not None and rate > 0}
    if not logs:
        return dict.fromkeys(rates, SMALLEST), ()
    # the rate at which a run diverged may be far off: it must not make all others look alike
    steady = [log for run, log in logs.items() if run not in diverged] or list(logs.values())
    low, high = min(steady), max(steady)

    def size(log: float) -> float:
        share = min(max((log - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        return SMALLEST + 2 + (LARGEST - SMALLEST - 2) * share

    marks = [low, (low + high) / 2, high] if high > low else [low]
    legend = tuple((words.number(float(f"{10**mark:.2g}")), size(mark)) for mark in marks)
    return {run: size(logs[run]) if run in logs else SMALLEST for run in rates}, legend


def _axis(drawn: pl.Series, values: Sequence[float], title: str) -> Json:
    """Return an axis around what is drawn, with ticks at the true values if they are few."""
    distinct = sorted(set(values))
    few: Json = {"tickvals": distinct, "ticktext": [words.short(value) for value in distinct]}
    more: Json = few if 0 < len(distinct) <= 6 else {}
    if _doubling(values):
        return spec.logarithmic(f"{title}, log", drawn, title, 0.1) | more
    return spec.linear(title, spec.span(drawn, 0.1), **more)


def _traces(named: dict[str, str], accuracy: str, floor: float, runs: int) -> list[Json]:
    place = {"x": col("x"), "y": col("y"), "z": col("z")}
    base = {"type": "scatter3d", **place}
    known = [spec.line(named[role], of_run(f"words.{role}")) for role in ROLES]
    hover = [
        spec.line("", of_run("status")),
        *known,
        spec.line(named["lr"], col("lr"), "g"),
        spec.line(f"best {accuracy}", col("accuracy"), "f4"),
    ]
    return [
        {
            "table": "space",
            "rows": "stems",
            "foot": floor,
            "role": "mark",
            "hover": hover,
            "plotly": {
                **base,
                "mode": "lines",
                "line": {"width": 1.5 if runs <= MANY else 1, "color": spec.ink("shade")},
                "opacity": 0.7 if runs <= MANY else 0.25,
            },
        },
        {
            "table": "space",
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
                    "opacity": 1,
                    "line": {"width": 0},
                },
            },
        },
        {
            "table": "space",
            "rows": "stems",
            "foot": floor,
            "role": "mark",
            "only": "highlight",
            "hover": hover,
            "plotly": {
                **base,
                "mode": "lines",
                "line": {"width": 5, "color": spec.ink("ink")},
            },
        },
    ]


def _notes(facts: Facts, placed: Sequence[Run], frame: pl.DataFrame, accuracy: str) -> list[Note]:
    text = f"One marker for each of {len(placed):,} of {words.count(len(facts.runs), 'run')}"
    places = len({tuple(row) for row in frame.select("x", "y", "z").iter_rows()})
    text += ", coloured by its best " + accuracy + "." if places else "."
    text += " Runs of one configuration stand side by side around it, stage by stage."
    if any(run.inherited for run in placed):
        text += " A run that says no shape has that of its parent, as the hover says."
    open_marks = frame.height - int(frame["known"].sum())
    if open_marks:
        text += (
            f" {words.count(open_marks, 'open diamond')}: accuracy or learning rate not measured."
        )
    return [Note(text)]


def _summary(placed: Sequence[Run], accuracy: str) -> str:
    return (
        f"{words.count(len(placed), 'run')}, placed by depth, width and batch size, coloured by"
        f" best {accuracy}, larger with a higher learning rate. The runs table has all of it."
    )
