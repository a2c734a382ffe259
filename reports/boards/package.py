"""A snapshot's report -> a package: a folder of files that any board can be made of, anywhere.

    report.html            the page
    charts/KEY.json        each chart as a plotly figure
    stills/KEY-THEME.png   pictures of them, where ``reports.build --png`` had drawn them
    runs.jsonl             a line for each run: what the runs table shows, and more
    board.json             what the board says: description, counts, charts, columns
    data/PROJECT/          the snapshot itself, as the data folder of a project: manifest, parts
    manifest.json          the files with their hashes and sizes; written last

It holds no key, no host and no path. The same snapshot gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from etl.errors import IncompleteError, UsageError
from etl.project import Project, locate
from reports import theme
from reports.boards import describe
from reports.charts.spec import Chart, Json
from reports.figure import figure
from reports.gather import Report
from reports.page import render

FORMAT = 1
MANIFEST = "manifest.json"
WIDTH, HEIGHT = 1400, 820  # pixels, for which a figure's labels are placed
TEMPORARY = ".tmp"


@dataclass(frozen=True, slots=True)
class ChartFile:
    """One chart of a package: what it is called and which files hold it."""

    key: str
    title: str
    subtitle: str
    summary: str
    figure: str
    stills: Mapping[str, str]  # theme -> file


@dataclass(frozen=True, slots=True)
class ColumnFile:
    """One column of ``runs.jsonl``."""

    key: str
    label: str
    unit: str
    group: str  # run, config or result
    direction: str  # min, max, or empty where none is known


@dataclass(frozen=True, slots=True)
class Board:
    """What a board says of its snapshot."""

    title: str
    description: str  # Markdown
    counts: Mapping[str, int]
    sources: Mapping[str, int]  # points by source
    versions: Mapping[str, str]
    benchmarks: tuple[str, ...]  # keys of columns, in their order
    charts: tuple[ChartFile, ...]
    columns: tuple[ColumnFile, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A package that stands in an outbox."""

    folder: Path
    project: str
    snapshot: str
    previous: str | None
    created_at: str
    files: Mapping[str, tuple[str, int]]  # name -> sha256, bytes

    @property
    def name(self) -> str:
        """What it is called among others."""
        return f"{self.project} {self.snapshot}"

    @property
    def digest(self) -> str:
        """A hash of all its files."""
        listed = [f"{name}:{sha}:{size}" for name, (sha, size) in sorted(self.files.items())]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()

    def path(self, name: str) -> Path:
        """Return where the file *name* of the package is."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """Return the content of the file *name*."""
        return self.path(name).read_bytes()

    def runs(self) -> list[dict[str, Any]]:
        """Return a row for each run; what is missing has no key, NaN is the text "NaN"."""
        return [json.loads(line) for line in self.read("runs.jsonl").splitlines()]

    def board(self) -> Board:
        """Return what the board says."""
        said = json.loads(self.read("board.json"))
        return Board(
            title=said["title"],
            description=said["description"],
            counts=said["counts"],
            sources=said["sources"],
            versions=said["versions"],
            benchmarks=tuple(said["benchmarks"]),
            charts=tuple(ChartFile(**chart) for chart in said["charts"]),
            columns=tuple(ColumnFile(**column) for column in said["columns"]),
        )

    def verify(self) -> None:
        """Compare every file with its hash.

        Raises:
            IncompleteError: one is missing, changed or strange.
        """
        for name, (sha, size) in sorted(self.files.items()):
            path = self.path(name)
            if not path.is_file():
                raise self._damaged(name, "is not there")
            if path.stat().st_size != size or _sha256(path) != sha:
                raise self._damaged(name, "is not what its hash says")

    def _damaged(self, name: str, what: str) -> IncompleteError:
        return IncompleteError(
            f"{name} {what}",
            where=str(self.folder),
            done="the package is damaged and was not pushed",
            fix="carry it again, or write it anew where the snapshot is:"
            f" python -m reports.publish --project {self.project} --snapshot {self.snapshot}",
        )


def opened(folder: Path) -> Package:
    """Return the package that stands in *folder*.

    Raises:
        IncompleteError: it has no manifest of this format.
    """
    path = folder / MANIFEST
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        files = {name: (entry["sha256"], entry["bytes"]) for name, entry in said["files"].items()}
        _check(said["format"], files)
        return Package(
            folder=folder,
            project=locate(said["project"], folder).name,
            snapshot=said["snapshot"],
            previous=said["previous"],
            created_at=said["created_at"],
            files=files,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as problem:
        raise IncompleteError(
            f"no manifest of a package: {getattr(problem, 'what', problem)}",
            where=str(path),
            done="the package is damaged and was not pushed",
            fix="carry it again, or remove its folder and write it anew with reports.publish",
        ) from None


def _check(form: int, files: Mapping[str, object]) -> None:
    if form != FORMAT:
        raise ValueError(f"format {form}, not {FORMAT}")
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name!r} leads out of the package")


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
    names = sorted(
        path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file()
    )
    files = {
        name: {"sha256": _sha256(draft / name), "bytes": (draft / name).stat().st_size}
        for name in names
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
