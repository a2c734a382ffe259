"""The public tables: their columns, in order, with SQL types. Data only.

``history`` holds one row for each (run, metric, step): ``value`` is a number that may be NaN or
infinite, ``text`` a metric that is no number; what was not logged has no row. ``ts`` is UTC.
"""

from __future__ import annotations

VERSION = 4

TABLES: dict[str, dict[str, str]] = {
    "runs": {
        "run_id": "VARCHAR",
        "name": "VARCHAR",
        "project": "VARCHAR",
        "source_project": "VARCHAR",
        "stage": "VARCHAR",
        "stage_reason": "VARCHAR",
        "state": "VARCHAR",  # finished, failed, unfinished, or unknown where logs name no end
        "era": "VARCHAR",
        "created_at": "TIMESTAMP",
        "ended_at": "TIMESTAMP",
        "parent_run_id": "VARCHAR",
        "exit_code": "INTEGER",
        "job_type": "VARCHAR",
        "group_name": "VARCHAR",
        "tags": "VARCHAR",  # a JSON list
        "notes": "VARCHAR",
        "script": "VARCHAR",
        "points": "BIGINT",
        "first_step": "BIGINT",
        "last_step": "BIGINT",
    },
    "segments": {
        "run_id": "VARCHAR",
        "segment": "INTEGER",
        "segment_id": "VARCHAR",
        "rank": "INTEGER",
        "started_at": "TIMESTAMP",
        "resume_step": "BIGINT",
        "shift": "BIGINT",  # added to steps that W&B counted from 0 again
        "state": "VARCHAR",
        "exit_code": "INTEGER",
        "points": "BIGINT",
        "first_step": "BIGINT",
        "last_step": "BIGINT",
        "abandoned_from": "BIGINT",  # from this step on a later segment replayed it
        "versions": "VARCHAR",  # a JSON object
    },
    "config": {
        "run_id": "VARCHAR",
        "key": "VARCHAR",
        "value": "VARCHAR",
        "number": "DOUBLE",
        "kind": "VARCHAR",  # requested, or effective: what the run made of it
    },
    "history": {
        "run_id": "VARCHAR",
        "metric": "VARCHAR",
        "step": "BIGINT",
        "value": "DOUBLE",
        "text": "VARCHAR",
        "ts": "TIMESTAMP",
        "segment": "INTEGER",
        "source": "VARCHAR",
    },
    "summary": {
        "run_id": "VARCHAR",
        "metric": "VARCHAR",
        "rule": "VARCHAR",  # last, min, max, best, or reported (by the run itself)
        "value": "DOUBLE",
        "step": "BIGINT",
        "text": "VARCHAR",
    },
    "telemetry": {
        "run_id": "VARCHAR",
        "metric": "VARCHAR",
        "ts": "TIMESTAMP",
        "value": "DOUBLE",
        "segment": "INTEGER",
        "source": "VARCHAR",
    },
    "console": {
        "run_id": "VARCHAR",
        "segment": "INTEGER",
        "source": "VARCHAR",
        "line": "BIGINT",
        "ts": "TIMESTAMP",
        "text": "VARCHAR",
    },
    "metrics": {
        "metric": "VARCHAR",
        "unit": "VARCHAR",
        "direction": "VARCHAR",  # min or max: which is better
        "family": "VARCHAR",  # loss, accuracy, reward, throughput, efficiency, compute, ...
        "known": "BOOLEAN",  # whether unit and direction are known; they may be known to be none
        "description": "VARCHAR",
        "aliases": "VARCHAR",  # a JSON list of the other spellings in this project
        "runs": "BIGINT",
        "points": "BIGINT",
    },
    "keys": {
        "run_id": "VARCHAR",
        "source": "VARCHAR",
        "key": "VARCHAR",  # as the source spells it
        "metric": "VARCHAR",
        "role": "VARCHAR",  # metric, summary, step, log index, wall time, runtime
        "points": "BIGINT",
    },
    "disagreements": {
        "run_id": "VARCHAR",
        "metric": "VARCHAR",
        "source": "VARCHAR",  # whose values are kept
        "other": "VARCHAR",
        "points": "BIGINT",
        "largest": "DOUBLE",  # greatest relative difference
    },
    "quarantine": {
        "file": "VARCHAR",
        "line": "BIGINT",  # NULL where the file has no lines
        "at_byte": "BIGINT",
        "reason": "VARCHAR",
        "bytes": "BIGINT",
        "raw": "BLOB",  # the first 64 KiB
        "path": "VARCHAR",
    },
}

SORT: dict[str, tuple[str, ...]] = {
    "runs": ("run_id",),
    "segments": ("run_id", "segment"),
    "config": ("run_id", "kind", "key"),
    "history": ("run_id", "metric", "step"),
    "summary": ("run_id", "metric", "rule"),
    "telemetry": ("run_id", "metric", "ts"),
    "console": ("run_id", "segment", "source", "line"),
    "metrics": ("metric",),
    "keys": ("run_id", "source", "key"),
    "disagreements": ("run_id", "metric", "source", "other"),
    "quarantine": ("file", "at_byte", "reason"),
}

# What a snapshot leaves out: places on one machine, and raw bytes and lines, which may hold
# anything; of the lines it keeps a redacted tail where project.toml asks for one.
LOCAL = ("console",)
PRIVATE: dict[str, tuple[str, ...]] = {"quarantine": ("raw", "path")}
