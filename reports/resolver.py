"""References of a specification -> the values they stand for, for the stills.

The twin of ``05-resolve.js`` and ``04-palette.js`` for what a still needs of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from reports import theme, words
from reports.charts.spec import Chart, Json
from reports.gather import Report
from reports.results import Column

Floats = npt.NDArray[np.float64]
LOG_FROM = 50  # a range of more than this many times has a logarithmic scale, as in palette.js


@dataclass(frozen=True, slots=True)
class At:
    """Which rows of which table become vertices; -1 is a gap."""

    table: Mapping[str, Floats]
    rows: npt.NDArray[np.int64]


class Resolver:
    """Puts columns, run attributes, choices and colours where the specification refers to them."""

    def __init__(
        self, runs: Mapping[str, Sequence[Any]], options: Mapping[str, str], inks: Mapping[str, str]
    ) -> None:
        self.runs, self.options, self.inks = runs, options, inks

    def value(self, value: Any, at: At | None) -> Any:
        """Return *value* with every reference in it resolved."""
        if isinstance(value, list | tuple):
            return [self.value(item, at) for item in value]
        if not isinstance(value, dict):
            return value
        if "?" in value:
            return self.value(value["of"][self.options[value["?"]]], at)
        if "@" in value:
            return self.inks[value["@"]]
        if at and value.keys() & {"$", "$run", "$if"}:
            return self.pick(value, at)
        return {key: self.value(item, at) for key, item in value.items()}

    def pick(self, reference: Any, at: At) -> Any:
        """Return what *reference* holds at each vertex."""
        if not isinstance(reference, dict):
            return [reference] * len(at.rows)
        rows = np.maximum(at.rows, 0)
        gap = at.rows < 0
        if "$run" in reference:
            values, runs = self.runs[reference["$run"]], at.table["run"][rows].astype(int)
            return ["" if g else values[run] for run, g in zip(runs, gap, strict=True)]
        if "$if" in reference:
            known = at.table[reference["$if"]][rows] != 0
            both = self.pick(reference["then"], at), self.pick(reference["else"], at)
            return [a if is_known else b for is_known, a, b in zip(known, *both, strict=True)]
        return np.where(gap, np.nan, at.table[reference["$"]][rows])


def table_of(frame: pl.DataFrame) -> dict[str, Floats]:
    """Return the columns of *frame*; missing becomes NaN."""
    return {c.name: c.cast(float).to_numpy() for c in frame.get_columns()}


def vertices(rows: str, table: Mapping[str, Floats]) -> npt.NDArray[np.int64]:
    """Return which rows become vertices, with a gap wherever a line ends."""
    every = np.arange(len(table["run"]), dtype=np.int64)
    if rows == "points" or not every.size:
        return every
    if rows == "stems":
        return np.column_stack([every, every, np.full_like(every, -1)]).ravel()
    changes = (
        np.flatnonzero(np.diff(table["run" if rows == "ends" or "line" not in table else "line"]))
        + 1
    )
    if rows == "ends":
        return np.append(changes - 1, every[-1])
    return np.insert(every, changes, -1)


def colours(report: Report, chart: Chart, name: str) -> tuple[list[str], list[Json]]:
    """Return a colour for each run, and a trace that shows the scale if there is one."""
    if chart.colour == "stage":
        stages = theme.STAGE_COLOURS[name]
        return [stages[theme.stage_index(run.stage)] for run in report.facts.runs], []
    none = theme.THEMES[name]["none"]
    column = report.results.columns.get(chart.colour)
    if column and not column.numeric:
        return _by_category(column, theme.CATEGORIES[name], none), []
    known = _finite(report, chart)
    if column is None or all(value is None for value in known):
        return [none] * len(known), []
    low, high, log = _scale(known)
    on: Callable[[float], float] = math.log10 if log else float
    ramp = theme.RAMPS[name]
    of_runs = [none if s is None else mixed(ramp, s) for s in shares_of_ramp(report, chart)]
    ends = [low, 10 ** ((on(low) + on(high)) / 2) if log else (low + high) / 2, high]
    marker: Json = {
        "color": [on(low)],
        "colorscale": [[place / (len(ramp) - 1), colour] for place, colour in enumerate(ramp)],
        "cmin": on(low),
        "cmax": on(high),
        "showscale": True,
        "colorbar": {
            "title": {"text": column.label},
            "thickness": 10,
            "len": 0.6,
            "x": 0.93 if chart.kind == "scene" else 1.02,
            "tickvals": [on(value) for value in ends],
            "ticktext": [words.short(value) for value in ends],
        },
    }
    third = {"z": [None]} if chart.kind == "scene" else {}
    kind = "scatter3d" if third else "scatter"
    hidden = {"type": kind, "mode": "markers", "x": [None], "y": [None], **third}
    return of_runs, [{**hidden, "marker": marker}]


def _by_category(column: Column, palette: Sequence[str], none: str) -> list[str]:
    """Return a colour for each run: of the commonest values one each, the last for all others."""
    counts = Counter(value for value in column.values if value is not None)
    names = sorted(counts, key=lambda value: (-counts[value], str(value)))
    kept = names if len(names) <= len(palette) else names[: len(palette) - 1]
    place = {value: at for at, value in enumerate(kept)}
    return [
        none if value is None else palette[place.get(value, len(palette) - 1)]
        for value in column.values
    ]


def shares_of_ramp(report: Report, chart: Chart) -> list[float | None]:
    """Return for each run how far along the scale of the chart's colours it is, 0 to 1."""
    known = _finite(report, chart)
    if all(value is None for value in known):
        return known
    low, high, log = _scale(known)
    on: Callable[[float], float] = math.log10 if log else float
    first, width = on(low), (on(high) - on(low)) or 1
    return [None if value is None else (on(value) - first) / width for value in known]


def _finite(report: Report, chart: Chart) -> list[float | None]:
    """Return each run's value of what colours the chart, where it is a finite number."""
    column = report.results.columns.get(chart.colour)
    return [
        float(value) if isinstance(value, float | int) and math.isfinite(value) else None
        for value in (column.values if column else [None] * len(report.facts.runs))
    ]


def _scale(values: Sequence[float | None]) -> tuple[float, float, bool]:
    """Return the ends of the scale of *values*, and whether it is logarithmic."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    return low, high, low > 0 and high / low > LOG_FROM


def mixed(ramp: Sequence[str], share: float) -> str:
    """Return the colour at *share*, 0 to 1, of the way along *ramp*."""
    at = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    first = min(int(at), len(ramp) - 2)
    pairs = [
        (int(ramp[first][i : i + 2], 16), int(ramp[first + 1][i : i + 2], 16)) for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{round(a + (b - a) * (at - first)):02x}" for a, b in pairs)


def key(report: Report, chart: Chart, name: str) -> Json:
    """Return the legend as a line under the picture: stages, and what the sizes say."""
    marks = {"circle": "●", "diamond": "◆", "square": "■", "circle-open": "○", "square-open": "□"}
    stages = sorted({theme.stage_index(run.stage) for run in report.facts.runs})
    colours = theme.STAGE_COLOURS[name] if chart.colour == "stage" else None
    parts = []
    for stage in stages:
        mark = marks[theme.STAGE_SYMBOLS[stage]]
        shown = f'<span style="color:{colours[stage]}">{mark}</span>' if colours else mark
        parts.append(f"{shown} {theme.STAGES[stage]}")
    if chart.sizes:
        parts.append(f"{chart.sizes_title}: {' to '.join(label for label, _ in chart.sizes[::2])}")
    place = {"x": 0.02, "y": 0.015, "xref": "paper", "yref": "paper", "showarrow": False}
    return {**place, "text": "   ".join(parts), "align": "left", "xanchor": "left"}
