"""A JSONL file -> its lines' points, events and rejects, from any byte on, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl

from etl.sources import jsonl_columns, jsonl_rows, jsonl_sampled
from etl.sources.frames import KEY, column_points, no_points
from etl.sources.jsonl_rows import Lines
from etl.sources.reading import Reject

# Below this DuckDB's cost per query exceeds that of parsing in Python.
SMALL_BYTES = 256 * 1024
TORN = "torn last line: no newline yet; the next sync reads it again"
CHUNK_BYTES = 64 * 1024 * 1024  # what is held in memory at a time
_FEW_POINTS = 10_000  # so many rows of one number each cost little


def read(
    path: Path, start: int, step_key: str, time_key: str | None, stop: int | None = None
) -> Lines:
    """Return what *path* holds from byte *start* to its last complete line, or to byte *stop*.

    A last line without its newline counts if it is a whole object, as some programs leave it out at
    the end; else it is rejected, and left for the next read to begin with. Lines are numbered from
    0 at *start*; ``numbered`` makes that their number in the file. The points of each key come in
    the order of the file, which is how ``foreign_jsonl`` finds steps that go back.
    """
    axes = (step_key, time_key)
    size = path.stat().st_size
    if start == 0 and stop is None and SMALL_BYTES < size <= CHUNK_BYTES:
        try:
            return jsonl_sampled.parse(path, size, 0, 0, axes)
        except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
            pass
    pieces: list[Lines] = []
    line, rest, at = 0, b"", start
    with path.open("rb") as file:
        file.seek(start)
        left = (size if stop is None else stop) - start
        while left > 0 and (block := file.read(min(left, CHUNK_BYTES))):
            left -= len(block)
            rest += block
            whole = rest.rfind(b"\n") + 1
            if whole:
                pieces.append(_parse(rest[:whole], at, line, axes))
                line += rest.count(b"\n", 0, whole)
                at += whole
                rest = rest[whole:]
    if rest:
        last = jsonl_rows.parse(rest + b"\n", at, line, *axes)
        if last.rows or last.events:
            pieces.append(last)
            at += len(rest)
            rest = b""
    rejects = [reject for piece in pieces for reject in piece.rejects]
    if rest:
        rejects.append(Reject(at, TORN, rest, line))
    points, wide = _together(pieces)
    events = tuple(event for piece in pieces for event in piece.events)
    return Lines(points, events, tuple(rejects), sum(piece.rows for piece in pieces), at, wide)


def _together(pieces: Sequence[Lines]) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return all points and all wide rows of *pieces*, each key in one of these."""
    if not any(piece.wide is not None for piece in pieces):
        frames = [piece.points for piece in pieces]
        return frames[0] if len(frames) == 1 else pl.concat([no_points(), *frames]), None
    several = [p.points for p in pieces if p.points.height]
    long = {key for points in several for key in _long_keys(points)}
    points, wide = [no_points()], []
    for piece in pieces:
        numbers = ~pl.col("key").is_in(sorted(long))
        points.append(piece.points.filter(~numbers))
        if piece.wide is not None:
            there = [key for key in long if KEY + key in piece.wide.columns]
            points += [column_points(piece.wide, key) for key in sorted(there)]
            wide.append(piece.wide.drop(KEY + key for key in there))
        elif piece.points.height:
            wide.append(_row_for_each(piece.points.filter(numbers)))
    return pl.concat(points), pl.concat(wide, how="diagonal")


def _long_keys(points: pl.DataFrame) -> list[str]:
    """Return the keys of which not all *points* can be given a row of numbers of its own."""
    some = points if points.height > _FEW_POINTS else points.filter(pl.col("text").is_not_null())
    return some["key"].unique().to_list()


def _row_for_each(points: pl.DataFrame) -> pl.DataFrame:
    keys = points["key"].unique().sort().to_list()
    values = [pl.when(pl.col("key") == key).then("value").alias(KEY + key) for key in keys]
    return points.select("step", "ts", *values)


def numbered(path: Path, start: int, rejects: Sequence[Reject]) -> tuple[Reject, ...]:
    """Return *rejects* of a read that began at *start* with their line numbers in the whole file.

    The lines before *start* are counted only when there is something to place.
    """
    if not rejects:
        return ()
    before = 1 + _newlines(path, start)
    return tuple(replace(reject, line=before + (reject.line or 0)) for reject in rejects)


def _newlines(path: Path, end: int) -> int:
    """Return how many lines end before byte *end*."""
    count = 0
    with path.open("rb") as file:
        while end > 0 and (block := file.read(min(end, 1 << 20))):
            count += block.count(b"\n")
            end -= len(block)
    return count


def parse(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    """Return what whole lines hold as points alone; as ``jsonl_rows.parse``."""
    found = _parse(data, start, first, (step_key, time_key))
    if found.wide is None:
        return found
    keys = [name.removeprefix(KEY) for name in found.wide.columns[2:]]
    points = pl.concat([found.points, *(column_points(found.wide, key) for key in keys)])
    return replace(found, points=points, wide=None)


def _parse(data: bytes, start: int, first: int, axes: tuple[str, str | None]) -> Lines:
    if len(data) > SMALL_BYTES:
        try:
            with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
                file.write(data)
                file.flush()
                return jsonl_sampled.parse(Path(file.name), len(data), start, first, axes)
        except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
            pass
        try:
            return jsonl_columns.parse(data, start, first, *axes)
        except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
            pass
    return jsonl_rows.parse(data, start, first, *axes)
