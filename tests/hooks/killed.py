"""Processes that log flat out, each killed at a random moment -> what each had been promised.

``python killed.py FOLDER TIMES SEED`` forks its children from one process that has imported the
hooks, so that 200 kills take seconds; it prints one JSON object a child.
"""

from __future__ import annotations

import itertools
import json
import math
import mmap
import os
import random
import signal
import sys
import time

LONG = "x" * 20_000  # a line over several pages: the kernel may be stopped between two of them


def row(step):
    """Return a row that takes, by its step, every way that a line can take."""
    found = {"loss": 1.0 / (step + 1), "mfu": 40.25}
    if step % 7 == 0:
        found["odd"] = math.nan
    if step % 11 == 0:
        found["note"] = f"E{step}"
    if step % 150 == 0:
        found["long"] = LONG
    return found


def log_flat_out(folder, run_id, promised):
    """Log until the end; *promised* holds how many calls have returned."""
    import hooks

    run = hooks.init("killed", run_id=run_id, dir=folder, wandb=False)
    for step in itertools.count():
        run.log(row(step), step=step)
        promised[0] = step + 1


def kill_one(folder, run_id, death, after_sec):
    """Fork a process that logs, kill it *after_sec* after its first line, return its promise."""
    with mmap.mmap(-1, 8) as shared, memoryview(shared) as whole, whole.cast("Q") as promised:
        child = os.fork()
        if child == 0:
            log_flat_out(folder, run_id, promised)
        while not promised[0]:
            time.sleep(0.0002)
        time.sleep(after_sec)
        os.kill(child, death)
        os.waitpid(child, 0)
        return promised[0]


def main(folder, times, seed):
    """Kill *times* processes and print what each was promised."""
    import hooks  # noqa: F401  once, before the forks

    rng = random.Random(seed)
    for number in range(int(times)):
        death = rng.choice((signal.SIGTERM, signal.SIGKILL))
        promised = kill_one(folder, f"r{number}", death, rng.random() / 100)
        found = {"run_id": f"r{number}", "promised": promised, "death": death.name}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
