"""The ``run.json`` that ``etl.pull`` puts beside a run's history -> the facts of that run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from etl.sources import wandb_facts
from etl.sources.facts import Facts
from etl.sources.reading import Part, Reading, Reject

NAME = "run.json"
_STATED = ("id", "project", "state")
_KEYS = (*_STATED, "entity", "config")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is the ``run.json`` of an export: by its name and the keys of its head."""
    if path.name != NAME or not head.lstrip().startswith(b"{"):
        return False
    return all(f'"{key}"'.encode() in head for key in _KEYS)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return the facts of a ``run.json``; the history stands in files of its own."""
    data = path.read_bytes()
    document = _document(data)
    if document is None:
        reason = "the run.json of an export is cut or damaged; pull the run again"
        return Reading((), (Reject(0, reason, data),), len(data))
    return Reading((Part(stated(document)),), (), len(data))


def beside(path: Path) -> dict[str, Any] | None:
    """Return the ``run.json`` in the folder of *path*, if it is of W&B and names its run."""
    try:
        return _document(path.with_name(NAME).read_bytes())
    except OSError:
        return None


def stated(document: dict[str, Any]) -> Facts:
    """Return what a ``run.json`` says."""
    tags, machine = document.get("tags"), document.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    versions = {"python": machine.get("python"), "cuda": machine.get("cudaVersion")}
    versions |= {"git": document.get("commit")}
    facts = Facts(
        run_id=document["id"],
        segment_id=document["id"],
        name=document.get("name"),
        source_project=document["project"] or None,
        script=wandb_facts.script(document.get("script")),
        started_at=wandb_facts.epoch(document.get("created_at")),
        job_type=document.get("job_type") or None,
        group=document.get("group") or None,
        notes=document.get("notes") or None,
        tags=tuple(sorted(map(str, tags))) if isinstance(tags, list) else (),
        effective=wandb_facts.accelerators(machine),
        versions=wandb_facts.versions(versions),
        summary=wandb_facts.summary(document.get("summary")),
    )
    facts = wandb_facts.with_config(facts, wandb_facts.config(document.get("config")))
    ended = wandb_facts.epoch(document.get("heartbeat_at"))
    return wandb_facts.with_state(facts, document["state"], ended)


def _document(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in _STATED):
        return None
    return value if value["id"] else None
