"""Parallel coordinates -> lines and axes in one plane of plotly's, for a still.

The twin of the page's ``30-parallel.js``. Plotly's own parcoords is in none of its small builds and
knows neither a logarithmic axis nor a colour of its own for each line.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from reports import words
from reports.charts.spec import Chart, Json
from reports.flat import paper
from reports.gather import Report
from reports.resolver import Resolver

LONGEST_LINE = 13  # letters of an axis's name


def parallel_axes(report: Report, chart: Chart, resolver: Resolver, of_runs: Sequence[str]) -> Json:
    """Return parallel coordinates: an axis from 0 to 1 for each dimension, and a line a run."""
    dimensions = chart.layout["dimensions"]
    layout = paper(resolver) | {"margin": {"l": 60, "r": 70, "t": 130, "b": 70}}
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False}
    layout["xaxis"] = {**hidden, "range": [-0.2, max(1, len(dimensions) - 1) + 0.3]}
    layout["yaxis"] = {**hidden, "range": [-0.09, 1.04]}
    for place, dimension in enumerate(dimensions):
        layout["shapes"].append(_upright(place, resolver))
        layout["annotations"] += _ticks(place, dimension, resolver)
    traces = []
    for run in report.facts.runs:
        places = [_share(d, report.results.columns[d["key"]].values[run.index]) for d in dimensions]
        known = [(x, y) for x, y in enumerate(places) if y is not None]
        if len(known) > 1:
            x, y = zip(*known, strict=True)
            line = {"color": of_runs[run.index], "width": 1.6}
            line |= {"shape": "spline", "smoothing": 0.5}
            traces.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "line": line})
    return {"data": traces, "layout": layout}


def _share(dimension: Json, value: Any) -> float | None:
    """Return where on its axis a value stands, from 0 to 1."""
    if dimension["type"] == "category":
        names = dimension["categories"]
        return names.index(value) / max(1, len(names) - 1) if value in names else None
    if not isinstance(value, float | int) or not math.isfinite(value):
        return None
    on = math.log10 if dimension["type"] == "log" else float
    low, high = (on(end) for end in dimension["range"])
    return (on(value) - low) / ((high - low) or 1)


def _upright(place: int, resolver: Resolver) -> Json:
    line = {"color": resolver.inks["shade"], "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line}


def _ticks(place: int, dimension: Json, resolver: Resolver) -> list[Json]:
    """Return the name of the axis and what stands at its ends, or at each category."""
    inks = resolver.inks
    lines = textwrap.wrap(str(dimension["label"]), LONGEST_LINE)
    label = "<br>".join(html.escape(line, quote=False) for line in lines)
    name = f"<b>{label}</b>" if dimension["result"] else label
    shared: Json = {"showarrow": False, "x": place}
    made = [{**shared, "y": 1.04, "text": name, "yanchor": "bottom", "font": {"size": 12}}]
    if dimension["type"] == "category":
        ends = [(_share(dimension, text), str(text)) for text in dimension["categories"]]
    else:
        ends = [(_share(dimension, value), words.short(value)) for value in dimension["range"]]
    tick = {**shared, "xanchor": "left", "xshift": 4, "font": {"size": 10.5, "color": inks["soft"]}}
    return made + [{**tick, "y": y, "text": html.escape(text, quote=False)} for y, text in ends]
