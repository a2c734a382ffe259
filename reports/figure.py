"""A chart's specification -> a plotly figure for a still, with numpy where the page has JavaScript.

The twin of ``resolve.js``, ``labels.js`` and ``palette.js``, for what a still needs of them: every
run is shown, each option has its default, and the legend is drawn into the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reports import theme
from reports.charts.spec import Chart, Json
from reports.gather import Report
from reports.page import run_attributes

Floats = npt.NDArray[np.float64]
MOST_LABELS = 12
LABEL_HEIGHT = 17  # pixels
LETTER_WIDTH = 6.6
LONGEST_LABEL = 28


@dataclass(frozen=True, slots=True)
class _At:
    """Which rows of which table become vertices; -1 is a gap."""

    table: Mapping[str, Floats]
    rows: npt.NDArray[np.int64]


def figure(report: Report, chart: Chart, name: str, width: int, height: int) -> Json:
    """Return *chart* as a plotly figure in the theme called *name*."""
    options = {option.key: option.choices[0][0] for option in chart.options if option.choices}
    options["room"] = "wide"
    resolver = _Resolver(run_attributes(report), options, theme.THEMES[name])
    colours, bar = _colours(report, chart, name)
    layout = resolver.value(chart.layout, None)
    needs = layout.pop("meta")["needs"]
    _step_back(layout["scene"]["camera"], max(1.0, needs * height / width))
    traces = []
    for spec in chart.traces:
        if spec.get("only") is None:
            trace, at = resolver.trace(chart, spec)
            if "colour" in spec:
                runs = at.table["run"][np.maximum(at.rows, 0)].astype(int)
                trace[spec["colour"]] = trace[spec["colour"]] | {
                    "color": [colours[run] for run in runs.tolist()]
                }
            if "labels" in spec:
                scene = layout["scene"]
                scene["annotations"] = _labels(
                    report,
                    trace,
                    at,
                    scene=scene,
                    size=(width, height),
                    ink=theme.THEMES[name]["ink"],
                )
            traces.append(trace)
    title = f"<b>{chart.title}</b>  {chart.subtitle}"
    layout |= {
        "width": width,
        "height": height,
        "paper_bgcolor": theme.THEMES[name]["card"],
        "title": {"text": title, "x": 0.02, "y": 0.965, "font": {"size": 16}},
        "annotations": [_key(report, chart, name)],
    }
    return {"data": [*traces, *bar], "layout": layout}


class _Resolver:
    """Puts columns, run attributes, choices and colours where the specification refers to them."""

    def __init__(
        self, runs: Mapping[str, Sequence[Any]], options: Mapping[str, str], inks: Mapping[str, str]
    ) -> None:
        self.runs, self.options, self.inks = runs, options, inks

    def trace(self, chart: Chart, spec: Json) -> tuple[Json, _At]:
        """Return the plotly trace that *spec* describes, and its vertices."""
        frame = chart.tables[self.value(spec["table"], None)]
        table = {c.name: c.cast(float).fill_null(math.nan).to_numpy() for c in frame.get_columns()}
        keep = self.value(spec.get("within"), None)
        if keep and keep["limits"]:
            low, high = keep["limits"]
            good = (table[keep["column"]] >= low) & (table[keep["column"]] <= high)
            table = {name: values[good] for name, values in table.items()}
        at = _At(table, _vertices(spec["rows"], table))
        trace: Json = self.value(spec["plotly"], at)
        if spec["rows"] == "shadow":
            trace["z"] = np.where(np.isnan(trace["z"]), np.nan, spec["foot"])
        if spec["rows"] == "stems":
            trace["z"][1::3] = spec["foot"]
        return trace, at

    def value(self, value: Any, at: _At | None) -> Any:
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

    def pick(self, reference: Any, at: _At) -> Any:
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


def _vertices(rows: str, table: Mapping[str, Floats]) -> npt.NDArray[np.int64]:
    every = np.arange(len(table["run"]), dtype=np.int64)
    if rows == "points" or not every.size:
        return every
    if rows == "stems":
        return np.column_stack([every, every, np.full_like(every, -1)]).ravel()
    changes = np.flatnonzero(np.diff(table["run" if rows == "ends" else "line"])) + 1
    if rows == "ends":
        return np.append(changes - 1, every[-1])
    return np.insert(every, changes, -1)


def _step_back(camera: Json, times: float) -> None:
    for axis, center in camera["center"].items():
        camera["eye"][axis] = center + (camera["eye"][axis] - center) * times


def _colours(report: Report, chart: Chart, name: str) -> tuple[list[str], list[Json]]:
    """Return a colour for each run, and a trace that shows the scale if there is one."""
    if chart.colour == "stage":
        stages = theme.STAGE_COLOURS[name]
        return [stages[theme.stage_index(run.stage)] for run in report.facts.runs], []
    none = theme.THEMES[name]["none"]
    column = report.results.columns.get(chart.colour)
    values = [
        float(value) if isinstance(value, float | int) and math.isfinite(value) else None
        for value in (column.values if column else [None] * len(report.facts.runs))
    ]
    known = [value for value in values if value is not None]
    if not known or column is None:
        return [none] * len(values), []
    low, high = min(known), max(known)
    ramp = theme.RAMPS[name]
    colours = [none if v is None else _mixed(ramp, (v - low) / (high - low or 1)) for v in values]
    scale = [[place / (len(ramp) - 1), colour] for place, colour in enumerate(ramp)]
    marker = {"color": [low], "colorscale": scale, "cmin": low, "cmax": high, "showscale": True}
    marker["colorbar"] = {"title": {"text": column.label}, "thickness": 10, "len": 0.6, "x": 0.93}
    hidden = {"type": "scatter3d", "mode": "markers", "x": [None], "y": [None], "z": [None]}
    return colours, [{**hidden, "marker": marker}]


def _mixed(ramp: Sequence[str], share: float) -> str:
    at = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    first = min(int(at), len(ramp) - 2)
    pairs = [
        (int(ramp[first][i : i + 2], 16), int(ramp[first + 1][i : i + 2], 16)) for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{round(a + (b - a) * (at - first)):02x}" for a, b in pairs)


def _key(report: Report, chart: Chart, name: str) -> Json:
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


def _labels(
    report: Report, trace: Json, at: _At, *, scene: Json, size: tuple[int, int], ink: str
) -> list[Json]:
    """Return the names that can stand beside the ends without covering each other."""
    project = _projector(scene, size[1])
    runs = [report.facts.runs[int(at.table["run"][row])] for row in at.rows]
    parents = {run.parent for run in runs}
    diverged = report.results.diverged
    accuracy = [at.table["accuracy"][row] for row in at.rows]
    order = [i for i, run in enumerate(runs) if run.index in diverged or run.index not in parents]
    order.sort(key=lambda i: (runs[i].index not in diverged, -accuracy[i], i))
    taken: list[tuple[float, float, float]] = []
    made: list[Json] = []
    for i in order:
        run = runs[i]
        text = run.name if len(run.name) <= LONGEST_LABEL else run.name[:LONGEST_LABEL] + "…"
        text += f", diverged at {diverged[run.index][1]:,}" if run.index in diverged else ""
        point = [float(trace[axis][i]) for axis in "xyz"]
        left, top = project(point)
        right = left + len(text) * LETTER_WIDTH + 16
        free = all(
            abs(other_top - top) > LABEL_HEIGHT or end_at < left or right < start
            for start, end_at, other_top in taken
        )
        if free and right < size[0] / 2 and len(taken) < MOST_LABELS:
            taken.append((left, right, top))
            made.append(_annotation(text, point, scene, ink))
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


def _projector(scene: Json, height: int) -> Callable[[Sequence[float]], tuple[float, float]]:
    """Return where plotly's camera shows a point, in pixels from the middle of the scene."""
    eye, center = (np.array([*scene["camera"][key].values()]) for key in ("eye", "center"))
    forward = (center - eye) / np.linalg.norm(center - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    half = height / 2 / math.tan(math.pi / 8)
    axes = [scene[key] for key in ("xaxis", "yaxis", "zaxis")]
    aspect = np.array([*scene["aspectratio"].values()])

    def project(point: Sequence[float]) -> tuple[float, float]:
        shares = []
        for value, axis in zip(point, axes, strict=True):
            low, high = axis["range"]
            shown = math.log10(value) if axis.get("type") == "log" else value
            shares.append((shown - low) / (high - low) - 0.5)
        ray = np.array(shares) * aspect - eye
        depth = float(ray @ forward)
        return half * float(ray @ right) / depth, -half * float(ray @ up) / depth

    return project
