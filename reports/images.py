"""A report's charts -> stills, through kaleido where it and a Chrome are there.

Else there are none: a sentence says what is missing and how to get it, and the page
is built all the same. A PNG and an SVG come in both themes; a PDF is for paper, so light.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import tempfile
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.assets import plotly_script
from reports.charts.spec import Json
from reports.figure import figure
from reports.gather import Report

WIDTH, HEIGHT = 1400, 820
FORMATS: dict[str, tuple[str, ...]] = {  # and the themes that each is drawn in
    "png": ("light", "dark"),
    "svg": ("light", "dark"),
    "pdf": ("light",),
}

Say = Callable[[str], None]
Write = Callable[[Path, bytes], bool]


@dataclass(frozen=True, slots=True)
class _Still:
    """One picture to be drawn."""

    name: str  # of its file
    form: str  # of FORMATS
    figure: Json


def stills(
    report: Report, folder: Path, forms: Collection[str], write: Write, say: Say
) -> list[Path]:
    """Write a still of each chart in each of *forms* beside the page and return their paths."""
    if importlib.util.find_spec("kaleido") is None:
        say("no stills: kaleido is not installed\n  fix: pip install 'runatlas[png]'")
        return []
    wanted = [
        _Still(
            f"{report.snapshot}-{chart.key}-{theme}.{form}",
            form,
            figure(report, chart, theme, WIDTH, HEIGHT),
        )
        for chart in report.charts
        for form, themes in FORMATS.items()
        for theme in themes
        if form in forms
    ]
    with tempfile.TemporaryDirectory() as place:
        problem = _draw(wanted, Path(place))
        if problem:
            say(f"no stills: {problem}")
            return []
        for still in wanted:
            drawn = (Path(place) / still.name).read_bytes()
            write(folder / still.name, settled(drawn, still.form, still.name))
    return [folder / still.name for still in wanted]


def settled(drawn: bytes, form: str, name: str) -> bytes:
    """Return a still without what changes from one drawing to the next of the same chart.

    plotly gives the ids of an SVG six random digits, Chrome dates a PDF: the ids come from *name*
    instead, and the date is a constant of the same length, so that offsets in the file hold.
    """
    if form == "svg":
        text = drawn.decode()
        found = re.findall(r'id="(?:clip|defs-|topdefs-|g)([0-9a-f]{6})', text)
        fixed = hashlib.sha256(name.encode()).hexdigest()[:6]
        for random in dict.fromkeys(found):
            text = text.replace(random, fixed)
        return text.encode()
    if form == "pdf":
        dates = rb"/(CreationDate|ModDate) ?\(D:\d{14}"
        return re.sub(dates, lambda m: m[0][:-14] + b"20000101000000", drawn)
    return drawn


def _draw(wanted: list[_Still], place: Path) -> str:
    """Draw *wanted* as files in *place*; return what went wrong and what helps, or nothing."""
    import asyncio  # noqa: PLC0415  25 ms, which a page without stills need not wait for

    try:
        # in a thread of its own: who builds from a notebook has a loop running in this one
        with ThreadPoolExecutor(1) as thread:
            errors = thread.submit(lambda: asyncio.run(_drawn(wanted, place))).result()
    except RuntimeError as problem:  # kaleido's word for "no Chrome"
        reason = str(problem).strip().split("\n")[0]
        return f"{reason}\n  fix: install Chromium, or set BROWSER_PATH to a Chrome"
    return f"kaleido could not draw: {errors[0]}" if errors else ""


async def _drawn(wanted: list[_Still], place: Path) -> list[Any]:
    import kaleido  # noqa: PLC0415  an extra, and slow to import

    script = place / "plotly.js"
    script.write_bytes(plotly_script())  # the page's own, so that a still looks like the page
    # mathjax=False: its default is a script from a network
    async with kaleido.Kaleido(n=1, plotlyjs=script, mathjax=False) as drawer:
        specs = [
            {
                "fig": still.figure,
                "path": place / still.name,
                "opts": {"format": still.form, "width": WIDTH, "height": HEIGHT, "scale": 1},
            }
            for still in wanted
        ]
        return list(await drawer.write_fig_from_object(specs) or ())
