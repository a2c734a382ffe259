"""The original's tracker of datasets on several ranks: real processes, over gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RANK = """
import json, os, sys
from datetime import timedelta
import torch.distributed as dist
sys.path[:0] = [sys.argv[1]]
from hooks import across
from hooks.nanochat import DatasetTracker
dist.init_process_group("gloo")
rank = dist.get_rank()

class Rows:
    def __init__(self):
        self.rows = []

    def log(self, metrics):
        self.rows.append(metrics)

rows = [Rows(), Rows()]
alone = len(sys.argv) > 2
across.WAIT = timedelta(seconds=0.5) if alone else across.WAIT
trackers = [DatasetTracker(["A", "B"], [100, 50]) for _ in rows]
trackers[1].load_state_dict({"examples_seen": {"A": 90, "B": 1}})
for step in range(1, 4):
    for tracker, log in zip(trackers, rows):
        tracker.increment("A", 10 + rank)
        tracker.increment("C", rank)
        if not (alone and rank):
            tracker.log_step(log, step, "A", log_every=1)
state = trackers[0].state_dict()
print(json.dumps({"rank": rank, "rows": [log.rows for log in rows], "state": state}), flush=True)
dist.barrier()
dist.destroy_process_group()
"""


def two_ranks(*options):
    pytest.importorskip("torch")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(ROOT), *options], env={**os.environ, **shared, **own},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for own in ({"RANK": "0"}, {"RANK": "1"})
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [json.loads(out) for out, _ in said], [err for _, err in said]


def seen(rows, name):
    return [row.get(f"task_mixture/{name}/examples_seen") for row in rows]


@pytest.mark.slow
def test_two_real_ranks_count_together_and_rank_0_logs_what_both_saw():
    (first, second), _ = two_ranks()
    fresh, resumed = first["rows"]

    assert seen(fresh, "a") == [21, 42, 63]
    assert seen(fresh, "unlisted") == [1, 2, 3]
    assert [row["dataset/coverage_percent"] for row in fresh] == [21.0, 42.0, 63.0]
    assert [row.get("task_mixture/ranks") for row in fresh] == [2, None, None]
    assert seen(resumed, "a") == [111, 132, 153]
    assert seen(second["rows"][0], "a") == [11, 22, 33]
    assert first["state"]["examples_seen"]["A"] == 63


@pytest.mark.slow
def test_a_rank_that_never_reports_holds_up_the_others_once_and_is_said():
    (first, _), (said, _) = two_ranks("alone")

    assert seen(first["rows"][0], "a") == [10, 20, 30]
    assert "what other ranks trained on is not counted" in said
