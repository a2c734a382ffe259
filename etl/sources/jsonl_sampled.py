"""Lines of JSON objects -> the same points as ``jsonl_rows`` gives, of keys that a sample shows.

The keys of a few lines of each shape are taken for all. That they are, and that every value was
read as it stands, is then proven by counting: of lines whose values are numbers, each ``:`` is a
value, each comma stands between two, and each ``"`` belongs to a key. Where the counts do not fit,
``jsonl_columns`` finds out exactly. Counting costs 0.07 CPU s for 134 MB, where an exact search
for keys costs as much as reading them, 0.3.
"""

from __future__ import annotations

import atexit
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from etl.sources import jsonl_columns, jsonl_rows
from etl.sources.jsonl_columns import NotColumnsError, columns_of, finite, odd_number
from etl.sources.jsonl_rows import MAX_STEP, Event, Lines
from etl.sources.reading import Reject
from hooks import record

_SAMPLE_BYTES = 64 * 1024
_SHAPES = 256
_BLOCK_BYTES = 256 * 1024  # stays in the processor's cache while it is counted
_NONFINITE = (b'"NaN"', b'"Infinity"', b'"-Infinity"')
_COLON, _QUOTE, _COMMA = b":", b'"', b","


@dataclass(slots=True)
class _Counts:
    """How often the characters that make JSON occur, and lines; what is not to be counted."""

    colons: int = 0
    quotes: int = 0
    commas: int = 0
    lines: int = 0
    size: int = 0
    apart: list[bytes] = field(default_factory=list)


def parse(path: Path, size: int, start: int, first: int, axes: tuple[str, str | None]) -> Lines:
    """As ``jsonl_rows.parse`` of the file *path*, which holds *size* bytes of complete lines.

    Raises:
        NotColumnsError, duckdb.Error: this way does not do for these lines.
    """
    counts = _count(path, size)
    try:
        return _parse(path, counts, _ends(path, size), (start, first), axes)
    except NotColumnsError:  # a rare kind of line that no sample has shown
        data = path.read_bytes()
        if len(data) != size:
            raise
        return _parse(path, _count(path, size), data.split(b"\n"), (start, first), axes)


def _count(path: Path, size: int) -> _Counts:
    counts = _Counts(size=size)
    buffer = bytearray(_BLOCK_BYTES)
    block = np.frombuffer(buffer, dtype=np.uint8)
    flags = np.empty(_BLOCK_BYTES, dtype=bool)
    left, end = size, 0
    with path.open("rb", buffering=0) as file:
        while left > 0 and (length := file.readinto(memoryview(buffer)[: min(left, _BLOCK_BYTES)])):
            left -= length
            found = []
            for character in (*_COLON, *_QUOTE, *_COMMA, *b"\n"):
                np.equal(block[:length], character, out=flags[:length])
                found.append(int(np.count_nonzero(flags[:length])))
            counts.colons += found[0]
            counts.quotes += found[1]
            counts.commas += found[2]
            counts.lines += found[3]
            # blanks to DuckDB, and none to the standard
            if buffer.find(b"\x0b", 0, length) >= 0 or buffer.find(b"\x0c", 0, length) >= 0:
                raise NotColumnsError
            end = buffer[length - 1]
    if left or end != 10:
        raise NotColumnsError
    return counts


def _ends(path: Path, size: int) -> list[bytes]:
    """Return the lines at the beginning, in the middle and at the end of the file."""
    lines: list[bytes] = []
    with path.open("rb") as file:
        for at in sorted({0, max(0, size // 2), max(0, size - _SAMPLE_BYTES)}):
            file.seek(at)
            pieces = file.read(min(_SAMPLE_BYTES, size - at)).split(b"\n")
            lines += pieces[bool(at) : -1]  # the first is cut, but that of the file
    return lines


def _keys(lines: Iterable[bytes], step_key: str) -> tuple[set[str], set[str]]:
    """Return the keys of a line of each shape, and those whose values are not all numbers."""
    keys: set[str] = set()
    rich: set[str] = set()
    seen: set[bytes | tuple[int, int]] = set()
    left = _SHAPES
    for line in lines:
        count = (line.count(_QUOTE), line.count(_COMMA))
        shape = line.translate(None, delete=b"0123456789.+-eE")
        if shape in seen or (left <= 0 and count in seen):  # texts can make any line a new shape
            continue
        seen |= {shape, count}
        left -= 1
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        step = value.get(step_key) if isinstance(value, dict) else None
        if isinstance(step, (int, float)) and step is not True and record.KIND not in value:
            keys |= value.keys()
            rich |= {k for k, v in value.items() if v is not None and record.number(v) is None}
    return keys, rich


def _parse(
    path: Path,
    counts: _Counts,
    sample: list[bytes],
    origin: tuple[int, int],
    axes: tuple[str, str | None],
) -> Lines:
    found, rich = _keys(sample, axes[0])
    keys = columns_of(found | {axes[0]}, axes)
    if not rich.isdisjoint(axes):
        raise NotColumnsError
    con = _database().cursor()
    try:
        wide = jsonl_columns.select(con, str(path), keys, rich, axes)
    finally:
        con.close()
    wide, others = _without_odd(path, wide, counts, origin, axes)
    for at, key in enumerate(keys):
        if key in rich:
            counts.apart += [text.encode() for text in wide[f"k{at}"].drop_nulls().to_list()]
    _prove(path, wide, counts, keys)
    return jsonl_columns.lines_of(wide, keys, rich, others, origin[0] + counts.size)


def _without_odd(
    path: Path,
    wide: pl.DataFrame,
    counts: _Counts,
    origin: tuple[int, int],
    axes: tuple[str, str | None],
) -> tuple[pl.DataFrame, tuple[tuple[Event, ...], tuple[Reject, ...]]]:
    """Return the rows of history, and what the lines hold that are none."""
    step = wide["step"].to_numpy()  # NULL is NaN, which is no whole number either
    fits = (np.floor(step) == step) & (np.abs(step) < MAX_STEP)
    # DuckDB makes a 1 of true; asking for text instead would cost a third more
    _numbers(path, np.flatnonzero((step == 0) | (step == 1)).tolist(), wide.height, counts)
    if fits.all():
        return wide, ((), ())
    events: list[Event] = []
    rejects: list[Reject] = []
    odd = np.flatnonzero(~fits).tolist()
    for number, at, line in _lines(path, odd, wide.height, counts):
        found = jsonl_rows.parse(line, origin[0] + at, origin[1] + number, *axes)
        if found.rows:  # readable after all
            raise NotColumnsError
        events += found.events
        rejects += found.rejects
        counts.apart.append(line)
    first = next((at for at, row in enumerate(odd) if at != row), len(odd))
    if odd[first:] == list(range(wide.height - len(odd) + first, wide.height)):
        rest = wide.slice(first, wide.height - len(odd))  # costs nothing
    else:
        rest = wide.filter(fits)
    return rest, (tuple(events), tuple(rejects))


def _numbers(path: Path, rows: list[int], height: int, counts: _Counts) -> None:
    """Raise NotColumnsError unless the step of each of *rows*, 0 or 1, is a number."""
    lines = _lines(path, rows, height, counts) if rows else []
    if any(b"true" in line or b"false" in line for _, _, line in lines):
        raise NotColumnsError


def _lines(
    path: Path, rows: list[int], height: int, counts: _Counts
) -> list[tuple[int, int, bytes]]:
    """Return (number, place, bytes) of the lines that DuckDB has as *rows* of *height*."""
    size = counts.size
    with path.open("rb") as file:
        head = file.read(min(_SAMPLE_BYTES, size))
        file.seek(max(0, size - _SAMPLE_BYTES))
        tail = file.read(size - file.tell())
    heads, tails = head.split(b"\n")[:-1], tail.split(b"\n")[1:-1]
    near = all(row < len(heads) or row >= height - len(tails) for row in rows)
    if not near or height != counts.lines:  # somewhere, or with blank lines between
        return _among(path.read_bytes()[:size], rows, height)
    starts = np.cumsum([0, *(len(line) + 1 for line in heads)]).tolist()
    ends = (size - np.cumsum([len(line) + 1 for line in reversed(tails)])).tolist()
    found = []
    for row in rows:
        if row < len(heads):
            found.append((row, starts[row], heads[row] + b"\n"))
        else:
            found.append((row, ends[height - 1 - row], tails[row - height] + b"\n"))
    return found


def _among(data: bytes, rows: list[int], height: int) -> list[tuple[int, int, bytes]]:
    lines, at = [], 0
    for number, line in enumerate(data.split(b"\n")[:-1]):
        if line.strip():
            lines.append((number, at, line + b"\n"))
        at += len(line) + 1
    if len(lines) != height:
        raise NotColumnsError
    return [lines[row] for row in rows]


def _prove(path: Path, wide: pl.DataFrame, counts: _Counts, keys: list[str]) -> None:
    """Raise NotColumnsError unless *wide* is all that the lines of *counts* hold."""
    values = sum(wide.height - column.null_count() for column in wide.get_columns())
    apart = b"\n".join(counts.apart)
    colons = counts.colons - apart.count(_COLON) - values
    quotes = counts.quotes - apart.count(_QUOTE) - 2 * values
    commas = counts.commas - apart.count(_COMMA) - (values - wide.height)
    numbers = finite(wide)
    if colons == quotes == commas == 0 and numbers:
        return
    # what is left may be nulls, and texts that are numbers, of which there are as many in the file
    data = path.read_bytes()
    nulls = data.count(b"null") - apart.count(b"null")
    texts = sum(data.count(word) - apart.count(word) for word in _NONFINITE)
    named = any("null" in key or f'"{key}"'.encode() in _NONFINITE for key in keys)
    if named or (colons, commas) != (nulls, nulls) or quotes != 2 * (nulls + texts):
        raise NotColumnsError
    if not numbers and odd_number(data):
        raise NotColumnsError


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return a database in memory, one for the process: opening it takes 24 ms."""
    con = duckdb.connect()
    atexit.register(con.close)
    return con
