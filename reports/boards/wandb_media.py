"""A package -> what its run on W&B shows: the page, a figure for each chart, the table of runs.

And the way back: what differs between these and the files that a server gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reports.boards.package import Package

PAGE, RUNS, CHARTS = "report", "runs", "charts/"
_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def media(wandb: Any, package: Package) -> dict[str, Any]:
    """Return what the run logs, by key, as the client's own objects."""
    columns, rows = table(package)
    shown: dict[str, Any] = {
        # inject=True would link a stylesheet on the internet
        PAGE: wandb.Html(package.path("report.html"), inject=False),
        RUNS: wandb.Table(columns=columns, data=rows, allow_mixed_types=True),
    }
    drawn = figures(package) if drawable() else {}
    return shown | {key: wandb.Plotly(figure) for key, figure in drawn.items()}


def drawable() -> bool:
    """Whether plotly is installed, whose figures are what the client takes for a chart."""
    try:
        import plotly  # noqa: F401, PLC0415  of the extra
    except ImportError:
        return False
    return True


def figures(package: Package) -> dict[str, Any]:
    """Return each chart as plotly's figure, by the key under which it is logged."""
    from plotly.io import from_json  # noqa: PLC0415  of the extra

    drawn = {}
    for chart in package.board().charts:
        figure = from_json(package.read(chart.figure).decode())
        # plotly gives every figure 7 KB of a template of its own, in other colours
        figure.layout.template = None
        drawn[f"{CHARTS}{chart.key}"] = figure
    return drawn


def table(package: Package) -> tuple[list[str], list[list[Any]]]:
    """Return the titles and rows of the runs table; what is missing is None."""
    runs = package.runs()
    columns = [c for c in package.board().columns if any(c.key in run for run in runs)]
    titles: list[str] = []
    for column in columns:
        title = f"{column.label} ({column.unit})" if column.unit else column.label
        titles.append(f"{title} [{column.key}]" if title in titles else title)
    return titles, [[value(run.get(column.key)) for column in columns] for run in runs]


def value(stored: Any) -> Any:
    """Return a value of ``runs.jsonl`` as what it stands for."""
    return _SPELLED.get(stored, stored) if isinstance(stored, str) else stored


def differences(
    package: Package, given: Mapping[str, Any], fetch: Callable[[str], Path | None]
) -> list[str]:
    """Return what differs between *package* and the media that a server has.

    *given* is the run's summary there, *fetch* downloads one of its files.
    """
    titles, rows = table(package)
    wanted: dict[str, Any] = {RUNS: {"columns": titles, "data": rows}}
    drawn = figures(package) if drawable() else {}
    wanted |= {key: json.loads(figure.to_json(remove_uids=False)) for key, figure in drawn.items()}
    page = _given(given, PAGE, fetch)
    differing = [] if page == package.read("report.html") else ["the page"]
    for key, document in wanted.items():
        content = _given(given, key, fetch)
        if content is None or _canonical(json.loads(content)) != _canonical(document):
            differing.append(f"{key!r}")
    return differing


def _given(given: Mapping[str, Any], key: str, fetch: Callable[[str], Path | None]) -> bytes | None:
    said = given.get(key)
    path = fetch(str(said["path"])) if said is not None and "path" in said else None
    return None if path is None else path.read_bytes()


def _canonical(document: Any) -> str:
    """Return JSON in one spelling: 1.0 is 1, and NaN is like NaN."""
    return json.dumps(json.loads(json.dumps(document), parse_int=float), sort_keys=True)
