"""A chart's specification -> a plotly figure for a still, with numpy where the page has JavaScript.

The twin of ``resolve.js``, ``labels.js`` and ``palette.js``, for what a still needs of them: every
run is shown, each option has its default, and the legend is drawn into the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reports import theme
from reports.attributes import run_attributes
from reports.camera import projector, shares, step_back
from reports.charts.spec import Chart, Json
from reports.flat import panels
from reports.flat_parallel import parallel_axes
from reports.gather import Report
from reports.resolver import At, Floats, Resolver, colours, key, table_of, vertices

MOST_LABELS = 12
LABEL_HEIGHT = 17  # pixels
LETTER_WIDTH = 6.6
LONGEST_LABEL = 28


def figure(report: Report, chart: Chart, name: str, width: int, height: int) -> Json:
    """Return *chart* as a plotly figure in the theme called *name*."""
    resolver = Resolver(run_attributes(report), chart.first_choices(), theme.THEMES[name])
    of_runs, bar = colours(report, chart, name)
    if chart.kind == "scene":
        made = _scene(report, chart, resolver, of_runs, (width, height))
    elif chart.kind == "plane":
        made = panels(report, chart, resolver, of_runs)
    else:
        made = parallel_axes(report, chart, resolver, of_runs)
    layout = made["layout"]
    layout |= {
        "width": width,
        "height": height,
        "paper_bgcolor": theme.THEMES[name]["card"],
        "title": {
            "text": f"<b>{chart.title}</b>  {chart.subtitle}",
            "x": 0.02,
            "y": 0.965,
            "font": {"size": 16},
        },
        "annotations": [*layout.get("annotations", ()), key(report, chart, name)],
    }
    traces = [*made["data"], *bar]
    for place, trace in enumerate(traces):
        trace["uid"] = f"t{place}"  # plotly's own are random, and stand in an SVG
    return {"data": traces, "layout": layout}


def _scene(
    report: Report,
    chart: Chart,
    resolver: Resolver,
    of_runs: Sequence[str],
    size: tuple[int, int],
) -> Json:
    """Return the traces and the layout of a chart that plotly draws in three dimensions."""
    layout = resolver.value(chart.layout, None)
    needs = layout.pop("meta")["needs"]
    step_back(layout["scene"]["camera"], max(1.0, needs * size[1] / size[0]))
    traces = []
    for spec in chart.traces:
        if spec.get("only") is not None:
            continue
        trace, at = scene_trace(resolver, chart, spec)
        if "colour" in spec:
            runs = at.table["run"][np.maximum(at.rows, 0)].astype(int)
            own = [of_runs[run] for run in runs.tolist()]
            trace[spec["colour"]] = trace[spec["colour"]] | {"color": own}
        if "labels" in spec:
            scene, ink = layout["scene"], resolver.inks["ink"]
            scene["annotations"] = _labels(report, trace, at, scene=scene, size=size, ink=ink)
        traces.append(trace)
    return {"data": traces, "layout": layout}


def scene_trace(resolver: Resolver, chart: Chart, spec: Json) -> tuple[Json, At]:
    """Return the plotly trace that *spec* describes, and its vertices."""
    table = table_of(chart.tables[resolver.value(spec["table"], None)])
    keep = resolver.value(spec.get("within"), None)
    if keep and keep["limits"]:
        low, high = keep["limits"]
        good = (table[keep["column"]] >= low) & (table[keep["column"]] <= high)
        table = {name: values[good] for name, values in table.items()}
    at = At(table, vertices(spec["rows"], table))
    trace: Json = resolver.value(spec["plotly"], at)
    if spec["rows"] == "shadow":
        trace["z"] = np.where(np.isnan(trace["z"]), np.nan, spec["foot"])
    if spec["rows"] == "stems":
        trace["z"][1::3] = spec["foot"]
    return trace, at


def _labels(
    report: Report, trace: Json, at: At, *, scene: Json, size: tuple[int, int], ink: str
) -> list[Json]:
    """Return the names that can stand beside the ends without covering each other."""
    points = np.column_stack([trace[axis] for axis in "xyz"])
    across, down, _ = projector(scene, size[1])(shares(points, scene))
    named = names_of_ends(report, at, (across, down), size[0] / 2)
    return [_annotation(text, points[i].tolist(), scene, ink) for i, text in named]


def names_of_ends(
    report: Report, at: At, places: tuple[Floats, Floats], edge: float, unit: float = 1.0
) -> list[tuple[int, str]]:
    """Return which ends have a name beside them, in the order of what matters, and the name.

    *places* are where the ends stand on the picture, across and down; *edge* is its right end,
    *unit* how much of them is a pixel.
    """
    runs = [report.facts.runs[int(at.table["run"][row])] for row in at.rows]
    parents = {run.parent for run in runs}
    diverged = report.results.diverged
    height = at.table.get("accuracy", -at.table["loss"] if "loss" in at.table else None)
    best = [0.0 if height is None else height[row] for row in at.rows]
    order = [i for i, run in enumerate(runs) if run.index in diverged or run.index not in parents]
    order.sort(key=lambda i: (runs[i].index not in diverged, -best[i], i))
    taken: list[tuple[float, float, float]] = []
    made: list[tuple[int, str]] = []
    for i in order:
        run = runs[i]
        text = run.name if len(run.name) <= LONGEST_LABEL else run.name[:LONGEST_LABEL] + "…"
        text += f", diverged at {diverged[run.index][1]:,}" if run.index in diverged else ""
        left, top = (float(of[i]) for of in places)
        right = left + (len(text) * LETTER_WIDTH + 16) * unit
        free = all(
            abs(other_top - top) > LABEL_HEIGHT * unit or end_at < left or right < start
            for start, end_at, other_top in taken
        )
        if free and right < edge and len(made) < MOST_LABELS:
            taken.append((left, right, top))
            made.append((i, text))
    return made


def _annotation(text: str, point: Sequence[float], scene: Json, colour: str) -> Json:
    axes = (scene["xaxis"], scene["yaxis"], scene["zaxis"])
    logs = (axis.get("type") == "log" for axis in axes)
    at = (math.log10(v) if log else v for v, log in zip(point, logs, strict=True))
    return {
        **dict(zip("xyz", at, strict=True)),
        "text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        "showarrow": False,
        "xanchor": "left",
        "xshift": 9,
        "font": {"size": 12, "color": colour},
    }
