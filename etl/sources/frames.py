"""The frames in which a source gives what a file holds: points or rows, telemetry, console."""

from __future__ import annotations

import functools

import polars as pl

POINTS = pl.Schema(
    {
        "key": pl.String,  # as the source spells it
        "step": pl.Int64,
        "value": pl.Float64,
        "text": pl.String,
        "ts": pl.Float64,  # seconds since the epoch
    }
)

# Measurements by time and not by step: of the machine, while a run used it.
TELEMETRY = pl.Schema({"key": pl.String, "ts": pl.Float64, "value": pl.Float64})

# What a run printed, a row for each line.
CONSOLE = pl.Schema({"line": pl.Int64, "ts": pl.Float64, "text": pl.String})

# What stands before a key as the name of a column of rows, which have columns step and ts, too.
KEY = "="
FEW = 1024  # rows that cost less in Python than in polars, 0.1 ms each thing that is asked of it
MANY_ROWS = 256  # fewer cost no more as points than as columns


def measured_steps(rows: pl.DataFrame) -> pl.Series:
    """Return the steps of the rows that hold any value."""
    values = rows.get_columns()[2:]
    if any(not value.has_nulls() for value in values):
        return rows["step"]
    there = pl.any_horizontal(pl.col(v.name).is_not_null() for v in values)
    return rows.filter(there)["step"] if values else rows["step"].clear()


@functools.cache
def no_points() -> pl.DataFrame:
    """Return a frame of points without rows."""
    return pl.DataFrame(schema=POINTS)


def column_points(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return what *rows* (``Part.rows``) hold of *key* as points."""
    return rows.select(
        key=pl.lit(key),
        step="step",
        value=KEY + key,
        text=pl.lit(None, dtype=pl.String),
        ts="ts",
    ).drop_nulls("value")
