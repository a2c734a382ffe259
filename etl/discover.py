"""Paths -> the files under them, and which source reads each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etl import sources
from etl.sources.reading import HEAD_BYTES, Source

# .pulling: what a pull has begun (etl.pulling.folder)
_SKIPPED_FOLDERS = frozenset((".git", ".venv", "node_modules", "__pycache__", ".pulling"))
_JOURNAL = "-wal"  # what a live SQLite database has written since its file was last changed


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what ``stat`` says of it: what shows whether it has to be read again."""

    path: Path
    size: int
    mtime_ns: int
    inode: int


def walk(paths: Iterable[Path], failed: list[OSError] | None = None) -> Iterator[Found]:
    """Yield every file of *paths*, folders searched, sorted by path.

    What could not be looked at is added to *failed*.
    """
    failures = [] if failed is None else failed
    names: set[str] = set()
    for path in map(os.path.abspath, paths):
        if os.path.isdir(path):
            for folder, folders, files in os.walk(path, onerror=failures.append):
                folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
                names.update(os.path.join(folder, file) for file in files)
        else:
            names.add(path)
    for name in sorted(names):
        try:
            found = os.stat(name)
        except FileNotFoundError:  # gone since the folder was listed
            continue
        except OSError as problem:
            failures.append(problem)
            continue
        if stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            size, changed = found.st_size, found.st_mtime_ns
            if name + _JOURNAL in names:
                journal = os.stat(name + _JOURNAL)
                size, changed = size + journal.st_size, max(changed, journal.st_mtime_ns)
            yield Found(Path(name), size, changed, found.st_ino)


def source_of(path: Path) -> Source | None:
    """Return the source that reads *path*, or None.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((source for source in sources.ALL if source.recognises(path, head)), None)
