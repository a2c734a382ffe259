"""Lines of JSON objects -> points, events and rejects, one line after the other.

This is the meaning of a JSONL log; ``jsonl_columns`` gives the same for large files, in columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from etl.sources.facts import clean
from etl.sources.frames import POINTS
from etl.sources.reading import Reject
from hooks import record

MAX_STEP = 2**53


@dataclass(frozen=True, slots=True)
class Event:
    """A line that is not history, and where it stands."""

    value: dict[str, Any]
    place: Reject


@dataclass(frozen=True, slots=True)
class Lines:
    """A slice of a JSONL file. ``rows`` counts history lines, ``end`` is where the slice ended.

    ``wide`` holds points in columns, as ``Part.rows`` does, and ``points`` the others.
    """

    points: pl.DataFrame
    events: tuple[Event, ...]
    rejects: tuple[Reject, ...]
    rows: int
    end: int
    wide: pl.DataFrame | None = None


def parse(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    """Return what the lines of *data*, which begin at byte *start* and line *first*, hold."""
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    events: list[Event] = []
    rejects: list[Reject] = []
    rows, at = 0, start
    for number, line in enumerate(data.split(b"\n")[:-1], first):
        begin, at = at, at + len(line) + 1
        if not line.strip():
            continue
        found = object_of(line)
        if isinstance(found, str):
            rejects.append(Reject(begin, found, line, number))
        elif record.KIND in found:
            events.append(Event(found, Reject(begin, "", line, number)))
        elif (step := _step(_at(found, step_key))) is None:
            rejects.append(Reject(begin, _no_step(found, step_key), line, number))
        else:
            try:
                add_row(columns, found, step, step_key, time_key)
            except RecursionError:
                rejects.append(Reject(begin, "nested too deep", line, number))
                continue
            rows += 1
    return Lines(pl.DataFrame(columns, schema=POINTS), tuple(events), tuple(rejects), rows, at)


def object_of(line: bytes) -> dict[str, Any] | str:
    """Return the object in *line*, or why there is none."""
    text = line.removeprefix(b"\xef\xbb\xbf")
    try:
        value = json.loads(text.decode("utf-8"))
        # two quotes for each key and each text, unless a key is repeated: the hook costs 4x
        if isinstance(value, dict) and text.count(b'"') != 2 * len(value) + 2 * sum(
            isinstance(item, str) for item in value.values()
        ):
            value = json.loads(text.decode("utf-8"), object_pairs_hook=last_wins)
    except UnicodeDecodeError:
        return "not UTF-8"
    except (ValueError, RecursionError):
        return "not JSON"
    return value if isinstance(value, dict) else "not a JSON object"


def last_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of *pairs* in which a repeated key has its last value; null is no value."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if value is not None or key not in found:
            found[key] = value
    return found


def row_of(line: bytes, step_key: str) -> tuple[dict[str, Any], int] | None:
    """Return the history row in *line* and its step, or None where ``parse`` would find no row."""
    found = object_of(line)
    if isinstance(found, str) or record.KIND in found:
        return None
    step = _step(_at(found, step_key))
    return None if step is None else (found, step)


def _at(found: dict[str, Any], key: str) -> Any:
    """Return what stands under *key*, which may be a path into nested objects: ``outer.inner``."""
    if key in found or "." not in key:
        return found.get(key)
    outer, inner = key.split(".", 1)
    value = found.get(outer)
    return _at(value, inner) if isinstance(value, dict) else None


def _step(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < MAX_STEP and value == int(value) else None


def _no_step(found: dict[str, Any], step_key: str) -> str:
    if _at(found, step_key) is None and step_key not in found:
        return f"no {step_key!r}"
    return f"{step_key!r} is not a whole number"


def add_row(
    columns: dict[str, list[Any]],
    row: dict[str, Any],
    step: int,
    step_key: str,
    time_key: str | None,
) -> None:
    """Append a point for each entry of *row* but its step and time; null is no point."""
    ts = record.number(row.get(time_key)) if time_key else None
    points = []  # first all, then appended: a row that fails leaves nothing behind
    for key, value in _flat(row):
        if key not in (step_key, time_key) and value is not None:
            number = record.number(value)
            text = None if number is not None else _text(value)
            points.append((record.unescape(clean(key)), step, number, text, ts))
    if points:
        for name, values in zip(POINTS, zip(*points, strict=True), strict=True):
            columns[name] += values


def _flat(row: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the entries of *row*, those of dicts in it under ``outer.inner``."""
    entries: list[tuple[str, Any]] = []
    for key, value in row.items():
        if isinstance(value, dict) and "_type" not in value:
            entries.extend(_flat(value, f"{prefix}{key}."))
        else:
            entries.append((prefix + key, value))
    return entries


def _text(value: Any) -> str:
    return clean(value if isinstance(value, str) else json.dumps(value, sort_keys=True))
