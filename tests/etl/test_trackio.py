"""trackio databases and Parquet files, of the oldest and the newest schema -> their runs."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import ALL, trackio

OLD = """
    create table metrics (id integer primary key autoincrement, timestamp text not null,
        project_name text not null, run_name text not null, step integer, metrics text not null);
"""
NEW = """
    create table metrics (id integer primary key autoincrement, run_id text not null,
        timestamp text not null, run_name text not null, step integer not null,
        metrics text not null, log_id text, space_id text);
    create table configs (id integer primary key autoincrement, run_id text not null,
        run_name text not null, config text not null, created_at text not null);
    create table system_metrics (id integer primary key autoincrement, run_id text not null,
        timestamp text not null, run_name text not null, metrics text not null);
    create table alerts (id integer primary key autoincrement, run_id text not null,
        timestamp text, run_name text, title text, text text, level text, step integer);
    create table traces (id text primary key, run_id text);
"""
TIME = "2026-01-02T03:04:05.5+00:00"
EPOCH = 1767323045.5


def put(con, table, **row):
    marks = ", ".join("?" * len(row))
    con.execute(f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values()))


def fill(path, *, wal=False):
    """A database of two runs of one name, as trackio 0.43 writes them: JSON as bytes."""
    con = sqlite3.connect(path)
    if wal:
        con.execute("pragma journal_mode = wal")
    con.executescript(NEW)
    image = {"_type": "trackio.image", "file_path": "p/calm/1/x.png"}
    rows = [
        {"loss": 2.5, "val": {"bpb": "NaN"}, "note": "E1", "gone": None, "picture": image},
        {"loss": "Infinity", "val": {"bpb": "-Infinity"}},
    ]
    for run in ("b" * 32, "a" * 32):
        own = {"run_id": run, "run_name": "calm"}
        for step, values in enumerate(rows, 1):
            made = json.dumps(values).encode()
            put(con, "metrics", **own, timestamp=TIME, step=step, metrics=made)
    config = {"lr": 0.1, "_Username": "someone", "_Created": TIME, "_Group": "g"}
    put(con, "configs", **own, config=json.dumps(config).encode(), created_at=TIME)
    put(con, "system_metrics", **own, timestamp=TIME, metrics=b'{"gpu/0/power": 300.5, "x": "y"}')
    put(con, "alerts", **own, timestamp=TIME, title="high", text="loss", level="warn", step=1)
    put(con, "traces", id="t", run_id="a")
    con.commit()
    return con


def check(path):
    assert trackio.recognises(path, path.read_bytes()[:65536])
    reading = trackio.read(path, 0, ())
    first, second = reading.parts
    rows = [row[:4] for row in first.points.rows()]
    picture = json.loads(rows.pop(3)[3])

    assert reading.rejects == ()
    assert picture == {"_type": "trackio.image", "file_path": "p/calm/1/x.png"}
    assert str(rows) == (
        "[('loss', 1, 2.5, None), ('val.bpb', 1, nan, None), ('note', 1, None, 'E1'), "
        "('loss', 2, inf, None), ('val.bpb', 2, -inf, None)]"
    )
    assert first.telemetry.rows() == [("gpu/0/power", EPOCH, 300.5)]
    assert first.console.rows() == [(1, EPOCH, "[warn] high: loss")]
    facts = first.facts
    assert (facts.run_id, second.facts.run_id, facts.id_known) == ("a" * 32, "b" * 32, True)
    assert (facts.name, facts.source_project, facts.group) == ("calm", path.stem, "g")
    assert (facts.config, facts.started_at, facts.rows) == ({"lr": 0.1}, EPOCH, 2)
    assert "someone" not in facts.dump()
    assert len(reading.notes) == 1


def test_a_database_gives_each_run_with_its_config_telemetry_and_alerts(tmp_path):
    fill(tmp_path / "speed.db").close()
    check(tmp_path / "speed.db")

    path = tmp_path / "speed.db"
    assert [s.kind for s in ALL if s.recognises(path, path.read_bytes())] == ["trackio"]
    assert [p.name for p in tmp_path.iterdir()] == ["speed.db"]


def test_a_database_that_is_being_written_is_read_whole_and_left_as_it_is(tmp_path):
    """All rows still stand in the -wal: they are read from a copy."""
    writer = fill(tmp_path / "speed.db", wal=True)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert (tmp_path / "speed.db-wal").stat().st_size > 0
    check(tmp_path / "speed.db")

    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    writer.close()


def test_a_database_of_the_oldest_schema_names_its_projects_and_gives_runs_ids_of_ours(tmp_path):
    """Text columns, times without a zone, no ids: the same in a copy, another for each project."""
    for name in ("trackio.db", "copy.db"):
        with sqlite3.connect(tmp_path / name) as con:
            con.executescript(OLD)
            for project in ("p", "q"):
                own = {"project_name": project, "run_name": "calm", "timestamp": TIME[:-6]}
                put(con, "metrics", **own, step=3, metrics='{"loss": 1}')
        con.close()
    found = [trackio.read(tmp_path / name, 0, ()).parts for name in ("trackio.db", "copy.db")]
    ids = {part.facts.source_project: part.facts.run_id for part in found[0]}

    assert ids == {part.facts.source_project: part.facts.run_id for part in found[1]}
    assert len(set(ids.values())) == 2
    assert not any(part.facts.id_known for part in found[0])
    assert found[0][0].points.rows() == [("loss", 3, 1.0, None, EPOCH)]


def test_a_row_that_is_not_understood_is_rejected_alone(tmp_path):
    with sqlite3.connect(tmp_path / "p.db") as con:
        con.executescript(OLD)
        own = {"project_name": "p", "run_name": "calm", "timestamp": TIME}
        for step, metrics in ((1, '{"loss": 1'), ("x", "{}"), (2, "7"), (3, '{"loss": 2}')):
            put(con, "metrics", **own, step=step, metrics=metrics)
    con.close()
    reading = trackio.read(tmp_path / "p.db", 0, ())

    assert [row[1:3] for row in reading.parts[0].points.rows()] == [(3, 2.0)]
    assert [reject.reason.split(" is")[0] for reject in reading.rejects] == [
        f"metrics {row}" for row in (1, 2, 3)
    ]


def test_parquet_exports_give_the_same_run_from_three_files(tmp_path):
    own = {"id": 1, "run_id": "r1", "run_name": "calm"}
    files = {
        "speed.parquet": {**own, "timestamp": TIME, "step": 3, "loss": 2.5, "val": {"bpb": 1.5}},
        "speed_system.parquet": {**own, "timestamp": TIME, "gpu": 300.5},
        "speed_configs.parquet": {**own, "created_at": TIME, "lr": 0.1, "_Username": "someone"},
    }
    parts = {}
    for name, row in files.items():
        path = tmp_path / name
        pq.write_table(pa.Table.from_pylist([row]), path)
        assert [s.kind for s in ALL if s.recognises(path, path.read_bytes())] == ["trackio"]
        (parts[name],) = trackio.read(path, 0, ()).parts

    metrics, system, config = parts.values()
    assert [row[:3] for row in metrics.points.rows()] == [("loss", 3, 2.5), ("val.bpb", 3, 1.5)]
    assert system.telemetry.rows() == [("gpu", EPOCH, 300.5)]
    assert config.facts.config == {"lr": 0.1}
    assert {(p.facts.run_id, p.facts.source_project) for p in parts.values()} == {("r1", "speed")}


def test_a_parquet_file_of_another_program_is_not_ours(tmp_path):
    path = tmp_path / "history.parquet"
    pq.write_table(pa.table({"_step": [1], "loss": [2.0], "run_name": ["x"], "id": [1]}), path)
    (tmp_path / "junk.parquet").write_bytes(b"PAR1" + bytes(50))

    assert not trackio.recognises(path, path.read_bytes())
    assert not trackio.recognises(tmp_path / "junk.parquet", b"PAR1" + bytes(50))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_database_costs_itself_and_raises_nothing(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bad") / "p.db"
    fill(path).close()
    whole = path.read_bytes()
    at = data.draw(st.integers(16, len(whole)))
    cut = data.draw(st.integers(at, len(whole)))
    path.write_bytes(whole[:at] + b"\xff\x00\xaa" + whole[at + 3 : cut])

    if trackio.recognises(path, path.read_bytes()):
        reading = trackio.read(path, 0, ())
        assert all(part.points.height <= 7 for part in reading.parts)


def test_the_real_client_s_database_and_exports_give_what_was_logged(tmp_path):
    """Logged through ``trackio`` itself, in a process of its own; then exported to Parquet."""
    pytest.importorskip("trackio")
    script = """
import math, trackio
from trackio.sqlite_storage import SQLiteStorage
run = trackio.init(project="speed", name="calm", config={"lr": 0.1}, embed=False)
for step, value in enumerate([0.5, math.nan, math.inf]):
    trackio.log({"loss": value, "val": {"bpb": step / 7}}, step=step * 10)
trackio.finish()
SQLiteStorage._dataset_import_attempted = True
SQLiteStorage.export_to_parquet()
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
    for name in ("speed.db", "speed.parquet"):
        path = tmp_path / name
        assert trackio.recognises(path, path.read_bytes()[:65536])
        (part,) = trackio.read(path, 0, ()).parts
        found = {row[:2]: row[2] for row in part.points.rows()}

        assert {step: found["val.bpb", step * 10] for step in range(3)} == pytest.approx(
            {step: step / 7 for step in range(3)}
        )
        assert found["loss", 0] == 0.5
        assert math.isnan(found["loss", 10])
        assert found["loss", 20] == math.inf
        assert part.facts.name == "calm"
        assert part.facts.config == ({"lr": 0.1} if name == "speed.db" else {})
