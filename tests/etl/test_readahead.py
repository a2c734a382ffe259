"""Reading on all cores, and once: who reads a file, and when, changes nothing of what is read."""

from __future__ import annotations

import json
import os

import pytest
import wandb_files

from etl import readahead
from etl import sync as command
from etl.sources import foreign_jsonl, hooks_jsonl


def curve(step):
    return round(3.0 - (step * 31 % 97) / 97, 6)


def wandb_runs(folder, count, rows):
    for number in range(count):
        records = [wandb_files.run(f"w{number}", started=1_800_000_000 + number)]
        records += [
            wandb_files.history({"_step": at, "step": at, "train/loss": curve(at) + number})
            for at in range(rows)
        ]
        path = folder / f"run-w{number}.wandb"
        path.write_bytes(wandb_files.pack([*records, wandb_files.exit_record()])[0])


def synced(data, *paths):
    """Sync into a new project; return its snapshot and what the command line says of it."""
    code = command.main(["--project", "p", "--data-dir", str(data), "--json", *map(str, paths)])
    return (data / "p" / "snapshots" / "latest").read_text(), code


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_files_read_by_processes_give_the_snapshot_that_one_process_gives(
    tmp_path, monkeypatch, killed
):
    """Also where the system ends the processes: their files are read here, then."""
    logs = tmp_path / "logs"
    logs.mkdir()
    wandb_runs(logs, 3, 400)
    (logs / "run-damaged.wandb").write_bytes((logs / "run-w0.wandb").read_bytes()[:9000])
    alone = synced(tmp_path / "alone", logs)
    began, pool_of = [], readahead._pool

    def pool(count):
        began.append(pool_of(count))
        if killed:
            began[0].submit(os._exit, 1)
        return began[0]

    monkeypatch.setattr(readahead, "_SMALL_BYTES", 0)
    monkeypatch.setattr(readahead, "_PYTHON_BYTES", 0)
    monkeypatch.setattr(readahead, "_processes", lambda: 2)
    monkeypatch.setattr(readahead, "_pool", pool)

    assert synced(tmp_path / "together", logs) == alone
    assert len(began) == 1


def test_two_logs_of_one_run_are_each_read_once_by_the_first_sync(tmp_path, monkeypatch):
    """That the second is of the same run shows only when both are read."""
    logs = tmp_path / "logs"
    logs.mkdir()
    rows = [{"step": step, "train/loss": curve(step)} for step in range(600)]
    header = {"_kind": "run", "_ts": 1.0, "v": 1, "run_id": "r", "segment": "s", "rank": 0}
    (logs / "r.s.rank0.1.jsonl").write_text("\n".join(map(json.dumps, [header, *rows])) + "\n")
    (logs / "other.jsonl").write_text("\n".join(map(json.dumps, rows[::2])) + "\n")
    read = []

    def counted(module):
        plain = module.read

        def counting(path, *rest, **more):
            read.append(path.name)
            return plain(path, *rest, **more)

        monkeypatch.setattr(module, "read", counting)

    counted(hooks_jsonl)
    counted(foreign_jsonl)
    together, _ = synced(tmp_path / "together", logs)
    first = sorted(read)
    later = tmp_path / "later"
    synced(later, logs / "other.jsonl")

    assert synced(later, logs / "r.s.rank0.1.jsonl")[0] == together
    assert first == ["other.jsonl", "r.s.rank0.1.jsonl"]
