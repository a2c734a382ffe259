"""Kill a process that logs flat out: what of it is in the file, ours beside W&B's offline one.

Each child counts, in memory that it shares with this process, the calls that have returned. It is
killed at a random moment: alone, or with every process that it started, as a scheduler that takes
a machine back does. Then the file is read by the readers of ``etl``.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import itertools, mmap, os, sys
kind, folder, counter = sys.argv[1:]
promised = memoryview(mmap.mmap(os.open(counter, os.O_RDWR), 8)).cast("Q")
if kind == "hooks":
    import hooks
    run = hooks.init("killed", dir=folder, wandb=False)
else:
    import wandb
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    run = wandb.init(project="killed", mode="offline", dir=folder, settings=settings)
for step in itertools.count():
    row = {f"train/m{i:02}": (step * 7919 + i) % 100003 / 7 for i in range(24)}
    run.log({"step": step, **row})
    promised[0] = step + 1
"""
DEATHS = {
    "SIGTERM, the process": (signal.SIGTERM, os.kill),
    "SIGKILL, the process": (signal.SIGKILL, os.kill),
    "SIGKILL, the whole job": (signal.SIGKILL, os.killpg),
}


def kill_one(kind: str, folder: Path, death: str, after_sec: float) -> int:
    """Start a child, kill it *after_sec* after its first row, and return its promise."""
    counter = folder / "promised"
    counter.write_bytes(bytes(8))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, kind, str(folder), str(counter)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_DISABLE_WEAVE": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
        while not any(shared[:8]):
            time.sleep(0.001)
        time.sleep(after_sec)
        number, kill = DEATHS[death]
        kill(child.pid, number)
        child.wait()
        return int.from_bytes(shared[:8], sys.byteorder)


def rows_in(folder: Path) -> int:
    """Return how many rows are in the one log in *folder*."""
    from etl.sources import hooks_jsonl, wandb_offline

    (path,) = [*folder.rglob("*.jsonl"), *folder.rglob("*.wandb")]
    source = hooks_jsonl if path.suffix == ".jsonl" else wandb_offline
    parts = source.read(path, 0, ()).parts
    return parts[0].points["step"].n_unique() if parts else 0


def main() -> None:
    """Kill, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="kills of each kind (default 5)")
    times = parser.parse_args().times
    sys.path.insert(0, str(ROOT))
    rng = random.Random()
    print("| killed | log | kills | rows that log() had returned for | of these lost | most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for death in DEATHS:
        for kind, name in (("hooks", "hooks"), ("wandb", "W&B offline")):
            promised, lost = [], []
            for _ in range(times):
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
                    promised.append(kill_one(kind, Path(place), death, rng.random()))
                    time.sleep(3 if kind == "wandb" else 0)  # what outlives it may still write
                    lost.append(max(0, promised[-1] - rows_in(Path(place))))
            cells = (death, name, times, sum(promised), sum(lost), max(lost))
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
