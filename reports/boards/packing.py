"""A snapshot's report -> its package in an outbox, whole or not at all.

It holds no key, no host and no path. The same snapshot gives the same bytes.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from etl.errors import IncompleteError, UsageError
from etl.project import Project
from reports import theme
from reports.boards import describe
from reports.boards.package import FORMAT, MANIFEST, Package, opened, sha256_of
from reports.charts.spec import Chart, Json
from reports.figure import figure
from reports.gather import Report
from reports.page import render

WIDTH, HEIGHT = 1400, 820  # pixels, for which a figure's labels are placed
TEMPORARY = ".tmp"


def write(project: Project, report: Report, outbox: Path) -> tuple[Package, bool]:
    """Write the package of *report* into *outbox*, unless it stands there whole; say whether.

    The caller holds the outbox's lock. A package that is damaged is written anew.

    Raises:
        UsageError: the outbox cannot be written, or the snapshot is not whole.
    """
    folder = outbox / report.snapshot
    if folder.exists():
        try:
            standing = opened(folder)
            standing.verify()
        except IncompleteError:
            shutil.rmtree(folder)
        else:
            return standing, False
    draft = outbox / f".{report.snapshot}{TEMPORARY}"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _fill(draft, project, report)
        os.replace(draft, folder)
        _flush(outbox)
    except OSError as problem:
        raise UsageError(
            f"cannot be written: {problem.strerror or problem}",
            where=str(outbox),
            done="no package was changed",
            fix="make room and the folder writable, and run this again",
        ) from None
    return opened(folder), True


def _fill(draft: Path, project: Project, report: Report) -> None:
    """Write all files of the package into *draft*, the manifest last."""
    facts = report.facts.manifest
    charts = [_chart(draft, project, report, chart) for chart in report.charts]
    _put(draft, "report.html", render(report))
    _put(draft, "runs.jsonl", _runs(report))
    _put(draft, "board.json", _text(_board(report, charts)))
    name = f"{facts.snapshot}.json"
    data = Project(project.name, draft / "data" / project.name)
    _link(project.snapshots / name, data.snapshots / name)
    for digest in sorted({part.digest for part in facts.parts}):
        name = f"{digest}.parquet"
        _link(project.parts / name, data.parts / name)
    files = {
        path.relative_to(draft).as_posix(): {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for path in draft.rglob("*")
        if path.is_file()
    }
    document = {
        "format": FORMAT,
        "project": report.project,
        "snapshot": report.snapshot,
        "previous": facts.previous,
        "created_at": facts.created_at,
        "files": files,
    }
    _put(draft, MANIFEST, _text(document))


def plotly_figure(report: Report, chart: Chart) -> Json:
    """Return *chart* as the JSON of a plotly figure in the light theme; a gap is null."""
    return cast("Json", _plain(figure(report, chart, "light", WIDTH, HEIGHT)))


def _chart(draft: Path, project: Project, report: Report, chart: Chart) -> Json:
    name = f"charts/{chart.key}.json"
    drawn = json.dumps(plotly_figure(report, chart), sort_keys=True, allow_nan=False)
    _put(draft, name, drawn.encode())
    stills = {}
    for kind in theme.THEMES:
        source = project.reports / f"{report.snapshot}-{chart.key}-{kind}.png"
        if source.is_file():
            stills[kind] = f"stills/{chart.key}-{kind}.png"
            _link(source, draft / stills[kind])
    return {
        "key": chart.key,
        "title": chart.title,
        "subtitle": chart.subtitle,
        "summary": chart.summary,
        "figure": name,
        "stills": stills,
    }


def _board(report: Report, charts: list[Json]) -> Json:
    facts = report.facts.manifest
    return {
        "title": f"{report.project} {report.snapshot}",
        "description": describe.description(report),
        "counts": dict(facts.counts),
        "sources": dict(facts.sources),
        "versions": dict(facts.versions),
        "benchmarks": [metric.name for metric in report.axes.benchmarks],
        "charts": charts,
        "columns": [
            {
                "key": column.key,
                "label": column.label,
                "unit": column.unit,
                "group": column.group,
                "direction": describe.direction(report, column),
            }
            for column in report.results.columns.values()
        ],
    }


def _runs(report: Report) -> bytes:
    lines = []
    for run in report.facts.runs:
        row = {
            key: _value(column.values[run.index])
            for key, column in report.results.columns.items()
            if column.values[run.index] is not None
        }
        lines.append(json.dumps(row, sort_keys=True, allow_nan=False) + "\n")
    return "".join(lines).encode()


def _value(value: Any) -> Any:
    # as in the lines of our hooks: JSON has no NaN, and it is a value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _plain(value: Any) -> Any:
    """Return a figure as JSON has it; plotly takes null for a gap."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(document: Json) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _link(source: Path, target: Path) -> None:
    """Give *source*, which never changes, a second name; a copy where the disk has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
