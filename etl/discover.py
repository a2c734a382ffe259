"""Paths -> the files under them that a source reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etl import sources
from etl.sources.reading import Source

HEAD_BYTES = 64 * 1024
_SUFFIXES = (".jsonl", ".ndjson", ".wandb")
_SKIPPED_FOLDERS = frozenset((".git", ".venv", "node_modules", "__pycache__"))


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what ``stat`` says of it: what shows whether it has to be read again."""

    path: Path
    size: int
    mtime_ns: int
    inode: int


def walk(paths: Iterable[Path]) -> Iterator[Found]:
    """Yield every file of *paths* that could be a source's, folders searched, sorted by path."""
    names: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for folder, folders, files in os.walk(path):
                folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
                names.update(Path(folder, file) for file in files if file.endswith(_SUFFIXES))
        else:
            names.add(path)
    for name in sorted(names):
        try:
            stat = name.stat()
        except OSError:  # gone since the folder was listed
            continue
        yield Found(Path(os.path.abspath(name)), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def source_of(path: Path) -> Source | None:
    """Return the source that reads *path*, or None.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((source for source in sources.ALL if source.recognises(path, head)), None)
