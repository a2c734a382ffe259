"""Where an event file lies and what its neighbours are called -> its run and its segment.

An event file names neither. As in TensorBoard, the files of one folder are one run.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from etl.sources import places, tfrecord, wire
from etl.sources.facts import Facts

_HEAD = 4096  # holds the first event of any writer
_VERSION = b"brain.Event:"
_NAME = re.compile(r"(?:^|\.)tfevents(?:\.(?P<time>\d{9,11})(?:\.(?P<rest>.+))?|\.|$)")
_MADE_OF_ONE = (".gz", ".zip", ".zst", ".xz", ".bz2", ".tar", ".tgz", ".csv", ".json", ".txt")
_COUNTED = re.compile(r"(?P<writer>.+\.\d+)\.(?P<count>\d+)(?:\.v2)?")  # host.process.counter
_OF_HPARAMS = re.compile(r"\d{9,11}\.\d+")
_OF_TORCH = re.compile(r"[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_")  # and then the host


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """What the name of an event file says; ``count`` tells the writers of one process apart."""

    time: float
    count: int | None
    writer: str
    path: Path


def is_named_so(path: Path) -> bool:
    """Whether *path* is called as event files are, and not as what was made of one."""
    return _NAME.search(path.name) is not None and not path.name.endswith(_MADE_OF_ONE)


def first_time(head: bytes) -> float | None:
    """Return the time of the first event if *head* begins an event file, else None."""
    size = int.from_bytes(head[:8], "little")
    body = head[tfrecord.HEADER : tfrecord.HEADER + size]
    if size > _HEAD or _VERSION not in body or not tfrecord.length_holds(head[: tfrecord.HEADER]):
        return None
    try:
        event = dict(wire.fields(body))
    except wire.MalformedError:
        return None
    if not isinstance(event.get(3), bytes) or not isinstance(event.get(1), bytes):
        return None
    (time,) = struct.unpack("<d", event[1])  # type: ignore[arg-type]  # bytes, as just seen
    return float(time)


def facts(path: Path, time: float) -> Facts:
    """Return who an event file is whose first event is of *time*: run, segment and names."""
    folder, own = path.parent, _file(path, time)
    if _OF_HPARAMS.fullmatch(folder.name):  # add_hparams makes it for a run of the folder above
        earlier = [
            file
            for file in _beside(folder.parent)
            if (file.writer, file.count is None) == (own.writer, own.count is None)
            and file.time <= own.time
            and (file.count or 0) <= (own.count or 0)
        ]
        if earlier:
            folder, own = folder.parent, max(earlier)
    files = sorted({own.path: own, **{file.path: file for file in _beside(folder)}}.values())
    began = next((t for file in files if (t := _time(file.path)) is not None), time)
    name = places.telling(folder)
    if "/" not in name and _beside(folder.parent):  # such as add_scalars makes
        name = f"{places.telling(folder.parent)}/{name}"
    # writers in C++ state whole seconds, in which two runs may well begin
    place = folder.name if began % 1 else name
    content = f"{place}\n{began!r}".encode("utf-8", "surrogatepass")
    opened = _time(_opened_first(own, files).path)
    return Facts(
        run_id="tb-" + hashlib.blake2b(content, digest_size=5).hexdigest(),
        segment_id=f"{time if opened is None else opened:.6f}",
        id_known=False,
        name=_without_host(name, own.writer),
        started_at=time,
        tells_end=False,
    )


def _file(path: Path, otherwise: float = 0.0) -> _File:
    found = _NAME.search(path.name)
    time, rest = found.group("time", "rest") if found else (None, None)
    counted = _COUNTED.fullmatch(rest or "")
    writer, count = counted.group("writer", "count") if counted else (rest or "", None)
    at = float(time) if time else otherwise
    return _File(at, int(count) if count else None, writer, path)


def _beside(folder: Path) -> list[_File]:
    """Return the files of *folder* that are called as event files are."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    return [_file(path) for path in paths if is_named_so(path)]


def _time(path: Path) -> float | None:
    try:
        with path.open("rb") as file:
            return first_time(file.read(_HEAD))
    except OSError:
        return None


def _opened_first(own: _File, files: list[_File]) -> _File:
    """Return the first file that the process of *own* opened in its folder."""
    if own.count is None:  # the name tells no process
        return own
    first = own
    for file in reversed([file for file in files if file.writer == own.writer and file < own]):
        # a process counts its writers up; one of the same number began to count anew
        if file.count is None or file.count >= (first.count or 0):
            break
        first = file
    return first


def _without_host(name: str, writer: str) -> str:
    """Return *name* without the host that torch puts behind the time in a folder's name."""
    host = re.sub(r"\.\d+$", "", writer)
    parts = [p.replace(f"_{host}", "") if _OF_TORCH.match(p) else p for p in name.split("/")]
    return "/".join(parts)
