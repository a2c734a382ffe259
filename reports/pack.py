"""Columns of numbers -> one compressed blob that the page unpacks into typed arrays.

Integers and float32 bits are stored as zigzag deltas, each column byte-shuffled, all of it
gzipped: 2.6 bytes a value where plotly's own encoding takes 10.7 (measured). Small tables keep
float64. Larger ones keep float32: 7 digits, two more than a hover shows.

Nothing is stored twice: equal columns of any tables are one, a column that grows evenly with the
step is four numbers for each run, one that has gaps is its finite values and their rows, one whose
values hold for some rows (an accuracy) is these values and the rows from which they do. Of steps
that an earlier table has, and of all else that is the same there, only the rows there are kept. A
running median (a column ``X_median`` beside ``X``) is made by the page.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

EXACT_ROWS = 250
MEDIAN_WINDOW = 9
MEDIAN = "_median"  # how the name of a running median ends
_HELD = 0.75  # of the rows: above it the rows take what the values save
_EVEN = 2.0**-24  # relative: what a float32 cannot tell apart
Floats = npt.NDArray[np.float64]
_I4 = np.iinfo(np.int32)
_F4 = np.finfo(np.float32)


@dataclass(frozen=True, slots=True)
class Packed:
    """The blob, and by table and column where in it, how many, and of which kind."""

    blob: bytes
    index: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def pack(tables: Mapping[str, pl.DataFrame]) -> Packed:
    """Return *tables*, whose columns are all numbers, as one blob; missing becomes NaN."""
    blob = _Blob()
    index: dict[str, dict[str, dict[str, Any]]] = {}
    for table, frame in sorted(tables.items()):
        earlier = {name: tables[name] for name in index}
        picked = _picked(frame, blob, earlier)
        index[table] = {
            c.name: picked.get(c.name) or _entry(frame, c, blob) for c in frame.get_columns()
        }
    return Packed(gzip.compress(b"".join(blob.parts), 9, mtime=0), index)


@dataclass(slots=True)
class _Blob:
    """What is packed so far; what comes again is where it was."""

    parts: list[bytes] = field(default_factory=list)
    known: dict[tuple[str, bytes], int] = field(default_factory=dict)
    size: int = 0

    def add(self, kind: str, data: bytes) -> int:
        """Return where *data* of a kind begins."""
        if (kind, data) not in self.known:
            self.known[kind, data] = self.size
            self.parts.append(data)
            self.size += len(data)
        return self.known[kind, data]


def _entry(frame: pl.DataFrame, column: pl.Series, blob: _Blob) -> dict[str, Any]:
    """Return where and how *column* of *frame* is packed."""
    rows = frame.height
    of = column.name.removesuffix(MEDIAN)
    if of != column.name and {of, "line"} <= {*frame.columns}:
        return {"kind": "median", "n": rows, "of": of, "window": MEDIAN_WINDOW}
    exact = rows <= EXACT_ROWS
    if not exact and (even := _even(frame, column)) is not None:
        at = blob.add("line", _shuffled(even))
        return {"kind": "line", "n": rows, "at": at, "runs": even.size // 4}
    if not exact and column.dtype.is_float():
        values = column.to_numpy()
        there = np.isfinite(values)
        if not there.all():
            places = {
                "rows": np.flatnonzero(there),
                "above": np.flatnonzero(values == np.inf),
                "below": np.flatnonzero(values == -np.inf),
            }
            packed = {name: _plain(pl.Series(of), blob, exact=False) for name, of in places.items()}
            packed["values"] = _plain(pl.Series(values[there]), blob, exact=False)
            return {"kind": "sparse", "n": rows, **packed}
    if not exact and column.name not in ("run", "step", "line") and not column.has_nulls():
        values = column.to_numpy()
        since = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
        if since.size <= _HELD * rows:
            held = {"rows": pl.Series(since), "values": column.gather(since)}
            packed = {name: _plain(of, blob, exact=False) for name, of in held.items()}
            return {"kind": "held", "n": rows, **packed}
    return _plain(column, blob, exact=exact)


def _picked(
    frame: pl.DataFrame, blob: _Blob, earlier: Mapping[str, pl.DataFrame]
) -> dict[str, dict[str, Any]]:
    """Return, by column, the rows of an earlier table that hold it: all that *frame* has.

    That table has the same runs and steps there, and a column of the same name and values.
    """
    place = ["run", "step"]
    found: dict[str, dict[str, Any]] = {}
    if frame.height <= EXACT_ROWS or not {*place} <= {*frame.columns}:
        return found
    wanted = [name for name in frame.columns if name != "run" and not name.endswith(MEDIAN)]
    probe = frame.slice(frame.height // 2, 1)
    for table, other in earlier.items():
        shared = [name for name in wanted if name in other.columns and name not in found]
        if not shared or not {*place} <= {*other.columns} or other.height < frame.height:
            continue
        # one row first: of 158 tables of 252 rows to join each with each took 10 s
        runs, steps = (other[name].to_numpy() for name in place)
        spot = np.flatnonzero((steps == probe["step"][0]) & (runs == probe["run"][0]))
        shared = [n for n in shared if spot.size and probe[n].equals(other[n].slice(spot[0], 1))]
        if not shared:
            continue
        at = other.select(place).with_row_index("at")
        rows = frame.select(place).join(at, on=place, how="left", maintain_order="left")["at"]
        if rows.len() != frame.height or rows.has_nulls():
            continue
        same = [name for name in shared if frame[name].equals(other[name].gather(rows))]
        if same:
            packed = _plain(rows, blob, exact=False)
            entry = {"kind": "pick", "n": frame.height, "table": table, "rows": packed}
            found |= dict.fromkeys(same, entry)
    return found


def _plain(column: pl.Series, blob: _Blob, *, exact: bool) -> dict[str, Any]:
    kind, data = encode(column, exact=exact)
    return {"kind": kind, "n": len(column), "at": blob.add(kind, data)}


def _even(frame: pl.DataFrame, column: pl.Series) -> Floats | None:
    """Return what makes *column* of the step, if that is all there is to it.

    For each run its first value, its slope by step, and the steps from and to which it has one.
    """
    if not {"run", "step"} <= {*frame.columns} or column.name in ("run", "step", "line"):
        return None
    run, step = (frame[name].cast(pl.Float64).to_numpy() for name in ("run", "step"))
    values = column.cast(pl.Float64).to_numpy()
    first = np.flatnonzero(np.diff(run, prepend=np.nan) != 0)
    there = ~np.isnan(values)
    low = np.minimum.reduceat(np.where(there, np.arange(run.size), run.size - 1), first)
    high = np.maximum.reduceat(np.where(there, np.arange(run.size), 0), first)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope = (values[high] - values[low]) / (step[high] - step[low])
        slope = np.where(high == low, 0.0, slope)
        ends = np.stack([values[low], slope, step[low], step[high]]).astype("<f8")
        told = straight(ends, np.diff(first, append=run.size), step)
        off = ~(
            np.abs(told - values) <= (0 if column.dtype.is_integer() else _EVEN * np.abs(values))
        )
    return None if (off & (there | ~np.isnan(told))).any() else ends.reshape(-1)


def straight(ends: Floats, sizes: npt.NDArray[np.int64], step: Floats) -> Floats:
    """Return what *ends* come to at the rows of each run, of which it has *sizes*."""
    value, slope, low, high = np.repeat(ends, sizes, axis=1)
    return np.where((step >= low) & (step <= high), value + slope * (step - low), np.nan)


def encode(column: pl.Series, *, exact: bool) -> tuple[str, bytes]:
    """Return the kind (``i4``, ``f4`` or ``f8``) that holds *column*, and its bytes."""
    if column.dtype.is_integer() and column.null_count() == 0:
        whole = column.cast(pl.Int64).to_numpy()
        if not whole.size or (whole.min() >= _I4.min and whole.max() <= _I4.max):
            return "i4", _deltas(whole)
    values = column.cast(pl.Float64).to_numpy()
    if not exact and column.dtype.is_float() and _fits_f4(values):
        return "f4", _deltas(values.astype("<f4").view("<i4").astype("i8"))
    return "f8", _shuffled(values.astype("<f8"))


def _fits_f4(values: npt.NDArray[np.float64]) -> bool:
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return bool(not sizes.size or (sizes.max() <= _F4.max and sizes.min() >= _F4.tiny))


def _deltas(values: npt.NDArray[np.int64]) -> bytes:
    # a delta may need 33 bits; it wraps, and the page's int32 addition wraps it back
    delta = np.diff(values, prepend=np.int64(0)).astype("<i4")
    return _shuffled(((delta << 1) ^ (delta >> 31)).astype("<i4"))


def _shuffled(values: npt.NDArray[Any]) -> bytes:
    width = values.dtype.itemsize
    return np.ascontiguousarray(values.view("u1").reshape(-1, width).T).tobytes()


def decode(packed: Packed) -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Return the tables as the page sees them; ``01-decode.js`` does the same."""
    raw = gzip.decompress(packed.blob)
    tables: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for table, columns in packed.index.items():
        tables[table] = _table(raw, columns, tables)
    return tables


def _table(
    raw: bytes,
    columns: Mapping[str, Mapping[str, Any]],
    earlier: Mapping[str, Mapping[str, npt.NDArray[Any]]],
) -> dict[str, npt.NDArray[Any]]:
    table: dict[str, npt.NDArray[Any]] = {}
    for name, entry in columns.items():
        if entry["kind"] == "sparse":
            table[name] = np.full(entry["n"], np.nan)
            table[name][_column(raw, **entry["rows"])] = _column(raw, **entry["values"])
            table[name][_column(raw, **entry["above"])] = np.inf
            table[name][_column(raw, **entry["below"])] = -np.inf
        elif entry["kind"] == "pick":
            table[name] = earlier[entry["table"]][name][_column(raw, **entry["rows"])]
        elif entry["kind"] == "held":
            sizes = np.diff(_column(raw, **entry["rows"]), append=entry["n"])
            table[name] = np.repeat(_column(raw, **entry["values"]), sizes)
        elif entry["kind"] not in ("line", "median"):
            table[name] = _column(raw, **entry)
    for name, entry in columns.items():
        if entry["kind"] == "line":
            first = np.flatnonzero(np.diff(table["run"].astype("f8"), prepend=np.nan) != 0)
            ends = _column(raw, "f8", 4 * entry["runs"], entry["at"]).reshape(4, -1)
            sizes = np.diff(first, append=entry["n"])
            table[name] = straight(ends, sizes, table["step"].astype("f8"))
        elif entry["kind"] == "median":
            frame = pl.DataFrame({"line": table["line"], "of": table[entry["of"]]})
            middle = pl.col("of").rolling_median(entry["window"], min_samples=1, center=True)
            table[name] = frame.select(middle.over("line"))["of"].to_numpy()
    return table


def _column(raw: bytes, kind: str, n: int, at: int) -> npt.NDArray[Any]:
    width = 8 if kind == "f8" else 4
    planes = np.frombuffer(raw, "u1", n * width, at).reshape(width, n)
    data = np.ascontiguousarray(planes.T)
    if kind == "f8":
        return data.view("<f8").reshape(n)
    code = data.view("<u4").reshape(n)
    delta = (code >> 1).astype("<i4") ^ -(code & 1).astype("<i4")
    values = np.cumsum(delta, dtype="<i4")
    return values.view("<f4") if kind == "f4" else values
