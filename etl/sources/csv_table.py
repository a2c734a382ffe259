"""A CSV file -> its header, its columns as text, and every row that is no row of it.

Records are put together by counting quotes, so a damaged one costs itself and not what follows:
``csv`` alone would read on to the end of the file after one stray quote.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from etl.sources import wide
from etl.sources.reading import HEAD_BYTES, Reject

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t"
# A quoted cell of W&B (a table, HTML) may have many lines; beyond this a quote was never closed.
_LINES_OF_A_RECORD = 10_000
_CELL_BYTES = 2**30
_HEADER_BYTES = 2**22
_WHOLE = re.compile(r"[+-]?\d{1,400}")
_NOTHING = ("null", "None")
_PYTHON = ("{'", '{"', "[{")  # how pandas spells an object: as Python would
CUT = "the file ends without a line end, so its last cell may be cut and is not read"


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a CSV file. A cell without text is None.

    ``cells`` has a column of text for each of the header, named by its place; ``lines`` and
    ``offsets`` are the line and the byte at which each row begins.
    """

    header: tuple[str, ...]
    cells: pl.DataFrame
    lines: Sequence[int]
    offsets: Sequence[int]
    rejects: tuple[Reject, ...]
    size: int

    def series(self, at: int) -> pl.Series:
        """Return column *at* as text."""
        return self.cells.to_series(at).alias(self.header[at])

    def rows(self) -> Iterator[tuple[str | None, ...]]:
        """Yield the rows."""
        return self.cells.iter_rows()


def header_of(head: bytes) -> tuple[str, ...] | None:
    """Return the header of what may be the head of a CSV file of two columns or more, or None."""
    # a header of thousands of columns
    if len(head) >= HEAD_BYTES and b"\n" not in head and b"\r" not in head:
        head = head[: head.rfind(b",")] + b"\n"
    found = _first(head)
    return tuple(found[1]) if found and len(found[1]) > 1 else None


def read(path: Path) -> Table:
    """Return what *path* holds.

    Raises:
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    found = _first(data[:_HEADER_BYTES])
    if found is None:
        reject = (Reject(0, "no header of a CSV file", data, 1),) if data.strip() else ()
        return Table((), pl.DataFrame(), (), (), reject, len(data))
    delimiter, header, lines_of_header = found
    schema = {str(at): pl.String for at in range(len(header))}
    table = _in_columns(data, delimiter, tuple(header), lines_of_header)
    if table is not None:
        return table
    rows: list[list[str | None]] = []
    places: list[tuple[int, int]] = []
    rejects: list[Reject] = []
    for number, at, raw in _records(data, lines_of_header, delimiter, len(header)):
        row = _row(raw, delimiter, len(header))
        if isinstance(row, str):
            rejects.append(Reject(at, row, raw, number))
            continue
        if not raw.endswith((b"\n", b"\r", b'"')) and row[-1] is not None:
            rejects.append(Reject(at, CUT, raw, number))
            row[-1] = None
        rows.append(row)
        places.append((number, at))
    cells = pl.DataFrame(rows, schema=schema, orient="row")
    lines, offsets = zip(*places, strict=True) if places else ((), ())
    return Table(tuple(header), cells, lines, offsets, tuple(rejects), len(data))


def _in_columns(data: bytes, delimiter: str, header: tuple[str, ...], skip: int) -> Table | None:
    """Return the table where nothing in it is quoted and every line is a row; else None.

    This is 8 times as fast as row by row. Polars reads a short row as one with gaps, so the
    delimiters are counted; it may not meet quotes, as it takes a stray one otherwise.
    """
    rows = data.count(b"\n") - skip
    plain = not any(odd in data for odd in (b'"', b"\n\n", b"\n\r", b"\0"))
    if not plain or skip != 1 or rows < 1 or not data.endswith(b"\n") or _odd_ends(data):
        return None
    if data.count(delimiter.encode()) != (len(header) - 1) * (rows + skip):
        return None
    try:
        cells = pl.read_csv(
            data,
            has_header=False,
            skip_rows=skip,
            new_columns=[str(at) for at in range(len(header))],
            separator=delimiter,
            quote_char=None,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError:
        return None
    if cells.shape != (rows, len(header)):
        return None
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    offsets = array("q", (ends[:-1] + 1).astype(np.int64).tobytes())
    return Table(header, cells, range(skip + 1, skip + rows + 1), offsets, (), len(data))


def _odd_ends(data: bytes) -> bool:
    """Whether some carriage return is not part of a line end."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def numbers(column: pl.Series) -> pl.Series:
    """Return a column of text as Float64: NULL where no number is; NaN and Infinity are values."""
    plain = column.cast(pl.Float64, strict=False)
    if plain.null_count() == column.null_count():
        return plain
    truth = column.replace_strict(
        {"True": 1.0, "False": 0.0}, default=None, return_dtype=pl.Float64
    )
    return plain.fill_null(truth)


def points(
    key: str, column: pl.Series, step: pl.Series, ts: pl.Series | None = None
) -> pl.DataFrame:
    """Return POINTS of a column of text: numbers where they are, the rest as text."""
    value = numbers(column)
    rest = column.set(value.is_not_null(), None)
    found = wide.points({key: value}, step, ts)
    if rest.null_count() == len(rest):
        return found
    texts = [_object(text) if text and text.startswith(_PYTHON) else text for text in rest]
    return pl.concat([found, wide.points({key: pl.Series(texts, dtype=pl.String)}, step, ts)])


def plain(text: str | None) -> Any:
    """Return a cell as what it was: None, a truth, a number, a list, an object or a text."""
    if text is None or text in _NOTHING:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if _WHOLE.fullmatch(text):
            whole = int(text)
            return whole if whole.bit_length() < 64 else float(whole)
        return json.loads(text) if text[:1] in ("[", "{") else float(text)
    except (ValueError, OverflowError, RecursionError):
        return text


def _object(text: str) -> str:
    """Return an object that pandas wrote in Python's spelling as the JSON that W&B keeps."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return json.dumps(value, sort_keys=True, default=str)


def _first(data: bytes) -> tuple[str, list[str], int] | None:
    """Return (delimiter, header, lines it takes), or None where *data* begins with none."""
    if b"\0" in data[:1024]:
        return None
    for _, _, raw in _records(data, 0, None, 0):
        text = _text(raw)
        if text is None or not text.strip():
            return None
        choices = [(_cells(text, mark), mark) for mark in _DELIMITERS]
        cells, delimiter = max(choices, key=lambda choice: len(choice[0] or ()))
        return (delimiter, cells, len(_lines(raw))) if cells else None
    return None


def _records(
    data: bytes, skip: int, delimiter: str | None, width: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (line, byte, bytes) of each record that is not blank, after *skip* lines.

    A record whose quotes do not close, or that spans lines and has not *width* cells, is its first
    line alone. *delimiter* is None for the header, whose width is not known yet.
    """
    lines = _lines(data)
    at = sum(map(len, lines[:skip]))
    begin = skip
    while begin < len(lines):
        end = begin + 1
        odd = lines[begin].count(b'"') & 1
        limit = min(len(lines), begin + _LINES_OF_A_RECORD)
        while odd and end < limit:
            odd ^= lines[end].count(b'"') & 1
            end += 1
        raw = b"".join(lines[begin:end])
        spans = end > begin + 1
        if spans and (odd or (delimiter and isinstance(_row(raw, delimiter, width), str))):
            end, raw = begin + 1, lines[begin]
        if raw.strip():
            yield begin + 1, at, raw
        at += len(raw)
        begin = end


def _lines(data: bytes) -> list[bytes]:
    """Return lines with their ends: those of a file without newlines end as an old Mac's do."""
    return io.BytesIO(data).readlines() if b"\n" in data else data.splitlines(keepends=True)


def _row(raw: bytes, delimiter: str, width: int) -> list[str | None] | str:
    """Return the cells of a record, or why it has none."""
    text = _text(raw)
    if text is None:
        return "not UTF-8"
    cells = _cells(text, delimiter)
    if cells is None:
        return "not CSV: a quote is not closed, or text stands behind one"
    if len(cells) != width:
        return f"{len(cells)} cells where the header has {width}"
    return [cell or None for cell in cells]


def _text(raw: bytes) -> str | None:
    try:
        return raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _cells(text: str, delimiter: str) -> list[str] | None:
    if len(text) > csv.field_size_limit():  # for the whole process; only ever made wider
        csv.field_size_limit(_CELL_BYTES)
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None
