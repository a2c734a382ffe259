"""A report's charts -> PNG stills, through kaleido where it and a Chrome are there.

Else there are none: a sentence says what is missing and how to get it, and the page
is built all the same.
"""

from __future__ import annotations

import asyncio
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reports.figure import figure
from reports.gather import Report
from reports.page import plotly_script

WIDTH, HEIGHT = 1400, 820
THEMES = ("light", "dark")

Say = Callable[[str], None]
Write = Callable[[Path, bytes], bool]


def stills(report: Report, folder: Path, write: Write, say: Say) -> list[Path]:
    """Write a PNG of each chart and theme beside the page and return their paths."""
    if importlib.util.find_spec("kaleido") is None:
        say("no stills: kaleido is not installed\n  fix: pip install 'runatlas[png]'")
        return []
    names = {
        f"{report.snapshot}-{chart.key}-{theme}.png": figure(report, chart, theme, WIDTH, HEIGHT)
        for chart in report.charts
        for theme in THEMES
    }
    with tempfile.TemporaryDirectory() as place:
        problem = _draw(names, Path(place))
        if problem:
            say(f"no stills: {problem}")
            return []
        paths = [folder / name for name in names]
        for path in paths:
            write(path, (Path(place) / path.name).read_bytes())
    return paths


def _draw(figures: dict[str, Any], place: Path) -> str:
    """Draw *figures* as files in *place*; return what went wrong and what helps, or nothing."""
    try:
        errors = asyncio.run(_drawn(figures, place))
    except RuntimeError as problem:  # kaleido's word for "no Chrome"
        reason = str(problem).strip().split("\n")[0]
        return f"{reason}\n  fix: install Chromium, or set BROWSER_PATH to a Chrome"
    return f"kaleido could not draw: {errors[0]}" if errors else ""


async def _drawn(figures: dict[str, Any], place: Path) -> list[Any]:
    import kaleido  # noqa: PLC0415  an extra, and slow to import

    script = place / "plotly.js"
    script.write_bytes(plotly_script())  # the page's own, so that a still looks like the page
    # mathjax=False: its default is a script from a network
    async with kaleido.Kaleido(n=1, plotlyjs=script, mathjax=False) as drawer:
        specs = [
            {
                "fig": content,
                "path": place / name,
                "opts": {"format": "png", "width": WIDTH, "height": HEIGHT, "scale": 1},
            }
            for name, content in figures.items()
        ]
        return list(await drawer.write_fig_from_object(specs) or ())
