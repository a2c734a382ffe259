"""What has been read, and to which byte -> what has to be read now.

An unchanged file costs its ``stat``. A file that grew is read on from where its last complete
record ended, if the bytes at its beginning and before that place are still the same; otherwise it
was replaced, and is read from its beginning.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl import tables
from etl.discover import Found
from etl.project import Project
from etl.sources.reading import Facts

_MARK_BYTES = 4096
_COLUMNS = "path, kind, size, mtime_ns, inode, marks, read_to, run_id, facts, status, points, notes"


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
    run_id: str | None
    facts: str | None
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
            and self.facts is not None
            and marks(found.path, self.read_to) == self.marks
        )

    def loaded(self) -> Facts | None:
        """Return the facts that the file has stated so far."""
        return Facts.load(self.facts) if self.facts else None


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
    """Return the whole ledger by path."""
    found = tables.rows(con, f"select {_COLUMNS} from store.files order by path")
    return {row[0]: Entry(*row) for row in found}


def of_run(con: duckdb.DuckDBPyConnection, run_id: str) -> list[Entry]:
    """Return the entries of the files that hold *run_id*, sorted by path."""
    query = f"select {_COLUMNS} from store.files where run_id = ? order by path"
    return [Entry(*row) for row in tables.rows(con, query, run_id)]


def put(con: duckdb.DuckDBPyConnection, entry: Entry) -> None:
    """Store *entry* in place of the file's earlier one."""
    tables.rows(con, "delete from store.files where path = ?", entry.path)
    values = [getattr(entry, name) for name in _COLUMNS.split(", ")]
    marks_of = ", ".join("?" for _ in values)
    tables.rows(con, f"insert into store.files ({_COLUMNS}) values ({marks_of})", *values)


def remembered(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the PATHs that earlier syncs were given."""
    return [path for (path,) in tables.rows(con, "select path from store.paths order by path")]


def remember(con: duckdb.DuckDBPyConnection, paths: list[str]) -> None:
    """Add *paths* to those that every sync looks at."""
    known = set(remembered(con))
    for path in sorted(set(paths) - known):
        tables.rows(con, "insert into store.paths values (?)", path)
