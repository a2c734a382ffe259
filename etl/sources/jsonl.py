"""A JSONL file -> its lines' points, events and rejects, from any byte on, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl

from etl.sources import jsonl_columns, jsonl_rows
from etl.sources.jsonl_rows import Lines
from etl.sources.reading import Reject, no_points

# Below this DuckDB's cost per query exceeds that of parsing in Python.
SMALL_BYTES = 256 * 1024
TORN = "torn last line: no newline yet; the next sync reads it again"
CHUNK_BYTES = 64 * 1024 * 1024  # what is held in memory at a time


def read(
    path: Path, start: int, step_key: str, time_key: str | None, stop: int | None = None
) -> Lines:
    """Return what *path* holds from byte *start* to its last complete line, or to byte *stop*.

    A last line without its newline counts if it is a whole object, as some programs leave it out at
    the end; else it is rejected, and left for the next read to begin with. Lines are numbered from
    0 at *start*; ``numbered`` makes that their number in the file. The points of each key come in
    the order of the file, which is how ``foreign_jsonl`` finds steps that go back.
    """
    pieces: list[Lines] = []
    line, rest, at = 0, b"", start
    with path.open("rb") as file:
        file.seek(start)
        left = (path.stat().st_size if stop is None else stop) - start
        while left > 0 and (block := file.read(min(left, CHUNK_BYTES))):
            left -= len(block)
            rest += block
            whole = rest.rfind(b"\n") + 1
            if whole:
                pieces.append(parse(rest[:whole], at, line, step_key, time_key))
                line += rest.count(b"\n", 0, whole)
                at += whole
                rest = rest[whole:]
    if rest:
        last = jsonl_rows.parse(rest + b"\n", at, line, step_key, time_key)
        if last.rows or last.events:
            pieces.append(last)
            at += len(rest)
            rest = b""
    rejects = [reject for piece in pieces for reject in piece.rejects]
    if rest:
        rejects.append(Reject(at, TORN, rest, line))
    points = pl.concat([no_points(), *(piece.points for piece in pieces)])
    events = tuple(event for piece in pieces for event in piece.events)
    return Lines(points, events, tuple(rejects), sum(piece.rows for piece in pieces), at)


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
    """Return what whole lines hold, in columns where there are many; as ``jsonl_rows.parse``."""
    if len(data) > SMALL_BYTES:
        try:
            return jsonl_columns.parse(data, start, first, step_key, time_key)
        except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
            pass
    return jsonl_rows.parse(data, start, first, step_key, time_key)
