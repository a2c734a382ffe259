"""MLflow's file stores and databases -> facts and points of their runs, without MLflow.

A store is ``EXPERIMENT/RUN/`` with ``meta.yaml`` and a small file for each metric, parameter and
tag. Each is read by itself and is of the run that the ``meta.yaml`` above it names.
Format: mlflow/store/tracking/file_store.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import mlflow_db, mlflow_facts
from etl.sources.facts import Facts, clean
from etl.sources.frames import POINTS
from etl.sources.jsonl_rows import MAX_STEP
from etl.sources.reading import Part, Reading, Reject

_META = "meta.yaml"
_KINDS = ("metrics", "params", "tags")
_RUN = re.compile(rb"^(run_id|run_uuid): *\S", re.MULTILINE)
_EXPERIMENT = re.compile(rb"^artifact_location:", re.MULTILINE)
_ENTRY = re.compile(r"([A-Za-z_][\w.]*):(?: (.*))?")
_HEX = re.compile(r"\\x([0-9a-fA-F]{2})")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a file of a run in a store, an experiment's, or a database of MLflow."""
    if path.name == _META:
        return bool(_RUN.search(head) or _EXPERIMENT.search(head))
    return _place(path) is not None or mlflow_db.recognises(path, head)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001  always whole
    """Return what *path* holds."""
    place = None if path.name == _META else _place(path)
    if place is None and path.name != _META:
        return mlflow_db.read(path)
    data = path.read_bytes()
    if place is None:
        return _of_meta(path, data)
    folder, kind, key = place
    run = _fields((folder / _META).read_bytes())[0]
    facts = mlflow_facts.bare(_id(run), _experiment(folder))
    if kind == "metrics":
        return _of_metric(key, data, facts)
    text = clean(data.decode("utf-8", "replace"))
    change = mlflow_facts.with_param if kind == "params" else mlflow_facts.with_tag
    return Reading((Part(change(facts, key, text)),), (), len(data))


def _place(path: Path) -> tuple[Path, str, str] | None:
    """Return (folder of the run, kind of file, key) if *path* is one of a run's small files."""
    parts = path.parts
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] in _KINDS:
            folder = Path(*parts[:at])
            try:
                meta = (folder / _META).read_bytes()
            except OSError:
                continue
            if _RUN.search(meta):
                return folder, parts[at], "/".join(parts[at + 1 :])
    return None


def _of_meta(path: Path, data: bytes) -> Reading:
    fields, rejects = _fields(data)
    if not _id(fields):
        name = fields.get("name")
        return Reading((), tuple(rejects), len(data), (f"experiment {name}; it holds no run",))
    facts = mlflow_facts.bare(_id(fields), _experiment(path.parent))
    return Reading((Part(mlflow_facts.with_state(facts, fields)),), tuple(rejects), len(data))


def _of_metric(key: str, data: bytes, facts: Facts) -> Reading:
    """Return the points of a file of lines ``milliseconds value [step [dataset digest]]``."""
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    rejects: list[Reject] = []
    at = 0
    *lines, torn = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        begin, at = at, at + len(line) + 1
        if not line.strip():
            continue
        try:
            ts, value, *rest = line.split()
            step = int(rest[0]) if rest else 0
            row = (key, step, float(value), None, int(ts) / 1000)
        except (ValueError, OverflowError):
            row = None
        if row is None or len(rest) not in (0, 1, 3) or not abs(row[1]) < MAX_STEP:
            rejects.append(Reject(begin, "no line of a metric: time, value, step", line, number))
            continue
        for name, item in zip(POINTS, row, strict=True):
            columns[name].append(item)
    if torn:
        reason = "torn last line: no newline yet; the next sync reads it again"
        rejects.append(Reject(at, reason, torn, len(lines) + 1))
    points = pl.DataFrame(columns, schema=POINTS)
    facts = facts.counted(points.height, points, {})
    return Reading((Part(facts, points),), tuple(rejects), len(data))


def _id(fields: dict[str, str | None]) -> str:
    return fields.get("run_id") or fields.get("run_uuid") or ""


def _experiment(folder: Path) -> str | None:
    """Return the name of the experiment whose run lies in *folder*."""
    try:
        return _fields((folder.parent / _META).read_bytes())[0].get("name")
    except OSError:
        return None


def _fields(data: bytes) -> tuple[dict[str, str | None], list[Reject]]:
    """Return the entries of a flat YAML file as MLflow writes it, and the lines that are none.

    A long text goes on in indented lines, with a space for each line's end.
    """
    fields: dict[str, str] = {}
    rejects: list[Reject] = []
    key, at = "", 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        begin, at = at, at + len(raw) + 1
        line = raw.decode("utf-8", "replace").rstrip("\r")
        entry = _ENTRY.fullmatch(line)
        if entry:
            key = entry.group(1)
            fields[key] = entry.group(2) or ""
        elif key and line.startswith(" "):
            before = fields[key]
            fields[key] = (
                before.removesuffix("\\") + line.lstrip().removeprefix("\\")
                if before.endswith("\\")
                else f"{before} {line.strip()}"
            )
        elif line.strip() and not line.startswith(("#", "- ")):
            reason = "a line of meta.yaml that is no entry"
            rejects.append(Reject(begin, reason, raw, number))
    return {key: _scalar(text.strip()) for key, text in fields.items()}, rejects


def _scalar(text: str) -> str | None:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(_HEX.sub(r"\\u00\1", text), strict=False))
        except ValueError:
            return text[1:-1]
    return None if text in ("", "null", "~") else text
