"""A nanochat-shaped ``.wandb`` file -> a run's points, against the reader that the SDK once had.

The peer is what ``wandb sync`` did up to 0.30 in Python: ``wandb.sdk.internal.datastore`` for the
framing, written again here after it, as it is gone since 0.31, the SDK's generated
protobufs (upb, so C) for the records, ``json`` for the values. It makes a dict of each row and
keeps the summary; it makes no columns. Prints MB of file for each CPU second and for each second,
the best of some rounds, and their ratio; then those of a sync of ``--files`` such files, everything
included, which reads them by processes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "etl")]

import wandb_files  # noqa: E402

from etl.sources import wandb_offline  # noqa: E402
from etl.sources.reading import Piece  # noqa: E402

KEYS = (
    "total_training_flops", "total_training_time", "train/loss", "train/lrm", "train/dt",
    "train/tok_per_sec", "train/mfu", "val/bpb", "core_metric", "chatcore_metric", "chatcore_cat",
    *(f"chatcore/{task}" for task in ("ARC-Easy", "ARC-Challenge", "MMLU", "GSM8K", "HumanEval")),
    *(f"pass@{k}" for k in (1, 2, 4)),
)  # fmt: skip


def write_run(path: Path, rows: int, run: int = 1) -> int:
    """Write a run as wandb 0.31 does, a row and a summary a step, and return its bytes."""
    chance = random.Random(0)
    records = [wandb_files.run(f"r{run}", started=1_800_000_000 + run)]
    for row in range(rows):
        values = {key: (row * 7919 + at * run) % 100_003 / 7 for at, key in enumerate(KEYS)}
        values |= {"step": row * 10, "train/epoch": f"0 pq: {row // 100} rg: 1", "_step": row}
        values |= {"_timestamp": 1_795_383_440.0 + row * 0.731, "_runtime": row * 0.731}
        items = [(key, json.dumps(value)) for key, value in values.items()]
        for kind in (3, 2):  # the summary comes first; Go's maps have no order
            chance.shuffle(items)
            body = b"".join(wandb_files.field(1, wandb_files.item(k, text)) for k, text in items)
            if kind == 2:
                body += wandb_files.field(2, wandb_files.field(1, row))
            number = wandb_files.field(1, 2 * row + kind)
            records.append(number + wandb_files.field(kind, body))
    data, _ = wandb_files.pack([*records, wandb_files.exit_record()])
    path.write_bytes(data)
    return len(data)


def scanned(path: Path):
    """Yield each record's bytes, as the SDK's DataStore did."""
    seeds = [zlib.crc32(bytes([kind])) for kind in range(5)]
    with path.open("rb") as file:
        index = len(file.read(7))
        pieces = b""
        while True:
            room = 32768 - index % 32768
            if room < 7:
                index += len(file.read(room))
            header = file.read(7)
            if len(header) < 7:
                return
            checksum, length, kind = struct.unpack("<IHB", header)
            data = file.read(length)
            index += 7 + length
            if zlib.crc32(data, seeds[kind]) & 0xFFFFFFFF != checksum:
                raise ValueError("invalid checksum")
            if kind in (1, 4):
                yield pieces + data
                pieces = b""
            else:
                pieces += data


def peer(path: Path) -> int:
    """Read the rows and the summary with the SDK's protobufs, and return how many values."""
    from wandb.proto import wandb_internal_pb2

    rows, summary = [], {}
    for data in scanned(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            rows.append({i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items})
        elif kind == "summary":
            for item in record.summary.update:
                summary[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    return sum(map(len, rows))


def ours(path: Path) -> int:
    """Read the file as a sync does, and return how many points."""
    (part,) = wandb_offline.read(path, 0, ()).parts
    return Piece.of("wandb-offline", part).count


READERS = {"peer": peer, "ours": ours}


def measure(reader: str, small: Path, path: Path, rounds: int) -> None:
    """Print the best CPU seconds and seconds of some reads, the values, and this process's peak."""
    READERS[reader](small)  # imports
    cpu, wall, values = math.inf, math.inf, 0
    for _ in range(rounds):
        used, began = time.process_time(), time.perf_counter()
        values = READERS[reader](path)
        cpu = min(cpu, time.process_time() - used)
        wall = min(wall, time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([cpu, wall, values, peak]))


def sync(place: Path, rows: int, count: int) -> float:
    """Return MB of file for each second of a sync of *count* files, everything included."""
    logs = place / "logs"
    logs.mkdir()
    megabytes = sum(write_run(logs / f"run-r{n}.wandb", rows, n) for n in range(count)) / 1e6
    command = [sys.executable, "-m", "etl.sync", "--project", "bench"]
    command += ["--data-dir", str(place / "data"), str(logs)]
    began = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return megabytes / (time.perf_counter() - began)


def main() -> None:
    """Measure each reader in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=4, help="of the sync over several")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        reader, small, path = options.measure
        measure(reader, Path(small), Path(path), options.rounds)
        return
    found = {}
    with tempfile.TemporaryDirectory() as place:
        small, path = Path(place, "run-small.wandb"), Path(place, "run-r1.wandb")
        write_run(small, 500)
        megabytes = write_run(path, options.rows) / 1e6
        for reader in READERS:
            command = [sys.executable, __file__, "--rounds", str(options.rounds)]
            command += ["--measure", reader, str(small), str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[reader] = json.loads(done.stdout)
        several = sync(Path(place), options.rows, options.files)
    print(f"{megabytes:.0f} MB of .wandb, {options.rows} rows")
    for reader, name in (("peer", "the SDK's reader"), ("ours", "etl.sources.wandb_offline")):
        cpu, wall, values, peak = found[reader]
        speeds = f"{megabytes / cpu:6.1f} MB/CPU s {megabytes / wall:6.1f} MB/s"
        print(f"{name:<26} {speeds}  {values} values  peak {peak:.0f} MB")
    cpu, wall = (found["peer"][clock] / found["ours"][clock] for clock in (0, 1))
    print(f"speed against the SDK's    {cpu:6.1f} {wall:15.1f}  (target 10)")
    wall = several / (megabytes / found["peer"][1])
    print(f"{'a sync of ' + str(options.files) + ' files':<41} {several:6.1f} MB/s, or {wall:.1f}")


if __name__ == "__main__":
    main()
