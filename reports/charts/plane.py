"""What a chart in two dimensions is made of: panels, each with two axes of its own.

``layout`` is ``{"panels": [...], "columns": the most that stand beside each other}``. A panel has
a key, a title, an ``x`` and a ``y``, and ``lines``: levels to compare with, each a ``y`` and a
``text``. An axis has a ``title``, a ``unit``, a ``type`` (linear, log, duration or category) and,
of categories, their names. A trace says which ``panel`` it stands in, the ``stage`` whose runs it
shows where that is not all, and ``smooth`` where a smoothed line is drawn over what was logged.
Its rows may also be ``frontier``: the least y so far, of those shown.

A line is the rows of one run, or of one ``line`` where the table has that column. A row without the
line's value is not there; an infinite value was measured and is none to draw: there the line ends.
``logged`` says, where lines of the history are drawn, which ``metric`` they are of and whether they
are ``thinned``: on zooming in the page says whether all that was logged is there, and if not which
statement gives it.

What stands on x is the reader's choice for the whole page, as if each chart had an option of the
key ``axis``: step, tokens, flops or time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import theme
from reports.charts import spec
from reports.charts.spec import Json, Note, by, col, of_run
from reports.load import Facts
from reports.results import Results
from reports.series import Rows

Said = tuple[Json, Json]  # the name and the unit of what stands on y

X_AXES: dict[str, Json] = {
    "step": {"title": "step", "unit": "", "type": "linear"},
    "tokens": {"title": "tokens trained on", "unit": "tokens", "type": "linear"},
    "flops": {"title": "training compute", "unit": "FLOPs", "type": "linear"},
    "time": {"title": "training time", "unit": "", "type": "duration"},
}

STEP = spec.line("step", col("step"), "int")
SMOOTHED = Note(
    "Thin is what was logged; bold is a mean of running medians that fades away on both sides, as"
    " far as the smoothing reaches."
)


def axis(title: object, unit: object = "", kind: object = "linear", **more: Any) -> Json:
    """Return an axis; each of its parts may be a reference to what the reader has chosen."""
    return {"title": title, "unit": unit, "type": kind, **more}


def panel(key: str, title: str, x: Json, y: Json, lines: Sequence[Json] = ()) -> Json:
    """Return a panel."""
    return {"key": key, "title": title, "x": x, "y": y, "lines": list(lines)}


def stage_panels(stages: Sequence[int], x: Json, y: Json) -> list[Json]:
    """Return a panel for each of *stages*, with axes of one kind."""
    return [panel(theme.STAGES[stage], theme.STAGES[stage], x, y) for stage in stages]


def along() -> tuple[Json, Json]:
    """Return the x axis that the reader chooses for the whole page, and the column it shows."""
    return by("axis", X_AXES), by("axis", {name: col(name) for name in X_AXES})


def stage_line(
    stage: int,
    x: Json,
    y: Json,
    said: Said,
    *,
    table: object,
    when: object = STEP,
    smooth: object = True,
) -> Json:
    """Return the trace of a stage's runs, a line each.

    Its hover has the place along x, *when*, and the name and the unit that are *said* of y.
    """
    return {
        "panel": theme.STAGES[stage],
        "stage": stage,
        "table": table,
        "rows": "line",
        "role": "data",
        "colour": "line",
        "smooth": smooth,
        "labels": True,
        "hover": [
            spec.line("", of_run("status")),
            when,
            [said[0], y, "g", said[1]],
        ],
        "plotly": {"type": "scatter", "mode": "lines", "x": x, "y": y},
    }


def counts(rows: Mapping[Any, Rows]) -> dict[str, int]:
    """Return what was logged and what is drawn of the first of *rows*, which stands at first."""
    first = next(iter(rows.values()), None)
    if first is None:
        return {"logged": 0, "drawn": 0}
    return {"logged": first.total("logged"), "drawn": first.frame.height}


def lost(rows: Rows, kept: str = "the extremes") -> str:
    """Return what is not drawn of *rows*, and why, to end a note with; *kept* is by thinning."""
    broken = rows.total("not_finite")
    gaps = f"; {broken:,} are NaN or infinite: there the line has a gap" if broken else ""
    return gaps + (f"; the rest was thinned, keeping {kept}" if rows.thinned else "")


def logged(option: str, rows: Mapping[str, Rows]) -> Json:
    """Return what the page needs to say of how much of each metric it holds."""
    return by(option, {name: {"metric": name, "thinned": r.thinned} for name, r in rows.items()})


def stages(facts: Facts, rows: Mapping[Any, Rows]) -> list[int]:
    """Return the stages of the runs that have any of *rows*, in their order."""
    drawn = {run for r in rows.values() for run in r.frame["run"].unique().to_list()}
    return sorted({theme.stage_index(facts.runs[run].stage) for run in drawn})


def own_colour(found: Results) -> str:
    """Return what tells the runs of one stage apart: a setting of the model, else their names."""
    for key in ("params", "depth", "dim", "lr"):
        column = found.columns.get(key)
        if column and len({value for value in column.values if value is not None}) > 1:
            return key
    stages = found.columns["stage"].values
    return "name" if len(set(stages)) < len(stages) else "stage"
