"""The command line's contract: exit codes, messages, the JSON line, what is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil

import pytest

from hooks import record


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def test_a_first_sync_makes_tables_a_snapshot_and_a_json_line(place):
    path = place.log()
    done = place.sync(place.logs)

    assert done.code == 0
    document = done.document
    assert {k: document[k] for k in ("project", "runs", "points", "new_points", "quarantined")} == {
        "project": "demo", "runs": 1, "points": 20, "new_points": 20, "quarantined": 0
    }  # fmt: skip
    assert document["sources"] == [
        {"path": str(path), "kind": "hooks-jsonl", "status": "read", "points": 20}
    ]
    assert (done.folder / "snapshots" / f"{document['snapshot']}.json").exists()


def test_a_second_sync_finds_nothing_new_and_remembers_the_paths(place):
    place.log()
    first = place.sync(place.logs).document
    second = place.sync()

    assert second.code == 0
    assert second.document == {**first, "new_points": 0}


def test_the_inbox_is_read_without_being_named(place):
    place.log(folder=place.data / "demo" / "raw")

    assert place.sync().document["points"] == 20


def test_a_growing_log_is_read_on_from_where_it_ended(place):
    path = place.log(finish=False)
    place.sync(place.logs)
    line, _ = record.encode_history(10, 1.8e9, {"train/loss": 1.0})
    append(path, line)
    done = place.sync()

    assert done.document["new_points"] == 1
    assert place.rows("select value from history where step = 10") == [(1.0,)]


def test_a_growing_log_ends_in_the_same_snapshot_as_one_read_at_once(place):
    path = place.log(steps=range(40))
    whole = path.read_bytes()
    expected = place.sync(place.logs).document["snapshot"]
    shutil.rmtree(place.data)
    for end in (0, 1, 300, 777, 1500, len(whole) - 3, len(whole)):
        path.write_bytes(whole[:end])
        done = place.sync(place.logs)

    assert done.document["snapshot"] == expected
    assert done.code == 0


def test_a_torn_last_line_is_quarantined_and_heals_when_it_is_completed(place):
    path = place.log(finish=False)
    line, _ = record.encode_history(10, 1.8e9, {"train/loss": 1.0})
    append(path, line[:-5])
    torn = place.sync(place.logs)
    append(path, line[-5:])
    healed = place.sync()

    assert (torn.code, torn.document["quarantined"], torn.document["points"]) == (3, 1, 20)
    assert f"{path}:12: torn last line" in torn.err
    assert (healed.code, healed.document["quarantined"], healed.document["points"]) == (0, 0, 21)


def test_a_corrupt_line_is_quarantined_with_its_place_and_costs_no_neighbour(place):
    path = place.log(finish=False)
    append(path, b'{"step": 10, "train/loss": \n')
    line, _ = record.encode_history(11, 1.8e9, {"train/loss": 1.0})
    append(path, line)
    done = place.sync(place.logs)

    assert done.code == 3
    assert f"quarantined: {path}:12: not JSON" in done.err
    assert place.rows("select file, line, reason, raw from quarantine") == [
        (path.name, 12, "not JSON", b'{"step": 10, "train/loss": ')
    ]
    (kept,) = (done.folder / "quarantine" / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(kept)["raw"] == '{"step": 10, "train/loss": '
    assert done.document["points"] == 21


def test_a_mended_line_leaves_the_quarantine(place):
    path = place.log(finish=False)
    whole = path.read_bytes()
    append(path, b"not json\n")
    assert place.sync(place.logs).code == 3
    path.write_bytes(whole)
    done = place.sync()

    assert (done.code, done.document["quarantined"], done.document["points"]) == (0, 0, 20)
    assert (done.folder / "quarantine" / "quarantine.jsonl").read_text() == ""


def test_nan_and_infinity_are_values(place):
    path = place.log(finish=False, steps=[])
    line, _ = record.encode_history(1, 1.8e9, {"a": float("nan"), "b": float("-inf")})
    append(path, line + b'{"step": 2, "_ts": 1.8e9, "a": NaN, "b": Infinity}\n')
    done = place.sync(place.logs)

    assert done.code == 0
    assert place.history() == {
        ("r1", "a", 1): "nan", ("r1", "b", 1): "-inf", ("r1", "a", 2): "nan", ("r1", "b", 2): "inf"
    }  # fmt: skip


def test_an_unknown_record_kind_is_quarantined_and_the_rest_is_read(place):
    path = place.log(finish=False)
    append(path, record.encode_event("hologram", 1.0, {"x": 1}))
    append(path, record.encode_event("finish", 2.0, {"exit_code": 0}))
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (3, 20)
    assert f"{path}:12: record kind 'hologram' is not known to grammar v1" in done.err
    assert place.rows("select state from runs") == [("finished",)]


def test_an_empty_folder_is_no_data_and_makes_nothing(place):
    done = place.sync(place.logs)

    assert done.code == done.document["code"] == 4
    assert "no training log" in done.err
    assert "fix: python -m etl.sync --project demo" in done.err
    assert not place.data.exists()


def test_a_folder_without_logs_says_in_how_many_files_it_looked(place):
    (place.logs / "notes.jsonl").write_text('{"note": "no step here"}\n')
    done = place.sync(place.logs)

    assert done.code == 4
    assert "no training log in 1 files" in done.err


def test_an_unknown_project_is_no_data(place):
    assert place.sync(project="nobody").code == 4


@pytest.mark.parametrize("name", ["../evil", "", "a/b", ".hidden", "a" * 101])
def test_a_name_that_is_no_folder_name_is_wrong_usage(place, name):
    done = place.sync(place.logs, project=name)

    assert done.code == 2
    assert "is no project name" in done.err


def test_a_path_that_does_not_exist_is_wrong_usage(place):
    done = place.sync(place.logs / "nowhere")

    assert done.code == 2
    assert str(place.logs / "nowhere") in done.err


def test_a_data_folder_that_cannot_be_written_is_wrong_usage(place):
    place.log()
    place.data.write_text("a file, not a folder")
    done = place.sync(place.logs)

    assert done.code == 2
    assert "cannot write there" in done.err
    assert "--data-dir" in done.err


def test_a_second_sync_at_the_same_time_is_told_who_holds_the_project(place):
    place.log()
    place.sync(place.logs)
    holder = os.open(place.data / "demo" / "sync.lock", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        done = place.sync()
    finally:
        os.close(holder)

    assert done.code == 75
    assert f"another sync holds demo (pid {os.getpid()}, since " in done.err
    assert place.sync().code == 0


def test_a_database_that_another_program_has_open_is_a_lock(place, run_module):
    place.log()
    place.sync(place.logs)
    import duckdb

    with duckdb.connect(str(place.data / "demo" / "runs.duckdb")):
        done = run_module("etl.sync", "--project", "demo", "--data-dir", place.data)

    assert done.returncode == 75
    assert "another program has the database open" in done.stderr


def test_a_database_file_that_is_none_says_how_to_go_on(place):
    place.log()
    (place.data / "demo").mkdir(parents=True)
    (place.data / "demo" / "runs.duckdb").write_bytes(b"this is no database" * 1000)
    done = place.sync(place.logs)

    assert done.code == 2
    assert "not a DuckDB database" in done.err
    assert "fix: move" in done.err


def test_strict_changes_nothing_when_something_is_rejected(place):
    path = place.log()
    place.sync(place.logs)
    append(path, b"garbage\n")
    done = place.sync(options=["--strict"])

    assert done.code == 3
    assert f"{path}:13: not JSON" in done.err
    assert place.rows("select count(*) from quarantine") == [(0,)]
    assert place.sync().document["quarantined"] == 1


def test_a_project_file_that_is_no_toml_is_wrong_usage(place):
    place.log()
    (place.data / "demo").mkdir(parents=True)
    (place.data / "demo" / "project.toml").write_text("axes = ")
    done = place.sync(place.logs)

    assert done.code == 2
    assert "project.toml" in done.err


def test_a_persons_aliases_name_metrics_and_hold_for_what_was_read_before(place):
    place.log()
    place.sync(place.logs)
    (place.data / "demo" / "project.toml").write_text('[aliases]\n"val/bpb" = "eval/bits"\n')
    place.sync()

    assert place.rows("select distinct metric from history order by 1") == [
        ("eval/bits",), ("train/loss",)
    ]  # fmt: skip
    assert place.rows("select key from keys where metric = 'eval/bits'") == [("val/bpb",)]
    assert place.rows("select aliases from metrics where metric = 'eval/bits'") == [
        ('["val/bpb"]',)
    ]


def test_a_log_that_is_gone_keeps_what_was_read_of_it(place):
    path = place.log()
    first = place.sync(place.logs).document
    path.unlink()
    done = place.sync()

    assert done.code == 0
    assert done.document["points"] == 20
    assert done.document["snapshot"] == first["snapshot"]


def test_a_parts_folder_that_was_removed_is_written_again(place):
    place.log()
    first = place.sync(place.logs)
    shutil.rmtree(first.folder / "parts")
    done = place.sync()

    assert done.document == {**first.document, "new_points": 0}
    assert list((done.folder / "parts").iterdir())


def test_help_documents_every_option(run_module):
    done = run_module("etl.sync", "--help")

    assert done.returncode == 0
    for option in ("--project", "--data-dir", "--strict", "--json", "--debug", "PATH"):
        assert option in done.stdout


def test_wrong_usage_exits_with_2(run_module):
    assert run_module("etl.sync").returncode == 2


def test_a_table_that_project_toml_does_not_have_is_wrong_usage(place):
    """A typing error in it must not pass for silence."""
    place.log()
    (place.data / "demo").mkdir(parents=True)
    (place.data / "demo" / "project.toml").write_text('[axis]\nloss = "train/loss"\n')
    done = place.sync(place.logs)

    assert done.code == 2
    assert "[axis] is no table of it" in done.err


def test_the_width_that_nanochat_makes_of_its_config_is_its_effective_config(place):
    """Depth x aspect_ratio in whole heads, as base_train has it; never from a depth alone."""
    place.log("new", config={"depth": 20, "aspect_ratio": 67, "head_dim": 128})
    place.log("old", config={"depth": 20})
    place.sync(place.logs)

    query = "select run_id, key, number from config where kind = 'effective'"
    assert place.rows(query) == [("new", "model_dim", 1408.0)]


def test_a_loss_of_any_name_is_a_loss_whose_unit_nobody_knows(place):
    """Lower is better, and the report offers it among the losses."""
    path = place.logs / "other.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"step": 1, "lm_loss": 2.5, "value_of_it": 1.0}\n')
    place.sync(path)
    query = "select metric, family, direction, unit, known from metrics order by metric"

    assert place.rows(query) == [
        ("lm_loss", "loss", "min", None, False),
        ("value_of_it", None, None, None, False),
    ]
