"""200 random kills: what log() returned for is there, and sync reads all of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import killed
import pytest

ROOT = Path(__file__).resolve().parents[2]


def whole_lines(path):
    """Return the objects in the whole lines of *path*, and whether a torn one follows them."""
    *whole, rest = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole], bool(rest)


@pytest.mark.slow
def test_of_200_random_kills_none_loses_a_line_that_log_has_returned_for(tmp_path, run_module):
    """SIGTERM and SIGKILL: the file holds every step in order, then at most one torn line."""
    logs, seed = tmp_path / "logs", random.randrange(2**32)
    done = subprocess.run(
        [sys.executable, killed.__file__, str(logs), "200", str(seed)],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
        check=True,
    )  # fmt: skip
    children = [json.loads(line) for line in done.stdout.splitlines()]
    values = torn = 0
    for child in children:
        (path,) = logs.glob(f"{child['run_id']}.*.jsonl")
        (_, *rows), is_torn = whole_lines(path)
        assert [row["step"] for row in rows] == list(range(len(rows))), (seed, path)
        assert child["promised"] <= len(rows) <= child["promised"] + 1, (seed, child)
        values += sum(len(row) - 2 for row in rows)
        torn += is_torn

    assert {child["death"] for child in children} == {"SIGTERM", "SIGKILL"}
    synced = run_module(
        "etl.sync", "--project", "killed", "--data-dir", tmp_path / "data", "--json", logs
    )
    said = json.loads(synced.stdout.splitlines()[-1])
    assert (said["runs"], said["points"], said["quarantined"]) == (200, values, torn)
    assert synced.returncode == (3 if torn else 0), synced.stderr
