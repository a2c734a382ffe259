"""Paths -> the files under them, and which source reads each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # to walk takes no reader
    from etl.sources.reading import Source

# .pulling: what a pull has begun (etl.pulling.folder)
_SKIPPED_FOLDERS = frozenset((".git", ".venv", "node_modules", "__pycache__", ".pulling"))
_JOURNAL = "-wal"  # what a live SQLite database has written since its file was last changed


@dataclass(frozen=True, slots=True)
class Found:
    """A file and what ``stat`` says of it: what shows whether it has to be read again."""

    name: str  # its whole path: 10,000 Paths take 0.1 s to make
    size: int
    mtime_ns: int
    inode: int

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.name)


def walk(paths: Iterable[Path], failed: list[OSError] | None = None) -> list[Found]:
    """Return every file of *paths*, folders searched, sorted by path, each once.

    A link to a folder is followed, unless what it names has been searched under its own name (as
    of W&B's ``latest-run``). What could not be looked at is added to *failed*.
    """
    search = _Search([] if failed is None else failed)
    for path in sorted(set(map(os.path.abspath, paths))):
        search.path(path)
    while search.links:
        search.path(search.links.pop(0))
    sizes = {name: found for name, found in search.found.items() if name.endswith(_JOURNAL)}
    for name, journal in sizes.items():
        database = search.found.get(name.removesuffix(_JOURNAL))
        if database:
            search.found[database.name] = replace(
                database,
                size=database.size + journal.size,
                mtime_ns=max(database.mtime_ns, journal.mtime_ns),
            )
    return [search.found[name] for name in sorted(search.found)]


class _Search:
    """A search through folders; ``os.walk`` would stat each file once more (10,000: 60 ms)."""

    def __init__(self, failed: list[OSError]) -> None:
        self.failed = failed
        self.found: dict[str, Found] = {}
        self.links: list[str] = []  # to folders
        self.seen: set[tuple[int, int]] = set()  # folders: device, inode

    def path(self, name: str) -> None:
        """Search *name*; folders wait in a list, as they may lie deeper than Python recurses."""
        waiting = [name]
        while waiting:
            found = waiting.pop()
            try:
                state = os.stat(found)
                if stat.S_ISDIR(state.st_mode):
                    waiting += reversed(self.folder(found, state))
                else:
                    self.file(found, state)
            except FileNotFoundError:  # gone since it was named
                continue
            except OSError as problem:
                self.failed.append(problem)

    def folder(self, name: str, state: os.stat_result) -> list[str]:
        """Take the files of a folder that was not searched before, and return its folders."""
        if (state.st_dev, state.st_ino) in self.seen:
            return []
        self.seen.add((state.st_dev, state.st_ino))
        with os.scandir(name) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        folders = []
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED_FOLDERS:
                        folders.append(entry.path)
                elif entry.is_symlink() and entry.is_dir():
                    self.links.append(entry.path)
                else:
                    self.file(entry.path, entry.stat())
            except FileNotFoundError:  # gone since the folder was listed
                continue
            except OSError as problem:
                self.failed.append(problem)
        return folders

    def file(self, name: str, state: os.stat_result) -> None:
        if stat.S_ISREG(state.st_mode):  # a pipe would be waited for
            self.found[name] = Found(name, state.st_size, state.st_mtime_ns, state.st_ino)


def source_of(path: Path, readers: Sequence[Source] | None = None) -> Source | None:
    """Return the one of *readers*, or of all, that reads *path*, or None.

    Raises:
        OSError: the file cannot be read.
    """
    from etl import sources
    from etl.sources.reading import HEAD_BYTES

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    among = sources.ALL if readers is None else readers
    return next((source for source in among if source.recognises(path, head)), None)
