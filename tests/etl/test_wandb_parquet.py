"""History as Parquet: as the client downloads it, as ``etl.pull`` writes it, and damaged."""

from __future__ import annotations

import io
import json
import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.discover import source_of
from etl.sources import wandb_parquet, wandb_run_json, wandb_sidecars

RUN = {
    "id": "ab12cd34",
    "name": "d12",
    "entity": "team",
    "project": "nanochat",
    "state": "finished",
    "config": {"depth": 12, "wandb_api_key": "x", "data": "/home/ann/data", "_wandb": {"t": 1}},
    "summary": {"val/bpb": 0.9, "_step": 3, "_runtime": 10},
    "tags": ["b", "a"],
    "notes": "a note",
    "group": "g",
    "job_type": None,
    "created_at": "2026-01-01T00:00:00Z",
    "heartbeat_at": "2026-01-01T01:00:00Z",
    "commit": "c0ffee",
    "script": "base_train.py",
    "machine": {"python": "CPython 3.11.7", "gpu": "[NVIDIA H100, NVIDIA H100]", "gpu_count": 2},
    "export": None,
}


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def read(path):
    assert source_of(path) is wandb_parquet.SOURCE

    reading = wandb_parquet.read(path, 0, ())

    return reading.parts[0], reading


def values(part):
    """What a part holds: key -> [(step, value or text)]."""
    found = {}
    for key, step, value, text, _ in part.points.iter_rows():
        found.setdefault(key, []).append((step, text if value is None else value))
    return found


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "team" / "nanochat" / "ab12cd34"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


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

    assert source_of(path) is wandb_parquet.SOURCE

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


def test_a_key_of_numbers_and_texts_that_a_pull_kept_side_by_side_is_one(export):
    """{number, text} is how an export folder holds such a key; lists stand in it as JSON text."""
    mixed = [{"number": 1.0, "text": None}, {"number": None, "text": "two"}]
    path = write(
        export / "history.parquet",
        **{
            "_step": [0, 1],
            "loss": mixed,
            "h._type": ["histogram", None],
            "h.bins": ["[0, 1]", None],
        },
    )

    part, _ = read(path)

    assert values(part) == {
        "loss": [(0, 1.0), (1, "two")],
        "h": [(0, '{"_type": "histogram", "bins": [0, 1]}')],
    }


def test_a_pulled_run_has_what_its_run_json_says(export):
    """Id, names, config, times and end; nothing of the person, no key, no home folder."""
    part, _ = read(write(export / "history.parquet", _step=[0], loss=[1.0]))
    stated = wandb_run_json.read(export / "run.json", 0, ()).parts[0].facts

    assert source_of(export / "run.json") is wandb_run_json.SOURCE
    for facts in (part.facts, stated):
        assert (facts.run_id, facts.name, facts.source_project) == ("ab12cd34", "d12", "nanochat")
        assert facts.id_known
        assert facts.config == {"depth": 12, "data": "~/data"}
        assert facts.summary == {"val/bpb": 0.9}
        assert (facts.tags, facts.notes, facts.group) == (("a", "b"), "a note", "g")
        assert (facts.started_at, facts.ended_at) == (1767225600.0, 1767229200.0)
        assert (facts.finished, facts.exit_code, facts.script) == (True, 0, "base_train.py")
        assert facts.versions == {"python": "3.11.7", "git": "c0ffee"}
        assert facts.effective == {"gpu": "NVIDIA H100", "gpu_count": 2}


@pytest.mark.parametrize(
    ("state", "finished", "code"),
    [
        ("finished", True, 0),
        ("failed", True, 1),
        ("crashed", False, None),
        ("running", False, None),
    ],
)
def test_a_state_says_no_more_than_w_and_b_knows(export, state, finished, code):
    """A crashed run only stopped to report."""
    (export / "run.json").write_text(json.dumps({**RUN, "state": state}))

    facts = wandb_run_json.read(export / "run.json", 0, ()).parts[0].facts

    assert (facts.finished, facts.exit_code) == (finished, code)


def test_parts_of_one_run_go_on_with_the_step_named_last(export):
    """A part that begins within a step belongs to the step that the part before it named."""
    write(export / "history-0001.parquet", _step=[0, 1], step=[None, 50], a=[1.0, 2.0])
    second = write(export / "history-0002.parquet", _step=[2, 3], b=[3.0, 4.0])

    part, _ = read(second)

    assert values(part) == {"b": [(50, 3.0), (50, 4.0)]}
    assert not part.facts.log_index_steps


def test_the_events_and_the_console_of_a_pulled_run_are_its_machines_and_its_lines(export):
    """They go by time and by line, without steps."""
    columns = {"_timestamp": [1e9, 1e9 + 30], "system.cpu": [50.0, None], "_runtime": [1.0, 31.0]}
    events, _ = read(write(export / "events.parquet", **columns))
    log = export / "output.log"
    log.write_text("a\rb\n\x1b[31mstep 1\x1b[0m\n")

    console = wandb_sidecars.read(log, 0, ()).parts[0]

    assert events.telemetry.rows() == [("system.cpu", 1e9, 50.0)]
    assert source_of(log) is wandb_sidecars.SOURCE
    assert console.facts.run_id == events.facts.run_id == "ab12cd34"
    assert console.console["text"].to_list() == ["b", "step 1"]


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

    assert source_of(path) is wandb_parquet.SOURCE

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


def test_a_cut_run_json_is_quarantined(export):
    """It is still known to be one by its first keys."""
    path = export / "run.json"
    path.write_bytes(path.read_bytes()[:-10])

    assert source_of(path) is wandb_run_json.SOURCE
    assert wandb_run_json.read(path, 0, ()).rejects


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
