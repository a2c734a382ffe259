"""JSONL -> tables and snapshot, against the least that DuckDB could do with the same files.

Prints CPU seconds as ratios of one run: 1.0 would be as fast as a bare ``read_json`` with explicit
columns into one wide table, without merging, ledger, snapshot or Parquet. Every measurement is a
process of its own, the least of ``--times``; "without start" leaves out what importing costs each
side. ``--large`` is 2.4 GB: the peak of memory, and the tail.

Of 3.6 CPU s for 537 MB (bare: 1.6, of which 1.0 are its parsing) 1.0 are the same parsing, 0.6 the
tables, 0.4 the parts, 0.1 their hashes, 0.25 counting what proves that nothing was lost in parsing,
0.35 imports. So 0.8 is out of reach as long as DuckDB parses and both tables and parts are written;
history as a view over the parts alone would come to 0.52, and a file of views cannot be copied.

A tail takes about 0.2 CPU s beyond the start (of 200 runs, in one of 20,000 steps): 57 statements
come to 0.09, the tables' parts beside them to 0.04, the run's own part to 0.025. 0.026 is opening:
DuckDB takes as long with nothing in the file. 0.025 is closing: 0.004 without a checkpoint, 0.004
more for one of any table, 0.007 more for the ledger's texts. These three come to 0.076, so 0.06 is
out of reach as long as a run's part is written whole and the database is whole without its WAL.
DuckDB with one thread, and deletes and inserts in one statement, came to the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = [f"train/m{i:02}" for i in range(22)]
START = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import etl.sync, etl.ingest, etl.sources.hooks_jsonl
"""

BARE = """
import sys, duckdb
con = duckdb.connect(sys.argv[1] + "/bare.duckdb")
columns = ", ".join(f"'{key}': 'DOUBLE'" for key in ["step", "_ts", *sys.argv[2].split(",")])
for number, folder in enumerate(sys.argv[3:]):
    con.execute(f"create table t{number} as select * from read_json('{folder}/*.jsonl',"
        f" format='newline_delimited', ignore_errors=true, columns={{{columns}}})").fetchall()
con.close()
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: CPU seconds, seconds, and MB of memory at its peak."""

    cpu: float
    wall: float
    peak: float


def write_logs(folder: Path, runs: int, steps: int) -> int:
    """Write nanochat-shaped logs through our own hooks and return their bytes."""
    sys.path.insert(0, str(ROOT))
    import hooks

    for number in range(runs):
        run = hooks.init("bench", run_id=f"r{number}", dir=folder, wandb=False)
        for step in range(steps):
            first = step * 7919 + number * 31  # no two runs alike, or they could not be told apart
            run.log({key: (first + i) % 100003 / 7 for i, key in enumerate(KEYS)}, step=step)
        run.finish()
    return sum(path.stat().st_size for path in folder.iterdir())


def write_copies(folder: Path, others: Path) -> None:
    """Write the same runs as another program would have logged them, every tenth value missing."""
    others.mkdir()
    for path in sorted(folder.iterdir()):
        lines = path.read_text().splitlines()
        name = json.loads(lines[0])["run_id"]
        rows = (line for line in lines if line.startswith('{"step"'))
        text = "".join(line + "\n" for at, line in enumerate(rows) if at % 10)
        (others / f"{name}.jsonl").write_text(text)


def measure(command: list[str]) -> Cost:
    """Run *command* and return what it took."""
    # with our modules compiled, as at every second sync, whatever this environment says of bytecode
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command[:6])}: {said.read()[-500:].decode()}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def least(times: int, before: Callable[[], None], command: list[str]) -> Cost:
    """Return the least of *times* runs of *command*, *before* each of which something is undone."""
    costs = []
    for _ in range(times):
        before()
        costs.append(measure(command))
    return best(costs)


def best(costs: list[Cost]) -> Cost:
    """Return the least of each figure."""
    return Cost(*(min(getattr(c, name) for c in costs) for name in ("cpu", "wall", "peak")))


class Bench:
    """One folder of logs, its projects, and the figures of both."""

    def __init__(self, place: Path, times: int) -> None:
        self.place, self.times = place, times
        start = lambda code: least(times, bool, [sys.executable, "-c", code])  # noqa: E731
        self.bare_start, self.sync_start = start("import duckdb"), start(START)

    def sync(self, *paths: Path, project: str = "bench") -> list[str]:
        """Return the command that syncs *paths*."""
        data = str(self.place / "data")
        command = [sys.executable, "-m", "etl.sync", "--project", project, "--data-dir", data]
        return [*command, *map(str, paths)]

    def forget(self) -> None:
        """Undo all syncs."""
        shutil.rmtree(self.place / "data", ignore_errors=True)

    def against_bare(self, what: str, *folders: Path) -> None:
        """Print a sync of *folders* against a bare load of the same files."""

        def undo() -> None:
            (self.place / "bare.duckdb").unlink(missing_ok=True)

        keys = ",".join(KEYS)
        command = [sys.executable, "-c", BARE, str(self.place), keys, *map(str, folders)]
        bare = least(self.times, undo, command)
        sync = least(self.times, self.forget, self.sync(*folders))
        net = (bare.cpu - self.bare_start.cpu) / (sync.cpu - self.sync_start.cpu)
        line = f"{what:28} bare {bare.cpu:.2f} CPU s, sync {sync.cpu:.2f}, {sync.wall:.2f} s; speed"
        print(f"{line} {bare.cpu / sync.cpu:.2f} (target 0.80), without start {net:.2f}")
        print(f"{'':28} peak memory {sync.peak:.0f} MB (target, of 2.4 GB: 1024)", flush=True)

    def report(self, what: str, command: list[str]) -> None:
        """Print what *command*, with nothing to do, takes."""
        cost = least(self.times, bool, command)
        print(f"{what:28} {cost.cpu:.2f} CPU s, {cost.wall:.2f} s (target 0.40)", flush=True)

    def tail(self, logs: Path) -> None:
        """Print what 100 more rows of one run take, and nothing new, beyond the start."""
        path = min(logs.iterdir())
        step = json.loads(path.read_text().splitlines()[-2])["step"]
        costs = []
        for _ in range(max(3, self.times)):
            rows = [
                {"step": (step := step + 1), **dict.fromkeys(KEYS, step / 7)} for _ in range(100)
            ]
            with path.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            costs.append(measure(self.sync()))
        cost, start = best(costs), self.sync_start
        line = f"{'a tail of 100 rows':28} {cost.cpu:.2f} CPU s, {cost.wall:.2f} s; beyond start"
        over = f"{cost.cpu - start.cpu:.2f} CPU s, {cost.wall - start.wall:.2f} s"
        print(f"{line} {over} (target 0.06)", flush=True)


def many_files(folder: Path, count: int) -> None:
    """Write *count* logs of one row."""
    folder.mkdir()
    for number in range(count):
        (folder / f"run{number}.jsonl").write_text(f'{{"step": 1, "loss": {number}.5}}\n')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=3, help="of which the least counts")
    parser.add_argument("--files", type=int, default=10_000, help="for the sync with nothing new")
    parser.add_argument("--large", action="store_true", help="200 runs, 2.4 GB, once")
    options = parser.parse_args()
    runs, times = (200, 1) if options.large else (options.runs, options.times)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        size = write_logs(place / "logs", runs, options.steps)
        points = runs * options.steps * len(KEYS)
        print(f"{size / 1e6:.0f} MB of JSONL, {points / 1e6:.1f}M points", flush=True)
        bench = Bench(place, times)
        bench.against_bare("JSONL", place / "logs")
        bench.report("nothing new", bench.sync())
        bench.tail(place / "logs")
        if not options.large:
            shutil.rmtree(place / "logs")
            write_logs(place / "logs", runs // 2, options.steps)
            write_copies(place / "logs", place / "others")
            bench.against_bare("two sources of the same runs", place / "logs", place / "others")
            many_files(place / "many", options.files)
            measure(bench.sync(place / "many", project="many"))
            bench.report(f"nothing new in {options.files} files", bench.sync(project="many"))


if __name__ == "__main__":
    main()
