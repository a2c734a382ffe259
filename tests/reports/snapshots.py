"""A small invented project -> a real snapshot on disk, for the report's tests.

Three configurations go through four stages each. One run diverges to NaN, one has no accuracy, one
is unfinished, one has a hostile name, one measured a true 0.0, one lacks a fourth benchmark.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from etl import history, layout, schema, snapshot
from etl.blocks import History, canonical
from etl.parts import Part, digest, write_part
from etl.project import Project, locate

HOSTILE = "</script><img src=x onerror=alert(1)> \u2028 \u202e%{x} {{7*7}} @ink \"q\" & 'x'"
STAGES = ("pretraining", "midtraining", "sft", "rl")
SHAPES = ((2, 64, 8, 3e-3), (4, 128, 8, 1e-3), (8, 256, 32, 6e-4))
TASKS = ("copy_acc", "sort_acc", "count_acc", "parity_acc")
START = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001  the tables hold UTC without a zone
_TYPES = {
    "VARCHAR": pl.String,
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "TIMESTAMP": pl.Datetime("us"),
    "BLOB": pl.Binary,
}

Row = dict[str, Any]


def frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return *rows* as *table* stands in a snapshot: its columns, its order, nothing private."""
    private = schema.PRIVATE.get(table, ())
    columns = {
        name: _TYPES[kind] for name, kind in schema.TABLES[table].items() if name not in private
    }
    filled = [{name: row.get(name) for name in columns} for row in rows]
    made = pl.DataFrame(filled, schema=columns, orient="row")
    return made.sort(schema.SORT[table], nulls_last=True)


def write(
    data: Path, name: str, tables: Mapping[str, Sequence[Row]], previous: str | None = None
) -> tuple[Project, str]:
    """Write *tables* as the latest snapshot of project *name* and return both."""
    project = locate(name, data)
    tables = {"summary": summary(tables.get("history", ())), **tables}
    logged = frame("history", tables.get("history", ()))
    held = (
        (str(run), canonical([], rows.drop("run_id"), least=20))
        for (run, *_), rows in logged.group_by("run_id", maintain_order=True)
    )
    return publish(project, tables, held, previous)


def publish(
    project: Project,
    tables: Mapping[str, Sequence[Row]],
    histories: Iterable[tuple[str, History]],
    previous: str | None = None,
) -> tuple[Project, str]:
    """Write *tables* and each run's history as the latest snapshot and return it."""
    parts: dict[str, list[Part]] = {kind: [] for kind in snapshot.HISTORY}
    slots, sources, points = [], Counter(), 0
    for run, held in histories:
        for kind, part in history.write_parts(project.parts, run, held):
            parts[kind].append(part)
        slots.append(_slots(run, held))
        sources.update(held.counts("source"))
        points += held.points
    whole = tuple(
        _part(project, table, frame(table, tables.get(table, ())))
        for table in schema.TABLES
        if table != "history" and (table not in schema.LOCAL or tables.get(table))
    )
    if slots:
        whole += (_part(project, "slots", pl.concat(slots)),)
    kinds = {kind: tuple(some) for kind, some in parts.items()}
    identity = snapshot.identify(project.name, whole, kinds)
    manifest = snapshot.Manifest(
        snapshot=identity,
        project=project.name,
        created_at="2026-03-02T00:00:00Z",
        counts={part.key: part.rows for part in whole} | {"history": points},
        sources={str(source or "unknown"): count for source, count in sorted(sources.items())},
        tables=whole,
        history=kinds,
        inputs=({"path": "runs/a.jsonl", "kind": "hooks", "status": "read"},),
        versions={"runatlas": "0"},
        previous=previous,
    )
    snapshot.write_manifest(project, manifest)
    snapshot.point_to(project, identity)
    return project, identity


def _part(project: Project, key: str, rows: pl.DataFrame) -> Part:
    part = Part(key, digest(rows), rows.height)
    write_part(project.parts, part, lambda: rows)
    return part


def _slots(run: str, held: History) -> pl.DataFrame:
    """Return which metric stands in which column of the run's wide rows."""
    rows = [
        (run, place, slot, metric, chunk.segment, chunk.source, chunk.frame.height)
        for place, chunk in enumerate(history.chunks(held))
        for slot, metric in enumerate(chunk.metrics)
    ]
    kinds = layout.PARTS["slots"]
    return pl.DataFrame(rows, schema={c: _TYPES[kind] for c, kind in kinds.items()}, orient="row")


def points(
    run: str,
    metric: str,
    steps: Sequence[int],
    values: Sequence[float | None],
    source: str = "hooks",
) -> list[Row]:
    """Return history rows of one metric of one run."""
    return [
        {
            "run_id": run,
            "metric": metric,
            "step": int(step),
            "value": value,
            "ts": START + timedelta(seconds=int(step) % 1_000_000),
            "segment": 0,
            "source": source,
        }
        for step, value in zip(steps, values, strict=True)
    ]


def catalog(history: Sequence[Row]) -> list[Row]:
    """Return the metric catalog of *history*."""
    known = {
        "train/loss": ("nats/token", "min", "loss"),
        "val/bpb": ("bits/byte", "min", "loss"),
        "train/mfu": ("%", "max", "efficiency"),
        "train/tok_per_sec": ("tokens/s", "max", "throughput"),
        "core_metric": ("fraction", "max", "aggregate"),
        "reward": ("reward", "max", "reward"),
        "train/grad_norm": ("norm", None, "optimiser"),
        "train/lrm": ("ratio", None, "schedule"),
    }
    found: dict[str, tuple[set[str], int]] = {}
    for row in history:
        runs, count = found.get(row["metric"], (set(), 0))
        found[row["metric"]] = (runs | {row["run_id"]}, count + 1)
    rows = []
    for metric, (runs, count) in found.items():
        accuracy = ("fraction", "max", "accuracy") if metric.endswith("_acc") else None
        unit, direction, family = known.get(metric) or accuracy or (None, None, None)
        rows.append(
            {
                "metric": metric,
                "unit": unit,
                "direction": direction,
                "family": family,
                "known": family is not None,
                "aliases": "[]",
                "runs": len(runs),
                "points": count,
            }
        )
    return rows


def summary(history: Sequence[Row]) -> list[Row]:
    """Return what *history* comes to by run, metric and rule, as a sync writes it."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in history:
        if row["value"] is not None:
            found.setdefault((row["run_id"], row["metric"]), []).append(row)
    rows = []
    directions = {row["metric"]: row["direction"] for row in catalog(history)}
    for (run, metric), points in found.items():
        finite = [row for row in points if math.isfinite(row["value"])]
        rules = {"last": max(points, key=lambda row: row["step"])}
        if finite:
            rules["min"] = min(finite, key=lambda row: row["value"])
            rules["max"] = max(finite, key=lambda row: row["value"])
        if directions[metric] in rules:
            rules["best"] = rules[directions[metric]]
        for rule, row in rules.items():
            rows.append(
                {"run_id": run, "metric": metric, "rule": rule}
                | {"value": row["value"], "step": row["step"]}
            )
    return rows


def config(run: str, values: Mapping[str, Any]) -> list[Row]:
    """Return config rows of one run."""
    return [
        {
            "run_id": run,
            "key": key,
            "value": json.dumps(value) if not isinstance(value, str) else value,
            "number": float(value) if isinstance(value, int | float) else None,
            "kind": "requested",
        }
        for key, value in values.items()
    ]


def run_row(run: str, history: Sequence[Row], **more: Any) -> Row:
    """Return a row of the runs table whose counts fit *history*."""
    own = [row for row in history if row["run_id"] == run]
    steps = [row["step"] for row in own]
    row = {"run_id": run, "name": run, "project": "mini", "state": "finished", "points": len(own)}
    row |= {"stage_reason": "stated in the run", "created_at": START}
    row |= {"first_step": min(steps, default=None), "last_step": max(steps, default=None)}
    return row | more


def _history(run: str, shape: int, stage: int, steps: int, rng: np.random.Generator) -> list[Row]:
    at = np.arange(0, steps, 2)
    evals = np.arange(0, steps + 1, 20)
    done = (stage + at / steps) / 4
    loss = 1.2 + 3.2 * np.exp(-6 * done) - 0.18 * shape + rng.normal(0, 0.03, at.size)
    mfu = 18 + 6 * shape - 5 * (stage == 3) + rng.normal(0, 0.5, at.size)
    speed = 9e4 / (shape + 1) ** 1.4 * mfu / 20
    rows = points(run, "train/mfu", at, mfu.tolist()) + points(
        run, "train/tok_per_sec", at, speed.tolist()
    )
    if stage < 3:
        rows += points(run, "train/loss", at, loss.tolist())
    share = (stage + evals / steps) / 4
    rows += points(run, "val/bpb", evals, (1.9 * np.exp(-1.5 * share) + 0.6 - 0.1 * shape).tolist())
    for place, task in enumerate(TASKS):
        reached = (0.15 + 0.1 * shape) * (1 + place / 3) * (1 - np.exp(-2.4 * share))
        values = np.clip(reached + rng.normal(0, 0.012, evals.size), 0.001, 1)
        rows += points(run, task, evals, values.tolist())
    return rows


def mini(data: Path, name: str = "mini") -> tuple[Project, str]:
    """Write the invented project and return it with its snapshot's id."""
    rng = np.random.default_rng(7)
    history: list[Row] = []
    configs: list[Row] = []
    runs: list[Row] = []
    for shape, (depth, dim, batch, rate) in enumerate(SHAPES):
        parent = None
        for stage, word in enumerate(STAGES):
            run = f"d{depth}-{word}"
            own = _history(run, shape, stage, (400, 160, 120, 100)[stage], rng)
            more: Row = {"stage": word, "parent_run_id": parent}
            asked: Row = {"device_batch_size": batch, "learning_rate": rate / (stage + 1)}
            if stage < 2:  # the later stages inherit the model's shape
                asked |= {"depth": depth, "model_dim": dim, "num_params": depth * dim * dim * 12}
            own, more, asked = _special(run, own, more, asked)
            history += own
            configs += config(run, asked | {"seed": 10 * shape + stage, "optimizer": "muon"})
            runs.append(run_row(run, own, **more))
            parent = run
    rejected = {"file": "a.jsonl", "line": 1204, "at_byte": 88_310, "bytes": 211}
    rejected["reason"] = 'not a v1 record (no "step")'
    tables = {"runs": runs, "config": configs, "history": history, "metrics": catalog(history)}
    disagreement = {"run_id": "d4-sft", "metric": "train/loss", "source": "hooks", "other": "wandb"}
    disagreement |= {"points": 3, "largest": 0.0021}
    more_tables = {"quarantine": [rejected], "disagreements": [disagreement]}
    return write(data, name, {**tables, **more_tables})


def _special(run: str, own: list[Row], more: Row, asked: Row) -> tuple[list[Row], Row, Row]:
    """Return the run as it is, or with what makes it one of the awkward ones."""
    if run == "d2-pretraining":  # a true zero, and a step without its fourth benchmark
        zero, gone = ("parity_acc", 40), ("count_acc", 60)
        own = [row | ({"value": 0.0} if _point(row) == zero else {}) for row in own]
        own = [row for row in own if _point(row) != gone]
    elif run == "d2-sft":
        more["name"] = HOSTILE
    elif run == "d4-midtraining":
        own = [row for row in own if not row["metric"].endswith("_acc")]
    elif run == "d8-midtraining":  # diverges at step 100, and goes on logging NaN
        lost = {("train/loss", step) for step in range(100, 1_000)}
        own = [row | ({"value": math.nan} if _point(row) in lost else {}) for row in own]
        more["state"] = "failed"
    elif run == "d8-sft":
        own = [row for row in own if row["step"] <= 70]
        more["state"] = "unfinished"
    elif run == "d4-rl":
        del asked["device_batch_size"]
    return own, more, asked


def _point(row: Row) -> tuple[str, int]:
    return row["metric"], row["step"]
