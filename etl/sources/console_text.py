"""Bytes that a terminal was sent -> the lines that it showed, each with its number and place.

Colours, progress that was overwritten after a carriage return, echoed key presses (``^[[A``)
and NUL are no text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from etl.sources.reading import HEAD_BYTES

# CSI sequences, OSC ones (links, titles), two-character ones
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_KEYS = re.compile(r"\^\[[\[O][0-9;]*[A-Za-z~]|^(?:\^[CDZ\\])+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f^]*")
# "2025-10-15 02:40:18,521 - nanochat.common - INFO - " and torch's "[rank0]: "
_LOGGED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - [\w.]+ - [A-Z]+ - ")
_RANK = re.compile(r"(?:\[rank\d+\]: ?)+")


class Line(NamedTuple):
    """One line as it was last shown. ``said`` is every text it showed, the overwritten ones too.

    Lines are numbered from 1; ``at`` is the byte it begins at, ``ts`` the time that it states, as
    if that were in UTC.
    """

    number: int
    at: int
    text: str
    said: tuple[str, ...]
    ts: float | None


def lines(data: bytes, at: int, number: int) -> Iterator[Line]:
    """Yield the lines of *data*, which ends with a whole line and begins at byte *at*."""
    for raw in data.split(b"\n")[: data.count(b"\n")]:
        yield line(raw, at, number)
        at += len(raw) + 1
        number += 1


def line(raw: bytes, at: int, number: int) -> Line:
    """Return the line that *raw*, without its end, is."""
    text = raw.decode("utf-8", "replace").rstrip("\r")
    shown = [text]
    if not _PLAIN.fullmatch(text):
        pieces = [_plain(piece) for piece in text.split("\r")]
        shown = [piece for piece in pieces if piece.strip()] or [""]
    logged = _LOGGED.match(shown[-1]) if shown[-1][:2] == "20" else None
    ts = None
    if logged:
        ts = _seconds(logged[1], "%Y-%m-%d %H:%M:%S", int(logged[2]) / 1000)
    return Line(number, at, shown[-1], tuple(shown), ts)


def message(text: str) -> str:
    """Return *text* without indentation and what a logger or a launcher puts before it."""
    if text[:1] == "[":
        text = text[match.end() :] if (match := _RANK.match(text)) else text
    if text[:2] == "20":
        text = text[match.end() :] if (match := _LOGGED.match(text)) else text
    return text.strip()


def tail(path: Path) -> bytes:
    """Return the end of *path*, as much as a source is shown of its head; nothing on failure."""
    try:
        with path.open("rb") as file:
            file.seek(-HEAD_BYTES, os.SEEK_END)
            return file.read()
    except OSError:  # gone, or shorter
        return b""


def compact_time(text: str) -> float | None:
    """Return the seconds of ``20251015_024018``, as if that were in UTC."""
    return _seconds(text, "%Y%m%d_%H%M%S", 0.0)


def _plain(text: str) -> str:
    return _CONTROL.sub("", _KEYS.sub("", _ESCAPES.sub("", text)))


def _seconds(text: str, form: str, fraction: float) -> float | None:
    try:
        moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None
    return moment.timestamp() + fraction
