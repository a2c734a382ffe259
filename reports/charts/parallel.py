"""What runs were asked to be and what they reached -> parallel axes, a line for each run.

``layout`` is ``{"dimensions": [...]}``: of each the key of a column of the runs, its label, its
type (linear, log or category), its range or its categories, and whether it is a result. The page
and the still take the values from the runs' columns, so no table holds them again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports import words
from reports.axes import Axes
from reports.charts.spec import Absent, Chart, Json, Note
from reports.load import Facts, Value
from reports.results import Column, Results, column_key

MOST_ASKED, MOST_REACHED = 7, 4
MOST_CATEGORIES = 8
LOG_FROM = 50  # the same as in palette.js
LOSS_UNITS = ("bits/byte", "nats/token")  # one that went astray must not press the others flat
FIRST = ("depth", "dim", "batch", "lr", "params")


def parallel(facts: Facts, axes: Axes, found: Results) -> Chart:
    """Return the chart of the config keys that vary most and the results that most runs have."""
    asked = _asked(found)
    reached = _reached(axes, found)
    own = _own(axes, found)
    columns = [*asked, *reached]
    full = [run for run in facts.runs if _amount(columns, run.index) >= 2]
    return Chart(
        key="parallel",
        kind="parallel",
        section="configuration",
        title="From config to result",
        subtitle="what each run was asked to be, and what it reached",
        summary=_summary(asked, reached, len(full)),
        tables={},
        traces=(),
        layout={"dimensions": [_dimension(column, result=column in reached) for column in columns]},
        colour=max(reached, key=lambda c: (_known(c), c.key == own)).key if reached else "stage",
        notes=(
            Note(
                "Drag along an axis to keep the runs that pass there, on the whole page; drag its"
                " name to move it. A run without a value goes on at the next axis that it has."
            ),
        ),
        absent=tuple(
            Absent(run.index, "fewer than two of these values")
            for run in facts.runs
            if run not in full
        ),
        counts={"logged": len(facts.runs), "drawn": len(full) if len(columns) > 1 else 0},
    )


def _asked(found: Results) -> list[Column]:
    """Return the config columns that tell runs apart, the known ones first."""
    kept = [c for c in found.columns.values() if c.group == "config" and _tells(c)]
    kept.sort(
        key=lambda c: (c.key not in FIRST, "seed" in c.key, -_known(c), -len(set(c.values)), c.key)
    )
    sources: set[tuple[Value, ...]] = set()
    different = [c for c in kept if not (c.values in sources or sources.add(c.values))]  # type: ignore[func-returns-value]
    chosen = different[:MOST_ASKED]
    order = {key: place for place, key in enumerate(FIRST)}
    return sorted(chosen, key=lambda c: (order.get(c.key, len(order)), c.key))


def _reached(axes: Axes, found: Results) -> list[Column]:
    own = _own(axes, found)
    wanted = ["loss", "bpb", *(column_key(m.name) for m in axes.benchmarks), "core_metric", own]
    known = [found.columns[key] for key in dict.fromkeys(wanted) if key in found.columns]
    kept = [column for column in known if _tells(column)]
    kept.sort(key=lambda c: (c.key not in ("bpb", own), -_known(c)))
    chosen = kept[:MOST_REACHED]
    return sorted(chosen, key=lambda c: wanted.index(c.key))


def _own(axes: Axes, found: Results) -> str:
    """Return the column that says how good a run is; of one metric it is that metric's."""
    alone = column_key(axes.accuracies[0]) if len(axes.accuracies) == 1 else ""
    return alone if alone in found.columns else "accuracy"


def _known(column: Column) -> int:
    return sum(_good(value) for value in column.values)


def _good(value: Value) -> bool:
    return isinstance(value, str) or (isinstance(value, float | int) and math.isfinite(value))


def _tells(column: Column) -> bool:
    """Whether it has two values at least and, of words, no more than can be told apart."""
    different = {value for value in column.values if _good(value)}
    return len(different) > 1 and (column.numeric or len(different) <= MOST_CATEGORIES)


def _amount(columns: Sequence[Column], run: int) -> int:
    return sum(_good(column.values[run]) for column in columns)


def _dimension(column: Column, *, result: bool) -> Json:
    shared = {"key": column.key, "label": column.label, "unit": column.unit, "result": result}
    values = [value for value in column.values if _good(value)]
    if not column.numeric:
        names = sorted({str(value) for value in values})
        return {**shared, "type": "category", "categories": names}
    numbers = [float(value) for value in values if isinstance(value, float | int)]
    low, high = min(numbers), max(numbers)
    wide = LOG_FROM if column.unit not in LOSS_UNITS else 2
    kind = "log" if low > 0 and high / low > wide else "linear"
    return {**shared, "type": kind, "range": [low, high]}


def _summary(asked: Sequence[Column], reached: Sequence[Column], runs: int) -> str:
    if not asked or not reached:
        return "The runs do not differ in both config and results."
    return (
        f"{words.count(runs, 'run')} as lines through {words.listed([c.label for c in asked])}, and"
        f" through {words.listed([c.label for c in reached])}. The runs table has the same values."
    )
