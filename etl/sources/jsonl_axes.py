"""A line of another program's log -> which of its keys are step, time and run, and who it is of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.sources.facts import Facts
from etl.sources.reading import RUNTIME_KEYS, TIME_KEYS

RUN_KEYS = ("run_id", "run", "run_name", "experiment")
CONFIG_KEYS = ("config", "args", "hparams", "hyperparameters", "params")
_LINES = 20  # of the beginning, in which a row must be
_NATIVE_LENGTH = 4  # a shorter run_id ("1") may well be used in every file
# A file or folder of one of these names says nothing about its run; the folder around it does.
_GENERIC = ("metrics", "log", "logs", "train", "training", "history", "output", "outputs", "run")


@dataclass(frozen=True, slots=True)
class Axes:
    """Which keys are no metrics: the step, the time, and the text that names each row's run.

    ``roles`` has those that the first row has; what they are holds for the whole file. A key with
    dots may be a path into nested objects.
    """

    step: str
    time: str | None
    run: str | None
    roles: Mapping[str, str]

    @property
    def none(self) -> list[str]:
        """Every key that is no metric, should a line have it."""
        return [self.step, "_step", *RUNTIME_KEYS, *(key for key in (self.time, self.run) if key)]


def of_head(head: bytes, step_keys: Sequence[str]) -> Axes | None:
    """Return the axes of a log that begins with *head*, as its first row has them, or None."""
    for value in _objects(head):
        step = next((path for key in step_keys if (path := _path(value, key))), None)
        outer = step.split(".")[0] if step and step not in value else step
        numbers = (int, float, dict)
        if step and any(isinstance(v, numbers) for k, v in value.items() if k != outer):
            time = next((key for key in TIME_KEYS if key in value), None)
            run = next((key for key in RUN_KEYS if isinstance(value.get(key), str)), None)
            found = {"_step": "log index", **dict.fromkeys(RUNTIME_KEYS, "runtime")}
            found = {key: role for key, role in found.items() if key in value}
            found |= {time: "wall time"} if time else {}
            found |= {run: "run"} if run else {}
            return Axes(step, time, run, found | {step: "step"})
    return None


def of_facts(facts: Facts) -> Axes | None:
    """Return the axes that an earlier read decided on."""
    keys = {role: key for key, role in facts.roles.items()}
    step = keys.get("step")
    return Axes(step, keys.get("wall time"), keys.get("run"), facts.roles) if step else None


def _objects(head: bytes) -> list[dict[str, Any]]:
    found = []
    for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:_LINES]:
        try:
            # a line that is not UTF-8 still shows whose log this is; reading it is another matter
            value = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _path(value: Mapping[str, Any], key: str) -> str | None:
    """Return where in *value* a number stands under *key*, in a nested object too, or None."""
    if _number(value.get(key)):
        return key
    inner: Any = value
    path = key.replace("/", ".")
    for part in path.split("."):
        inner = inner.get(part) if isinstance(inner, dict) else None
    return path if _number(inner) else None


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def config_in(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config in an object without a step, as programs write at their start, or None."""
    values = (found.get(key) for key in CONFIG_KEYS)
    return next((value for value in values if isinstance(value, dict)), None)


def log_facts(path: Path, first: bytes) -> Facts:
    """Return the facts of the run whose log *path* is; *first* is the file's first line.

    The id is of name and first line, which stay when the file grows, is copied or moved. The name
    is the file's or, where that says nothing, that of the nearest folder which says something.
    """
    names = [path.stem, *(folder.name for folder in path.resolve().parents)]
    name = next((name for name in names if name and name.lower() not in _GENERIC), path.stem)
    # the name too: two runs of one seed may well begin with the same line
    run_id = own_id(name.encode("utf-8", "surrogatepass"), first)
    return Facts(run_id=run_id, segment_id=run_id, id_known=False, name=name, tells_end=False)


def named_facts(axes: Axes, word: str, first: bytes) -> Facts:
    """Return the facts of a run that its rows call *word*; *first* is the line of the first."""
    native = axes.run == "run_id" and len(word) >= _NATIVE_LENGTH
    run_id = word if native else own_id(word.encode("utf-8", "replace"), first)
    return Facts(run_id=run_id, segment_id=run_id, id_known=native, name=word, tells_end=False)


def own_id(*pieces: bytes) -> str:
    """Return an id of our own that is the same for the same *pieces*."""
    return "jsonl-" + hashlib.blake2b(b"\n".join(pieces), digest_size=5).hexdigest()
