"""All real files at once: each is read or named as not ours, and counts are those measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]

# What runatlas reads of each kind of the manifest; the others of that kind are not logs of runs.
KINDS = {
    "wandb_offline": {"wandb-offline", "wandb-files", "nanochat-console"},
    "wandb_history": {"wandb-history", "wandb-parquet"},
    "wandb_ui_csv": {"wandb-ui-csv"},
    "wandb_runs_table": {"wandb-runs-table"},
    "tensorboard": {"tensorboard"},
    "hf_trainer_state": {"hf-trainer"},
    "mlflow": {"mlflow"},
    "nanochat": {
        "nanochat-console",
        "nanochat-checkpoint",
        "nanochat-base-eval",
        "nanochat-report",
    },
    "train_logs": {"jsonl", "modded-nanogpt-log"},
}
NOT_OURS = {
    "v4_smoke_launch_record.v1_4dd8206.json",
    "v4_smoke_launch_record.v2_b7e2eec.json",
    "v4_smoke2_launch_record.json",
    "v4_smoke_result.md",
    "results.csv",
    "train_step_bench.csv",
    "smoke_test_d12_repeated_20260317-194838.json",
    "checkpoints.jsonl",
}
CUT = "run-5b8me8z4.wandb"  # 4,096 bytes of a longer file


@dataclass
class Synced:
    """What one sync of everything printed, and a way to ask its tables."""

    code: int
    document: dict
    data: Path

    def rows(self, query, *values):
        with duckdb.connect(str(self.data / "demo" / "runs.duckdb"), read_only=True) as con:
            return con.execute(query, list(values)).fetchall()


def sync(data, *paths):
    command = [sys.executable, "-m", "etl.sync", "--project", "demo", "--json", "--data-dir", data]
    done = subprocess.run(
        [*map(str, (*command, *paths))], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return Synced(done.returncode, json.loads(done.stdout.splitlines()[-1]), data)


@pytest.fixture(scope="module")
def synced(tmp_path_factory, fixtures):
    return sync(tmp_path_factory.mktemp("everything"), fixtures)


def test_every_file_is_read_by_the_source_for_it_or_named_as_not_ours(synced, fixtures, truths):
    found = {item["path"]: item["kind"] for item in synced.document["sources"]}

    for item in truths:
        kind = found[str(fixtures / item["file"])]
        name = PurePath(item["file"]).name
        if name in NOT_OURS or (kind is None and item["kind"] == "wandb_runs_table"):
            assert kind is None, item["file"]
        else:
            assert kind in KINDS[item["kind"]], item["file"]


def test_only_the_file_that_is_really_cut_is_in_quarantine(synced):
    """Exit code 3 for it alone: nothing else is damaged."""
    files = synced.rows("select file, reason from quarantine")

    assert synced.code == 3
    assert [file for file, _ in files] == [CUT]


def test_points_are_as_many_as_were_measured(synced, truths):
    """History rows of W&B files and dumps, lines of logs: by run and metric in the tables."""
    for item in truths:
        truth = item.get("truth") or {}
        if item["kind"] == "wandb_offline" and truth.get("keys"):
            run_id = truth["run"]["run_id"]
            rows = synced.rows(
                "select key, points from keys where run_id = ? and source = 'wandb-offline'"
                " and role = 'metric'",
                run_id,
            )
            counts = {key: count for key, count in truth["keys"].items() if not key.startswith("_")}
            stated = {key: count for key, count in rows if not key.startswith("system")}

            assert stated.items() <= counts.items(), run_id

    query = "select count(*) from history where run_id = ? and metric = ?"
    assert synced.rows(query, "z9s7cd4f", "train/loss") == [(21400,)]
    ((rows,),) = synced.rows(
        "select count(*) from history h join runs r using (run_id)"
        " where r.name = 'aigoncharov+trainer_state_viz' and h.metric = 'eval_g0_accuracy'"
    )
    assert rows == 31


def test_the_pages_and_the_log_of_one_speedrun_are_one_run_a_stage(synced):
    """Report, console log, a table of results: found to be the same by what they all say."""
    kinds = synced.rows(
        "select distinct kind from store.holds where run_id = 'z9s7cd4f' order by kind"
    )
    report = (
        "select count(*) from runs where source_project = 'nanochat' and run_id like 'report-%'"
    )

    assert kinds == [("nanochat-console",), ("nanochat-report",), ("wandb-runs-table",)]
    assert synced.rows(report)[0][0] > 0  # of other people's speedruns, which stay their own


def test_a_second_sync_of_everything_reads_nothing(synced):
    again = sync(synced.data)

    assert again.document["snapshot"] == synced.document["snapshot"]
    assert again.document["new_points"] == 0
