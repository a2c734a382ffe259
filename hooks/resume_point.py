"""The earlier log files of a run -> the step that its last process came to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hooks import record
from hooks.capture import file_stem

TAIL_BYTES = 64 * 1024
MOST_BYTES = 16 * 1024 * 1024  # of the end of one file; behind that no more is looked for


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the files of a run's earlier processes say."""

    last_step: int | None = None
    parent_run_id: str | None = None


def earlier(folder: Path, run_id: str, rank: int) -> Earlier:
    """Return what is known of *run_id* from its files in *folder*: nothing where there is none.

    The last step is the newest file's that has one, and not the highest: a process that resumed
    from an earlier checkpoint went back.
    """
    last_step = parent = None
    for path in sorted(_files(folder, run_id, rank), key=_began, reverse=True):
        try:
            with path.open("rb") as file:
                header = _decoded(file.readline(1 << 20))
                if header.get("run_id", run_id) != run_id:
                    continue  # another run, whose name looks the same in a file's name
                parent = parent or header.get("parent_run_id")
                last_step = _last_step(file, header)
        except OSError:
            continue
        if last_step is not None:
            break
    return Earlier(last_step, parent)


def _files(folder: Path, run_id: str, rank: int) -> list[Path]:
    try:
        return list(folder.glob(f"{file_stem(run_id)}.*.rank{rank}.*.jsonl"))
    except OSError:  # a folder that cannot be looked into: creating a file there will say why
        return []


def _began(path: Path) -> tuple[int, str]:
    """Return what sorts files by age: a segment begins with its time, to the base of 36."""
    segment = path.name.split(".")[-4]
    return len(segment), segment


def _last_step(file: BinaryIO, header: dict[str, Any]) -> int | None:
    end = file.seek(0, os.SEEK_END)
    length = TAIL_BYTES
    while True:
        file.seek(max(0, end - length))
        for line in reversed(file.read(length).split(b"\n")):
            found = _decoded(line)
            step = found.get(record.STEP)
            if record.KIND not in found and type(step) is int:
                return step
        if length >= min(end, MOST_BYTES):
            resumed = header.get("resume_step")
            return resumed if type(resumed) is int else None
        length *= 8


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return record.decode(line)
    except (ValueError, RecursionError):  # torn, or cut by where the tail begins
        return {}
