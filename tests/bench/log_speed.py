"""One log call of 24 full-precision scalars: our hooks, and what else there is, in one run.

Ours has the line in the kernel when the call returns; none of the others promises that. Beside
each stands what a bare ``write`` of the same line costs on this machine at that moment, because
other work on the machine moves all of these figures.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f"train/{name}_{i}" for i in range(6) for name in ("loss", "grad_norm", "lr", "mfu")]
LINE = b"x" * 760 + b"\n"
# a bench asks no network for anything
QUIET = {
    "WANDB_SILENT": "true",
    "WANDB_DISABLE_WEAVE": "1",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
Log = Callable[[dict[str, float], int], Any]
Begin = Callable[[str], tuple[Log, Callable[[], Any]]]  # a folder -> a log call and its end


@dataclass(frozen=True)
class Took:
    """Microseconds a call: its median, its 99th percentile, and the median of a bare write."""

    p50: float
    p99: float
    write: float

    @classmethod
    def of(cls, took: list[int], writes: list[int]) -> Took:
        """Return the figures of so many nanoseconds each."""
        took, writes = sorted(took), sorted(writes)
        at = [took[len(took) // 2], took[len(took) * 99 // 100], writes[len(writes) // 2]]
        return cls(*(ns / 1e3 for ns in at))


def measure(log: Log, steps: int, rounds_of: int, file: int) -> Took:
    """Return what *log* takes in the best of its rounds: the machine has other work as well."""
    rounds = []
    for _ in range(rounds_of):
        took, writes = [], []
        for step in range(steps):
            row = {name: (step * 7919 + i) % 100003 / 7 for i, name in enumerate(NAMES)}
            began = time.perf_counter_ns()
            log(row, step)
            took.append(time.perf_counter_ns() - began)
        for _ in range(steps):
            began = time.perf_counter_ns()
            os.write(file, LINE)
            writes.append(time.perf_counter_ns() - began)
        rounds.append(Took.of(took, writes))
    return min(rounds, key=lambda took: took.p50)


def measured(begin: Begin, place: str, size: list[int], file: int) -> Took | str:
    """Return what the log call that *begin* makes takes, or why it cannot be measured here."""
    try:
        log, finish = begin(place)
    except ImportError as problem:
        return f"{problem.name or problem} is not installed"
    took = measure(log, *size, file)
    finish()
    return took


def ours(place: str, **options: Any) -> tuple[Log, Callable[[], Any]]:
    """Return a log call of ours and its end."""
    import hooks

    run = hooks.init("bench", dir=place, **{"wandb": False, **options})
    return (lambda row, step: run.log(row, step=step)), run.finish


def ours_alone(place: str) -> tuple[Log, Callable[[], Any]]:
    """Return the same where orjson is not installed."""
    there = sys.modules.get("orjson")
    sys.modules["orjson"] = None  # type: ignore[assignment]
    try:
        return ours(place)
    finally:
        del sys.modules["orjson"]
        if there is not None:
            sys.modules["orjson"] = there


def wandb_offline(place: str) -> tuple[Log, Callable[[], Any]]:
    """Return W&B's own."""
    wandb = importlib.import_module("wandb")
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    run = wandb.init(project="bench", mode="offline", dir=place, settings=settings)
    return (lambda row, _: run.log(row)), run.finish


def tensorboard(place: str) -> tuple[Log, Callable[[], Any]]:
    """Return TensorBoard's writer, torch's where it works, which takes one scalar a call."""
    try:
        module = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        module = importlib.import_module("tensorboardX")
    writer = module.SummaryWriter(place)

    def log(row: dict[str, float], step: int) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def trackio(place: str) -> tuple[Log, Callable[[], Any]]:
    """Return trackio's, into a folder of its own."""
    os.environ["TRACKIO_DIR"] = place
    module = importlib.import_module("trackio")
    module.init(project="bench", embed=False)
    return (lambda row, step: module.log(row, step=step)), module.finish


def mlflow_files(place: str) -> tuple[Log, Callable[[], Any]]:
    """Return MLflow's, into its file store."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # it is being retired (3.x)
    module = importlib.import_module("mlflow")
    # a store that is there already has no experiment to begin with
    module.set_tracking_uri(Path(place, "store").as_uri())
    module.start_run()
    return (lambda row, step: module.log_metrics(row, step=step)), module.end_run


CASES: dict[str, tuple[Begin, int, int]] = {  # steps a round, rounds
    "hooks, orjson": (ours, 1000, 20),
    "hooks, stdlib": (ours_alone, 1000, 20),
    "hooks, fsync": (lambda place: ours(place, durability="fsync"), 50, 3),
    "wandb offline": (wandb_offline, 400, 4),
    "TensorBoard": (tensorboard, 400, 4),
    "trackio": (trackio, 400, 4),
    "MLflow files": (mlflow_files, 20, 3),
}


def in_training(place: str, steps: int = 400, **options: Any) -> Took:
    """Return what a step pays for our log between other work, which lets threads run as torch does.

    A bare write is timed after such work too: it finds nothing in the processor's caches either.
    """
    log, finish = ours(place, **options)
    file = os.open(Path(place, "write.bin"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    work = bytes(4_000_000)  # 2 to 4 ms of hashing
    took, writes = [], []
    for step in range(steps):
        row = {name: (step * 7919 + i) % 100003 / 7 for i, name in enumerate(NAMES)}
        hashlib.sha256(work)
        began = time.perf_counter_ns()
        log(row, step)
        took.append(time.perf_counter_ns() - began)
        hashlib.sha256(work)
        began = time.perf_counter_ns()
        os.write(file, LINE)
        writes.append(time.perf_counter_ns() - began)
    finish()
    os.close(file)
    return Took.of(took, writes)


def show(name: str, took: Took, base: Took | None) -> None:
    """Print one line of the table."""
    ratio = f"{took.p50 / base.p50:8.1f}" if base is not None else f"{'':8}"
    print(f"{name:31} {took.p50:9.1f} {took.p99:9.1f} {took.write:8.1f} {ratio}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="measure the cases whose names hold this")
    only = parser.parse_args().only or ""
    os.environ.update(QUIET)
    sys.path.insert(0, str(ROOT))
    base: Took | None = None
    print(f"{'microseconds a call':31} {'p50':>9} {'p99':>9} {'write':>8} {'to ours':>8}")
    with tempfile.TemporaryDirectory() as folder:
        file = os.open(Path(folder, "write.bin"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name, (begin, *size) in CASES.items():
            if only not in name:
                continue
            place = str(Path(folder, name.replace(" ", "-")))
            Path(place).mkdir()
            with contextlib.redirect_stdout(sys.stderr):  # some peers talk
                took = measured(begin, place, size, file)
            if isinstance(took, str):
                print(f"{name:31} skipped: {took}")
                continue
            show(name, took, base)
            base = base or took
        os.close(file)
        if only in "hooks, in training":
            show("hooks, in training", in_training(folder), None)
            with contextlib.suppress(ImportError):
                importlib.import_module("wandb")
                show("hooks, W&B beside, in training", in_training(folder, wandb="offline"), None)


if __name__ == "__main__":
    main()
