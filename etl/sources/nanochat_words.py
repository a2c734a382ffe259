"""nanochat's own words for stages, folders and values -> ours. Shared by its readers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from etl import catalog
from etl.sources.frames import POINTS

# How nanochat calls the checkpoints of a stage: in folder names, --source and file names.
STAGES = {
    "base": "pretraining",
    "mid": "midtraining",
    "sft": "sft",
    "chatsft": "sft",
    "rl": "rl",
    "chatrl": "rl",
}
PROJECTS = {stage: project for project, stage in catalog.PROJECT_STAGES.items()}
SCRIPTS = {
    "tokenizer": "tok_train",
    "pretraining": "base_train",
    "midtraining": "mid_train",
    "sft": "chat_sft",
    "rl": "chat_rl",
}


Row = tuple[str, int, float | None, str | None]  # key, step, value, text

_LOADS = {"midtraining": "pretraining", "sft": "pretraining", "rl": "sft"}


def loaded_stage(stage: str | None, source: object) -> str | None:
    """Return the stage whose checkpoint a training of *stage* began from.

    *source* is the word of its ``--source``; without one it is what nanochat's script loads.
    """
    if stage not in _LOADS:
        return None
    return STAGES.get(str(source)) if source else _LOADS[stage]


def own_id(prefix: str, *parts: object) -> str:
    """Return an id of ours, made of *parts* alone."""
    content = json.dumps(parts, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
    return f"{prefix}-" + hashlib.blake2b(content, digest_size=5).hexdigest()


def run_name(config: Mapping[str, Any]) -> str | None:
    """Return the W&B name that a run was given; "dummy" is how nanochat spells none."""
    name = config.get("run") or config.get("wandb_run_name")
    return str(name) if name and name != "dummy" else None


def number(value: Any) -> float | None:
    """Return *value* as a float if it is a number and no bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """Return *value* if it can be a count or a step: a whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Return *rows* as points; none of these files states a time for a value."""
    return pl.DataFrame([(*row, None) for row in rows], schema=POINTS, orient="row")
