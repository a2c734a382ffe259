"""The original's helpers: its calls, in its order, without its faults."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hooks
from etl.sources import wandb_offline
from hooks import nanochat, rows
from hooks.nanochat import (
    DatasetTracker,
    enhance_wandb_logging,
    log_dataset_metrics,
    log_evaluation_metrics_3d,
    log_gpu_metrics,
    log_system_metrics,
    log_task_mixture_metrics,
)

ROOT = Path(__file__).resolve().parents[2]
NAMES, SIZES = ["SmolTalk", "MMLU", "GSM8K"], [460, 100, 8]
SPEED = {"tokens_per_sec": 5e5, "mfu": 41.5, "flops_so_far": 1e15, "total_training_time": 20.0}
UNTIMED = dict.fromkeys(["dt", *SPEED], 0.0)


class DummyWandb:
    """As nanochat has it."""

    def log(self, *args, **kwargs):
        pass

    def finish(self):
        pass


class Rows:
    """A run that keeps what it is given."""

    def __init__(self):
        self.rows = []

    def log(self, metrics):
        self.rows.append(metrics)


def ours(place):
    """A run of our own, and a way to its history."""
    run = hooks.init("nanochat", dir=place, wandb=False, telemetry=False)

    def history():
        found = [json.loads(line) for line in run.path.read_text().splitlines()]
        return [row for row in found if "_kind" not in row]

    return run, history


@pytest.fixture(autouse=True)
def a_fresh_process(monkeypatch):
    monkeypatch.setattr(rows, "_SAID", set())
    nanochat._system.cache_clear()


def test_the_package_has_the_helpers_and_loads_them_when_asked():
    assert set(hooks._OF_NANOCHAT) == set(nanochat.__all__)
    assert hooks.enhance_wandb_logging is enhance_wandb_logging
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hooks.nothing


def test_a_training_row_has_nanochats_own_names():
    run = Rows()
    enhance_wandb_logging(
        wandb_run=run, step=100, device="cpu", dt=0.5, **SPEED, training_stage="pretraining",
        dataset_name="FineWeb-EDU", train_loss=3.2, train_lrm=1.0, total_training_flops=1e15,
    )  # fmt: skip
    (row,) = run.rows
    system = {key: row.pop(key) for key in list(row) if key.startswith("system/")}

    assert row == {
        "step": 100, "training_stage": "pretraining", "dataset/current": "FineWeb-EDU",
        "train/dt": 0.5, "train/tok_per_sec": 5e5, "train/mfu": 41.5, "total_training_flops": 1e15,
        "total_training_time": 20.0, "efficiency/flops_per_sec": 5e13, "train/loss": 3.2,
        "train/lrm": 1.0,
    }  # fmt: skip
    assert system["system/memory_total_gb"] > 0
    assert "system/cpu_percent" not in system


def test_what_was_not_measured_is_absent_and_a_true_zero_is_not():
    """The original's SFT and RL pass 0.0 for all they do not track."""
    run = Rows()
    enhance_wandb_logging(run, 7, "cpu", **UNTIMED, training_stage="rl", reward=0.0, lrm=0.0)
    timed = {**UNTIMED, "dt": 0.1}
    enhance_wandb_logging(run, 8, "cpu", **timed, training_stage="rl", kl=None)
    enhance_wandb_logging(run, 9, None, None, None, None, None, None, "rl", loss=math.nan)
    first, second, third = (
        {key: value for key, value in row.items() if not key.startswith("system/")}
        for row in run.rows
    )

    assert first == {"step": 7, "training_stage": "rl", "reward": 0.0, "train/lrm": 0.0}
    assert second == {
        "step": 8, "train/dt": 0.1, "train/tok_per_sec": 0.0, "total_training_flops": 0.0,
        "total_training_time": 0.0,
    }  # fmt: skip
    assert math.isnan(third.pop("loss"))
    assert third == {"step": 9}


def test_a_row_waits_for_nothing():
    """The original slept 100 ms in each, to see how busy the CPU was."""
    run = Rows()
    began = time.perf_counter()
    for step in range(1000):
        enhance_wandb_logging(run, step, "cpu", 0.1, **SPEED)

    assert time.perf_counter() - began < 10  # the original's sleeps alone are 100 s
    assert sum("system/cpu_percent" in row for row in run.rows) <= 10


def test_how_busy_the_cpu_is_is_since_the_last_look():
    log_system_metrics()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    found = log_system_metrics(prefix="s")

    assert found["s/cpu_percent"] > 5
    assert found["s/memory_used_gb"] + found["s/memory_available_gb"] == pytest.approx(
        found["s/memory_total_gb"]
    )
    assert found["s/cpu_count"] > 0


def test_a_machine_without_a_gpu_has_no_gpu_numbers():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here; test_gpu.py looks at its numbers")

    assert log_gpu_metrics(torch.device("cpu")) == log_gpu_metrics("cuda") == {}


def test_a_mean_accuracy_has_true_zeros_in_it_and_says_of_what_it_is_the_mean():
    run = Rows()
    metrics = {"mmlu_acc": 0.3, "arc_easy_acc": 0.4, "gsm8k_acc": 0.0, "humaneval_acc": 0.08}
    log_evaluation_metrics_3d(run, 200, metrics, "sft")
    log_evaluation_metrics_3d(run, 400, {"mmlu_acc": 0.0, "gsm8k_acc": None}, "sft")
    first, second = run.rows

    assert first["evaluation/mean_accuracy"] == pytest.approx(0.195)
    assert first["evaluation/gsm8k_normalized"] == 0.0
    assert first["training_stage"] == "sft"
    assert second == {
        "step": 400, "mmlu_acc": 0.0, "evaluation/mmlu_normalized": 0.0,
        "evaluation/mean_accuracy": 0.0,
    }  # fmt: skip


def test_tasks_of_core_have_the_name_that_nanochat_gives_them():
    run = Rows()
    results = {"core_metric": 0.21, "arc_easy": 0.4, "copa": 0.1}
    log_evaluation_metrics_3d(run, 2000, results, "pretraining")
    log_evaluation_metrics_3d(run, 60, {"pass@1": 0.1, "pass@8": 0.0}, "rl")

    assert run.rows[0] == {
        "step": 2000, "training_stage": "pretraining", "core_metric": 0.21,
        "centered_results.arc_easy": 0.4, "centered_results.copa": 0.1,
    }  # fmt: skip
    assert run.rows[1] == {"step": 60, "training_stage": "rl", "pass@1": 0.1, "pass@8": 0.0}


def test_coverage_is_known_where_examples_were_counted_and_ends_at_all_of_them():
    assert log_dataset_metrics("MMLU", 1, 200) == {
        "dataset/name": "MMLU", "dataset/index": 1, "dataset/size": 200
    }  # fmt: skip
    assert log_dataset_metrics("MMLU", dataset_size=200, examples_seen=0, prefix="d") == {
        "d/name": "MMLU", "d/size": 200, "d/examples_seen": 0, "d/coverage_percent": 0.0,
        "d/epoch": 0.0,
    }  # fmt: skip
    twice = log_dataset_metrics("MMLU", dataset_size=200, examples_seen=500)
    assert (twice["dataset/coverage_percent"], twice["dataset/epoch"]) == (100.0, 2.5)
    assert "dataset/epoch" not in log_dataset_metrics("none", dataset_size=0, examples_seen=5)


def test_a_mixture_says_what_it_is_made_of():
    found = log_task_mixture_metrics(["A-Easy", "B"], [3, 1], {"B": 2})

    assert found == {
        "task_mixture/num_tasks": 2, "task_mixture/total_examples": 4,
        "task_mixture/task_names": "A-Easy,B", "task_mixture/a-easy/ratio": 0.75,
        "task_mixture/b/ratio": 0.25, "task_mixture/b/examples_seen": 2,
        "task_mixture/b/coverage_percent": 100.0, "task_mixture/b/epoch": 2.0,
    }  # fmt: skip


def test_nothing_a_helper_is_given_can_raise_into_the_loop(capsys):
    class Broken:
        def log(self, metrics):
            raise ConnectionError("gone")

    enhance_wandb_logging(Broken(), 1, "cpu", 0.1, **SPEED)
    enhance_wandb_logging(Broken(), 2, "cpu", 0.1, **SPEED)
    log_evaluation_metrics_3d(None, 1, {"mmlu_acc": "high"})
    DatasetTracker(NAMES, SIZES).log_step(Rows(), 1, log_every=0)

    assert log_task_mixture_metrics(["a"], [1, 2]) == {}
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" failed ")[0] for line in said] == [
        "runatlas: enhance_wandb_logging", "runatlas: log_evaluation_metrics_3d",
        "runatlas: DatasetTracker.log_step", "runatlas: log_task_mixture_metrics",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="3 tasks, 1 sizes"):
        DatasetTracker(NAMES, [1])


def test_what_is_trained_on_is_told_from_what_is_fetched_ahead():
    tracker = DatasetTracker(NAMES, SIZES)
    for _ in range(3):  # a loader that is ahead by two batches and a half
        tracker.increment("MMLU", 4)
        tracker.end_batch()
    tracker.increment("GSM8K")
    before = tracker.examples_seen
    tracker.trained()

    assert before == {"SmolTalk": 0, "MMLU": 0, "GSM8K": 0}
    assert tracker.examples_seen["MMLU"] == 4
    tracker.trained(batches=99)
    assert tracker.examples_seen == {"SmolTalk": 0, "MMLU": 12, "GSM8K": 0}


def test_a_loader_that_says_nothing_of_batches_counts_what_it_fetches():
    tracker = DatasetTracker(NAMES, SIZES)
    nothing = tracker.examples_seen
    tracker.increment("MMLU")
    tracker.increment("FineWeb", 5)
    run = Rows()
    tracker.log_step(run, 50, "MMLU", log_every=50)
    tracker.log_step(run, 51, "MMLU", log_every=50)
    (row,) = run.rows

    assert nothing == {}
    assert row["task_mixture/mmlu/examples_seen"] == row["dataset/examples_seen"] == 1
    assert row["dataset/coverage_percent"] == 1.0
    assert row["task_mixture/gsm8k/coverage_percent"] == 0.0
    assert row["task_mixture/unlisted/examples_seen"] == 5


def test_a_loop_that_never_says_what_it_trained_on_fills_no_memory(capsys, monkeypatch):
    monkeypatch.setattr("hooks.datasets.MOST_WAITING", 10)
    tracker = DatasetTracker(NAMES, SIZES)
    for _ in range(100):
        tracker.increment("MMLU")
        tracker.end_batch()

    assert (len(tracker._waiting), tracker.examples_seen["MMLU"]) == (10, 90)
    assert capsys.readouterr().err.count("trained() is not called") == 1


def test_counting_goes_on_from_a_checkpoint_and_past_one_epoch():
    first = DatasetTracker(NAMES, SIZES)
    first.increment("GSM8K", 6)
    first.end_batch()
    first.increment("GSM8K", 1)
    first.end_batch()
    first.trained()
    state = json.loads(json.dumps(first.state_dict()))
    second = DatasetTracker(NAMES, SIZES)
    second.load_state_dict(state)
    second.increment("GSM8K", 10)
    run = Rows()
    second.log_step(run, 100)

    assert state == {"examples_seen": {"SmolTalk": 0, "MMLU": 0, "GSM8K": 6}}
    assert run.rows[0]["task_mixture/gsm8k/examples_seen"] == 16
    assert run.rows[0]["task_mixture/gsm8k/epoch"] == 2.0
    assert run.rows[0]["task_mixture/gsm8k/coverage_percent"] == 100.0


def the_originals_loop(run, steps=60):
    """Midtraining's and SFT's calls in the original, in their order and at their cadence."""
    tracker = DatasetTracker(NAMES, SIZES)
    for step in range(steps):
        if step and step % 20 == 0:
            log_evaluation_metrics_3d(
                wandb_run=run, step=step, metrics={"mmlu_acc": 0.3, "gsm8k_acc": 0.0},
                training_stage="sft",
            )  # fmt: skip
        tracker.increment("MMLU")
        tracker.log_step(run, step, "MMLU", log_every=10)
        enhance_wandb_logging(
            wandb_run=run, step=step, device="cpu", **UNTIMED, training_stage="sft",
            dataset_name="MMLU", train_loss=1 / (step + 1), lrm=1.0,
        )  # fmt: skip
    tracker.log_step(run, steps, log_every=10)
    run.finish()


def a_tracker_alone(run):
    tracker = DatasetTracker(["A"], [10])
    for step in range(3):
        tracker.increment("A")
        tracker.log_step(run, step, log_every=1)
    run.log({"step": 2, "mine": 1.0})
    log_evaluation_metrics_3d(run, 2, {"mmlu_acc": 0.5})
    run.finish()


def in_wandb(loop, place):
    """What a real offline run holds of *loop*; in a process of its own, whose end W&B waits for."""
    pytest.importorskip("wandb")
    code = f"""
import sys, wandb
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from test_nanochat import {loop.__name__}
settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
run = wandb.init(project="p", mode="offline", dir={str(place)!r}, settings=settings)
{loop.__name__}(run)
"""
    environment = {**os.environ, "WANDB_DISABLE_WEAVE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = place.rglob("*.wandb")
    (part,) = wandb_offline.read(path, 0, ()).parts
    return part


def test_a_step_is_one_row_in_wandb_and_nothing_is_lost_at_the_end(tmp_path):
    part = in_wandb(the_originals_loop, tmp_path)
    points = part.points

    evaluations = points.filter(key="evaluation/mean_accuracy")
    assert evaluations.select("step", "value").rows() == [(20, 0.15), (40, 0.15)]
    # one of each step, one of each evaluation, and the last one, that nobody completed
    assert part.facts.rows == 60 + 2 + 1
    losses = points.filter(key="train/loss")
    assert losses["step"].to_list() == list(range(60))
    seen = points.filter(key="task_mixture/mmlu/examples_seen")
    assert seen.select("step", "value").rows() == [
        *((step, step + 1.0) for step in range(0, 60, 10)), (60, 60.0)
    ]  # fmt: skip
    assert points.filter(key="training_stage").select("step", "text").rows() == [(0, "sft")]
    assert part.facts.config["evaluation/mean_accuracy_of"] == ["gsm8k_acc", "mmlu_acc"]


def test_rows_of_two_steps_never_become_one(tmp_path):
    """What a tracker left open is closed before another step is written."""
    part = in_wandb(a_tracker_alone, tmp_path)

    seen = part.points.filter(key="task_mixture/a/examples_seen")
    assert seen.select("step", "value").rows() == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert part.facts.rows == 4


def test_a_run_of_ours_and_a_dummy_take_the_same_calls(tmp_path):
    run, history = ours(tmp_path)
    the_originals_loop(run)
    the_originals_loop(DummyWandb())
    found = history()

    assert [row["step"] for row in found if "train/loss" in row] == list(range(60))
    assert sum("task_mixture/mmlu/examples_seen" in row for row in found) == 7
    assert sum("evaluation/mean_accuracy" in row for row in found) == 2
    assert run.config == {
        "task_mixture": dict(zip(NAMES, SIZES, strict=True)),
        "evaluation/mean_accuracy_of": ["gsm8k_acc", "mmlu_acc"],
    }
