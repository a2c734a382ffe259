"""A SQLite database of another program -> a connection that reads it and never writes beside it.

SQLite itself makes ``-wal`` and ``-shm`` files when it opens a database in WAL mode, also to read,
so a database is opened as one that cannot change. What a running program has not moved into it yet
stands in its ``-wal`` (or, to be undone, in its ``-journal``); then a copy of both is opened.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

MAGIC = b"SQLite format 3\0"
# What a damaged database raises; the last where SQLite's own message of it is no UTF-8.
DAMAGED = (sqlite3.Error, UnicodeDecodeError)
_BESIDE = ("-wal", "-journal")
_TRIES = 5  # to copy a database that is being written without a change in between


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database at *path* as it is now.

    Raises:
        DAMAGED: it is none, is damaged, or never rests for long enough to be copied.
        OSError: it cannot be read.
    """
    beside = [other for end in _BESIDE if _size(other := Path(f"{path}{end}"))]
    with contextlib.ExitStack() as stack:
        if beside:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runatlas-")))
            address = f"file:{quote(str(_copied(path, beside, folder)))}"
        else:
            address = _unchanging(path)
        con = stack.enter_context(contextlib.closing(sqlite3.connect(address, uri=True)))
        con.text_factory = _decoded
        yield con


def columns(path: Path, wanted: tuple[str, ...]) -> dict[str, set[str]]:
    """Return the columns of those tables of *wanted* that there are; none if *path* is no database.

    Looks into a copy only where the file alone does not hold the first of *wanted*.
    """
    try:
        with contextlib.closing(sqlite3.connect(_unchanging(path), uri=True)) as con:
            found = tables(con, wanted)
        if wanted[0] not in found and _size(Path(f"{path}-wal")):
            with opened(path) as con:
                found = tables(con, wanted)
    except (*DAMAGED, OSError):
        return {}
    return found


def tables(con: sqlite3.Connection, wanted: tuple[str, ...]) -> dict[str, set[str]]:
    """Return the columns of those tables of *wanted* that *con* has.

    Raises:
        DAMAGED: it is no database.
    """
    # of a view, reading may never end
    query = "select c.name from sqlite_master t, pragma_table_info(t.name) c"
    query += " where t.type = 'table' and t.name = ?"
    found = {name: {row[0] for row in con.execute(query, [name])} for name in wanted}
    return {name: names for name, names in found.items() if names}


def _copied(path: Path, beside: list[Path], folder: Path) -> Path:
    for _ in range(_TRIES):
        files = [path, *beside]
        before = [(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()]
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # moved into the database just now
                shutil.copyfile(file, folder / file.name)
        if before == [(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()]:
            return folder / path.name
        for file in files:
            (folder / file.name).unlink(missing_ok=True)
    raise sqlite3.OperationalError("it is being written all the time; the next sync tries again")


def _unchanging(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")
