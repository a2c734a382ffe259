"""What measuring the machine costs: CPU time of the thread in a minute, of one core.

The peer is W&B's own sampler in the same minute, offline and at its own default of 15 s: CPU time
of the processes that it starts. ``python tests/bench/telemetry_cost.py [SECONDS]``
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


def of_children(psutil: object) -> float:
    """Return the CPU seconds of all processes below this one."""
    found = 0.0
    for process in psutil.Process().children(recursive=True):  # type: ignore[attr-defined]
        times = process.cpu_times()
        found += times.user + times.system
    return found


def measure(place: str, seconds: float, interval: float | bool) -> tuple[float, int]:
    """Return (CPU seconds of our thread, bytes written) of a run of so many *seconds*."""
    import hooks

    run = hooks.init("bench", dir=place, wandb=False, telemetry=interval)
    clock = time.pthread_getcpuclockid(run._sampler.thread.ident)
    time.sleep(seconds)
    used = time.clock_gettime(clock)
    run.finish()
    return used, Path(run.path).stat().st_size


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as place:
        used, size = measure(place, seconds, interval=True)
        often, _ = measure(place, 10, interval=0.1)
        print(
            f"hooks          {used:7.3f} s CPU in {seconds:.0f} s   {used / seconds:.3%} of a core"
        )
        print(f"  of it a sample {(often - used) / (100 - seconds / 15) * 1e3:5.2f} ms;"
              f" {size} bytes in the log")  # fmt: skip
        try:
            import psutil
            import wandb
        except ImportError as problem:
            print(f"wandb          not measured: {problem}")
            return
        for stats in (True, False):
            settings = wandb.Settings(silent=True, x_disable_stats=not stats, console="off")
            before = of_children(psutil)
            run = wandb.init(project="bench", mode="offline", dir=place, settings=settings)
            began = of_children(psutil)
            time.sleep(seconds)
            theirs = of_children(psutil) - began
            run.finish()
            what = "with" if stats else "without"
            print(f"wandb offline  {theirs:7.3f} s CPU {what} its stats  {theirs / seconds:.3%}"
                  f" of a core ({began - before:.2f} s to start)")  # fmt: skip


if __name__ == "__main__":
    main()
