"""A package: a folder of files that a board can be made of anywhere, each with its hash.

    report.html            the page
    charts/KEY.json        each chart as a plotly figure
    stills/KEY-THEME.png   pictures of them, where ``reports.build --png`` had drawn them
    runs.jsonl             a line for each run: what the runs table shows, and more
    board.json             what the board says: description, counts, charts, columns
    data/PROJECT/          the snapshot itself, as the data folder of a project: manifest, parts
    manifest.json          the files with their hashes and sizes; written last

``reports.boards.packing`` writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.errors import IncompleteError, UsageError
from etl.project import locate

FORMAT = 1
MANIFEST = "manifest.json"


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
            if path.stat().st_size != size or sha256_of(path) != sha:
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


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
