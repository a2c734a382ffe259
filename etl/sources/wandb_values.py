"""W&B's items -> values under one key each, whichever of its SDKs wrote them.

SDKs up to 0.16 name an item by ``key`` and log a dict, a histogram or a file as one JSON text.
Since 0.18 ``nested_key`` is a path and each leaf an item of its own, so a histogram is three. Both
come out alike: a dict as dotted keys, what has a ``_type`` as one JSON text with sorted names.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from etl.sources import wire
from etl.sources.facts import clean
from hooks import record

# What strange bytes in a record can raise on the way; it costs that record.
BAD_RECORD = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, struct.error)
TYPE = "_type"
Path = tuple[str, ...]


class Entry(NamedTuple):
    """A value of one row under ``path``; of two under one key that with the greater order holds."""

    order: int
    path: Path
    value: Any


class Cell(NamedTuple):
    """A value as a point can hold it: a number or a text, or neither where it is missing.

    ``whole`` is the number as a step, None if it cannot be one.
    """

    number: float | None
    text: str | None
    whole: int | None


# The one text that looks like a number to polars, which reads most of them, and not to JSON.
_ALMOST = re.compile(rb"-?(0|[1-9][0-9]*)\.[eE][+-]?[0-9]+")
_LAST = 2**40  # behind every item of a row
_MAX_STEP = 2**53


def item(body: bytes) -> tuple[Path, Any]:
    """Return (path, value) of a history, summary, config or stats item.

    Raises:
        BAD_RECORD: it is no such item.
    """
    key, nested, value = "", [], None
    for number, data in wire.fields(body):
        if number == 16:
            value = parsed(data)
        elif number == 1:
            key = text_of(data)
        elif number == 2:
            nested.append(text_of(data))
        elif number == 4:
            value = bool(data)
        elif number == 5:
            value = wire.zigzag(data)  # type: ignore[arg-type]
        elif number == 6:
            (value,) = struct.unpack("<d", data)  # type: ignore[arg-type]
        elif number == 7:
            value = text_of(data)
        elif number == 8:
            value = parsed(data)
    return tuple(nested) if nested else (key,), value


def text_of(data: int | bytes) -> str:
    """Return a text field's text."""
    if not isinstance(data, bytes):
        raise wire.MalformedError("a text that is a number")
    return data.decode("utf-8", "replace")


def parsed(data: int | bytes) -> Any:
    """Return a value from its JSON text, which may be a bare NaN or Infinity."""
    if not isinstance(data, bytes):
        raise wire.MalformedError("a value that is not text")
    try:
        return json.loads(data) if data else None
    except ValueError:
        if _ALMOST.fullmatch(data):
            return float(data)
        raise


def resolved(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of one row with paths of one name: dicts opened, typed values closed.

    >>> resolved([Entry(0, ("a",), {"b": 1}), Entry(1, ("h", "_type"), "histogram")])
    [Entry(order=0, path=('a.b',), value=1), Entry(order=..., path=('h',), value={'_type': ...})]
    """
    entries = list(entries)
    closed = typed_prefixes(entry.path for entry in entries if isinstance(entry.value, str))
    typed: dict[Path, dict[str, Any]] = {}
    found: list[Entry] = []
    for entry in entries:
        prefix = prefix_of(entry.path, closed)
        if prefix is None:
            found.extend(_opened(entry.order, ".".join(entry.path), entry.value))
        else:
            put(typed.setdefault(prefix, {}), entry.path[len(prefix) :], entry.value)
    for at, (prefix, value) in enumerate(typed.items()):
        found.append(Entry(_LAST + at, (".".join(prefix),), value))
    return found


def typed_prefixes(paths: Iterable[Path]) -> frozenset[Path]:
    """Return the paths below which a ``_type`` stands."""
    return frozenset(path[:-1] for path in paths if len(path) > 1 and path[-1] == TYPE)


def prefix_of(path: Path, prefixes: frozenset[Path]) -> Path | None:
    """Return the shortest of *prefixes* that *path* is below of."""
    if not prefixes:
        return None
    return next((path[:n] for n in range(1, len(path)) if path[:n] in prefixes), None)


def _opened(order: int, key: str, value: Any) -> Iterable[Entry]:
    if not isinstance(value, dict) or not value or isinstance(value.get(TYPE), str):
        yield Entry(order, (key,), value)
        return
    for name, inner in value.items():
        yield from _opened(order, f"{key}.{name}", inner)


def put(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Set what stands at *path* of nested dicts."""
    for name in path[:-1]:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = {}
        tree = inner
    tree[path[-1]] = value


def remove(tree: dict[str, Any], path: Path) -> None:
    """Remove what stands at *path* of nested dicts, if anything does."""
    for name in path[:-1]:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            return
        tree = inner
    tree.pop(path[-1], None)


def changes(body: bytes) -> list[tuple[bool, Path, Any]]:
    """Return (whether it is removed, path, value) of each item of a config or summary record."""
    found = []
    for number, data in wire.fields(body):
        if number in (1, 2) and isinstance(data, bytes):
            found.append((number == 2, *item(data)))
    return found


def change(tree: dict[str, Any], found: Iterable[tuple[bool, Path, Any]]) -> None:
    """Apply *changes* to nested dicts, in place."""
    for gone, path, value in found:
        if gone:
            remove(tree, path)
        else:
            put(tree, path, value)


def cell(value: Any) -> Cell:
    """Return a value as a number or as text; lists and dicts are text in one and the same form."""
    if value is None:
        return Cell(None, None, None)
    if isinstance(value, str):
        return Cell(None, clean(value), None)
    number = record.number(value)
    if number is None:
        return Cell(None, clean(json.dumps(_portable(value), sort_keys=True)), None)
    whole = not isinstance(value, bool) and abs(number) < _MAX_STEP and number == int(number)
    return Cell(number + 0.0, None, int(number) if whole else None)  # + 0.0: -0 is 0


def _portable(value: Any) -> Any:
    """Return *value* as strict JSON, and as if Go had written it, to which 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _portable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_portable(inner) for inner in value]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
        return int(value) if abs(value) < _MAX_STEP and value == int(value) else value
    return value
