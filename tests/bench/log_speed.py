"""One ``run.log`` of 24 scalars, whose line is in the kernel on return, against W&B offline."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20_000


def measure(log: Callable[[dict[str, float], int], Any], steps: int) -> tuple[float, float]:
    """Return the (p50, p99) microseconds of *log*."""
    took = []
    for step in range(steps):
        row = {f"train/m{i:02}": (step * 7919 + i) % 100003 / 7 for i in range(24)}
        began = time.perf_counter_ns()
        log(row, step)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    return took[steps // 2] / 1e3, took[steps * 99 // 100] / 1e3


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    import hooks

    with tempfile.TemporaryDirectory() as place:
        run = hooks.init("bench", dir=place, wandb=False)
        ours = measure(lambda row, step: run.log(row, step=step), STEPS)
        run.finish()
        import wandb

        settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
        other = wandb.init(project="bench", mode="offline", dir=place, settings=settings)
        theirs = measure(lambda row, _: other.log(row), STEPS // 10)
        other.finish()
    print(f"hooks          p50 {ours[0]:7.1f} us   p99 {ours[1]:7.1f} us")
    print(f"wandb offline  p50 {theirs[0]:7.1f} us   p99 {theirs[1]:7.1f} us")
    print(f"ratio of p50   {theirs[0] / ours[0]:7.1f}")


if __name__ == "__main__":
    main()
