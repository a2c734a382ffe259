"""What ``run.history()`` gave, as people save it: CSV and JSON in pandas' and in plain forms."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import sources
from etl.discover import source_of
from etl.sources import csv_table, json_pieces, wandb_history_dump
from etl.sources.reading import HEAD_BYTES

ROWS = [
    {"_step": 0, "_timestamp": 1e9, "_runtime": 1.5, "loss": 4.0, "note": None},
    {"_step": 1, "_timestamp": 1e9 + 1, "_runtime": 2.5, "loss": math.nan, "note": 'a, "b"\nc'},
    {"_step": 2, "_timestamp": 1e9 + 2, "_runtime": 3.5, "loss": 2.0, "note": None},
]  # fmt: skip
CSV = (
    "_step,_timestamp,_runtime,loss,note\n"
    "0,1000000000.0,1.5,4.0,\n"
    '1,1000000001.0,2.5,NaN,"a, ""b""\nc"\n'
    "2,1000000002.0,3.5,2.0,\n"
)
POINTS = [
    ("loss", 0, "4.0", 1e9),
    ("loss", 1, "nan", 1e9 + 1),
    ("loss", 2, "2.0", 1e9 + 2),
    ("note", 1, 'a, "b"\nc', 1e9 + 1),
]


def points(reading):
    """All points of a reading, sorted."""
    rows = [row for part in reading.parts for row in part.points.iter_rows()]
    return sorted(
        (key, step, str(v) if text is None else text, ts) for key, step, v, text, ts in rows
    )


def read(path, text):
    path.write_text(text, encoding="utf-8", newline="")

    assert source_of(path) is sources.BY_KIND["wandb-history"]

    return wandb_history_dump.read(path, 0, ())


def test_the_real_histories_have_every_row_cell_and_id(fixtures, truths):
    """Four dumps of 523 rows, columns in any order; each run's id is in its file's name."""
    files = [t for t in truths if t["kind"] == "wandb_history" and t["file"].endswith(".csv")]
    ids = set()
    for file in files:
        path, truth = fixtures / file["file"], file["truth"]

        assert source_of(path) is sources.BY_KIND["wandb-history"]

        reading = wandb_history_dump.read(path, 0, ())
        (part,) = reading.parts
        axes = 3 * truth["rows"]

        assert part.facts.rows == truth["rows"]
        assert part.points.height == truth["rows"] * truth["cols"] - truth["empty_cells"] - axes
        assert (part.facts.first_step, part.facts.last_step) == (0, truth["steps"]["last"])
        assert part.points["ts"].null_count() == 0
        assert not reading.rejects
        media = part.points.filter(part.points["key"] == "Sample Generation")["text"]
        assert json.loads(media[0])["_type"] == "html-file"
        assert part.facts.id_known
        ids.add((part.facts.name, part.facts.run_id))

    assert len(ids) == len(files) == 4
    assert ("baseline_seed2026", "0tku5ah1") in ids


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_a_csv_gives_the_same_points_however_it_was_saved(tmp_path, ends, bom, mark):
    """Line ends, a byte order mark, the separator and pandas' row numbers change nothing."""
    head, *rest = CSV.split("\n", 1)
    plain = bom + (head + "\n" + rest[0]).replace("a, ", "a; ").replace(",", mark)
    text = plain.replace("a; ", "a, ").replace("\n", ends).replace(f"{ends}c", "\nc")

    reading = read(tmp_path / "x.csv", text)

    assert points(reading) == POINTS
    assert not reading.rejects


def test_json_of_rows_and_of_columns_give_the_same_points_as_csv(tmp_path):
    """A list of rows; pandas' to_json with its column form."""
    columns = {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]}
    rows = json.dumps([{k: v for k, v in row.items() if v is not None} for row in ROWS])

    assert points(read(tmp_path / "x.csv", CSV)) == POINTS
    assert points(read(tmp_path / "rows.json", rows)) == POINTS
    assert points(read(tmp_path / "columns.json", json.dumps(columns))) == POINTS
    assert points(read(tmp_path / "indented.json", json.dumps(ROWS, indent=1))) == POINTS


def test_the_step_that_a_script_logs_stands_before_the_count_of_log_calls(tmp_path):
    """As in a .wandb file: rows that name none belong to the step named last."""
    expected = [("loss", 0, "4.0", None), ("loss", 100, "3.0", None), ("loss", 100, "2.0", None)]
    rows = [{"_step": 0, "loss": 4.0}, {"_step": 1, "step": 100, "loss": 3.0}]
    rows.append({"_step": 2, "loss": 2.0})

    csv = read(tmp_path / "a.csv", "_step,step,loss\n0,,4.0\n1,100.0,3.0\n2,,2.0\n")
    document = read(tmp_path / "b.json", json.dumps(rows))

    assert points(csv) == points(document) == sorted(expected)
    assert not csv.parts[0].facts.log_index_steps


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "step,loss\n1,2\n"),
        ("a.csv", "_step\n1\n"),
        ("a.csv", '_step,"run - loss"\n1,2\n'),
        ("a.csv", ""),
        ("a.json", '{"_step": 3, "loss": 2}'),
        ("a.json", '[{"step": 3, "loss": 2}]'),
        ("a.json", "[]"),
        ("a.txt", "_step,loss\n1,2\n"),
    ],
)
def test_what_is_no_history_is_refused(tmp_path, name, text):
    """A chart's CSV, a summary, and rows without W&B's own step are other files."""
    path = tmp_path / name
    path.write_text(text)

    assert source_of(path) is not sources.BY_KIND["wandb-history"]


def test_a_damaged_row_costs_itself_and_is_named_by_its_line(tmp_path):
    """Too few cells, bytes that are no UTF-8, a stray quote, no step: each is one row."""
    rows = [b"_step,loss", b"0,1", b"1", b"2,\xff", b'3,"x', b"4,4", b"a,5", b"6,6"]
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join(rows) + b"\n")

    reading = wandb_history_dump.read(path, 0, ())

    assert [step for _, step, _, _ in points(reading)] == [0, 4, 6]
    assert sorted(reject.line for reject in reading.rejects) == [3, 4, 5, 7]
    assert all(path.read_bytes()[r.at_byte :].startswith(rows[r.line - 1]) for r in reading.rejects)


def test_a_last_cell_that_may_be_cut_is_quarantined_and_not_read(tmp_path):
    """``4.09`` may be what was left of ``4.0956``; the other cells of that row are whole."""
    reading = read(tmp_path / "a.csv", "_step,acc,loss\n0,0.5,4.0\n1,0.6,4.09")

    assert points(reading) == [
        ("acc", 0, "0.5", None),
        ("acc", 1, "0.6", None),
        ("loss", 0, "4.0", None),
    ]
    assert reading.rejects[0].reason == csv_table.CUT


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("form", ["csv", "rows", "columns"])
def test_truncation_at_any_byte_loses_at_most_what_was_cut(tmp_path_factory, form, data):
    """What is left are points of the whole file, all those of the records before the cut."""
    columns = {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]}
    text = {"csv": CSV, "rows": json.dumps(ROWS), "columns": json.dumps(columns)}[form]
    path = tmp_path_factory.getbasetemp() / f"cut.{'csv' if form == 'csv' else 'json'}"
    whole = text.encode()
    end = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:end])

    reading = wandb_history_dump.read(path, 0, ())
    found = [point[:3] for point in points(reading)]

    assert {point for point in found if point[0] != "note"} <= {point[:3] for point in POINTS}
    # a text that was cut just behind one of its quotes looks like a whole one
    assert all(POINTS[-1][2].startswith(text) for key, _, text in found if key == "note")
    if form != "columns":  # there a record is a column
        ends = [m.end() for m in re.finditer(rb"\n(?!c)" if form == "csv" else rb"\}", whole)]
        records = sum(at < end for at in ends) - (form == "csv")
        assert len({step for _, step, _ in found}) >= records


@given(st.binary(max_size=400))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_looked_at_without_an_error(tmp_path_factory, data):
    """Every file of a folder is asked about, whatever it is."""
    for name in ("any.csv", "any.json"):
        path = tmp_path_factory.getbasetemp() / name
        for content in (data, b"_step,loss\n" + data, b'[{"_step": 1, "loss": 2}, ' + data):
            path.write_bytes(content)
            source_of(path)
            wandb_history_dump.read(path, 0, ())


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)), max_size=5)
)
@settings(max_examples=60, deadline=None)
def test_json_pieces_are_what_json_says(rows):
    """An array and an object come out as the standard library reads them."""
    assert list(json_pieces.read(json.dumps(rows).encode()).found) == rows
    document = dict(enumerate(rows))
    found = json_pieces.read(json.dumps(document, indent=2).encode())
    assert dict(found.found) == json.loads(json.dumps(document))
    assert not found.rejects


def test_a_damaged_element_of_an_array_costs_itself(tmp_path):
    """Reading goes on at the next object."""
    reading = read(tmp_path / "a.json", '[{"_step":0,"a":1},{"_step":1,"a":},{"_step":2,"a":3}]')

    assert [step for _, step, _, _ in points(reading)] == [0, 2]
    assert [r.at_byte for r in reading.rejects] == [19]


def test_a_header_longer_than_the_head_is_known_by_what_is_seen_of_it(tmp_path):
    """Thousands of columns, as of a chart for each layer."""
    keys = [f"a/layer/with/a/long/name/{i:05}/weights/of/it" for i in range(2000)]
    path = tmp_path / "wide.csv"
    path.write_text(",".join(["_step", *keys]) + "\n" + ",".join(["0"] * 2001) + "\n")

    assert len(",".join(keys)) > HEAD_BYTES
    assert source_of(path) is sources.BY_KIND["wandb-history"]
    assert wandb_history_dump.read(path, 0, ()).parts[0].points.height == 2000


LINES = st.lists(
    st.sampled_from(["1,2,3", "1,,", "a,b,c", "1,2", "1,2,3,4", "NaN,inf,-Infinity", "é,' ,#", ","])
)


@settings(max_examples=80, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_columns_at_once_and_row_by_row_are_the_same_table(tmp_path_factory, lines, end):
    """The way for large files without quotes changes nothing; any other file goes row by row."""
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_text(end.join(["_step,b,c", *lines, ""]), newline="")
    fast = csv_table.read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_table, "_in_columns", lambda *_: None)
        slow = csv_table.read(path)

    assert fast.cells.rows() == slow.cells.rows()
    assert (list(fast.lines), list(fast.offsets)) == (list(slow.lines), list(slow.offsets))
    assert fast.rejects == slow.rejects
