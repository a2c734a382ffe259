"""A JSON document that may be cut or damaged -> its elements or members, as far as they are whole.

``json.loads`` gives all or nothing; here a cut costs the piece that it goes through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from etl.sources.reading import Reject

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")  # where an array of objects can be taken up again
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Pieces:
    """``kind`` is ``array``, ``object`` or None; ``found`` holds elements, or (key, value)."""

    kind: str | None
    found: tuple[Any, ...]
    rejects: tuple[Reject, ...]


def read(data: bytes) -> Pieces:
    """Return the pieces of the JSON document *data*, an array or an object."""
    text = data.decode("utf-8", "surrogateescape")
    at = _space(text, 0)
    kind = {"[": "array", "{": "object"}.get(text[at : at + 1])
    if kind is None:
        rejects = (Reject(0, "no JSON array or object", data),) if data.strip() else ()
        return Pieces(None, (), rejects)
    found: list[Any] = []
    rejected: list[Reject] = []
    for value, reject in _pieces(text, at + 1, member=kind == "object"):
        if reject is None:
            found.append(value)
        else:
            rejected.append(reject)
    return Pieces(kind, tuple(found), tuple(rejected))


def _pieces(text: str, at: int, *, member: bool) -> Iterator[tuple[Any, Reject | None]]:
    """Yield (piece, None), or (None, reject) for a stretch that is no piece."""
    end = "}" if member else "]"
    at = _space(text, at)
    if text[at : at + 1] == end:
        return
    while True:
        try:
            value, after = _member(text, at) if member else _value(text, at)
        except (ValueError, RecursionError) as problem:
            again = None if member else _NEXT_OBJECT.search(text, at)
            stop = again.end() if again else len(text)
            yield None, _reject(text, at, stop, str(problem))
            if again is None:
                return
            at = stop
            continue
        yield value, None
        if text[after] == end:
            return
        at = _space(text, after + 1)


def _value(text: str, at: int) -> tuple[Any, int]:
    """Return the value at *at* and the place of the comma or bracket that shows it to be whole."""
    try:
        value, after = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as problem:
        raise ValueError(problem.msg) from None
    after = _space(text, after)
    if text[after : after + 1] not in (",", "]", "}"):
        raise ValueError("cut, or no comma behind it")
    return value, after


def _member(text: str, at: int) -> tuple[tuple[str, Any], int]:
    key, after = _string(text, at)
    after = _space(text, after)
    if text[after : after + 1] != ":":
        raise ValueError("no colon behind a key")
    value, after = _value(text, _space(text, after + 1))
    return (key, value), after


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        key, after = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as problem:
        raise ValueError(problem.msg) from None
    if not isinstance(key, str):
        raise ValueError("no key")  # noqa: TRY004  damage in a file, and no fault of a caller
    return key, after


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _reject(text: str, begin: int, end: int, reason: str) -> Reject:
    raw = text[begin:end].encode("utf-8", "surrogateescape")
    before = text[:begin].encode("utf-8", "surrogateescape")
    return Reject(len(before), f"not JSON: {reason}", raw, before.count(b"\n") + 1)
