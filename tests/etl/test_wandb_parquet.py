"""History as Parquet: as the client downloads it, as ``etl.pull`` writes it, and damaged."""

from __future__ import annotations

import io
import json
import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import read, values, write

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_parquet, wide
from etl.sources.frames import column_points


def test_the_real_history_has_every_row_that_was_measured(fixtures, truths):
    """999 rows in five row groups, with pandas' row numbers in a column that is no metric."""
    truth = next(t for t in truths if t["file"].endswith("/history.parquet"))["truth"]

    part, reading = read(fixtures / next(t["file"] for t in truths if t.get("truth") is truth))

    assert part.facts.rows == truth["rows"]
    assert set(part.facts.keys.values()) == {truth["rows"]}
    assert len(part.facts.keys) == truth["cols"] - 2
    assert (part.facts.first_step, part.facts.last_step) == (0, 998)
    assert not reading.rejects


def test_the_real_empty_history_is_w_and_bs_and_holds_nothing(fixtures, truths):
    """A file without columns is told by W&B's own entry in its footer."""
    file = next(t["file"] for t in truths if t["file"].endswith("/empty.parquet"))

    path = fixtures / file

    assert source_of(path) is sources.BY_KIND["wandb-parquet"]

    reading = wandb_parquet.read(path, 0, ())

    assert not reading.parts
    assert not reading.rejects


@pytest.mark.parametrize("columns", [{"text": ["a"]}, {"_step": ["a"]}, {"_timestamp": [1.0]}])
def test_parquet_that_is_no_history_is_refused(tmp_path, columns):
    """A shard of a data set, even one in W&B's words, is not claimed."""
    path = write(tmp_path / "history.parquet", **columns)

    assert not wandb_parquet.recognises(path, path.read_bytes())


def test_the_step_that_a_script_logs_stands_before_the_count_of_log_calls(tmp_path):
    """Rows without it belong to the step named last, as in a .wandb file."""
    path = write(
        tmp_path / "history.parquet",
        _step=[0, 1, 2, 3],
        step=[None, 100, None, 200],
        loss=[4.0, 3.0, 2.5, 2.0],
        _timestamp=[1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3],
    )

    part, _ = read(path)

    assert values(part) == {"loss": [(0, 4.0), (100, 3.0), (100, 2.5), (200, 2.0)]}
    assert part.points["ts"].to_list()[0] == 1e9
    assert part.facts.roles["step"] == "step"
    assert not part.facts.log_index_steps


def test_values_of_every_type_are_kept(tmp_path):
    """Nested keys are dotted, media and lists are JSON text, NaN is a value and null is no row."""
    hist = {"_type": "histogram", "bins": [0, 1], "values": [5]}
    path = write(
        tmp_path / "history.parquet",
        **{
            "_step": [0, 1],
            "Unnamed: 0": [0, 1],
            "nested": [{"a": 1.0, "deep": {"b": 2.0}}, {"a": None, "deep": None}],
            "hist": [hist, None],
            "img._type": ["image-file", None],
            "img.path": ["media/x.png", None],
            "list": [[1, 2], None],
            "epoch": ["0 pq: 1", None],
            "odd": ["NaN", "-Infinity"],
            "nan": [math.nan, 1.0],
            "flag": [True, False],
            "nothing": [None, None],
        },
    )

    part, _ = read(path)
    found = values(part)

    assert math.isnan(found["nan"][0][1])
    assert math.isnan(found["odd"][0][1])
    assert found["odd"][1] == (1, -math.inf)
    assert {k: v for k, v in found.items() if k not in ("nan", "odd")} == {
        "nested.a": [(0, 1.0)],
        "nested.deep.b": [(0, 2.0)],
        "hist": [(0, json.dumps(hist, sort_keys=True))],
        "img": [(0, '{"_type": "image-file", "path": "media/x.png"}')],
        "list": [(0, "[1, 2]")],
        "epoch": [(0, "0 pq: 1")],
        "flag": [(0, 1.0), (1, 0.0)],
    }


@pytest.mark.parametrize(
    ("name", "run_id", "project"),
    [
        ("team_nano_ab12cd34_0.runhistory.parquet", "ab12cd34", "nano"),
        ("my_team_my_nano_abcdefgh_1.runhistory.parquet", "abcdefgh", None),
        ("run-my.run-history:v3/0000.parquet", "my.run", None),
        ("exports/nano/ab12cd34/history.parquet", "ab12cd34", "nano"),
        ("ab12cd34_history.parquet", "ab12cd34", None),
    ],
)
def test_the_place_of_a_file_names_its_run(tmp_path, name, run_id, project):
    """As the client names downloads, as an artifact is called, as a person may sort them."""
    part, _ = read(write(tmp_path / name, _step=[0], loss=[1.0]))

    assert (part.facts.run_id, part.facts.source_project) == (run_id, project)
    assert part.facts.id_known


@pytest.mark.parametrize(
    "name", ["seed2026_history.parquet", "my_team_a_my_run_0.runhistory.parquet"]
)
def test_a_word_that_may_be_anything_is_no_run_id(tmp_path, name):
    """Then the run has an id of our own, the same wherever the file lies."""
    one, _ = read(write(tmp_path / "a" / name, _step=[0], loss=[1.0]))
    two, _ = read(write(tmp_path / "b" / name, _step=[0], loss=[1.0]))

    assert not one.facts.id_known
    assert one.facts.run_id == two.facts.run_id


def test_a_download_that_was_cut_is_quarantined_by_its_name(tmp_path):
    """Without its footer a Parquet file has no rows to give."""
    path = write(tmp_path / "team_nano_ab12cd34_0.runhistory.parquet", _step=[0], loss=[1.0])
    path.write_bytes(path.read_bytes()[:-20])

    assert source_of(path) is sources.BY_KIND["wandb-parquet"]

    reading = wandb_parquet.read(path, 0, ())

    assert not reading.parts
    assert "cut or damaged" in reading.rejects[0].reason


def test_a_damaged_row_group_costs_itself(tmp_path):
    """The other row groups are read."""
    data = io.BytesIO()
    table = pa.table({"_step": range(300), "loss": [float(i * i) for i in range(300)]})
    pq.write_table(table, data, row_group_size=100, compression="zstd", use_dictionary=False)
    raw = bytearray(data.getvalue())
    at = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(1).column(1).data_page_offset
    raw[at : at + 60] = b"\xff" * 60
    path = tmp_path / "history.parquet"
    path.write_bytes(raw)

    part, reading = read(path)

    assert sorted(step for step, _ in values(part)["loss"]) == [*range(100), *range(200, 300)]
    assert [reject.at_byte > 0 for reject in reading.rejects] == [True]


def test_truncation_at_any_byte_loses_no_more_than_the_file_and_raises_nothing(tmp_path):
    """A Parquet file is whole or nothing: its footer is its last part."""
    path = write(tmp_path / "x_y_ab12cd34_0.runhistory.parquet", _step=[0, 1], loss=[1.0, 2.0])
    data = path.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        if source_of(path) is not None:
            assert wandb_parquet.read(path, 0, ()).rejects


def test_frames_of_a_large_file_are_read_in_portions(tmp_path, monkeypatch):
    """Portions change nothing, also where a step is carried over their edges."""
    step = [None if i % 7 else i * 10 for i in range(100)]
    path = write(
        tmp_path / "h.parquet", _step=range(100), step=step, loss=[float(i) for i in range(100)]
    )
    whole, _ = read(path)
    monkeypatch.setattr(wandb_parquet, "_ROWS", 9)
    portions, _ = read(path)

    assert portions.points.equals(whole.points)
    assert portions.points.schema == whole.points.schema
    assert isinstance(whole.points, pl.DataFrame)


def test_many_rows_are_columns_of_the_points_that_few_are(tmp_path, monkeypatch):
    """A number in most rows is one; a sparse key, a text and a field of an object are none."""
    rows = range(12)
    path = write(
        tmp_path / "h.parquet",
        _step=rows,
        _timestamp=[1e9 + row for row in rows],
        step=[None if row % 3 else row * 10 for row in rows],
        loss=[row / 7 for row in rows],
        gap=[None if row < 6 else math.nan for row in rows],
        rare=[1 if row == 5 else None for row in rows],
        flag=[row % 2 == 0 for row in rows],
        word=["x" for _ in rows],
        outer=[{"loss": 1.0} for _ in rows],
        **{"outer.loss": [2.0 for _ in rows], "image._type": ["file" for _ in rows]},
        **{"image.size": [9 for _ in rows]},
    )
    few, _ = read(path)
    monkeypatch.setattr(wide, "MANY_ROWS", 0)
    many, _ = read(path)

    columns = many.rows.columns[2:]
    frames = [column_points(many.rows, name.removeprefix("=")) for name in columns]
    found = pl.concat([many.points, *frames])
    assert sorted(columns) == ["=flag", "=gap", "=loss"]
    assert few.rows is None
    assert found.sort("key", maintain_order=True).equals(
        few.points.sort("key", maintain_order=True)
    )
    assert many.facts == few.facts
