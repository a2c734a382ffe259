"""A scene's specification -> a still of it in SVG, which the page shows until WebGL has drawn.

Drawn with the scene's own camera, so that nothing moves when the scene takes its place; in the
theme's variables, so that one still serves both themes and the printer; of one group for each run,
so that the page can filter and colour it where there is no WebGL. About 2 ms a chart, against 2 s
for a PNG through a browser, and the same bytes with and without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from reports import theme, words
from reports.camera import AXES, Floats, Project, projector, shares
from reports.charts.spec import Chart, Json
from reports.figure import names_of_ends, scene_trace
from reports.gather import Report
from reports.resolver import Resolver, shares_of_ramp

HEIGHT = 1000  # units of the picture: whole numbers are fine enough
# how high the page draws a scene, in pixels, and how many vertices a picture may have
ROOMS: Mapping[str, tuple[float, int]] = {"wide": (620.0, 4000), "narrow": (330.0, 1600)}
MANY_RUNS = 200  # above which shadows and what lies behind a median are left out
SMALLEST_LINE = 3  # vertices
SMALLEST_SHAPE = 5.0  # pixels
# how much larger than its nominal size plotly's glyph of a marker is on the screen
GLYPHS: Mapping[str, float] = {"circle": 1.55, "diamond": 1.35, "square": 1.65}


@dataclass(slots=True)
class _Picture:
    """One still while it is drawn."""

    report: Report
    chart: Chart
    scene: Json
    project: Project  # shares of the axes, n x 3 -> their places
    half: float  # of its width
    unit: float  # how many units are a pixel
    budget: int
    floor: list[str] = field(default_factory=list)  # what lies under the runs
    groups: dict[int, list[str]] = field(default_factory=dict)  # run -> its lines and markers
    depths: dict[int, list[float]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


def poster(report: Report, chart: Chart, room: str, attributes: Mapping[str, list[Any]]) -> str:
    """Return *chart*, a scene, as an SVG element for the page; nothing where it draws nothing."""
    if not chart.counts["drawn"]:
        return ""
    inks = {name: f"var(--{name})" for name in theme.THEMES["light"]}
    resolver = Resolver(attributes, chart.first_choices(room), inks)
    layout = resolver.value(chart.layout, None)
    height, budget = ROOMS[room]
    half = HEIGHT * layout["meta"]["needs"] / 2
    scene = layout["scene"]
    project = projector(scene, HEIGHT)
    picture = _Picture(report, chart, scene, project, half, HEIGHT / height, budget)
    _draw_box(picture)
    for trace in chart.traces:
        if trace.get("only") is None:
            _draw_trace(picture, resolver, trace)
    return _svg(picture, room)


def _svg(picture: _Picture, room: str) -> str:
    near_last = sorted(picture.groups, key=lambda run: (-np.mean(picture.depths[run]), run))
    shades = _shades(picture.report, picture.chart)
    runs = [
        f'<g data-run="{run}" {shades[run]}>{"".join(picture.groups[run])}</g>' for run in near_last
    ]
    half = round(picture.half)
    return (
        f'<svg class="poster {room}" viewBox="{-half} {-HEIGHT // 2} {2 * half} {HEIGHT}"'
        f' style="--px:{picture.unit:.3g}px" aria-hidden="true">'
        f"{''.join(picture.floor)}{''.join(runs)}{''.join(picture.names)}</svg>"
    )


def _shades(report: Report, chart: Chart) -> list[str]:
    """Return for each run the attribute that gives it its colour in either theme."""
    if chart.colour == "stage":
        return [f'class="stage-{theme.stage_index(run.stage)}"' for run in report.facts.runs]
    last = theme.RAMP_STEPS - 1
    return [
        f'style="color:var(--{"none" if share is None else f"ramp-{round(share * last)}"})"'
        for share in shares_of_ramp(report, chart)
    ]


def _draw_trace(picture: _Picture, resolver: Resolver, spec: Json) -> None:
    trace, at = scene_trace(resolver, picture.chart, spec)
    many = len(picture.report.facts.runs) > MANY_RUNS
    behind = spec["rows"] == "shadow" or trace.get("opacity", 1) < 0.5
    if trace.get("visible") is False or trace["type"] != "scatter3d" or (many and behind):
        return
    points = np.column_stack([np.asarray(trace[axis], dtype=np.float64) for axis in "xyz"])
    points = shares(points, picture.scene)
    across, down, depth = picture.project(points)
    inside = np.all((points >= -0.01) & (points <= 1.01), axis=1)  # NaN is not inside
    runs = at.table["run"][np.maximum(at.rows, 0)].astype(int)
    drawn = _Vertices(across, down, inside, runs, depth)
    if trace["mode"] == "lines":
        _draw_lines(picture, spec, trace, drawn)
    else:
        _draw_markers(picture, trace, drawn)
    if "labels" in spec:
        edge = max(picture.half, 0.55 * HEIGHT)
        for i, text in names_of_ends(picture.report, at, (across, down), edge, picture.unit):
            if inside[i]:
                place = f'x="{across[i] + 9 * picture.unit:.0f}" y="{down[i]:.0f}"'
                name = f'<text class="name" data-run="{runs[i]}" {place} dy=".35em">{escape(text)}'
                picture.names.append(f"{name}</text>")


@dataclass(frozen=True, slots=True)
class _Vertices:
    """A trace's vertices on the picture."""

    across: Floats
    down: Floats
    inside: Any  # by vertex: whether it stands within the axes
    runs: Any
    depth: Floats

    def pieces(self) -> Iterator[Any]:
        """Yield the vertices of each unbroken line."""
        cuts = np.flatnonzero(~self.inside)
        for piece in np.split(np.arange(len(self.inside)), cuts):
            kept = piece[self.inside[piece]]
            if len(kept):
                yield kept

    def path(self, kept: Any) -> str:
        """Return a line through the vertices *kept*: one place, then the way from each to each."""
        x, y = np.rint(self.across[kept]).astype(int), np.rint(self.down[kept]).astype(int)
        moved = [True, *((np.diff(x) != 0) | (np.diff(y) != 0)).tolist()]
        x, y = x[moved], y[moved]
        ways = np.column_stack([np.diff(x), np.diff(y)]).ravel().tolist()
        return f"M{x[0]} {y[0]}l{' '.join(map(str, ways)).replace(' -', '-') or '0 0'}"


def _draw_lines(picture: _Picture, spec: Json, trace: Json, drawn: _Vertices) -> None:
    pieces = list(drawn.pieces())
    if not pieces:
        return
    share = min(1.0, picture.budget / 2 / sum(map(len, pieces)))
    paths: dict[int, list[str]] = {}
    for piece in pieces:
        wanted = min(len(piece), max(SMALLEST_LINE, round(len(piece) * share)))
        kept = piece[np.unique(np.linspace(0, len(piece) - 1, wanted).round().astype(int))]
        run = int(drawn.runs[piece[0]])
        paths.setdefault(run, []).append(drawn.path(kept))
        picture.depths.setdefault(run, []).append(float(np.mean(drawn.depth[kept])))
    # plotly's width is in a pixel of the screen's finest, which a line of 2 shows as about 1.2
    width = f"{max(1.0, trace['line']['width'] * 0.55):.3g}"
    faint = f' stroke-opacity="{trace["opacity"]}"' if trace.get("opacity", 1) < 1 else ""
    for run, lines in paths.items():
        line = f'<path class="line" stroke-width="{width}"{faint} d="{"".join(lines)}"'
        if "colour" in spec:
            picture.groups.setdefault(run, []).append(f"{line}/>")
        elif spec["rows"] == "stems":
            ink = f'style="color:{trace["line"]["color"]}"'
            picture.groups.setdefault(run, []).append(f"{line} {ink}/>")
        else:
            ink = f'data-run="{run}" style="color:{trace["line"]["color"]}"'
            picture.floor.append(f"{line} {ink}/>")


def _draw_markers(picture: _Picture, trace: Json, drawn: _Vertices) -> None:
    kept = np.flatnonzero(drawn.inside)
    marker = trace["marker"]
    sizes = marker["size"] if isinstance(marker["size"], list | np.ndarray) else None
    small = sizes is None and marker["size"] < SMALLEST_SHAPE
    most = picture.budget // (2 if small else 4)  # a shape takes what two vertices do
    if len(kept) > most:
        wanted = np.linspace(0, len(kept) - 1, most)
        kept = kept[np.unique(wanted.round().astype(int))]
    if small:
        _draw_dots(picture, marker["size"], drawn, kept)
        return
    symbols = marker["symbol"]
    shapes: dict[tuple[int, bool], list[str]] = {}
    last: dict[tuple[int, bool], tuple[int, int]] = {}  # where the outline before it began
    for i in kept[np.argsort(-drawn.depth[kept], kind="stable")].tolist():
        size = float(marker["size"] if sizes is None else sizes[i])
        symbol = symbols if isinstance(symbols, str) else symbols[i]
        x, y, outline = _shape(symbol, size / 2 * picture.unit)
        x, y = round(drawn.across[i]) + x, round(drawn.down[i]) + y
        run = int(drawn.runs[i])
        one = run, symbol.endswith("-open")
        from_x, from_y = last.get(one, (0, 0))
        shapes.setdefault(one, []).append(f"m{_way(x - from_x, y - from_y)}{outline}")
        last[one] = x, y
        picture.depths.setdefault(run, []).append(float(drawn.depth[i]))
    for (run, hollow), paths in shapes.items():
        kind = "hollow" if hollow else "mark"
        path = f'<path class="{kind}" d="{"".join(paths)}"/>'
        picture.groups.setdefault(run, []).append(path)


def _draw_dots(picture: _Picture, size: float, drawn: _Vertices, kept: Any) -> None:
    """Draw markers that are too small for their shapes to be seen: a dot takes 10 bytes."""
    for run in np.unique(drawn.runs[kept]).tolist():
        own = kept[drawn.runs[kept] == run]
        x, y = (np.rint(of[own]).astype(int) for of in (drawn.across, drawn.down))
        ways = zip(np.diff(x, prepend=0).tolist(), np.diff(y, prepend=0).tolist(), strict=True)
        dots = "".join(f"m{_way(*way)}h0" for way in ways)
        path = f'<path class="line dots" stroke-width="{size}" d="{dots}"/>'
        picture.groups.setdefault(run, []).append(path)
        picture.depths.setdefault(run, []).append(float(np.mean(drawn.depth[own])))


def _way(x: int, y: int) -> str:
    return f"{x} {y}".replace(" -", "-")


def _shape(symbol: str, radius: float) -> tuple[int, int, str]:
    """Return a marker's outline, as large as plotly's glyph of it, and where from the middle."""
    r = max(round(radius * GLYPHS[symbol.removesuffix("-open")]), 1)
    if symbol.startswith("diamond"):
        return 0, -r, f"l{r} {r}-{r} {r}-{r}-{r}z"
    if symbol.startswith("square"):
        return -r, -r, f"h{2 * r}v{2 * r}h-{2 * r}z"
    return -r, 0, f"a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0-{2 * r} 0z"


def _draw_box(picture: _Picture) -> None:
    """Draw the three panes that lie behind, their grid, and the axes' ticks and titles."""
    eye = picture.scene["camera"]["eye"]
    far = [0.0 if eye[axis] > 0 else 1.0 for axis in "xyz"]
    panes, grid = [], []
    for fixed in range(3):
        first, second = (axis for axis in range(3) if axis != fixed)
        corners = np.full((4, 3), far[fixed])
        corners[:, first], corners[:, second] = (0, 1, 1, 0), (0, 0, 1, 1)
        panes.append(_closed(picture, corners))
        for along, across in ((first, second), (second, first)):
            for share, _ in _ticks(picture.scene[AXES[along]]):
                ends = np.full((2, 3), far[fixed])
                ends[:, along], ends[:, across] = share, (0, 1)
                grid.append(_closed(picture, ends))
    picture.floor.append(f'<path class="pane" d="{"".join(panes)}"/>')
    picture.floor.append(f'<path class="grid" d="{"".join(grid)}"/>')
    for axis in range(3):
        _draw_axis(picture, axis, far)


def _closed(picture: _Picture, corners: Floats) -> str:
    across, down, _ = picture.project(corners)
    places = [f"{x:.0f} {y:.0f}" for x, y in zip(across, down, strict=True)]
    return f"M{'L'.join(places)}{'z' if len(places) > 2 else ''}"


def _edge(picture: _Picture, axis: int, far: Sequence[float]) -> Floats:
    """Return the ends of the edge that has the ticks of *axis*: low in front, or at the left."""
    ends = np.array([[1 - value for value in far]] * 2)
    ends[:, 2] = 0
    ends[:, axis] = (0, 1)
    if axis == 2:
        corners = [np.array([[x, y, 0], [x, y, 1]]) for x in (0.0, 1.0) for y in (0.0, 1.0)]
        ends = min(corners, key=lambda corner: picture.project(corner)[0].mean())
    return ends


def _draw_axis(picture: _Picture, axis: int, far: Sequence[float]) -> None:
    spec, unit = picture.scene[AXES[axis]], picture.unit
    ends = _edge(picture, axis, far)
    across, down, _ = picture.project(ends)
    length = math.hypot(across[1] - across[0], down[1] - down[0])
    out = np.array([down[1] - down[0], across[0] - across[1]]) / (length or 1)
    away = float(out @ (across.mean(), down.mean()))  # from the middle of the picture
    out = np.array([-1.0, 0.0]) if axis == 2 else out * math.copysign(1.0, away)
    side = "middle" if abs(out[0]) < 0.35 else "end" if out[0] < 0 else "start"
    last = -math.inf
    for share, text in _ticks(spec):
        x, y, _ = picture.project(ends[0] + (ends[1] - ends[0]) * share)
        along = math.hypot(x[0] - across[0], y[0] - down[0])
        room = (len(text) * 6.5 + 8) * unit if axis != 2 else 16 * unit
        if not -0.001 <= share <= 1.001 or along - last < room * (abs(out[1]) if axis != 2 else 1):
            continue
        last = along
        place = f'x="{x[0] + out[0] * 12 * unit:.0f}" y="{y[0] + out[1] * 14 * unit:.0f}"'
        picture.floor.append(
            f'<text class="tick" {place} dy=".35em" text-anchor="{side}">{escape(text)}</text>'
        )
    title = _plain(spec["title"]["text"])
    beside = across.min() if axis == 2 else across.mean()  # its ticks lean out as the edge does
    x, y = beside + out[0] * 42 * unit, down.mean() + out[1] * 42 * unit
    turned = f' transform="rotate(-90 {x:.0f} {y:.0f})"' if axis == 2 else ""
    anchor = "middle" if axis == 2 else side
    at = f'x="{x:.0f}" y="{y:.0f}"'
    picture.floor.append(
        f'<text class="title" {at} text-anchor="{anchor}"{turned}>{escape(title)}</text>'
    )


def _plain(text: str) -> str:
    return text.replace("<\u200b", "<")


def _ticks(axis: Json) -> list[tuple[float, str]]:
    """Return the share and the text of each tick of *axis*: its own, else round ones."""
    low, high = axis["range"]
    logged = axis.get("type") == "log"
    if "tickvals" in axis:
        values = [math.log10(value) if logged else float(value) for value in axis["tickvals"]]
        texts = [str(text) for text in axis["ticktext"]]
    else:
        step = _round_step((high - low) / max(2, axis.get("nticks", 6) - 1))
        values = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        texts = [words.short(10**value if logged else value) for value in values]
    pairs = zip(values, texts, strict=True)
    return [((value - low) / (high - low), text) for value, text in pairs if low <= value <= high]


def _round_step(least: float) -> float:
    """Return the least of 1, 2, 2.5, 5 times a power of ten that is not below *least*."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= least * 0.999)
