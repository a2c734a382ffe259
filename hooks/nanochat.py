"""nanochat's numbers -> rows for the charts: the helpers of the first visualiser, as it had them.

    from hooks.nanochat import DatasetTracker, enhance_wandb_logging, log_evaluation_metrics_3d

The signatures are those of HarleyCoops/nanochat (``scripts/enhanced_wandb_logging.py``), and its
scripts run with this import unchanged. Keys are nanochat's own (``train/loss``, ``train/mfu``), so
runs of either are one series. A row costs no wait; what was not measured is not in it; a step is
one row, and an evaluation one of its own, sent at once.

``wandb_run`` may be a W&B run, nanochat's DummyWandb or a run of ``hooks.init``, on any rank.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from typing import Any

from hooks import cgroup, machine, machine_torch
from hooks.datasets import DatasetTracker, log_dataset_metrics, log_task_mixture_metrics
from hooks.rows import log_of, never_raises

__all__ = [
    "DatasetTracker",
    "enhance_wandb_logging",
    "log_dataset_metrics",
    "log_evaluation_metrics_3d",
    "log_gpu_metrics",
    "log_system_metrics",
    "log_task_mixture_metrics",
]

GIB = 1024**3
SYSTEM_SEC = 1.0  # a share of a shorter time says little, and reading /proc takes 0.1 ms
# what the original's scripts pass on -> nanochat's name for it
NAMES = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "train_lrm": "train/lrm",
    "lrm": "train/lrm",
}
NORMALISED = ("mmlu", "arc_easy", "gsm8k", "humaneval")
MEAN = "evaluation/mean_accuracy"


@never_raises(dict)
def log_gpu_metrics(device: Any, prefix: str = "gpu") -> dict[str, float]:
    """Return the memory that this process holds of a GPU, and its peak since the last call.

    What ``torch.cuda.max_memory_allocated`` tells the script does not change.
    """
    book = machine_torch.peaks()
    if book is None:
        return {}
    import torch  # noqa: PLC0415  already there

    found = torch.device("cuda" if device is None else device)
    if found.type != "cuda":
        return {}
    index = torch.cuda.current_device() if found.index is None else found.index
    stats = book.take("rows", index)
    return {
        f"{prefix}/memory_allocated_gb": stats["allocated_bytes"]["all"]["current"] / GIB,
        f"{prefix}/memory_reserved_gb": stats["reserved_bytes"]["all"]["current"] / GIB,
        f"{prefix}/memory_max_allocated_gb": stats["allocated_bytes"]["all"]["peak"] / GIB,
    }


@never_raises(dict)
def log_system_metrics(prefix: str = "system") -> dict[str, float]:
    """Return CPU and memory of the container, or of the machine where nothing limits it.

    How busy the CPUs were is since the last call, so the first one does not say it.
    """
    system = _system()
    found: dict[str, float | None] = {
        "cpu_percent": system.busy.percent(),
        "cpu_count": system.busy.allowed,
    }
    memory = machine.memory(system.groups)
    if memory is not None:
        used = memory.total - memory.available
        found |= {
            "memory_total_gb": memory.total / GIB,
            "memory_available_gb": memory.available / GIB,
            "memory_percent": 100 * used / memory.total,
            "memory_used_gb": used / GIB,
        }
    return {f"{prefix}/{name}": value for name, value in found.items() if value is not None}


class _System:
    """What one call needs to know of the one before."""

    def __init__(self) -> None:
        self.busy = machine.Busy()
        self.groups = cgroup.folders("memory")
        self.read_at = -math.inf

    def is_due(self) -> bool:
        """Whether enough time has passed for another row to have these numbers."""
        now = time.monotonic()
        due = now - self.read_at >= SYSTEM_SEC
        self.read_at = now if due else self.read_at
        return due


@functools.cache
def _system() -> _System:
    return _System()


@never_raises(lambda: None)
def enhance_wandb_logging(  # noqa: PLR0917  the original's signature
    wandb_run: Any,
    step: int,
    device: Any,
    dt: float | None,
    tokens_per_sec: float | None,
    mfu: float | None,
    flops_so_far: float | None,
    total_training_time: float | None,
    training_stage: str = "pretraining",
    dataset_name: str | None = None,
    **additional_metrics: Any,
) -> None:
    """Log the row of *step*: its speed, the memory in use, and *additional_metrics*.

    A ``dt`` of 0 says, as in the original's SFT and RL, that the script does not time its steps:
    then zeros in its place, and in that of what follows from it, were not measured.
    """
    log = log_of(wandb_run)
    row = log.news("training_stage", training_stage) | log.news("dataset/current", dataset_name)
    row |= _speed(dt, tokens_per_sec, mfu, flops_so_far, total_training_time)
    row |= log_gpu_metrics(device)
    if _system().is_due():
        row |= log_system_metrics()
    more = {NAMES.get(name, name): value for name, value in additional_metrics.items()}
    row |= {name: value for name, value in more.items() if value is not None}
    log.send(wandb_run, step, row)


def _speed(
    dt: float | None,
    tokens_per_sec: float | None,
    mfu: float | None,
    flops: float | None,
    seconds: float | None,
) -> dict[str, float]:
    """Return what was measured of these."""
    found = {
        "train/dt": dt,
        "train/tok_per_sec": tokens_per_sec,
        # tokens were trained on, so 0 is nanochat's word for a GPU whose peak it does not know
        "train/mfu": mfu or None,
        "total_training_flops": flops,
        "total_training_time": seconds,
    }
    if not dt:
        found = {name: value or None for name, value in found.items()}
    if flops and seconds:
        found["efficiency/flops_per_sec"] = flops / seconds
    return {name: value for name, value in found.items() if value is not None}


@never_raises(lambda: None)
def log_evaluation_metrics_3d(
    wandb_run: Any,
    step: int,
    metrics: Mapping[str, Any],
    training_stage: str = "pretraining",
) -> None:
    """Log an evaluation at *step*, at once, as a row of its own: it may have taken minutes.

    With them go the accuracies in percent, and their mean, in which a 0 counts; the config says of
    which it is the mean. Tasks of CORE that the original logged bare are ``centered_results.TASK``.
    """
    log = log_of(wandb_run)
    row = {_evaluated(name, metrics): value for name, value in metrics.items() if value is not None}
    for task in NORMALISED:
        if f"{task}_acc" in row:
            row[f"evaluation/{task}_normalized"] = 100 * row[f"{task}_acc"]
    accuracies = sorted(name for name in row if name.endswith("_acc"))
    if accuracies:
        row[MEAN] = sum(row[name] for name in accuracies) / len(accuracies)
        log.configure(wandb_run, f"{MEAN}_of", accuracies)
    log.send(wandb_run, step, log.news("training_stage", training_stage) | row)


def _evaluated(name: str, metrics: Mapping[str, Any]) -> str:
    """Return nanochat's name of what the original called *name* in an evaluation.

    >>> _evaluated("arc_easy", {"core_metric": 0.2, "arc_easy": 0.4})
    'centered_results.arc_easy'
    """
    bare = not any(mark in name for mark in "/.@") and not name.endswith(("_acc", "_metric"))
    nested = name == "centered_results"
    if "core_metric" in metrics and bare and not nested:
        return f"centered_results.{name}"
    return NAMES.get(name, name)
