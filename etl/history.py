"""A run's history <-> its rows in the database, and its parts of a snapshot.

What did not change is not written: a log that grew by a hundred steps costs a hundred rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from etl import layout, tables
from etl.blocks import AXES, HISTORY, Block, History, joined, no_rows, once
from etl.parts import Part, digest, write_part
from etl.sources.frames import KEY

Row = dict[str, Any]
_ROWS = 122_880  # of one statement: a row group, which DuckDB writes at once


@dataclass(frozen=True, slots=True)
class _Stored:
    """One block as it is stored: what it holds, beside its rows."""

    segment: int
    source: str
    metrics: tuple[str, ...]


Places = Mapping[int, _Stored]  # by block


def read(con: duckdb.DuckDBPyConnection, run_id: str, stored: Places | None = None) -> History:
    """Return the stored history of *run_id*, of which *stored* is what ``places`` gives."""
    long = no_rows()
    if tables.rows(con, "select 1 from store.long where run_id = ? limit 1", run_id):
        names = ", ".join(HISTORY)
        query = f"select {names} from store.long where run_id = ? order by metric, step"
        long = tables.frame(con, query, run_id)
    stored = places(con, run_id) if stored is None else stored
    if not stored:
        return History((), long)
    rows = tables.frame(con, f"select * from store.wide where {_among(stored)}")
    blocks = []
    for (block,), frame in rows.group_by("block", maintain_order=True):
        what = stored[int(str(block))]
        columns = zip(layout.VALUES, what.metrics, strict=False)
        named = [pl.col(value).alias(KEY + metric) for value, metric in columns]
        blocks.append(Block(what.segment, what.source, once(frame.select(*AXES, *named))))
    return History(tuple(joined(blocks)), long)


def _among(blocks: Collection[int]) -> str:
    """Return the condition that a row is of *blocks*; by its range row groups are passed over."""
    listed = ", ".join(map(str, sorted(blocks)))
    return f"block between {min(blocks)} and {max(blocks)} and block in ({listed})"


def places(con: duckdb.DuckDBPyConnection, run_id: str) -> Places:
    """Return which blocks of *run_id* are stored."""
    query = """
        select block, any_value(segment), any_value(source), list(metric order by slot)
        from store.slots where run_id = ? group by block order by block
    """
    return {
        block: _Stored(segment, source, tuple(metrics))
        for block, segment, source, metrics in tables.rows(con, query, run_id)
    }


def chunks(history: History) -> list[Block]:
    """Return the blocks of *history* in pieces of as many metrics as a stored row has room for."""
    return [
        block.only(block.metrics[first : first + layout.SLOTS])
        for block in history.blocks
        for first in range(0, len(block.metrics), layout.SLOTS)
    ]


class Writer:
    """Writes histories into an open database, many runs at a time."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.waiting: dict[int, _Buffer] = {}  # by how many metrics their rows hold
        self.long: list[tuple[str, pl.DataFrame]] = []
        self.long_rows = 0

    @cached_property
    def free(self) -> int:
        """The number of the next block."""
        query = "select coalesce(max(block) + 1, 0) from store.slots"
        ((free,),) = tables.rows(self.con, query)
        return int(free)

    def write(self, run_id: str, before: History, after: History, stored: Places) -> list[Row]:
        """Make the history of *run_id*, of which *before* is *stored*, *after*.

        Returns its rows of the table slots, for the caller to write.
        """
        known = {what: block for block, what in stored.items()}
        frames = {_place(chunk): chunk.frame for chunk in chunks(before)}
        slots, kept = [], set()
        for place, chunk in enumerate(chunks(after)):
            what = _place(chunk)
            old = frames.get(what)
            if what in known and old is not None and chunk.frame.head(old.height).equals(old):
                block, rows = known[what], chunk.frame.slice(old.height)
                kept.add(block)
            else:
                block, rows = self.free, chunk.frame
                self.free += 1
            self._add(rows, block)
            slots += _slot_rows(run_id, place, chunk, block)
        _remove(self.con, set(known.values()) - kept)
        if not after.long.equals(before.long):
            if before.long.height:
                tables.forget(self.con, "long", [run_id])
            self._add_long(run_id, after.long)
        return slots

    def _add_long(self, run_id: str, rows: pl.DataFrame) -> None:
        if rows.height:
            self.long.append((run_id, rows))
            self.long_rows += rows.height
        if self.long_rows >= _ROWS:
            self._write_long()

    def _write_long(self) -> None:
        if self.long:
            owners = [pl.Series("run_id", [run]).new_from_index(0, len(r)) for run, r in self.long]
            # DuckDB takes 0.4 ms for each piece that a frame consists of
            rows = pl.concat([rows for _, rows in self.long], rechunk=True)
            tables.insert(self.con, "long", rows.insert_column(0, pl.concat(owners, rechunk=True)))
            self.long.clear()
            self.long_rows = 0

    def _add(self, rows: pl.DataFrame, block: int) -> None:
        width = rows.width - len(AXES)
        if width not in self.waiting:
            self.waiting[width] = _Buffer(self.con, width)
        self.waiting[width].add(rows, block)

    def flush(self) -> None:
        """Write the rows that wait."""
        for _, buffer in sorted(self.waiting.items()):
            buffer.write()
        self._write_long()


class _Buffer:
    """Rows of one width that wait to be written.

    Its arrays are the same all the time, as DuckDB holds on to what it was given until the commit
    (90 MB for each 10M points); and a frame instead would cost the import of pyarrow, 0.1 s.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, width: int) -> None:
        kinds = {"block": "i8", "step": "i8", "ts": "datetime64[us]"}
        kinds |= dict.fromkeys(layout.VALUES[:width], "f8")
        self.con, self.name, self.count = con, f"waiting_{width}", 0
        self.arrays = {name: np.empty(_ROWS, dtype=kind) for name, kind in kinds.items()}
        con.register(self.name, self.arrays)

    def add(self, rows: pl.DataFrame, block: int) -> None:
        """Take *rows*, whose columns stand in the order of the arrays, as those of *block*."""
        columns = [column.to_numpy() for column in rows.get_columns()]
        taken = 0
        while taken < rows.height:
            end = min(rows.height, taken + _ROWS - self.count)
            place = slice(self.count, self.count + end - taken)
            self.arrays["block"][place] = block
            for name, column in zip(list(self.arrays)[1:], columns, strict=True):
                self.arrays[name][place] = column[taken:end]
            self.count, taken = place.stop, end
            if self.count == _ROWS:
                self.write()

    def write(self) -> None:
        """Write the rows that were taken."""
        if self.count:
            names = ", ".join(self.arrays)
            query = f"insert into store.wide ({names}) select {names} from {self.name} limit ?"
            tables.rows(self.con, query, self.count)
            self.count = 0


def _remove(con: duckdb.DuckDBPyConnection, blocks: set[int]) -> None:
    if blocks:
        tables.rows(con, f"delete from store.wide where {_among(blocks)}")


def drop(con: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Forget the history of *run_id*."""
    _remove(con, set(places(con, run_id)))
    for table in ("slots", "long"):
        tables.forget(con, table, [run_id])


def _place(chunk: Block) -> _Stored:
    return _Stored(chunk.segment, chunk.source, tuple(chunk.metrics))


def _slot_rows(run_id: str, place: int, chunk: Block, block: int) -> list[Row]:
    """Return a row for each metric of a stored block."""
    return [
        {
            "run_id": run_id,
            "place": place,
            "slot": slot,
            "metric": metric,
            "segment": chunk.segment,
            "source": chunk.source,
            "points": chunk.frame.height,
            "block": block,
        }
        for slot, metric in enumerate(chunk.metrics)
    ]


def _wide(frame: pl.DataFrame, name: str, number: int, kind: type[pl.DataType]) -> pl.DataFrame:
    """Return *frame* as stored rows of the block *number*, which the column *name* holds."""
    height = frame.height
    values = frame.get_columns()[len(AXES) :]
    empty = pl.Series("", [None], dtype=pl.Float64).new_from_index(0, height)
    values += [empty] * (layout.SLOTS - len(values))
    return pl.DataFrame(
        [
            pl.Series(name, [number], dtype=kind).new_from_index(0, height),
            *frame.get_columns()[: len(AXES)],
            *(value.alias(slot) for value, slot in zip(values, layout.VALUES, strict=True)),
        ]
    )


def write_parts(folder: Path, run_id: str, history: History) -> list[tuple[str, Part]]:
    """Write *history* as parts of a snapshot, unless they are there; return them with their kinds.

    A part's name is a hash of the points in their one form, not of how they are laid out.
    """
    owner = pl.lit(run_id).alias("run_id")
    parts = []
    pieces = chunks(history)
    if pieces:
        state = hashlib.sha256(f"wide\n{run_id}\n".encode("utf-8", "surrogatepass"))
        for block in history.blocks:
            place = f"{block.segment}\n{block.source}\n{digest(block.frame)}\n"
            state.update(place.encode("utf-8", "surrogatepass"))
        rows = sum(piece.frame.height for piece in pieces)

        def wide() -> pl.DataFrame:
            frames = [_wide(p.frame, "place", at, pl.Int32) for at, p in enumerate(pieces)]
            return pl.concat(frames, rechunk=False).select(owner, pl.all())

        part = Part(run_id, state.hexdigest()[:32], rows)
        write_part(folder, part, wide, compression="uncompressed")
        parts.append(("wide", part))
    if history.long.height:
        owners = pl.Series("run_id", [run_id], dtype=pl.String).new_from_index(0, len(history.long))
        frame = history.long[HISTORY.names()].insert_column(0, owners)
        part = Part(run_id, digest(frame), frame.height)
        write_part(folder, part, lambda: frame)
        parts.append(("long", part))
    return parts
