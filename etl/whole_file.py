"""Files that are there whole or not at all, whenever a writer is killed or the disk is full."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TEMPORARY = ".tmp"


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes *path* when it is whole and on the disk, or nothing."""
    file = tempfile.NamedTemporaryFile(dir=path.parent, suffix=TEMPORARY, delete=False)  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise


def replace_text(path: Path, text: str) -> None:
    """Write *text* to *path* so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as file:
        file.write(text.encode("utf-8"))


def sweep(folders: Iterable[Path]) -> None:
    """Remove what a killed process had begun to write; only the holder of the lock may."""
    for folder in folders:
        for path in folder.glob(f"*{TEMPORARY}"):
            path.unlink(missing_ok=True)
