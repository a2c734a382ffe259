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

import duckdb

from etl import tables
from etl.discover import Found
from etl.project import Project
from etl.sources.reading import Facts

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
    folder = os.path.abspath(project.folder)
    # a name that is no UTF-8 has no place in a table as it is
    text = os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")
    return os.path.relpath(text, folder) if text.startswith(folder + os.sep) else text


def place(project: Project, name: str) -> Path:
    """Return the path that the ledger names *name*."""
    return Path(os.path.abspath(project.folder / name))


def entries(con: duckdb.DuckDBPyConnection) -> dict[str, Entry]:
    """Return every file of the ledger by path."""
    found = tables.rows(con, f"select {_COLUMNS} from store.files order by path")
    return {row[0]: Entry(*row) for row in found}


def holdings(con: duckdb.DuckDBPyConnection, run_id: str | None = None) -> list[Holding]:
    """Return what all files hold, or what they hold of *run_id*, sorted by path."""
    of_run = "" if run_id is None else " where run_id = ?"
    query = f"select {_HOLDS} from store.holds{of_run} order by path, own_id, facts"
    values = () if run_id is None else (run_id,)
    return [_holding(row) for row in tables.rows(con, query, *values)]


def held_by(con: duckdb.DuckDBPyConnection, path: str) -> list[Holding]:
    """Return what the file *path* holds."""
    query = f"select {_HOLDS} from store.holds where path = ? order by own_id, facts"
    return [_holding(row) for row in tables.rows(con, query, path)]


def _holding(row: tuple[str, ...]) -> Holding:
    path, kind, _, run_id, facts, sample = row
    values = {key: {int(s): v for s, v in at.items()} for key, at in json.loads(sample).items()}
    return Holding(path, kind, run_id, Facts.load(facts), values)


def put(con: duckdb.DuckDBPyConnection, entry: Entry, held: Sequence[Holding]) -> None:
    """Store *entry* and what it holds in place of the file's earlier ones."""
    for table in ("files", "holds"):
        tables.rows(con, f"delete from store.{table} where path = ?", entry.path)
    values = [getattr(entry, name) for name in _COLUMNS.split(", ")]
    spots = ", ".join("?" for _ in values)
    tables.rows(con, f"insert into store.files ({_COLUMNS}) values ({spots})", *values)
    for item in held:
        tables.rows(
            con,
            f"insert into store.holds ({_HOLDS}) values (?, ?, ?, ?, ?, ?)",
            *(entry.path, item.kind, item.facts.run_id, item.run_id),
            *(item.facts.dump(), json.dumps(item.sample, sort_keys=True)),
        )


def note(con: duckdb.DuckDBPyConnection, entry: Entry) -> None:
    """Store *entry* in place of the file's earlier one; what it holds stays."""
    put(con, entry, held_by(con, entry.path))


def run_of(con: duckdb.DuckDBPyConnection, own_id: str) -> str:
    """Return the run that files of *own_id* were found to be of, or *own_id* itself."""
    found = tables.rows(con, "select run_id from store.holds where own_id = ? limit 1", own_id)
    return str(found[0][0]) if found else own_id


def assign(con: duckdb.DuckDBPyConnection, runs: Mapping[str, str]) -> None:
    """Make every holding whose own id is in *runs* one of the run that it is mapped to."""
    for own_id, run_id in sorted(runs.items()):
        tables.rows(con, "update store.holds set run_id = ? where own_id = ?", run_id, own_id)


def remembered(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the PATHs that earlier syncs were given."""
    return [path for (path,) in tables.rows(con, "select path from store.paths order by path")]


def remember(con: duckdb.DuckDBPyConnection, paths: list[str]) -> None:
    """Add *paths* to those that every sync looks at."""
    known = set(remembered(con))
    for path in sorted(set(paths) - known):
        tables.rows(con, "insert into store.paths values (?)", path)
