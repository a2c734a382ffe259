"""History rows and exported Parquet files as the columns of an export folder."""

from __future__ import annotations

import json
import math
import shutil

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.pulling import columns, fetch

KEYS = st.sampled_from(["a", "b", "c.d", "e"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.lists(st.integers(0, 9), max_size=3),
)
ROWS = st.lists(st.dictionaries(KEYS, LEAVES, max_size=4), max_size=8)


def whole(cell):
    """Return the value of a cell, also of a key that has numbers and texts."""
    halves = cell.values() if isinstance(cell, dict) else [cell]
    return next((half for half in halves if half is not None), None)


def cells(frame):
    """Every value that is not missing, as (row, key, repr)."""
    found = set()
    for at, row in enumerate(frame.iter_rows(named=True)):
        for key, cell in row.items():
            value = whole(cell)
            if value is not None:
                found.add((at, key, repr(value)))
    return found


def expected(value):
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    return value if isinstance(value, str) else json.dumps(value)


@given(ROWS)
def test_every_value_of_every_row_is_in_its_cell_and_nothing_else_is(rows):
    """Numbers as floats, texts as texts also where a key has both, lists as JSON text."""
    frame = columns.of_rows([{"_step": at, **row} for at, row in enumerate(rows)])
    wanted = {
        (at, key, repr(expected(value)))
        for at, row in enumerate(rows)
        for key, value in row.items()
        if value is not None
    }

    assert cells(frame.drop("_step", strict=False)) == wanted
    assert not rows or frame["_step"].dtype == pl.Int64
    kinds = {pl.Float64, pl.String, pl.Struct({"number": pl.Float64, "text": pl.String})}
    assert {kind for key, kind in frame.schema.items() if key != "_step"} <= kinds


def test_an_export_gives_the_same_columns_as_its_rows(tmp_path):
    """Whatever types the server wrote: whole numbers, booleans, nested values, texts for NaN."""
    rows = [
        {"_step": 2, "n": 1, "flag": True, "s": "NaN", "deep": {"x": 1, "y": {"z": "t"}}},
        {"_step": 0, "n": 3, "flag": None, "s": "a", "deep": {"x": None, "y": {"z": None}}},
        {"_step": 1, "n": None, "flag": False, "s": None, "list": [1, 2], "deep": None},
    ]
    path = tmp_path / "export.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([
        ("_step", pa.float64()), ("n", pa.int64()), ("flag", pa.bool_()), ("s", pa.string()),
        ("list", pa.list_(pa.int64())),
        ("deep", pa.struct([("x", pa.int32()), ("y", pa.struct([("z", pa.string())]))])),
    ])), path)  # fmt: skip
    frame = columns.of_export(path)
    ordered = sorted(rows, key=lambda row: row["_step"])

    assert cells(frame) == cells(columns.of_rows(ordered))
    assert frame.schema == columns.of_rows(ordered).schema
    assert math.isnan(frame["s"].struct.field("number")[2])


def test_w_and_bs_own_parquet_files_are_read(fixtures, tmp_path):
    """From its client's tests: one whose steps are floats, and one without columns."""
    folder = fixtures / "wandb_history"
    frame = columns.of_export(folder / "wandb+wandb/core/tests/files/history.parquet")
    empty = columns.of_export(folder / "wandb+wandb/core/tests/files/empty.parquet")

    assert (frame.height, frame["_step"].dtype, empty.height) == (999, pl.Int64, 0)
    shutil.copy(__file__, tmp_path / "no.parquet")
    with pytest.raises(ValueError, match="not readable as Parquet"):
        columns.of_export(tmp_path / "no.parquet")


def test_rows_are_held_in_chunks_and_a_step_that_comes_twice_is_one_row(monkeypatch):
    """The client gives what is exported and live at once twice, within a page."""
    monkeypatch.setattr(fetch, "CHUNK_ROWS", 3)
    page = [{"_step": step, "from": "export"} for step in range(2)]
    live = [{"_step": step, "from": "live"} for step in range(4)]
    chunks = list(fetch._chunks(iter([page + live, live, [{"_step": 4}]])))

    assert [[row["_step"] for row in chunk] for chunk in chunks] == [[0, 1, 2, 3], [4]]
    assert {row["from"] for row in chunks[0]} == {"live"}
