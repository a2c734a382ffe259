"""A script of a test's own, run by Python and by ``hooks.run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAIN = [sys.executable]
# -S: no site-packages, and so a Python without W&B
BARE = [sys.executable, "-S"]


def environment(**more):
    """Return the environment of a script that finds our packages from anywhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return {**kept, "PYTHONPATH": str(ROOT), "WANDB_SILENT": "true", **more}


def plain(folder, *command, python=PLAIN, **more):
    """Run ``python *command*`` in *folder*."""
    return subprocess.run(
        [*python, *map(str, command)],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        check=False,
        timeout=120,
    )


def hooked(folder, *command, options=(), python=PLAIN, **more):
    """Run ``python -m hooks.run -- *command*`` in *folder*; its log is in ``folder/raw``."""
    own = ["-m", "hooks.run", "--project", "p", "--dir", "raw", *options, "--"]
    return plain(folder, *own, *command, python=python, **more)


def logs(folder):
    """Return the lines of each file of *folder*, the oldest first."""
    files = [
        [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
        for path in Path(folder).glob("*.jsonl")
    ]
    return sorted(files, key=lambda lines: lines[0]["_ts"])


def of_kind(lines, kind):
    """Return the lines of *kind*; None is history."""
    return [line for line in lines if line.get("_kind") == kind]


def printed(lines):
    """Return all that was printed, line by line."""
    return [text for line in of_kind(lines, "console") for text in line["lines"]]


def rows(lines):
    """Return history as (step, metrics)."""
    return [
        (line["step"], {key: value for key, value in line.items() if key not in ("step", "_ts")})
        for line in of_kind(lines, None)
    ]
