"""What a chart is: a plotly figure in Python whose arrays are references to columns.

One specification feeds the page (``resolve.js``) and the stills (``reports.figure``). In the
traces and the layout, where plotly would have a value there may stand instead:

    {"$": "loss"}                      that column of the trace's table, at the rows drawn
    {"$run": "name"}                   that attribute of each row's run
    {"$if": "known", "then": A, "else": B}   A where that column is not 0, else B
    {"?": "scale", "of": {"log": A, ...}}    what the reader has chosen of an option
    {"@": "ink"}                       a colour of the theme

A trace is a dict with ``plotly``, and ``table``, ``rows`` (how the rows become vertices: line,
shadow, stems, points or ends), ``role`` (data is counted; a mark stands beside it), and at will
``foot`` (z of the floor), ``colour`` (line or marker: what takes the colour), ``hover``,
``labels``, ``only``, ``smooth`` (a long one is drawn with fewer vertices on the page) and
``within`` (a column and the limits that an end must keep). A mark that touches the data hovers like
it, or the pointer would lose what it has just lit up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from reports import theme, words

Json = dict[str, Any]
KINDS = ("scene", "plane", "parallel")
SECTIONS = ("training", "configuration", "performance", "evaluations", "scaling")
When = tuple[str, str]  # an option and the choice at which something applies


@dataclass(frozen=True, slots=True)
class Option:
    """What the reader can choose of a chart; the first choice is the default."""

    key: str
    label: str
    choices: tuple[tuple[str, str], ...]

    @property
    def in_a_list(self) -> bool:
        """Whether there are too many, or too long ones, to stand beside each other."""
        return sum(len(label) + 4 for _, label in self.choices) > 120


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence under a chart, and when it holds."""

    text: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A run that a chart does not show, and why."""

    run: int
    reason: str
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The metrics whose values a table of a chart holds, and when that table is drawn.

    Of a table that several charts share the *column* that this one draws.
    """

    table: str
    metrics: tuple[str, ...]
    when: When | None = None
    column: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it draws, of what, and what it says about itself.

    Its kind is who draws it on the page: plotly a scene, our own script a plane and parallel
    coordinates. Its section is where its card stands.
    """

    key: str
    title: str
    subtitle: str
    summary: str  # for those who cannot see it
    tables: Mapping[str, pl.DataFrame]
    traces: tuple[Json, ...]
    layout: Json
    colour: str  # the key of a column of the runs
    kind: str = "scene"  # of KINDS
    section: str = "training"  # of SECTIONS
    options: tuple[Option, ...] = ()
    sizes: tuple[tuple[str, float], ...] = ()
    sizes_title: str = ""
    notes: tuple[Note, ...] = ()
    absent: tuple[Absent, ...] = ()
    shown: tuple[Shown, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether it has nothing to draw, whatever the reader chooses."""
        if not self.tables:  # it draws the runs' own columns
            return not self.counts.get("drawn")
        return all(table.is_empty() for table in self.tables.values())

    def first_choices(self, room: str = "wide") -> dict[str, str]:
        """Return what is chosen of every option before the reader chooses, where so much *room* is.

        A room is wide or narrow.
        """
        chosen = {option.key: option.choices[0][0] for option in self.options if option.choices}
        return chosen | {"room": room, "axis": "step"}


def col(name: str) -> Json:
    """Refer to a column of the trace's table."""
    return {"$": name}


def of_run(name: str) -> Json:
    """Refer to an attribute of each row's run."""
    return {"$run": name}


def either(column: str, then: object, other: object) -> Json:
    """Refer to *then* where *column* is not 0, else to *other*."""
    return {"$if": column, "then": then, "else": other}


def by(option: str, of: Mapping[str, object]) -> Json:
    """Refer to what the reader has chosen of *option*."""
    return {"?": option, "of": dict(of)}


def ink(name: str) -> Json:
    """Refer to a colour of the theme."""
    return {"@": name}


def line(label: str, value: Json, form: str = "text", unit: str = "") -> list[Any]:
    """Declare one line of a hover text."""
    return [label, value, form, unit]


def literal(text: str) -> str:
    """Return *text* so that a 3D scene shows it as it is.

    A scene knows tags but no entities; a tag with a space of no width in it is none.
    """
    return text.replace("<", "<\u200b")


def axis(title: str, brief: str = "", **more: Any) -> Json:
    """Return a 3D axis in the house style; *brief* is its title where there is little room."""
    text = by("room", {"wide": literal(title), "narrow": literal(brief or title)})
    return {
        "title": {"text": text, "font": {"size": 12, "color": ink("soft")}},
        "tickfont": {"size": 11, "color": ink("muted")},
        "showbackground": True,
        "backgroundcolor": ink("pane"),
        "gridcolor": ink("grid"),
        "gridwidth": 1,
        "linecolor": ink("grid"),
        "zeroline": False,
        "nticks": 6,
        "showspikes": True,
        "spikecolor": ink("accent"),
        "spikethickness": 1,
        "spikesides": False,
        **more,
    }


def layout(x: object, y: object, z: object, wide: Json, narrow: Json) -> Json:
    """Return a layout of one scene as it is seen where there is much room, and little."""
    scene = {"xaxis": x, "yaxis": y, "zaxis": z, "dragmode": "turntable", "aspectmode": "manual"}
    for key in ("aspectratio", "camera"):
        scene[key] = by("room", {"wide": wide[key], "narrow": narrow[key]})
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "font": {"family": theme.FONT, "color": ink("ink"), "size": 12},
        "showlegend": False,
        "hoverlabel": {
            "bgcolor": ink("card"),
            "bordercolor": ink("shade"),
            "font": {"color": ink("ink"), "size": 12.5},
            "align": "left",
        },
        "scene": scene,
        # no attribute of plotly's: the least width for a height at which the camera sees it all
        "meta": {"needs": by("room", {"wide": wide["needs"], "narrow": narrow["needs"]})},
    }


def view(
    aspect: Sequence[float], eye: Sequence[float], center: Sequence[float], needs: float
) -> Json:
    """Return the aspect ratio and the camera of a scene.

    In a picture that is narrower than *needs* times its height the camera steps back.
    """
    names = ("x", "y", "z")
    return {
        "needs": needs,
        "aspectratio": dict(zip(names, aspect, strict=True)),
        "camera": {
            "eye": dict(zip(names, eye, strict=True)),
            "center": dict(zip(names, center, strict=True)),
            "up": {"x": 0, "y": 0, "z": 1},
            "projection": {"type": "perspective"},
        },
    }


def span(values: pl.Series, pad: float = 0.05) -> tuple[float, float]:
    """Return the range of the finite values with some air, also where they are all the same."""
    finite = values.cast(pl.Float64).drop_nulls()
    finite = finite.filter(finite.is_finite())
    if finite.is_empty():
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())  # type: ignore[arg-type]
    air = (high - low) * pad or abs(high) * 0.1 or 0.5
    return low - air, high + air


def linear(title: str, limits: tuple[float, float], brief: str = "", **more: Any) -> Json:
    """Return a linear axis from one limit to the other."""
    return axis(title, brief, range=list(limits), **more)


def logarithmic(
    title: str, values: pl.Series, brief: str = "", pad: float = 0.05, **more: Any
) -> Json:
    """Return a logarithmic axis around positive values, with ticks at round ones."""
    low, high = span(values.log10(), pad)
    at = log_ticks(low, high)
    ticks = {"tickvals": at, "ticktext": [words.short(value) for value in at]}
    return axis(title, brief, type="log", range=[low, high], **ticks, **more)


def log_ticks(low: float, high: float) -> list[float]:
    """Return about three to seven round values between two powers of ten."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    best: list[float] = []
    for steps in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        tuple(1 + i / 5 for i in range(45)),
    ):
        best = [float(f"{step * 10.0**d:.6g}") for d in decades for step in steps]
        best = [value for value in best if low <= math.log10(value) <= high]
        if len(best) >= 3:
            break
    thinning = max(1, math.ceil(len(best) / 7))
    return best[::thinning]


def foot(limits_or_axis: Json | tuple[float, float]) -> float:
    """Return the data value of an axis's lower end."""
    if isinstance(limits_or_axis, tuple):
        return limits_or_axis[0]
    low = float(limits_or_axis["range"][0])
    return float(10**low) if limits_or_axis.get("type") == "log" else low
