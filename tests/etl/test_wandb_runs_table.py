"""Tables of runs: as W&B's interface saves them, and as a person wrote one of nanochat's runs."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_runs_table


def read(path, text):
    path.write_text(text, encoding="utf-8", newline="")

    assert source_of(path) is sources.BY_KIND["wandb-runs-table"]

    return wandb_runs_table.read(path, 0, ())


def test_the_real_table_is_four_runs_with_config_and_summary_told_apart(fixtures, truths):
    """73 columns: W&B's own eight, nanochat's config and its summary."""
    (file,) = [t for t in truths if t["kind"] == "wandb_runs_table"]
    path = fixtures / file["file"]

    assert source_of(path) is sources.BY_KIND["wandb-runs-table"]

    reading = wandb_runs_table.read(path, 0, ())
    facts = {part.facts.name: part.facts for part in reading.parts}
    yarn = facts["yarn-cont"]

    assert len(facts) == file["truth"]["rows"]
    assert not reading.rejects
    assert not reading.notes
    assert len(yarn.config) + len(yarn.summary) == file["truth"]["cols"] - 8 - 1  # device_type: ""
    assert {key.split(".")[0].split("/")[0] for key in yarn.summary} == {
        *("centered_results", "core_metric", "step", "total_training_flops"),
        *("total_training_time", "train", "val"),
    }
    assert (yarn.config["depth"], yarn.config["matrix_lr"]) == (20, 0.02)
    assert yarn.summary["total_training_flops"] == float("74454529386479620000")
    assert (yarn.finished, yarn.exit_code, yarn.stage) == (True, 0, "pretraining")
    assert yarn.ended_at - yarn.started_at == 12085
    assert (yarn.notes, yarn.tags, yarn.model_tag) == (None, (), "d20-yarn")


def test_the_real_table_of_published_runs_is_a_run_for_each_row_and_later_stage(fixtures):
    """Under nanochat's names and units; where a figure comes from stays in the notes."""
    path = fixtures / "nanochat_published_runs.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert source_of(path) is sources.BY_KIND["wandb-runs-table"]

    reading = wandb_runs_table.read(path, 0, ())
    one = next(part.facts for part in reading.parts if part.facts.name == "pr807 seed 1")

    later = [p.facts for p in reading.parts if p.facts.stage not in (None, "pretraining")]
    told = [
        (row, begins)
        for row in rows
        for begins in ("mid_", "sft_", "rl_")
        if any(cell for key, cell in row.items() if key.startswith(begins))
    ]
    sft = next(f for f in later if (f.name, f.stage) == ("d20-imaginary-split", "sft"))

    assert len(reading.parts) == len(rows) + len(told)
    assert len(later) == len(told) > 0
    assert not reading.rejects
    assert sft.summary["mmlu_acc"] == 0.3267
    assert sft.summary["chatcore_spellingbee_metric"] == 0.2643
    assert "chatcore_metric" not in sft.summary
    assert one.summary["val/bpb"] == 0.737139
    assert one.summary["core_metric"] == 0.2367
    assert one.summary["total_training_time"] == 4090.2
    assert one.effective == {"num_iterations": 4956}
    assert "github.com/karpathy/nanochat/pull/807" in one.notes


def test_no_other_real_csv_is_taken_for_a_table_of_runs(fixtures):
    """The results and benches of nanochat have no column that names a run."""
    others = [
        p
        for p in fixtures.rglob("*.csv")
        if p.name not in ("wandb_overall.csv", "nanochat_published_runs.csv")
    ]

    assert others
    assert not [p for p in others if source_of(p) is sources.BY_KIND["wandb-runs-table"]]


def test_what_w_and_b_knows_of_a_run_is_kept_without_the_person(tmp_path):
    """Id, state, tags and notes; never the user or the machine."""
    reading = read(
        tmp_path / "runs.csv",
        "Name,ID,State,Notes,User,Tags,Created,Runtime,Hostname,Group,Job Type,lr,flag,layers\n"
        'r1,ab12cd34,crashed,"two\nlines",ann,"b, a",2026-01-01T00:00:00.000Z,60,box,g,j,0.1,true,'
        '"[1,2]"\n',
    )
    (part,) = reading.parts

    assert (part.facts.run_id, part.facts.id_known) == ("ab12cd34", True)
    assert (part.facts.finished, part.facts.tells_end) == (False, True)
    assert (part.facts.tags, part.facts.notes) == (("a", "b"), "two\nlines")
    assert (part.facts.group, part.facts.job_type) == ("g", "j")
    assert part.facts.config == {"lr": 0.1, "flag": True, "layers": [1, 2]}
    assert "ann" not in part.facts.dump()
    assert "box" not in part.facts.dump()


def test_the_place_decides_over_columns_that_no_name_tells(tmp_path):
    """W&B sorts the config's columns, then the summary's: the order begins anew at the edge."""
    reading = read(
        tmp_path / "runs.csv", "Name,State,Created,alpha,zeta,beta,val/loss\nr,finished,,1,2,3,4\n"
    )

    assert reading.parts[0].facts.config == {"alpha": 1, "zeta": 2}
    assert reading.parts[0].facts.summary == {"beta": 3, "val/loss": 4}


def test_columns_in_an_order_of_a_persons_own_are_told_by_name_and_the_rest_is_named(tmp_path):
    """What cannot be told is taken as config, and the reading says so."""
    reading = read(
        tmp_path / "runs.csv",
        "Name,State,Tags,val/loss,depth,zeta,acc,beta\nr,finished,,4,12,1,0.5,2\n",
    )

    assert reading.parts[0].facts.config == {"depth": 12, "zeta": 1, "beta": 2}
    assert reading.parts[0].facts.summary == {"val/loss": 4, "acc": 0.5}
    assert "zeta, beta" in reading.notes[0]


@pytest.mark.parametrize(
    ("keys", "stage"),
    [("core_metric_every", "pretraining"), ("chatcore_every", "sft"), ("examples_per_step", "rl")],
)
def test_a_config_that_one_script_alone_has_tells_the_stage(tmp_path, keys, stage):
    """As nothing else in such a table does."""
    reading = read(tmp_path / "runs.csv", f"Name,State,Created,{keys}\nr,finished,,100\n")

    assert reading.parts[0].facts.stage == stage
    assert keys in reading.parts[0].facts.config


def test_rows_that_say_the_same_are_one_run_and_that_is_said(tmp_path):
    """Nothing would tell the two apart."""
    reading = read(tmp_path / "runs.csv", "Name,State,Created,lr\nr,finished,,1\nr,finished,,1\n")

    assert len(reading.parts) == 1
    assert reading.notes == ("1 rows say the same as another one",) or len(reading.notes) == 2


@pytest.mark.parametrize(
    "text",
    [
        "Name,Age\nx,1\n",
        "Name,State,Population\nOhio,OH,1\n",
        "run,depth,val_bpb\nx,1,2\n",
        "",
        "a",
    ],
)
def test_other_tables_are_refused(tmp_path, text):
    """A column called Name makes no run."""
    path = tmp_path / "a.csv"
    path.write_text(text)

    assert source_of(path) is not sources.BY_KIND["wandb-runs-table"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200))
def test_truncation_at_any_byte_loses_at_most_the_row_that_was_cut(tmp_path_factory, end):
    """The rows before it are whole."""
    rows = [f"run{at},finished,2026-01-0{at}T00:00:00Z,{at}.125" for at in range(1, 5)]
    whole = "\n".join(["Name,State,Created,val/loss", *rows]).encode() + b"\n"
    path = tmp_path_factory.getbasetemp() / "runs-cut.csv"
    path.write_bytes(whole[:end])

    parts = wandb_runs_table.read(path, 0, ()).parts
    found = {part.facts.name: part.facts.summary.get("val/loss") for part in parts}

    assert len(found) >= whole[:end].count(b"\n") - 1
    assert all(loss is None or f"run{int(loss)}" == name for name, loss in found.items())


def test_metrics_that_runs_only_reported_are_in_the_catalog(place):
    """A table of runs alone has results and no points: NULL steps, 0 points, and its source."""
    table = place.logs / "runs.csv"
    table.write_text(
        "Name,ID,State,depth,val/bpb,core_metric\na,r1,finished,20,0.8,0.2\nb,r2,finished,12,0.9,\n"
    )
    place.sync(table)

    assert place.rows("select metric, runs, points, direction from metrics order by metric") == [
        ("core_metric", 1, 0, "max"),
        ("val/bpb", 2, 0, "min"),
    ]
    assert place.rows("select distinct source, role from keys") == [("wandb-runs-table", "summary")]


def test_a_metric_that_some_run_logged_counts_the_runs_that_did(place):
    """What another run only reported of it changes no count."""
    table = place.logs / "runs.csv"
    table.write_text("Name,ID,State,depth,val/bpb\na,r1,finished,20,0.8\n")
    place.log("r9", range(4))
    place.sync(place.logs)

    assert place.rows("select runs, points from metrics where metric = 'val/bpb'") == [(1, 4)]


def test_a_later_table_adds_its_metrics_to_the_catalog(place):
    """The same run, exported again with a column more."""
    table = place.logs / "runs.csv"
    table.write_text("Name,ID,State,depth,val/bpb\na,r1,finished,20,0.8\n")
    place.sync(table)
    table.write_text("Name,ID,State,depth,val/bpb,core_metric\na,r1,finished,20,0.8,0.2\n")
    place.sync()

    assert ("core_metric",) in place.rows("select metric from metrics")
