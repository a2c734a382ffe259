"""What ``hooks.init`` is given and finds -> the fields of a log file's first line."""

from __future__ import annotations

import operator
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from hooks import ranks, record

_VERSIONED = ("torch", "numpy", "wandb", "transformers")


def header(
    now: float,
    *,
    project: str,
    name: str | None,
    stage: str | None,
    run_id: str | None,
    resume: int | bool | None,
    parent: str | None,
    source_project: str | None = None,
) -> dict[str, Any]:
    """Return the fields of the file's first line but the config."""
    identity = str(run_id or ranks.new_id())
    return {
        "v": record.VERSION,
        "run_id": identity,
        "segment": _base36(int(now * 1000))
        + ranks.random_text(3),  # two of one millisecond stay two
        "project": project,
        "source_project": source_project or project,
        "name": str(name or identity),
        "stage": None if stage is None else str(stage),
        "script": _script(),
        "rank": ranks.rank(),
        "world_size": ranks.world_size(),
        "resumed": resume is not None and resume is not False,
        "resume_step": _whole(resume),
        "parent_run_id": None if parent is None else str(parent),
        "versions": _versions(),
    }


def folder_of(project: str, given: str | os.PathLike[str] | None) -> Path:
    """Return the folder that log files go to.

    Raises:
        ValueError: *project* is no name for a folder, and nothing else says where.
    """
    chosen = given or os.environ.get("RUNATLAS_DIR")
    if chosen:
        return Path(chosen)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", project):
        raise ValueError(f"project {project!r} is no name for a folder; give dir= as well")
    return Path("data", project, "raw")


def _whole(value: Any) -> int | None:
    """Return *value* as an int if it is a whole number of any make, else None: True is none."""
    if value is None or isinstance(value, bool):
        return None
    return operator.index(value)


def _base36(value: int) -> str:
    digits = ""
    while value:
        value, rest = divmod(value, 36)
        digits = ranks.ALPHABET[rest] + digits
    return digits or "0"


def _script() -> str | None:
    """Return the script's module or file name; its path and arguments may hold secrets."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).name if file else None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        version = getattr(sys.modules.get(name), "__version__", None)  # never imported for this
        if version is not None:
            versions[name] = str(version)
    return versions
