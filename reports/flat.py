"""A chart in two dimensions -> plotly traces and a layout, for a still.

The twin of the page's ``21-series.js`` and ``30-parallel.js``. Plotly's parcoords stands in none of
its small builds and knows neither a logarithmic axis nor a colour of one's own for each line, so
parallel coordinates are lines in a plane here too.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from reports import theme, words
from reports.charts.scaling import frontier
from reports.charts.spec import Chart, Json
from reports.gather import Report
from reports.resolver import At, Floats, Resolver, table_of, vertices

SMOOTHING = 0.6  # the page's first view
MEASURE = 500  # of the axis's whole length, as in series.js
MEDIAN_OF = 5  # points
TOP, BOTTOM, LEFT, RIGHT = 0.97, 0.06, 0.0, 0.98  # of the paper


def panels(report: Report, chart: Chart, resolver: Resolver, of_runs: Sequence[str]) -> Json:
    """Return the panels of a plane, each with axes of its own."""
    specs = chart.layout["panels"]
    layout = _paper(resolver)
    traces: list[Json] = []
    for place, panel in enumerate(specs):
        number = "" if place == 0 else str(place + 1)
        box = _box(place, len(specs), chart.layout["columns"])
        x, y = (resolver.value(panel[axis], None) for axis in ("x", "y"))
        layout[f"xaxis{number}"] = _axis(x, box[0], f"y{number}", resolver)
        layout[f"yaxis{number}"] = _axis(y, box[1], f"x{number}", resolver)
        layout["annotations"].append(_title(panel["title"], box, resolver))
        layout["shapes"] += _levels(panel["lines"], number, resolver)
        at = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        for spec in chart.traces:
            if spec["panel"] == panel["key"]:
                traces += [t | at for t in _traces(report, chart, spec, resolver, of_runs)]
    return {"data": traces, "layout": layout}


def _paper(resolver: Resolver) -> Json:
    return {
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 64, "r": 40, "t": 76, "b": 40},
        "font": {"family": theme.FONT, "color": resolver.inks["ink"], "size": 12},
        "showlegend": False,
        "shapes": [],
        "annotations": [],
    }


def _box(place: int, amount: int, most: int) -> tuple[list[float], list[float]]:
    """Return the domain of a panel along x and y."""
    columns = min(most, amount)
    rows = math.ceil(amount / columns)
    across = (RIGHT - LEFT) / columns
    down = (TOP - BOTTOM) / rows
    left = LEFT + (place % columns) * across
    top = TOP - (place // columns) * down
    return [left, left + across * 0.86], [top - down * 0.68, top - down * 0.06]


def _axis(axis: Mapping[str, Any], domain: list[float], anchor: str, resolver: Resolver) -> Json:
    inks = resolver.inks
    unit = f" ({axis['unit']})" if axis["unit"] else " (s)" if axis["type"] == "duration" else ""
    made: Json = {
        "domain": domain,
        "anchor": anchor,
        "type": "log" if axis["type"] == "log" else "linear",
        "title": {
            "text": html.escape(f"{axis['title']}{unit}", quote=False),
            "font": {"size": 11, "color": inks["soft"]},
            "standoff": 6,
        },
        "tickfont": {"size": 10.5, "color": inks["muted"]},
        "gridcolor": inks["line"],
        "linecolor": inks["shade"],
        "zeroline": False,
        "nticks": 6,
        "exponentformat": "power" if axis["unit"] == "FLOPs" else "SI",
        "automargin": True,
    }
    if axis["type"] == "category":
        names = axis["categories"]
        made |= {"tickvals": list(range(len(names))), "ticktext": names, "title": {"text": ""}}
        made |= {"range": [-0.5, len(names) - 0.5], "showgrid": False}
    elif anchor.startswith("y"):
        made["showgrid"] = False
    return made


def _title(text: str, box: tuple[list[float], list[float]], resolver: Resolver) -> Json:
    return {
        "text": f"<b>{html.escape(text, quote=False)}</b>",
        "x": box[0][0],
        "y": box[1][1],
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12.5, "color": resolver.inks["ink"]},
    }


def _levels(lines: Sequence[Json], number: str, resolver: Resolver) -> list[Json]:
    """Return the levels to compare with, as shapes across the panel."""
    inks = resolver.inks
    return [
        {
            "type": "line",
            "xref": f"x{number} domain",
            "yref": f"y{number}",
            "x0": 0,
            "x1": 1,
            "y0": line["y"],
            "y1": line["y"],
            "line": {"color": inks["muted"], "width": 1, "dash": "dot"},
            "label": {
                "text": line["text"],
                "textposition": "end",
                "yanchor": "bottom",
                "font": {"size": 10, "color": inks["muted"]},
            },
        }
        for line in lines
    ]


def _traces(
    report: Report, chart: Chart, spec: Json, resolver: Resolver, of_runs: Sequence[str]
) -> list[Json]:
    """Return what one trace of the specification is to plotly: of lines, one for each run."""
    table = _rows(report, chart, spec, resolver)
    if not len(table["run"]):
        return []
    if spec["rows"] == "frontier":
        return [_frontier(report, spec, table, resolver)]
    if spec["rows"] == "line":
        table = _measured(table, resolver.value(spec["plotly"]["y"], None)["$"])
    at = At(table, vertices(spec["rows"], table))
    if spec["rows"] == "points":
        trace: Json = resolver.value(spec["plotly"], at)
        own = [of_runs[int(run)] for run in table["run"]]
        return [trace | {"marker": trace["marker"] | {"color": own}}]
    runs = np.where(at.rows < 0, -2, table["run"][np.maximum(at.rows, 0)])
    made = []
    span = _span(resolver.value(spec["plotly"]["x"], at))
    for run in dict.fromkeys(runs[runs > -2].tolist()):
        rows = at.rows[_between(runs == run)]
        one: Json = resolver.value(spec["plotly"], At(table, rows))
        colour = {} if run < 0 else {"color": of_runs[int(run)]}
        one["line"] = {"width": 1.7, **one.get("line", {}), **colour}
        made += _smooth(one, span) if spec.get("smooth") else [one]
    return made


def _between(own: Any) -> Any:
    """Return the places from the first to the last that are a run's own, gaps and all."""
    places = np.flatnonzero(own)
    return slice(places[0], places[-1] + 1)


def _rows(report: Report, chart: Chart, spec: Json, resolver: Resolver) -> dict[str, Floats]:
    """Return the table of the trace, of its stage alone."""
    table = table_of(chart.tables[resolver.value(spec["table"], None)])
    if "stage" not in spec or not len(table["run"]):
        return table
    stages = np.array([*(theme.stage_index(run.stage) for run in report.facts.runs), spec["stage"]])
    own = stages[table["run"].astype(int)] == spec["stage"]  # a line of no run, -1, is the last
    return {name: values[own] for name, values in table.items()}


def _measured(table: dict[str, Floats], column: str) -> dict[str, Floats]:
    """Return the rows with a value; an infinite one becomes a gap."""
    own = ~np.isnan(table[column])
    kept = {name: values[own] for name, values in table.items()}
    kept[column] = np.where(np.isinf(kept[column]), np.nan, kept[column])
    return kept


def _frontier(report: Report, spec: Json, table: dict[str, Floats], resolver: Resolver) -> Json:
    x, y = (table[resolver.value(spec["plotly"][axis], None)["$"]] for axis in ("x", "y"))
    good = np.isfinite(x) & np.isfinite(y)
    good &= np.array([run not in report.results.diverged for run in table["run"].astype(int)])
    front = frontier(list(zip(x[good].tolist(), y[good].tolist(), strict=True)))
    trace: Json = resolver.value({k: v for k, v in spec["plotly"].items() if k not in "xy"}, None)
    return trace | {"x": [point[0] for point in front], "y": [point[1] for point in front]}


def _span(x: Floats) -> float:
    known = x[np.isfinite(x)]
    return float(known.max() - known.min()) if known.size else 0.0


def _smooth(trace: Json, span: float) -> list[Json]:
    """Return what was logged, thin, and over it a mean of medians that fades on both sides."""
    x, logged = (np.asarray(trace[axis], float) for axis in ("x", "y"))
    y = _medians(logged)
    ahead, back = _faded(x, y, span), _faded(x[::-1], y[::-1], span)
    sums, weights = (a + b[::-1] for a, b in zip(ahead, back, strict=True))
    smooth = (sums - y) / (weights - 1)  # its own value came twice
    thin = {**trace, "opacity": 0.3, "line": trace["line"] | {"width": 1}}
    return [thin, {**trace, "y": smooth}]


def _medians(values: Floats) -> Floats:
    """Return the running medians of each stretch between two gaps."""
    own = pl.Series(values, nan_to_null=True)
    stretch = own.is_null().rle_id()
    median = pl.col("value").rolling_median(MEDIAN_OF, min_samples=1, center=True).over("stretch")
    return pl.DataFrame({"value": own, "stretch": stretch}).select(median).to_series().to_numpy()


def _faded(x: Floats, y: Floats, span: float) -> tuple[Floats, Floats]:
    """Return at each point the faded sum of those before it, and their weight; none at a gap."""
    strength = math.sqrt(SMOOTHING)
    sums, weights = np.full_like(x, math.nan), np.full_like(x, math.nan)
    total, weight, before = 0.0, 0.0, math.nan
    for place, (at, value) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        if not (math.isfinite(at) and math.isfinite(value)):
            total, weight, before = 0.0, 0.0, math.nan
            continue
        away = abs(at - before) / (span or 1.0) * MEASURE
        gone = 1.0 if math.isnan(before) else strength**away
        total, weight, before = total * gone + value, weight * gone + 1.0, at
        sums[place], weights[place] = total, weight
    return sums, weights


def parallel_axes(report: Report, chart: Chart, resolver: Resolver, of_runs: Sequence[str]) -> Json:
    """Return parallel coordinates: an axis from 0 to 1 for each dimension, and a line a run."""
    dimensions = chart.layout["dimensions"]
    layout = _paper(resolver) | {"margin": {"l": 60, "r": 70, "t": 130, "b": 70}}
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False}
    layout["xaxis"] = {**hidden, "range": [-0.2, max(1, len(dimensions) - 1) + 0.3]}
    layout["yaxis"] = {**hidden, "range": [-0.05, 1.04]}
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
    label = html.escape(str(dimension["label"]), quote=False)
    name = f"<b>{label}</b>" if dimension["result"] else label
    shared: Json = {"showarrow": False, "x": place}
    made = [{**shared, "y": 1.04, "text": name, "yanchor": "bottom", "font": {"size": 12}}]
    if dimension["type"] == "category":
        ends = [(_share(dimension, text), str(text)) for text in dimension["categories"]]
    else:
        ends = [(_share(dimension, value), words.short(value)) for value in dimension["range"]]
    tick = {**shared, "xanchor": "left", "xshift": 4, "font": {"size": 10.5, "color": inks["soft"]}}
    return made + [{**tick, "y": y, "text": html.escape(text, quote=False)} for y, text in ends]
