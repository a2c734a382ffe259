"""History rows, or a Parquet file as W&B exports it -> columns in the one form of an export folder.

``_step`` is Int64 where there is one. Every other key is one column, named as the run spells it,
nested keys dotted (``centered_results.arc``, ``hist.bins``); missing is null:

- Float64 where every value is a number. A boolean is 1 or 0; NaN and the infinities are values, and
  the texts "NaN", "Infinity" and "-Infinity", as which a W&B server may give them, are those.
- String where none is. A list is its JSON text, in which a whole number may be 1 or 1.0: a Parquet
  export does not tell.
- Struct {number: Float64, text: String} where the key has both: one of the two is set, the other
  null, and both are null where the key is missing.

A key may have another of these types in another file of the same run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from hooks import record

STEP = "_step"
NUMBER, TEXT = "number", "text"
_NONFINITE = ("NaN", "Infinity", "-Infinity")


def of_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return history rows as a frame, in their order; keys that are never set have no column."""
    columns: dict[str, list[Any]] = {}
    for at, row in enumerate(rows):
        for key, value in _flat(row):
            if value is None:
                continue
            values = columns.setdefault(key, [])
            values.extend([None] * (at - len(values)))
            values[at:] = [value]
    height = len(rows)
    made = {
        key: _column(key, [*values, *[None] * (height - len(values))])
        for key, values in sorted(columns.items())
    }
    return pl.DataFrame(made)


def of_export(path: Path) -> pl.DataFrame:
    """Return a Parquet file that a W&B server wrote, sorted by step.

    Raises:
        ValueError: it is no Parquet file, or has no ``_step``.
    """
    # pyarrow and not polars: polars 2.1 fails on files without columns, which W&B writes
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as problem:
        raise ValueError(f"not readable as Parquet: {problem}") from None
    if not table.num_rows:
        return pl.DataFrame()
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    names = table.column_names
    if STEP not in names:
        raise ValueError("its rows have no _step")
    if len(set(names)) != len(names):  # {"a.b": 1} and {"a": {"b": 1}} in one run
        return of_rows(table.to_pylist()).sort(STEP, maintain_order=True)
    made = {name: _exported(name, table.column(name)) for name in sorted(names)}
    return pl.DataFrame({k: v for k, v in made.items() if v.null_count() < len(v)}).sort(
        STEP, maintain_order=True
    )


def _flat(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of a row as (dotted key, value); a list is a leaf."""
    leaves: list[tuple[str, Any]] = []
    for key, value in row.items():
        if isinstance(value, dict) and value:
            leaves += _flat(value, f"{prefix}{key}.")
        else:
            leaves.append((prefix + key, value))
    return leaves


def _column(key: str, values: Sequence[Any]) -> pl.Series:
    if key == STEP:
        return pl.Series(key, [None if v is None else int(v) for v in values], pl.Int64)
    numbers = [record.number(value) for value in values]
    texts = [
        None if value is None or number is not None else _text(value)
        for value, number in zip(values, numbers, strict=True)
    ]
    return _of_halves(
        key, pl.Series(NUMBER, numbers, pl.Float64), pl.Series(TEXT, texts, pl.String)
    )


def _exported(key: str, column: Any) -> pl.Series:
    """Return one column (a pyarrow ChunkedArray) of an export."""
    import pyarrow as pa  # noqa: PLC0415

    kind = column.type
    if key == STEP:
        return pl.Series(key, pl.from_arrow(column.cast(pa.int64())))
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pl.Series(key, pl.from_arrow(column)).cast(pl.Float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pl.Series(key, pl.from_arrow(column))
        odd = texts.is_in(_NONFINITE)
        if not odd.any():
            return texts
        words = pl.DataFrame({TEXT: texts, "odd": odd})
        number = pl.when("odd").then(pl.col(TEXT)).cast(pl.Float64).alias(NUMBER)
        halves = words.select(number, pl.when(~pl.col("odd")).then(pl.col(TEXT)).alias(TEXT))
        return _of_halves(key, halves[NUMBER], halves[TEXT])
    return _column(key, column.to_pylist())


def _of_halves(key: str, numbers: pl.Series, texts: pl.Series) -> pl.Series:
    """Return the column of a key from its numbers and its texts, of which a row has at most one."""
    if texts.null_count() == len(texts):
        return numbers.alias(key)
    if numbers.null_count() == len(numbers):
        return texts.alias(key)
    return pl.DataFrame([numbers, texts]).to_struct(key)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "replace").decode()
