"""JSONL that another program wrote, one flat or nested object a step -> points of one run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

from etl.sources import jsonl
from etl.sources.hooks_jsonl import SUFFIXES
from etl.sources.reading import (
    HEAD_BYTES,
    RUNTIME_KEYS,
    STEP_KEYS,
    TIME_KEYS,
    Facts,
    Part,
    Reading,
    Source,
)

# A file or folder of one of these names says nothing about its run; the folder around it does.
_GENERIC = ("metrics", "log", "logs", "train", "training", "history", "output", "outputs", "run")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a log of steps: its first complete lines hold a step and a number."""
    return path.suffix.lower() in SUFFIXES and _step_key(head) is not None


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    facts = known[0] if known else None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    # what the first read decided holds for the file, however much of it was there then
    decided = {role: key for key, role in facts.roles.items()} if facts else {}
    step_key = decided.get("step") or _step_key(head) or STEP_KEYS[0]
    keys = {key for value in _objects(head)[:1] for key in value} | set(decided.values())
    time_key = next((key for key in TIME_KEYS if key in keys), None)
    lines = jsonl.read(path, start, step_key, time_key)
    odd = "a line of a runatlas log within another program's"
    events = [dataclasses.replace(event.place, reason=odd) for event in lines.events]
    rejects = [*lines.rejects, *events]
    roles = {step_key: "step"}
    if time_key:
        roles[time_key] = "wall time"
    if step_key != "_step":
        roles["_step"] = "log index"
    roles.update(dict.fromkeys(RUNTIME_KEYS, "runtime"))
    points = lines.points.filter(~lines.points["key"].is_in(list(roles)))
    facts = (facts or _facts(path, head)).counted(
        lines.rows, points, {key: role for key, role in roles.items() if key in keys}
    )
    return Reading((Part(facts, points),), jsonl.numbered(path, start, rejects), lines.end)


def _objects(head: bytes) -> list[dict[str, object]]:
    found = []
    for line in head.split(b"\n")[:20]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _step_key(head: bytes) -> str | None:
    objects = _objects(head)
    for key in STEP_KEYS:
        for value in objects:
            number = isinstance(value.get(key), (int, float)) and not isinstance(value[key], bool)
            if number and any(
                isinstance(other, (int, float, dict))
                for name, other in value.items()
                if name != key
            ):
                return key
    return None


def _facts(path: Path, head: bytes) -> Facts:
    names = [path.stem, *(folder.name for folder in path.resolve().parents)]
    name = next((name for name in names if name and name.lower() not in _GENERIC), path.stem)
    # the name too: two runs of one seed may well begin with the same line
    content = name.encode("utf-8", "surrogatepass") + b"\n" + head.split(b"\n", 1)[0]
    run_id = "jsonl-" + hashlib.blake2b(content, digest_size=5).hexdigest()
    return Facts(run_id=run_id, segment_id=run_id, id_known=False, name=name, tells_end=False)


SOURCE = Source("jsonl", 55, recognises, read, grows=True)
