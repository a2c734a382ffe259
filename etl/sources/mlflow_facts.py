"""What MLflow keeps of a run beside its metrics -> facts. The same in a file store and a database.

The user, the host and the folders that MLflow notes are left out.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from etl.sources import places
from etl.sources.facts import Facts

_PLAIN = re.compile(r"[\[({]|[-+.\d]|True$|False$|None$")
_LONGEST = 8000  # of a parameter whose text is looked into
_STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_ENDED = {"FINISHED": 0, "FAILED": 1, "KILLED": 1}  # and the exit code that comes nearest
_OWN_TAGS = {"mlflow.runName": "name", "mlflow.parentRunId": "parent_run_id"}
_DELETED = "deleted in MLflow"


def bare(run_id: str, experiment: str | None) -> Facts:
    """Return the facts of a file that tells its run's id alone."""
    return Facts(run_id, run_id, source_project=experiment, tells_end=False)


def with_state(facts: Facts, run: Mapping[str, Any]) -> Facts:
    """Return *facts* with what a run's own record says: name, state, times in milliseconds."""
    status = run.get("status")
    number = _whole(status)
    state = _STATES.get(number, "") if number is not None else str(status or "").upper()
    deleted = run.get("lifecycle_stage") == "deleted"
    return dataclasses.replace(
        facts,
        name=facts.name or run.get("run_name") or run.get("name") or None,
        started_at=_seconds(run.get("start_time")),
        ended_at=_seconds(run.get("end_time")),
        finished=state in _ENDED,
        exit_code=_ENDED.get(state),
        tells_end=True,
        notes=". ".join(filter(None, (facts.notes, _DELETED if deleted else None))) or None,
    )


def with_tag(facts: Facts, key: str, value: str) -> Facts:
    """Return *facts* with one tag; those of MLflow's own that say nothing of the training fall."""
    if not value:
        return facts
    changes: dict[str, Any] = {}
    if key in _OWN_TAGS:
        changes[_OWN_TAGS[key]] = value
    elif key == "mlflow.note.content":
        changes["notes"] = ". ".join(filter(None, (value, facts.notes)))
    elif key == "mlflow.source.name":
        changes["script"] = places.last_name(value)
    elif key == "mlflow.source.git.commit":
        changes["versions"] = {**facts.versions, "git": value}
    elif not key.startswith("mlflow.") and "@" not in value:
        changes["tags"] = tuple(sorted({*facts.tags, f"{key}={value}"}))
    return dataclasses.replace(facts, **changes)


def with_param(facts: Facts, key: str, value: str) -> Facts:
    """Return *facts* with one parameter, as the number, truth value or list that its text is."""
    return dataclasses.replace(facts, config={**facts.config, key: _typed(value)})


def _typed(text: str) -> Any:
    if not _PLAIN.match(text) or "_" in text or len(text) > _LONGEST:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    if isinstance(value, tuple):
        value = list(value)
    return value if isinstance(value, (int, float, list, dict, type(None))) else text


def _seconds(milliseconds: Any) -> float | None:
    number = _whole(milliseconds)
    return None if number is None else number / 1000


def _whole(value: Any) -> int | None:
    try:
        return int(value) if value is not None and not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None
