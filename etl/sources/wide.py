"""A table with a row for each log call and a column for each key -> points of steps.

This is the form of W&B's history: in Parquet, and in what ``run.history()`` gives.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from etl.sources.facts import clean
from etl.sources.frames import KEY, MANY_ROWS, POINTS, column_points, no_points
from etl.sources.jsonl_rows import MAX_STEP

STEP, LOG_INDEX, TIME, RUNTIME = "step", "_step", "_timestamp", "_runtime"
ROLES = {LOG_INDEX: "log index", TIME: "wall time", RUNTIME: "runtime"}
TYPE = "_type"  # what W&B puts into a value that is an object of its own: an image, a histogram
_HALVES = ["number", "text"]
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def whole(column: pl.Series) -> pl.Series:
    """Return *column* as Int64, NULL where a value is no whole number that a step can be."""
    if column.dtype.is_integer():
        fits = column.is_between(-MAX_STEP + 1, MAX_STEP - 1)
        return column.cast(pl.Int64, strict=False).set(~fits.fill_null(value=False), None)
    number = column.cast(pl.Float64, strict=False)
    fits = (number == number.floor()) & (number.abs() < MAX_STEP)
    fits = fits.fill_null(value=False)
    return number.set(~fits, None).cast(pl.Int64)


def steps(frame: pl.DataFrame, named_last: int | None) -> pl.Series:
    """Return the step of each row: the one it names, else the one named last, else its log index.

    *named_last* is the step that the last row before *frame* belongs to by name. The same rule as
    for a ``.wandb`` file, so that both give the same points.
    """
    empty = pl.Series(STEP, [None] * frame.height, dtype=pl.Int64)
    index = whole(frame[LOG_INDEX]) if LOG_INDEX in frame.columns else empty
    if STEP not in frame.columns and named_last is None:
        return index.alias(STEP)
    named = whole(frame[STEP]) if STEP in frame.columns else empty
    named = named.fill_null(strategy="forward")
    if named_last is not None:
        named = named.fill_null(named_last)
    return named.fill_null(index).alias(STEP)


def points(
    columns: dict[str, pl.Series], step: pl.Series, ts: pl.Series | None = None
) -> pl.DataFrame:
    """Return POINTS of *columns*, key by key, each in the order of its rows.

    A struct gives a key for each field (``outer.inner``); one that names its W&B type, a list and
    anything else that is no number is text. Rows without a step give no points.
    """
    times = ts.cast(pl.Float64, strict=False) if ts is not None else None
    frames = [no_points()]
    filled = {key: column for key, column in columns.items() if column.dtype != pl.Null}
    for key, column in _typed(filled).items():
        for name, value, text in _leaves(key, column):
            found = pl.DataFrame(
                {
                    "step": step,
                    "value": value,
                    "text": text,
                    "ts": times
                    if times is not None
                    else pl.Series([None] * len(step), dtype=pl.Float64),
                },
                schema_overrides={"value": pl.Float64, "text": pl.String},
            ).filter(
                pl.col("step").is_not_null()
                & (pl.col("value").is_not_null() | pl.col("text").is_not_null())
            )
            frames.append(found.with_columns(key=pl.lit(clean(name))).select(list(POINTS)))
    return pl.concat(frames)


def numbers(columns: dict[str, pl.Series]) -> dict[str, pl.Series]:
    """Return those of *columns* that are numbers, and no fields of an object, as Float64."""
    outer = [key.removesuffix(f".{TYPE}") for key in columns if key.endswith(f".{TYPE}")]
    outer += [key for key, column in columns.items() if column.dtype.is_nested()]
    inner = tuple(f"{key}." for key in outer)
    return {
        key: column.cast(pl.Float64, strict=False)
        for key, column in columns.items()
        if (column.dtype.is_numeric() or column.dtype == pl.Boolean)
        and key not in outer
        and not key.startswith(inner)
    }


def rows(
    columns: dict[str, pl.Series], step: pl.Series, ts: pl.Series | None = None
) -> pl.DataFrame:
    """Return *columns*, as ``numbers`` gives them, as ``Part.rows``."""
    none = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(step))
    times = none if ts is None else ts.cast(pl.Float64, strict=False)
    named = {KEY + clean(key): column for key, column in columns.items()}
    return pl.DataFrame({"step": step, "ts": times, **named}).drop_nulls("step")


def divided(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return as points the keys of *rows* that most rows do not have, or all if these are few."""
    names = rows.columns[2:]
    many = rows.height >= MANY_ROWS
    dense = [name for name in names if many and 2 * rows[name].null_count() <= rows.height]
    found = [
        column_points(rows, name.removeprefix(KEY)) for name in names if name not in set(dense)
    ]
    return pl.concat([no_points(), *found]), rows.select("step", "ts", *dense) if dense else None


def objects(values: list[Any]) -> pl.Series:
    """Return the JSON text of each of *values*; None stays None."""
    texts = [None if value is None else _json(value) for value in values]
    return pl.Series(texts, dtype=pl.String)


def _typed(columns: dict[str, pl.Series]) -> dict[str, pl.Series]:
    """Join ``key._type``, ``key.path``, ... into one column ``key`` of the objects they are."""
    joined = dict(columns)
    for marker in [key for key in columns if key.endswith(f".{TYPE}")]:
        key = marker.removesuffix(f".{TYPE}")
        inner = {
            name.removeprefix(f"{key}."): joined.pop(name)
            for name in columns
            if name.startswith(f"{key}.") and name in joined
        }
        lists = [[_unfolded(value) for value in column.to_list()] for column in inner.values()]
        rows = [
            {name: value for name, value in zip(inner, row, strict=True) if value is not None}
            for row in zip(*lists, strict=True)
        ]
        text = objects([row or None for row in rows])
        joined[key] = text if key not in columns else columns[key].cast(pl.String).fill_null(text)
    return joined


def _leaves(key: str, column: pl.Series) -> list[tuple[str, pl.Series | None, pl.Series | None]]:
    """Return (key, values, texts) of a column, more than one where it is a struct."""
    kind = column.dtype
    if kind.is_numeric() or kind == pl.Boolean:
        return [(key, column.cast(pl.Float64, strict=False), None)]
    if halves := _halves(column):
        return [(key, *halves)]
    if isinstance(kind, pl.Struct):
        if any(field.name == TYPE for field in kind.fields):
            return [(key, None, objects([_present(value) for value in column.to_list()]))]
        fields = {f"{key}.{f.name}": column.struct.field(f.name) for f in kind.fields}
        inner = {name: field for name, field in fields.items() if field.dtype != pl.Null}
        return [leaf for name, field in inner.items() for leaf in _leaves(name, field)]
    if kind.is_nested():
        return [(key, None, objects(column.to_list()))]
    return [(key, *_text(column))]


def _text(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return (numbers, texts) of a column of texts, in which NaN may stand as a word."""
    if column.dtype == pl.Binary:
        texts = [None if v is None else bytes(v).decode("utf-8", "replace") for v in column]
        column = pl.Series(texts, dtype=pl.String)
    text = column.cast(pl.String)
    value = text.replace_strict(_WORDS, default=None, return_dtype=pl.Float64)
    return value, text.set(value.is_not_null(), None)


def _unfolded(value: Any) -> Any:
    """Return the list or object of which *value* is the JSON text."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _halves(column: pl.Series) -> tuple[pl.Series, pl.Series] | None:
    """Return (numbers, texts) of a key that has both, which ``etl.pull`` keeps side by side."""
    kind = column.dtype
    if not isinstance(kind, pl.Struct) or [field.name for field in kind.fields] != _HALVES:
        return None
    number, text = (column.struct.field(name) for name in _HALVES)
    if text.dtype != pl.String or (number.is_not_null() & text.is_not_null()).any():
        return None
    return number, text


def _present(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is None or all(inner is None for inner in value.values()):
        return None
    return {name: inner for name, inner in value.items() if inner is not None}


def _json(value: Any) -> str:
    return clean(json.dumps(value, sort_keys=True, default=str))
