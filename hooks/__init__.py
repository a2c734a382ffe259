"""A training loop -> a log that survives the process: ``run = hooks.init(...)``, ``run.log(...)``.

Importing this package loads the standard library alone, so that it fits into any training
environment. The helpers of the original visualiser, in ``hooks.nanochat``, are here as well.
"""

from __future__ import annotations

from typing import Any

from hooks.session import Run, init

__all__ = ["Run", "init"]

_OF_NANOCHAT = (
    "DatasetTracker",
    "enhance_wandb_logging",
    "log_dataset_metrics",
    "log_evaluation_metrics_3d",
    "log_gpu_metrics",
    "log_system_metrics",
    "log_task_mixture_metrics",
)


def __getattr__(name: str) -> Any:
    """Return one of the helpers of ``hooks.nanochat``, which is loaded when it is asked for."""
    if name not in _OF_NANOCHAT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module("hooks.nanochat"), name)
