"""What has been read, and to which byte -> what has to be read now, and which run it belongs to.

An unchanged file costs its ``stat``. A file that grew is read on from where its last complete
record ended, if the bytes at its beginning and before that place are still the same; otherwise it
was replaced, and is read from its beginning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from etl import tables
from etl.discover import Found
from etl.project import Project

if TYPE_CHECKING:
    from etl.sources.facts import Facts

_MARK_BYTES = 4096
_COLUMNS = "path, kind, size, mtime_ns, inode, marks, read_to, status, points, notes"
_HOLDS = "path, kind, own_id, run_id, facts, sample"

# A few values of a file's metrics: (key, step, value). They show which files are of one run.
Sample = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as it was read. ``kind`` is None for a file that no source reads."""

    path: str
    kind: str | None
    size: int
    mtime_ns: int
    inode: int
    marks: str
    read_to: int
    status: str
    points: int
    notes: str

    def unchanged(self, found: Found) -> bool:
        """Whether ``stat`` gives no reason to read the file again."""
        return (self.size, self.mtime_ns, self.inode) == (found.size, found.mtime_ns, found.inode)

    def grown(self, found: Found) -> bool:
        """Whether what was read of the file is still there, so that reading can go on behind it."""
        return (
            found.size > self.size
            and bool(self.marks)
            and marks(found.path, self.read_to) == self.marks
        )


@dataclass(frozen=True, slots=True)
class Holding:
    """What one file holds of one run. ``facts.run_id`` is the file's own id of it.

    ``run_id`` is the run that it was found to be, which is another one where the file names none.
    """

    path: str
    kind: str
    run_id: str
    facts: Facts
    sample: Sample = field(default_factory=dict)


def marks(path: Path, read_to: int) -> str:
    """Return a hash of the first bytes of *path* and of the last ones before *read_to*."""
    state = hashlib.blake2b(digest_size=12)
    with path.open("rb") as file:
        state.update(file.read(min(_MARK_BYTES, read_to)))
        file.seek(max(0, read_to - _MARK_BYTES))
        state.update(file.read(min(_MARK_BYTES, read_to)))
    return state.hexdigest()


def label(project: Project, path: Path) -> str:
    """Return how the ledger names *path*: relative where that lets the project be moved."""
    return labels(project, [os.path.abspath(path)])[0]


def labels(project: Project, paths: Sequence[str]) -> list[str]:
    """Return how the ledger names each of *paths*, which are absolute and normal."""
    folder = os.path.join(os.path.abspath(project.folder), "")
    # a name that is no UTF-8 has no place in a table as it is
    texts = (
        path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")
        for path in paths
    )
    return [text.removeprefix(folder) for text in texts]


def place(project: Project, name: str) -> Path:
    """Return the path that the ledger names *name*."""
    return Path(os.path.abspath(project.folder / name))


def entries(con: duckdb.DuckDBPyConnection) -> dict[str, Entry]:
    """Return every file of the ledger by path."""
    found = tables.rows(con, f"select {_COLUMNS} from store.files order by path")
    return {row[0]: Entry(*row) for row in found}


def holdings(con: duckdb.DuckDBPyConnection, paths: Sequence[str] | None = None) -> list[Holding]:
    """Return what all files hold, or *paths* alone, sorted by path."""
    condition, given = ("true", []) if paths is None else tables.among("path", paths)
    query = f"select {_HOLDS} from store.holds where {condition} order by path, own_id, facts"
    return [_holding(row) for row in tables.rows(con, query, *given)]


def _holding(row: tuple[str, ...]) -> Holding:
    from etl.sources.facts import Facts

    path, kind, _, run_id, facts, sample = row
    values = {key: {int(s): v for s, v in at.items()} for key, at in json.loads(sample).items()}
    return Holding(path, kind, run_id, Facts.load(facts), values)


def remembered(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the PATHs that earlier syncs were given."""
    return [path for (path,) in tables.rows(con, "select path from store.paths order by path")]


def remember(con: duckdb.DuckDBPyConnection, paths: list[str]) -> None:
    """Add *paths* to those that every sync looks at."""
    known = set(remembered(con)) if paths else set()
    for path in sorted(set(paths) - known):
        tables.rows(con, "insert into store.paths values (?)", path)
