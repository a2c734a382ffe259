"""What ``etl.pull`` leaves of a run, and other exports of it: read, and found to be one run."""

from __future__ import annotations

import json

import pytest
from parquet_files import read, values, write

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_run_json, wandb_sidecars

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


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "team" / "nanochat" / "ab12cd34"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder


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

    assert source_of(export / "run.json") is sources.BY_KIND["wandb-export-run"]
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
    assert source_of(log) is sources.BY_KIND["wandb-files"]
    assert console.facts.run_id == events.facts.run_id == "ab12cd34"
    assert console.console["text"].to_list() == ["b", "step 1"]


def test_a_cut_run_json_is_quarantined(export):
    """It is still known to be one by its first keys."""
    path = export / "run.json"
    path.write_bytes(path.read_bytes()[:-10])

    assert source_of(path) is sources.BY_KIND["wandb-export-run"]
    assert wandb_run_json.read(path, 0, ()).rejects


def chart(path, axis, name, metric, points):
    rows = [f'"{step}","{value}"' for step, value in points]
    path.write_text("\n".join([f'"{axis}","{name} - {metric}"', *rows]))


def test_every_export_of_one_run_is_one_run_with_each_value_once(place):
    """Pulled history, a saved chart and a row of the runs table, synced twice to one snapshot."""
    folder = place.logs / "team" / "nanochat" / "ab12cd34"
    steps = list(range(0, 500, 10))
    loss = [4.0 - step / 1000 for step in steps]
    write(
        folder / "history.parquet",
        **{"_step": range(50), "step": steps, "train/loss": loss},
    )
    (folder / "run.json").write_text(json.dumps(RUN))
    chart(place.logs / "chart.csv", "step", "d12", "train/loss", zip(steps, loss, strict=True))
    (place.logs / "runs.csv").write_text(
        "Name,State,Created,depth,val/bpb\nd12,finished,2026-01-01T00:00:00.000Z,12,0.9\n"
    )

    first, again = place.sync(place.logs), place.sync()

    assert first.code == 0
    assert {s["kind"] for s in first.document["sources"]} == {
        *("wandb-parquet", "wandb-export-run", "wandb-ui-csv", "wandb-runs-table"),
    }
    assert place.rows("select run_id, state from runs") == [("ab12cd34", "finished")]
    assert len(place.history()) == 50
    assert place.rows("select distinct source from history") == [("wandb-parquet",)]
    assert again.document["snapshot"] == first.document["snapshot"]
