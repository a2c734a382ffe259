"""A chart in two dimensions -> plotly traces and a layout, for a still.

The twin of the page's ``21-series.js`` and ``23-panels.js``.
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
from reports.charts.spec import Chart, Json, log_ticks, span
from reports.gather import Report
from reports.resolver import At, Floats, Resolver, table_of, vertices

SMOOTHING = 0.6  # the page's first view
MEASURE = 500  # of the axis's whole length, as in series.js
MEDIAN_OF = 5  # points
TOP, BOTTOM, LEFT, RIGHT = 1.0, 0.05, 0.0, 1.03  # of the paper


def panels(report: Report, chart: Chart, resolver: Resolver, of_runs: Sequence[str]) -> Json:
    """Return the panels of a plane that have something to show, each with axes of its own."""
    layout = paper(resolver)
    traces: list[Json] = []
    specs = _filled(report, chart, resolver)
    for place, (panel, extent) in enumerate(specs):
        number = "" if place == 0 else str(place + 1)
        box = _box(place, len(specs), chart.layout["columns"])
        for name, other, domain in (("x", "y", box[0]), ("y", "x", box[1])):
            axis = resolver.value(panel[name], None)
            made = _axis(axis, domain, f"{other}{number}", resolver)
            values = extent[name]
            layout[f"{name}axis{number}"] = made | _range(axis, values, panel["lines"], name)
        layout["annotations"].append(_title(panel["title"], box, resolver))
        layout["shapes"] += _levels(panel["lines"], number, resolver)
        at = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        for spec in chart.traces:
            if spec["panel"] == panel["key"]:
                traces += [t | at for t in _traces(report, chart, spec, resolver, of_runs)]
    return {"data": traces, "layout": layout}


def filled(report: Report, chart: Chart) -> list[Json]:
    """Return the panels of a plane that have something to show before the reader chooses."""
    resolver = Resolver({}, chart.first_choices(), {})
    return [panel for panel, _ in _filled(report, chart, resolver)]


def _filled(
    report: Report, chart: Chart, resolver: Resolver
) -> list[tuple[Json, dict[str, pl.Series]]]:
    """Return the panels that have something to show, and what each has on x and y."""
    found = [(panel, _extent(report, chart, panel, resolver)) for panel in chart.layout["panels"]]
    return [(panel, extent) for panel, extent in found if extent]


def _extent(report: Report, chart: Chart, panel: Json, resolver: Resolver) -> dict[str, pl.Series]:
    """Return what the data has on x and y; runs that diverged do not widen it unless all did."""
    found: dict[str, list[Floats]] = {"x": [], "y": []}
    for spec in chart.traces:
        if spec["panel"] != panel["key"] or spec["role"] != "data":
            continue
        table = _rows(report, chart, spec, resolver)
        x, y = (table[resolver.value(spec["plotly"][axis], None)["$"]] for axis in ("x", "y"))
        good = np.isfinite(x) & np.isfinite(y)
        steady = good & ~np.isin(table["run"], list(report.results.diverged))
        kept = steady if steady.any() else good
        found["x"].append(x[kept])
        found["y"].append(y[kept])
    if not sum(values.size for values in found["x"]):
        return {}
    return {axis: pl.Series(np.concatenate(values)) for axis, values in found.items()}


def _range(axis: Json, values: pl.Series, lines: Sequence[Json], name: str) -> Json:
    """Return the range of an axis, with round ticks where it is logarithmic."""
    if axis["type"] == "category":
        return {}
    if axis["type"] == "log":
        positive = values.filter(values > 0)
        low, high = span(positive.log10())
        at = log_ticks(low, high)
        ticks = {"tickvals": at, "ticktext": [words.short(value) for value in at]}
        return {"range": [low, high], **ticks}
    low, high = span(values)
    if name == "y":  # a level is in view unless all that is drawn would be pressed together for it
        far = 1.2 * (high - low)
        near = [line["y"] for line in lines if low - far <= line["y"] <= high + far]
        low, high = min([low, *near]), max([high, *near])
    return {"range": [low, high]}


def paper(resolver: Resolver) -> Json:
    """Return the layout that every chart in two dimensions begins with."""
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
    return [left, left + across - 0.055], [top - down + 0.09, top - 0.035]


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
    length = _length(resolver.value(spec["plotly"]["x"], at))
    for run in dict.fromkeys(runs[runs > -2].tolist()):
        rows = at.rows[_between(runs == run)]
        one: Json = resolver.value(spec["plotly"], At(table, rows))
        colour = {} if run < 0 else {"color": of_runs[int(run)]}
        one["line"] = {"width": 1.7, **one.get("line", {}), **colour}
        made += _smooth(one, length) if resolver.value(spec.get("smooth"), None) else [one]
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


def _length(x: Floats) -> float:
    known = x[np.isfinite(x)]
    return float(known.max() - known.min()) if known.size else 0.0


def _smooth(trace: Json, length: float) -> list[Json]:
    """Return what was logged, thin, and over it a mean of medians that fades on both sides."""
    x, logged = (np.asarray(trace[axis], float) for axis in ("x", "y"))
    y = _medians(logged)
    ahead, back = _faded(x, y, length), _faded(x[::-1], y[::-1], length)
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


def _faded(x: Floats, y: Floats, length: float) -> tuple[Floats, Floats]:
    """Return at each point the faded sum of those before it, and their weight; none at a gap."""
    strength = math.sqrt(SMOOTHING)
    sums, weights = np.full_like(x, math.nan), np.full_like(x, math.nan)
    total, weight, before = 0.0, 0.0, math.nan
    for place, (at, value) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        if not (math.isfinite(at) and math.isfinite(value)):
            total, weight, before = 0.0, 0.0, math.nan
            continue
        away = abs(at - before) / (length or 1.0) * MEASURE
        gone = 1.0 if math.isnan(before) else strength**away
        total, weight, before = total * gone + value, weight * gone + 1.0, at
        sums[place], weights[place] = total, weight
    return sums, weights
