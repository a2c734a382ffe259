"""What was measured of the machine, and what a run printed -> their tables.

Both go by time or line, not by step, so they stand beside history: telemetry has one value for
each (run, metric, time), of the most trusted source; console lines are kept of each source.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import polars as pl

from etl import blocks, sources, tables
from etl.sources.reading import Piece
from etl.stitch import Segment

_TABLES = {
    "telemetry": ["metric", "ts", "value", "segment", "source"],
    "console": ["segment", "source", "line", "ts", "text"],
}
_UNIQUE = {"telemetry": ["metric", "ts"], "console": ["segment", "source", "line"]}


def write(
    con: duckdb.DuckDBPyConnection,
    run_id: str,
    pieces: Sequence[Piece],
    segments: Sequence[Segment],
    *,
    anew: bool,
) -> bool:
    """Add the telemetry and console rows of *pieces* to those of the run, or replace them.

    Return whether that wrote anything.
    """
    wrote = False
    ordered = sorted(pieces, key=lambda piece: sources.BY_KIND[piece.source].precedence)
    for table, columns in _TABLES.items():
        arriving = [_rows(piece, table, segments) for piece in ordered]
        frames = [frame.select(columns) for frame in arriving if frame is not None]
        if not anew and not frames:
            continue
        wrote = True
        if not anew:
            query = f"select {', '.join(columns)} from store.{table} where run_id = ?"
            frames.insert(0, tables.frame(con, query, run_id))
        if frames:
            unique = _UNIQUE[table]
            rows = pl.concat(frames).unique(unique, keep="last", maintain_order=True)
            tables.replace_frame(con, table, run_id, rows.sort(unique, nulls_last=False))
        else:
            tables.rows(con, f"delete from store.{table} where run_id = ?", run_id)
    return wrote


def _rows(piece: Piece, table: str, segments: Sequence[Segment]) -> pl.DataFrame | None:
    frame = piece.telemetry if table == "telemetry" else piece.console
    if frame is None or not frame.height:
        return None
    index = _segment(piece, segments).index
    rows = frame.with_columns(
        ts=blocks.date("ts"),
        segment=pl.lit(index, dtype=pl.Int32),
        source=pl.lit(piece.source),
    )
    if table == "telemetry":
        rank = piece.facts.rank
        prefix = pl.lit(f"rank{rank}/" if rank else "")
        rows = rows.rename({"key": "metric"}).with_columns(metric=prefix + pl.col("metric"))
        rows = rows.filter(pl.col("ts").is_not_null() & pl.col("value").is_not_null())
    return rows


def _segment(piece: Piece, segments: Sequence[Segment]) -> Segment:
    """Return the segment of *piece*: its own, or the one that began nearest to it."""
    place = (piece.facts.segment_id, piece.facts.rank)
    own = [s for s in segments if (s.segment_id, s.rank) == place]
    began = piece.facts.started_at
    if own or began is None:
        return (own or list(segments))[0]
    return min(segments, key=lambda s: (abs((s.started_at or 0.0) - began), s.index))
