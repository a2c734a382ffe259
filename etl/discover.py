"""Paths -> the files under them that a source reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etl import sources
from etl.sources.reading import HEAD_BYTES, Source

_SUFFIXES = (".jsonl", ".ndjson", ".wandb")
_SKIPPED_FOLDERS = frozenset((".git", ".venv", "node_modules", "__pycache__"))


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what ``stat`` says of it: what shows whether it has to be read again."""

    path: Path
    size: int
    mtime_ns: int
    inode: int


def walk(paths: Iterable[Path], failed: list[OSError] | None = None) -> Iterator[Found]:
    """Yield every file of *paths* that could be a source's, folders searched, sorted by path.

    What could not be looked at is added to *failed*.
    """
    failures = [] if failed is None else failed
    names: set[str] = set()
    for path in map(os.path.abspath, paths):
        if os.path.isdir(path):
            for folder, folders, files in os.walk(path, onerror=failures.append):
                folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
                chosen = [file for file in files if file.lower().endswith(_SUFFIXES)]
                names.update(os.path.join(folder, file) for file in chosen)
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
            yield Found(Path(name), found.st_size, found.st_mtime_ns, found.st_ino)


def source_of(path: Path) -> Source | None:
    """Return the source that reads *path*, or None.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((source for source in sources.ALL if source.recognises(path, head)), None)
