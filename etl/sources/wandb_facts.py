"""What W&B's own files and folders say of a run, in the forms that several of them share."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from etl.sources.facts import Facts
from etl.sources.private import public

# The id that W&B gives a run: eight characters of base 36. A word, a number and a word with its
# number (``seed2026``) may be anything; one id in twenty looks so, and is not taken for one either.
RUN_ID = re.compile(r"(?![a-z]*\d*$)(?=.*[a-z])[a-z0-9]{8}")
_RUN_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(?P<id>[A-Za-z0-9_.-]+)")
_GPUS = re.compile(r"\[(?P<first>[^,\]]+)[^\]]*\]")
_GENERIC = (
    "history",
    "metrics",
    "log",
    "logs",
    "run",
    "output",
    "outputs",
    "wandb",
    "files",
    "0000",
)


def run_folder(path: Path) -> str | None:
    """Return the run id in the name of the W&B run folder that *path* lies in, or None."""
    found = (_RUN_FOLDER.fullmatch(name) for name in reversed(path.parts[:-1]))
    return next((match["id"] for match in found if match), None)


def id_beside(word: str, name: str) -> str | None:
    """Return the run id that stands in *name* next to *word*, if one plainly does."""
    tokens = re.split(r"[_.-]+", name)
    near = [
        tokens[at + by]
        for at, token in enumerate(tokens)
        if token == word
        for by in (-1, 1)
        if 0 <= at + by < len(tokens)
    ]
    ids = [token for token in near if RUN_ID.fullmatch(token)]
    return ids[0] if len(ids) == 1 else None


def own_id(kind: str, *content: Any) -> str:
    """Return an id for a run that none is stated of: the same for the same *content*."""
    text = json.dumps(content, sort_keys=True, default=str)
    return f"{kind}-{hashlib.blake2b(text.encode(), digest_size=5).hexdigest()}"


def name_of(path: Path) -> str:
    """Return the name of a file, or of the nearest folder whose name says something."""
    names = [path.name.split(".", 1)[0], *(folder.name for folder in path.parents)]
    return next((name for name in names if name and name.lower() not in _GENERIC), path.stem)


def epoch(value: Any) -> float | None:
    """Return a time of W&B, as text or as seconds since the epoch; without a zone it is UTC."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 < value < 2**33 else None
    try:
        time = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()


def script(program: Any) -> str | None:
    """Return the last part of a path, or a module, of what W&B calls the program."""
    if not isinstance(program, str):
        return None
    name = program.removeprefix("-m ").strip().replace("\\", "/").rsplit("/", 1)[-1]
    return name or None


def accelerators(values: dict[str, Any]) -> dict[str, Any]:
    """Return the kind and number of GPUs that W&B's metadata name."""
    gpu = values.get("gpu")
    if isinstance(gpu, str) and (several := _GPUS.fullmatch(gpu)):
        gpu = several["first"]
    found = {"gpu": gpu, "gpu_count": values.get("gpu_count")}
    return {k: v for k, v in found.items() if isinstance(v, (str, int)) and v not in ("", "[]")}


def versions(values: dict[str, Any]) -> dict[str, str]:
    """Return those of *values* that are versions, as text."""
    found = {key: value for key, value in values.items() if isinstance(value, (str, float))}
    return {key: str(value).removeprefix("CPython ") for key, value in found.items() if value}


def config(values: Any) -> dict[str, Any]:
    """Return a config as the script gave it, nothing of W&B's own and nothing private."""
    if not isinstance(values, dict):
        return {}
    own = {key: value for key, value in values.items() if key not in ("_wandb", "wandb_version")}
    return {key: value for key, value in public(own).items() if value is not None}


def with_config(facts: Facts, values: dict[str, Any]) -> Facts:
    """Return *facts* with a config, and with what our own hooks put into it."""
    own = values.pop("runatlas", None)
    facts = dataclasses.replace(facts, config=values)
    if not isinstance(own, dict):
        return facts
    stage = own.get("stage")
    return dataclasses.replace(
        facts,
        stage=stage,
        stage_from="the run's own config" if stage else None,
        resume_step=own.get("resume_step"),
        resumed=own.get("resume_step") is not None,
        parent_run_id=own.get("parent_run_id"),
    )


def summary(values: Any) -> dict[str, Any]:
    """Return a summary without W&B's own entries and without gaps."""
    if not isinstance(values, dict):
        return {}
    kept = {key: value for key, value in values.items() if not str(key).startswith("_")}
    return {key: value for key, value in public(kept).items() if value is not None}


def with_state(facts: Facts, state: Any, ended_at: float | None = None) -> Facts:
    """Return *facts* with W&B's word for how the run is.

    ``failed`` is W&B's word for an exit code other than 0; which one it does not say. A ``crashed``
    run only stopped to report, so that nothing is known of its end.
    """
    if state not in ("finished", "failed"):
        return facts
    code = 0 if state == "finished" else 1
    return dataclasses.replace(facts, finished=True, exit_code=code, ended_at=ended_at)
