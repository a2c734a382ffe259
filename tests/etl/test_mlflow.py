"""MLflow stores and databases -> runs, each small file by itself."""

from __future__ import annotations

import math
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import ALL, mlflow

RUN = "0123456789abcdef0123456789abcdef"
META = f"""artifact_uri: file:///home/someone/mlruns/7/{RUN}/artifacts
end_time: 1700000009500
experiment_id: '7'
lifecycle_stage: deleted
run_id: {RUN}
run_name: 'it''s a very long name that goes on and on until the writer of YAML folds
  it here'
start_time: 1700000000250
status: 4
tags: []
user_id: someone
"""


def store(folder, meta=META, **files):
    """A store of one run; *files* are ``metrics/KEY`` and the like with their text."""
    run = folder / "mlruns" / "7" / RUN
    texts = {run / key: text for key, text in files.items()}
    texts[run / "meta.yaml"] = meta
    texts[run.parent / "meta.yaml"] = 'artifact_location: x\nname: "sp\\xE9cial: one"\n'
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return run


def facts_of(path):
    (part,) = mlflow.read(path, 0, ()).parts
    return part.facts


def test_every_file_of_the_real_store_is_known_by_where_it_lies(fixtures, truths):
    """15 files of one run and its experiment: no other source claims one, none is rejected."""
    seen = {}
    items = [item for item in truths if item["kind"] == "mlflow"]
    for item in items:
        path = fixtures / item["file"]
        head = path.read_bytes()[:65536]
        assert [source.kind for source in ALL if source.recognises(path, head)] == ["mlflow"]
        reading = mlflow.read(path, 0, ())
        assert (reading.rejects, reading.end) == ((), item["bytes"])
        for part in reading.parts:
            assert part.facts.run_id == "cb0096518b0e4c66a94428555f05420b"
            assert part.facts.source_project == "Default"
            assert "Administrator" not in part.facts.dump()
            seen[path.name] = part

    assert len(seen) == len(items) - 1 == 15
    assert seen["IMAGE_SIZE"].facts.config == {"IMAGE_SIZE": [224, 224, 3]}
    assert seen["mlflow.source.name"].facts.script == "ipykernel_launcher.py"
    assert seen["loss"].points.rows() == [("loss", 0, 3.2727866172790527, None, 1664364007.31)]
    assert seen["meta.yaml"].facts.started_at == 1664364007.025
    assert not seen["meta.yaml"].facts.finished


def test_a_run_s_own_record_gives_its_name_state_and_times_and_nobody_s_home(tmp_path):
    facts = facts_of(store(tmp_path) / "meta.yaml")

    folded = "it's a very long name that goes on and on until the writer of YAML folds it here"
    assert (facts.run_id, facts.id_known, facts.name) == (RUN, True, folded)
    assert (facts.started_at, facts.ended_at) == (1700000000.25, 1700000009.5)
    assert (facts.finished, facts.exit_code, facts.tells_end) == (True, 1, True)
    assert facts.notes == "deleted in MLflow"
    assert facts.source_project == "spécial: one"
    assert "someone" not in facts.dump()


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("1e-3", 0.001), ("True", True), ("None", None), ("[1, 'a']", [1, "a"]),
     ("(1, 2)", [1, 2]), ("d12", "d12"), ("1_0", "1_0"), ("", ""), ("'x'", "'x'"), ("nan", "nan"),
     ("a\nb", "a\nb"), ("[", "[")],
)  # fmt: skip
def test_a_parameter_is_what_its_text_says(tmp_path, text, value):
    path = store(tmp_path, **{"params/opt/lr": text}) / "params/opt/lr"

    assert facts_of(path).config == {"opt/lr": value}


def test_metrics_in_nested_folders_keep_their_name_and_bad_lines_are_rejected_alone(tmp_path):
    """Old lines of two columns, new ones of five, nan and inf; a torn line costs itself."""
    lines = (
        "1700000000500 1.5\n1700000001000 nan 3\nx\n1700000002000 -inf 4 data abc\n17000 2.0 1 x"
    )
    path = store(tmp_path, **{"metrics/val/bpb": lines}) / "metrics/val/bpb"
    reading = mlflow.read(path, 0, ())
    rows = reading.parts[0].points.rows()

    assert [row[:2] for row in rows] == [("val/bpb", 0), ("val/bpb", 3), ("val/bpb", 4)]
    assert (rows[0][4], rows[2][2]) == (1700000000.5, -math.inf)
    assert math.isnan(rows[1][2])
    assert [(r.line, r.at_byte) for r in reading.rejects] == [(3, 38), (5, 70)]


def test_a_metric_cut_anywhere_keeps_each_line_before_the_cut_and_no_half_number(tmp_path):
    whole = "".join(f"{1700000000000 + s} {s / 7} {s * 10}\n" for s in range(5))
    for cut in range(len(whole)):
        path = store(tmp_path, **{"metrics/loss": whole[:cut]}) / "metrics/loss"
        reading = mlflow.read(path, 0, ())
        lines = whole[:cut].count("\n")

        assert [row[1] for row in reading.parts[0].points.rows()] == [s * 10 for s in range(lines)]
        assert len(reading.rejects) == (whole[:cut][-1:] not in ("", "\n"))


def test_a_file_that_merely_lies_in_a_folder_called_metrics_is_not_ours(tmp_path):
    run = store(tmp_path, **{"artifacts/metrics/loss": "1 2 3\n"})
    other = tmp_path / "metrics" / "loss"
    other.parent.mkdir()
    other.write_text("1 2 3\n")
    (tmp_path / "meta.yaml").write_text("name: x\n")

    for path in (run / "artifacts/metrics/loss", other, tmp_path / "meta.yaml"):
        assert not mlflow.recognises(path, path.read_bytes())


def test_a_database_of_another_program_is_not_ours_and_nothing_is_left_beside_it(tmp_path):
    for name, sql in (("a.db", "create table metrics (key, value)"), ("b.db", "vacuum")):
        path = tmp_path / name
        with sqlite3.connect(path) as con:
            con.execute(sql)
        con.close()
        assert not mlflow.recognises(path, path.read_bytes()[:65536])
    junk = tmp_path / "c.db"
    junk.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)

    assert not mlflow.recognises(junk, junk.read_bytes())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.db", "b.db", "c.db"]


def database(path):
    """A database as MLflow makes one, with the columns that matter."""
    con = sqlite3.connect(path)
    con.executescript("""
        create table experiments (experiment_id integer, name text);
        create table runs (run_uuid text, name text, status text, start_time bigint,
            end_time bigint, lifecycle_stage text, experiment_id integer, user_id text);
        create table metrics (key text, value float, timestamp bigint, run_uuid text,
            step bigint, is_nan boolean);
        create table params (key text, value text, run_uuid text);
        create table tags (key text, value text, run_uuid text);
        insert into experiments values (7, 'speed');
        insert into runs values ('r2', 'calm', 'FINISHED', 1000, 9500, 'active', 7, 'someone');
        insert into runs values ('r1', 'wild', 'RUNNING', 2000, null, 'active', 7, 'someone');
        insert into metrics values ('loss', 2.5, 1500, 'r2', 1, 0), ('loss', 0, 1600, 'r2', 2, 1),
            ('loss', 1.7976931348623157e308, 1700, 'r2', 3, 0), ('m', 1, 1, 'r1', -1, 0);
        insert into params values ('lr', '0.1', 'r2');
        insert into tags values ('mlflow.parentRunId', 'r1', 'r2'), ('team', 'x', 'r2'),
            ('mlflow.user', 'someone', 'r2'), ('mlflow.note.content', 'hello', 'r2');
    """)
    con.commit()
    return con


def check(path):
    assert mlflow.recognises(path, path.read_bytes()[:65536])
    first, second = mlflow.read(path, 0, ()).parts
    facts = second.facts
    assert [row[1:3] for row in first.points.rows()] == [(-1, 1.0)]
    assert str([row[1:3] for row in second.points.rows()]) == "[(1, 2.5), (2, nan), (3, inf)]"
    assert (first.facts.run_id, first.facts.finished, facts.finished) == ("r1", False, True)
    assert (facts.name, facts.source_project, facts.parent_run_id) == ("calm", "speed", "r1")
    assert (facts.config, facts.tags, facts.notes) == ({"lr": 0.1}, ("team=x",), "hello")
    assert (facts.started_at, facts.ended_at) == (1.0, 9.5)
    assert "someone" not in facts.dump()


def test_a_database_gives_each_of_its_runs(tmp_path):
    database(tmp_path / "mlflow.db").close()
    check(tmp_path / "mlflow.db")


def test_a_database_that_is_being_written_is_read_with_what_is_not_in_it_yet(tmp_path):
    """In WAL mode all of it stands beside the file; nothing is made or changed there by reading."""
    con = sqlite3.connect(tmp_path / "mlflow.db")
    con.execute("pragma journal_mode = wal")
    writer = database(tmp_path / "mlflow.db")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if not p.name.endswith("-shm")}
    check(tmp_path / "mlflow.db")

    assert {n: (tmp_path / n).read_bytes() for n in before} == before
    assert len(before["mlflow.db-wal"]) > len(before["mlflow.db"])
    writer.close()
    con.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_database_costs_itself_and_raises_nothing(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bad") / "mlflow.db"
    database(path).close()
    whole = path.read_bytes()
    at = data.draw(st.integers(16, len(whole)))
    cut = data.draw(st.integers(at, len(whole)))
    path.write_bytes(whole[:at] + b"\xff\x00\xaa" + whole[at + 3 : cut])

    if mlflow.recognises(path, path.read_bytes()):
        assert all(part.points.height <= 4 for part in mlflow.read(path, 0, ()).parts)


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_the_real_client_s_store_gives_what_was_logged(tmp_path, monkeypatch, kind):
    """Logged through ``mlflow`` itself, into either kind of store."""
    client = pytest.importorskip("mlflow")
    if kind == "sqlite":
        pytest.importorskip("alembic", reason="mlflow-skinny has no databases without it")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = tmp_path / "mlruns" if kind == "file" else tmp_path / "mlflow.db"
    client.set_tracking_uri(f"file://{address}" if kind == "file" else f"sqlite:///{address}")
    client.set_experiment("speed: tëst")
    numbers = {1: 0.1, 2: math.nan, 3: math.inf, 4: -math.inf, -1: 1e-300}
    with client.start_run(run_name="calm-fox") as run:
        client.log_params({"lr": 0.1, "depth": 12, "name": "a\nb"})
        for step, number in numbers.items():
            client.log_metric("val/bpb", number, step=step)
        client.set_tag("mlflow.note.content", "hello")
        client.set_tag("team", "x")
    paths = [p for p in sorted(address.parent.rglob("*")) if p.is_file()]
    parts = [part for path in paths for part in mlflow.read(path, 0, ()).parts]
    found = {row[1]: row[2] for part in parts for row in part.points.rows()}
    said = [part.facts for part in parts]

    assert all(mlflow.recognises(path, path.read_bytes()[:65536]) for path in paths)
    assert {f.run_id for f in said} == {run.info.run_id}
    assert {f.source_project for f in said} == {"speed: tëst"}
    assert str(sorted(found.items())) == str(sorted(numbers.items()))
    assert {k: v for f in said for k, v in f.config.items()} == {
        "lr": 0.1, "depth": 12, "name": "a\nb"
    }  # fmt: skip
    assert {f.name for f in said if f.name} == {"calm-fox"}
    assert any(f.finished and f.exit_code == 0 for f in said)
    assert {t for f in said for t in f.tags} == {"team=x"}
    assert {f.notes for f in said if f.notes} == {"hello"}
