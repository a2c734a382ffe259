"""JSONL -> tables and snapshot, against the least that DuckDB could do with the same file.

Prints CPU seconds and their ratio (1.0 would be as fast as a bare ``read_json`` with explicit
columns into one wide table, without merging, ledger, snapshot or Parquet), and the peak memory.
Every measurement is a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = [f"train/m{i:02}" for i in range(22)]

BARE = """
import sys, duckdb
con = duckdb.connect(sys.argv[1] + "/bare.duckdb")
columns = ", ".join(f"'{key}': 'DOUBLE'" for key in ["step", "_ts", *sys.argv[2].split(",")])
con.execute(f"create table t as select * from read_json('{sys.argv[1]}/logs/*.jsonl',"
    f" format='newline_delimited', ignore_errors=true, columns={{{columns}}})").fetchall()
con.close()
"""


def write_logs(folder: Path, runs: int, steps: int) -> int:
    """Write nanochat-shaped logs through our own hooks and return their bytes."""
    sys.path.insert(0, str(ROOT))
    import hooks

    for number in range(runs):
        run = hooks.init("bench", run_id=f"r{number}", dir=folder, wandb=False)
        for step in range(steps):
            run.log({key: (step * 7919 + i) % 100003 / 7 for i, key in enumerate(KEYS)}, step=step)
        run.finish()
    return sum(path.stat().st_size for path in folder.iterdir())


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run *command* and return (CPU seconds, wall seconds, peak MB of the largest child so far)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, after.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        size = write_logs(Path(place, "logs"), options.runs, options.steps)
        sync = [
            sys.executable, "-m", "etl.sync", "--project", "bench", "--data-dir", f"{place}/data",
            f"{place}/logs",
        ]  # fmt: skip
        bare_cpu, bare_wall, _ = measure([sys.executable, "-c", BARE, place, ",".join(KEYS)])
        cpu, wall, peak = measure(sync)
        again_cpu, again_wall, _ = measure(sync)
    points = options.runs * options.steps * len(KEYS)
    print(f"{size / 1e6:.0f} MB of JSONL, {points / 1e6:.1f}M points")
    print(f"bare read_json into a table  {bare_cpu:6.2f} CPU s  {bare_wall:6.2f} s")
    print(f"etl.sync, everything         {cpu:6.2f} CPU s  {wall:6.2f} s  peak {peak:.0f} MB")
    print(f"etl.sync, nothing new        {again_cpu:6.2f} CPU s  {again_wall:6.2f} s")
    print(f"speed against bare           {bare_cpu / cpu:6.2f}")


if __name__ == "__main__":
    main()
