"""JSONL -> points: exact, by either way, whatever the lines hold."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.sources import foreign_jsonl, hooks_jsonl, jsonl, jsonl_columns, jsonl_rows, jsonl_sampled
from hooks import record

KEYS = st.sampled_from(["a", "A", "b/c", "_=step", 'odd"key', "ünï", "ts", "value", "n", ""])
VALUES = st.one_of(
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.booleans(),
    st.none(),
    st.sampled_from(["NaN", "Infinity", "1.5", "text", 'a":"b', "x:"]),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3), max_size=2),
)
ROWS = st.builds(
    lambda step, row: json.dumps({**row, "step": step, "_ts": 1.8e9}).encode(),
    st.one_of(st.integers(-5, 10**6), st.just(2.0)),
    st.dictionaries(KEYS, VALUES, max_size=4),
)
BAD = st.sampled_from(
    [
        b"not json", b"[1, 2]", b"7", b"{}", b"", b'{"step": 1.5}', b'{"step": "4", "a": 1}',
        b'{"step": null}', b'{"step": 1, "a": "\xff"}', b'{"step": 1, "a"', b'{"_kind": "config"}',
        b'{"step": 5, "a": NaN}', b'{"step": 6, "a": 1e400}', b'{"step": true}',
        b'{"step": 7, "a": nan}', b'{"step": 7, "a": 1,}', b'\x0b{"step": 7, "a": 1}',
        b'{"step": 8, "a": 1, "a": 2}', b'{"step": 8, "a": null, "a": 2}', b'{"step": 8, "a": 1}}',
        b'{"step": 9, "a": 1}{"step": 9, "a": 2}', b'{"step": 9, "new": 4}', b"   ",
        b'{"step": 9, "\\u0061": 3}', b'{"\\u005fkind": "x", "step": 3}', b'{"step": 3, "a": true}',
        b'{"_kind": "x", "step": 3, "a": 1}', b'{"step": 1, "a": "x\\"y: , "}\r',
        b'\xef\xbb\xbf{"step": 3, "a": 1}', b'{"step": 3, "a": "null"}',
        b'{"step": 3, "a": [1, 2]}', b'{"step": 8, "a": 1, "a": null}', b'{"step": 3, "step": 9}',
        b'{"step": 9, "a": 1, "step": null}', b'{"step": 9, "a": {"x": 1, "x": 2}}',
    ]
)  # fmt: skip


def points_of(lines):
    """Points of both forms as (key, step, value, text, ts)."""
    found = lines.points.with_columns(pl.col("value").cast(pl.String)).rows()
    for column in [] if lines.wide is None else lines.wide.columns[2:]:
        rows = lines.wide.select("step", pl.col(column).cast(pl.String), "ts").drop_nulls(column)
        found += [(column.removeprefix("="), step, v, None, ts) for step, v, ts in rows.rows()]
    return found


def normal(lines):
    """What a slice came to, in an order of its own."""
    return (
        sorted(points_of(lines), key=repr),
        [(event.value, event.place.line) for event in lines.events],
        [(r.at_byte, r.line, r.reason, r.raw.strip()) for r in lines.rejects],
        lines.rows,
        lines.end,
    )


def in_columns(data):
    return jsonl_columns.parse(data, 100, 7, "step", "_ts")


def sampled(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return jsonl_sampled.parse(Path(file.name), len(data), 100, 7, ("step", "_ts"))


WAYS = pytest.mark.parametrize("way", [in_columns, sampled])


@WAYS
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.one_of(ROWS, ROWS, BAD), max_size=12))
@example(rows=[b'{"step": 1, "_ts": 1, "a": "b", "c": true}'])
def test_the_fast_ways_and_the_slow_way_read_the_same(way, rows):
    """DuckDB's columns and the line-by-line parser agree, or the fast way hands over."""
    data = b"".join(row + b"\n" for row in rows)
    slow = jsonl_rows.parse(data, 100, 7, "step", "_ts")
    try:
        fast = way(data)
    except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
        return

    assert normal(fast) == normal(slow)


PLAIN = [b'{"step":%d,"_ts":1.5,"a":%d.5,"b/c":-1e-3}' % (i, i) for i in range(9)]


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, sum(len(row) + 1 for row in PLAIN) - 1),
    st.sampled_from([*b'"{}[]:,.0eEtnN \n\r\x00\x0b\x0c\\-+x', 0xC3]),
    st.booleans(),
)
def test_no_strange_byte_anywhere_is_read_in_two_ways(at, byte, insert):
    """A log of numbers, as the fast way is for, with one byte more or another one in it."""
    whole = b"".join(row + b"\n" for row in PLAIN)
    data = whole[:at] + bytes([byte]) + whole[at + (not insert) :]
    slow = jsonl_rows.parse(data, 100, 7, "step", "_ts")
    try:
        fast = sampled(data)
    except (jsonl_columns.NotColumnsError, duckdb.Error, ValueError):
        return

    assert normal(fast) == normal(slow)


ROW = b'{"step":%d,"_ts":1.5,"train/loss":2.5'
ORDINARY = {
    "header and end": [b'{"_kind":"run","v":null}', *PLAIN, b'{"_kind":"finish"}'],
    "nanochat": [
        ROW % 0 + b',"train/epoch":"0 pq: 1 rg: 2"}',
        ROW % 0 + b',"val/bpb":1.5}',
        ROW % 0 + b',"core_metric":0.5,"centered_results":{"a":0.25,"b":{"c":1}}}',
        ROW % 1 + b',"train/epoch":"a \\"word\\", two"}',
    ],
    "nulls and words for numbers": [ROW % 0 + b',"a":null}', ROW % 1 + b',"a":"NaN","b":NaN}'],
    "a bad line among many": [*PLAIN, b"not, json: at all", b'{"step":1.5}', *PLAIN],
    "blank lines": [*PLAIN, b"", b"  ", *PLAIN, b'{"_kind":"x"}', b""],
    "windows": [row + b"\r" for row in PLAIN],
    "a rare key": [*PLAIN * 500, ROW % 1 + b',"rare":1}', *PLAIN * 1500],
}


@pytest.mark.parametrize("rows", ORDINARY.values(), ids=ORDINARY)
def test_the_fast_way_reads_ordinary_logs_itself(rows):
    """The properties above would hold if the fast way always handed over; here it must not."""
    data = b"".join(row + b"\n" for row in rows)

    assert normal(sampled(data)) == normal(jsonl_rows.parse(data, 100, 7, "step", "_ts"))


def test_a_log_that_grows_while_it_is_read_is_read_to_where_it_ended(place):
    """The size is taken once; a line that is written since is for the next sync."""
    path = place.log(steps=range(50), finish=True)
    size = path.stat().st_size
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"step":50,"a":1}\n')
    try:
        lines = jsonl_sampled.parse(path, size, 0, 0, ("step", "_ts"))
    except jsonl_columns.NotColumnsError:
        lines = jsonl_rows.parse(whole, 0, 0, "step", "_ts")

    assert normal(lines) == normal(jsonl_rows.parse(whole, 0, 0, "step", "_ts"))


def test_the_chunks_of_a_large_log_are_read_as_one(place, monkeypatch):
    """Also where a key is a text in one of them, and a number that repeats a step in others."""
    rows = [ROW % (i % 3000) + b',"x":%d}' % i for i in range(12_000)]
    rows[6000] = ROW % 5 + b',"x":"text","new":1}'
    path = place.logs / "large.jsonl"
    path.write_bytes(b"".join(row + b"\n" for row in rows))
    monkeypatch.setattr(jsonl, "CHUNK_BYTES", 300_000)
    lines = jsonl.read(path, 0, "step", "_ts")
    slow = jsonl_rows.parse(path.read_bytes(), 0, 0, "step", "_ts")

    assert normal(lines) == normal(slow)
    assert lines.points["key"].unique().to_list() == ["x"]
    assert [p for p in points_of(lines) if p[0] == "x"] == [
        p for p in points_of(slow) if p[0] == "x"
    ]


def test_a_log_beyond_the_small_size_is_read_as_a_small_one_is(place):
    path = place.log(steps=range(8000))
    assert path.stat().st_size > 2 * jsonl.SMALL_BYTES
    done = place.sync(place.logs)

    assert done.document["points"] == 16000
    assert place.rows("select value from history where step = 7999 order by metric") == [
        (3.0 - 79.99,), (1.0 + 7.999,)
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100))
def test_a_cut_at_any_byte_costs_at_most_the_line_that_it_cuts(tmp_path_factory, percent):
    """Every complete line before the cut is read; the rest is one torn line."""
    path = tmp_path_factory.mktemp("cut") / "log.jsonl"
    rows = [record.encode_history(step, 1.8e9, {"loss": step / 7})[0] for step in range(40)]
    header = record.encode_event("run", 1.8e9, {"run_id": "r", "segment": "s", "project": "p"})
    whole = b"".join([header, *rows])
    path.write_bytes(whole[: len(whole) * percent // 100])
    reading = hooks_jsonl.read(path, 0, ())

    *lines, tail = path.read_bytes().split(b"\n")
    complete = len(lines) + tail.endswith(b"}")  # whole but for its newline
    points = sum(part.points.height for part in reading.parts)
    assert points == max(0, complete - 1)
    assert len(reading.rejects) == int(bool(tail) and not tail.endswith(b"}"))


def test_a_byte_order_mark_is_no_reason_to_lose_a_line(place):
    path = place.logs / "run7.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')

    assert foreign_jsonl.read(path, 0, ()).parts[0].points["value"].to_list() == [2.0, 1.0]


def test_a_foreign_log_is_a_run_named_after_its_file_or_folder(place):
    folder = place.logs / "tinker"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(
        '{"_step": 3, "_timestamp": 1.8e9, "a": {"b": 1, "c": "x"}}\n'
    )
    (folder / "second.jsonl").write_text('{"iter": 1, "loss": 2.5}\n')
    done = place.sync(place.logs)

    assert done.code == 0
    assert place.rows("select name, stage, stage_reason, state from runs order by name") == [
        (
            "second",
            "unknown",
            "the run says none; no source project and no script imply none",
            "unknown",
        ),
        (
            "tinker",
            "unknown",
            "the run says none; no source project and no script imply none",
            "unknown",
        ),
    ]
    assert place.rows("select metric, step, value, text from history order by all") == [
        ("a.b", 3, 1.0, None), ("a.c", 3, None, "x"), ("loss", 1, 2.5, None)
    ]  # fmt: skip


def test_a_real_foreign_log_is_read_whole(place, fixtures, truths):
    """A metrics.jsonl of tinker: 298 rows of 79 keys."""
    for item in truths:
        if not item["file"].endswith("metrics.jsonl"):
            continue
        done = place.sync(fixtures / item["file"])
        truth = item["truth"]

        assert done.code == 0
        assert place.rows("select count(distinct step), min(step), max(step) from history") == [
            (truth["rows"], truth["steps"]["first"], truth["steps"]["last"])
        ]
        assert place.rows("select count(*) from keys") == [(truth["n_keys"],)]
        assert place.rows("select sum(points) from keys") == [(done.document["points"],)]


def test_two_runs_of_one_seed_in_two_folders_stay_two_runs(place):
    for name in ("a", "b"):
        (place.logs / name).mkdir()
        (place.logs / name / "metrics.jsonl").write_text('{"step": 0, "loss": 10.5}\n')
    place.sync(place.logs)

    assert place.rows("select name from runs order by name") == [("a",), ("b",)]
