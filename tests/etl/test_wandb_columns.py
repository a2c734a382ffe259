"""Records read side by side give what they give one by one, to the last bit."""

from __future__ import annotations

import json
import math
import random

import polars as pl
import pytest
import wandb_files
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import wandb_history, wandb_items, wandb_log, wandb_offline, wandb_records
from etl.sources.facts import Facts
from etl.sources.frames import column_points

NUMBERS = (
    "0", "-0", "-0.0", "1", "-17", "1.5", "1e5", "1E-3", "1.7953834402e+09", "1e400", "-1e400",
    "9007199254740993", "123456789012345678901234567890", "0.1234567890123456", "2.5e-324",
)  # fmt: skip
NOT_NUMBERS = (
    "01", "1.", "1.e5", ".5", "+1", "1_0", "nan", "inf", "-", "--1", "1 ", " 1", "", "0x10", "1e",
    "tru", "truefalse", '"', '"a', '"a"b"', "{", "9" * 5000, '"\\ud800"', '"\x01"', "[1",
)  # fmt: skip
OTHERS = (
    "NaN", "Infinity", "-Infinity", "true", "false", "null", '""', '"text"', '"a\\"b"', '"\u00e9"',
    "{}", "[]", '{"b": 1, "c": {"d": "x"}}', '{"_type": "histogram", "values": [1.0, 2]}',
    '{"_type": 3}', "[1, NaN]", '"' + "long " * 100 + '"',
)  # fmt: skip
PATHS = (
    "train/loss", "step", "_step", "_timestamp", "_runtime", "iter", "a", "a.b", "", "x" * 40,
    "y" * 100, "z" * 300, "\u00e9" * 20, ("a", "b"), ("a", "c", "d"), ("h", "_type"),
    ("h", "values"), ("h", "in", "n"), ("a", "_type"), ("n" * 50, "m" * 50),
)  # fmt: skip
texts = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(OTHERS),
    st.floats().map(json.dumps),
    st.integers().map(str),
    st.text().map(json.dumps),
)


def taken(tmp_path, data, *, in_columns):
    """What the records of a file come to."""
    path = tmp_path / "run-r1.wandb"
    path.write_bytes(data)
    records = wandb_records.Records(Facts("", ""), in_columns=in_columns)
    with path.open("rb") as file:
        walk = wandb_log.Walk(file, 7)
        for batch in walk.batches():
            records.take(batch)
    part = records.part()
    frames = []
    for frame in (part.points, part.telemetry, part.console):
        keyed = frame is not None and "key" in frame.columns
        frames.append(frame.sort("key", maintain_order=True).rows() if keyed else frame)
    rejects = sorted((r.at_byte, r.reason, r.raw) for r in [*walk.rejects, *records.rejects])
    return repr((part.facts.normal().dump(), frames, rejects, records.notes()))  # NaN is NaN


def written(chance, values, rows, *, broken):
    """A file of rows, summaries and measurements with any of *values* under any of PATHS."""
    paths = chance.sample(PATHS, chance.randrange(1, len(PATHS)))
    records = [wandb_files.run()]
    for number in range(rows):
        items = []
        for path in chance.choices(paths, k=chance.randrange(12)):
            style = chance.choice(["nested", "nested", "key", "both"])
            items.append(wandb_files.item(path, chance.choice(values), style))
        step = wandb_files.field(2, wandb_files.field(1, number) if number else b"")
        body = b"".join(wandb_files.field(1, item) for item in items)
        row = wandb_files.field(2, body + step * chance.randrange(2))
        measured = wandb_files.field(2, wandb_files.field(1, 1_800_000_000 + number))
        stats = wandb_files.field(7, measured + b"".join(wandb_files.field(3, i) for i in items))
        head = wandb_files.field(1, number) + wandb_files.field(200, b"") * chance.randrange(2)
        if broken and chance.random() < 0.2:
            row = bytearray(row)
            row[chance.randrange(len(row))] ^= 1 << chance.randrange(8)
        gone = wandb_files.field(2, wandb_files.item(chance.choice(paths), ""))
        summary = wandb_files.field(3, body + gone * (chance.random() < 0.1))
        records += [head + bytes(row), head + stats, head + summary]
    return wandb_files.pack(records)[0]


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "broken"])
@settings(max_examples=25, deadline=None)
@given(st.lists(texts, min_size=1, max_size=12), st.integers(0, 2**32), st.integers(50, 120))
def test_side_by_side_is_as_one_by_one(tmp_path_factory, broken, values, seed, rows):
    """Any keys and values, in rows of any length, also with bits that are wrong."""
    place = tmp_path_factory.mktemp("columns")
    data = written(random.Random(seed), values, rows, broken=broken)

    assert taken(place, data, in_columns=True) == taken(place, data, in_columns=False)


def test_what_is_no_number_is_none_side_by_side_either(tmp_path):
    """Texts that a lenient parser would take for numbers, one of them in a row now and then."""
    rows = [{"train/loss": "1.5", "step": str(n)} for n in range(400)]
    for place, text in enumerate(NOT_NUMBERS):
        rows[place * 9]["train/loss"] = text
    records = [wandb_files.run()]
    for row in rows:
        items = [wandb_files.field(1, wandb_files.item(k, t)) for k, t in row.items()]
        records.append(wandb_files.field(2, b"".join(items)))
    data = wandb_files.pack(records)[0]

    assert taken(tmp_path, data, in_columns=True) == taken(tmp_path, data, in_columns=False)


def test_more_keys_than_slots_are_told_apart(tmp_path):
    """Of a thousand keys some share slots of the table in which they are looked up."""
    records = [wandb_files.run()]
    for number in range(wandb_items.FEW):
        row = {f"layer.{place}": place + number for place in range(1200)}
        records.append(wandb_files.history(row))
    data = wandb_files.pack(records)[0]

    assert taken(tmp_path, data, in_columns=True) == taken(tmp_path, data, in_columns=False)


def test_sparse_keys_are_read_as_dense_ones(tmp_path):
    """A key of its own in every row: no grid of keys and rows is filled."""
    rows = [{f"only/{number}": number, "step": number} for number in range(3000)]
    data = wandb_files.pack([wandb_files.run(), *map(wandb_files.history, rows)])[0]

    assert taken(tmp_path, data, in_columns=True) == taken(tmp_path, data, in_columns=False)


def test_many_rows_are_columns_of_the_points_that_few_are(tmp_path, monkeypatch):
    """A key that is a number in most rows is one; a sparse one and one that is ever a text none."""
    records = [wandb_files.run("r1")]
    for row in range(20):
        values = {"_step": row, "_timestamp": 1.8e9 + row, "step": row // 2, "loss": row / 7}
        values |= {"gap": math.nan} if row % 4 else {}
        values |= {"rare": 1.0} if row == 3 else {}
        values |= {"mixed": "text" if row == 9 else row}
        records.append(wandb_files.history(values))
    path = tmp_path / "run-r1.wandb"
    path.write_bytes(wandb_files.pack(records)[0])
    (few,) = wandb_offline.read(path, 0, ()).parts
    monkeypatch.setattr(wandb_history, "MANY_ROWS", 0)
    (many,) = wandb_offline.read(path, 0, ()).parts

    columns = many.rows.columns[2:]
    frames = [column_points(many.rows, name.removeprefix("=")) for name in columns]
    found = pl.concat([many.points, *frames])
    assert sorted(columns) == ["=gap", "=loss"]
    assert few.rows is None
    assert found.sort("key", maintain_order=True).equals(
        few.points.sort("key", maintain_order=True)
    )
    assert many.facts == few.facts
