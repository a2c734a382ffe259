"""Snapshots of many runs for the benches of the page, written straight as Parquet parts.

Shaped like nanochat's: a loss at every step; throughput, MFU, compute and time at about a thousand
of them; validation and four benchmarks at a hundred. Some runs diverge, and each has a spike that
must not be lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reports")]

import snapshots  # noqa: E402

from etl.blocks import HISTORY, Block, History  # noqa: E402
from etl.describe import summary_rows  # noqa: E402
from etl.project import Project, locate  # noqa: E402
from etl.sources.frames import KEY  # noqa: E402

TASKS = ("mmlu_acc", "arc_easy_acc", "gsm8k_acc", "humaneval_acc")
SPEEDS = ("train/mfu", "train/tok_per_sec", "total_training_flops", "total_training_time")
Row = dict[str, Any]


@dataclass
class Tables:
    """What is noted of the runs while their histories are written."""

    runs: list[Row] = field(default_factory=list)
    config: list[Row] = field(default_factory=list)
    summary: list[Row] = field(default_factory=list)
    metrics: list[Row] = field(default_factory=list)


def write(data: Path, runs: int, steps: int) -> Project:
    """Write a project of *runs* runs of *steps* steps each and return it."""
    project = locate(f"bench-{runs}x{steps}", data)
    found = Tables()
    filled = {name: getattr(found, name) for name in ("runs", "config", "summary", "metrics")}
    project, _ = snapshots.publish(project, filled, _histories(found, runs, steps))
    return project


def there(data: Path, runs: int, steps: int) -> Project:
    """Return that project, written unless it is there."""
    project = locate(f"bench-{runs}x{steps}", data)
    return project if project.snapshots.is_dir() else write(data, runs, steps)


def _histories(found: Tables, runs: int, steps: int) -> Iterator[tuple[str, History]]:
    rng = np.random.default_rng(11)
    names = ("train/loss", *SPEEDS, "val/bpb", *TASKS)
    points = dict.fromkeys(names, 0)
    parent = None
    for number in range(runs):
        stage = snapshots.STAGES[number % 3]
        run = f"d{8 + 4 * (number % 6)}-{number:04}-{stage}"
        held = _history(rng, number, steps)
        for name in names:
            points[name] += held.counts("metric")[name]
        first, last = held.steps
        row = {"run_id": run, "name": run, "project": "bench", "stage": stage}
        row |= {"stage_reason": "stated in the run", "state": "finished", "points": held.points}
        row |= {"first_step": first, "last_step": last, "created_at": snapshots.START}
        found.runs.append(row | {"parent_run_id": parent if number % 3 else None})
        found.config += snapshots.config(run, _asked(rng, number))
        found.summary += summary_rows(run, (), held, str)
        parent = run
        yield run, held
    known = snapshots.catalog([{"run_id": "", "metric": name} for name in names])
    found.metrics += [
        row | {"runs": runs, "points": points[row["metric"]], **_counter(row["metric"])}
        for row in known
    ]


def _counter(metric: str) -> Row:
    units = {"total_training_flops": "FLOPs", "total_training_time": "s"}
    if metric not in units:
        return {}
    return {"unit": units[metric], "family": "compute", "known": True}


def _asked(rng: np.random.Generator, number: int) -> Row:
    depth = 8 + 4 * (number % 6)
    asked = {"depth": depth, "model_dim": 64 * depth, "device_batch_size": 8 << number % 3}
    asked |= {"total_batch_size": 524_288, "num_params": 12 * depth * (64 * depth) ** 2}
    asked |= {"learning_rate": float(f"{10 ** rng.uniform(-4, -2):.3g}"), "seed": number}
    return asked | {f"setting_{place}": place for place in range(30)}  # nanochat has about 40


def _history(rng: np.random.Generator, number: int, steps: int) -> History:
    at = np.arange(steps)
    share = at / steps
    loss = 2.2 + 8.5 * np.exp(-60 * share) + 1.1 * np.exp(-5 * share) - 0.05 * (number % 6)
    loss *= 1 + 0.02 * rng.standard_normal(steps)
    loss[rng.integers(steps)] += 6  # a spike of one step
    if number % 10 == 9:
        loss[int(0.7 * steps) :] = np.nan
    some = at[:: max(1, steps // 1_000)]
    mfu = 38 + (number % 5) + rng.standard_normal(some.size)
    speed = 9e5 / (1 + number % 6) * mfu / 40
    flops = some * 3.1e15 * (1 + number % 6)
    seen = np.cumsum(1 / speed) * 4e5
    few = at[:: max(1, steps // 100)]
    bpb = 0.75 + 0.9 * np.exp(-6 * few / steps) + 0.002 * rng.standard_normal(few.size)
    tasks = [
        (0.1 + 0.4 * few / steps) / (1 + place) + 0.01 * rng.standard_normal(few.size)
        for place in range(len(TASKS))
    ]
    blocks = (
        _block(at, {"train/loss": loss}),
        _block(some, dict(zip(SPEEDS, (mfu, speed, flops, seen), strict=True))),
        _block(few, {"val/bpb": bpb, **dict(zip(TASKS, tasks, strict=True))}),
    )
    return History(blocks, pl.DataFrame(schema=HISTORY))


def _block(steps: np.ndarray, values: dict[str, np.ndarray]) -> Block:
    start = np.datetime64(snapshots.START + timedelta(seconds=4), "us")
    ts = start + (steps * 350_000).astype("timedelta64[us]")
    named = {KEY + name: np.asarray(of, dtype=np.float64) for name, of in values.items()}
    return Block(0, "hooks", pl.DataFrame({"step": steps, "ts": ts, **named}))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
