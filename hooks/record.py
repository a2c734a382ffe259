"""One log line <-> one strict-JSON object: the runatlas line grammar, version 1.

A file holds one JSON object a line and belongs to one process of one run.
A history line has ``step`` (the training step) and ``_ts`` (seconds since the epoch) at its top
level and one entry per metric:

    {"step": 100, "_ts": 1763800000.25, "train/loss": 3.2145, "val/bpb": "NaN"}

Every other line names its kind in ``_kind``: ``run`` (first line of every file), ``config``,
``summary`` and ``finish``. A reader skips kinds and fields that it does not know, and says so.

Keys that begin with ``_`` and the key ``step`` belong to the grammar; a metric of such a name is
written with the prefix ``_=``. Non-finite numbers are the strings "NaN", "Infinity", "-Infinity",
because strict JSON has no other word for them. Nested metrics are flattened with ``.``, as W&B
does. Lines are ASCII, so that a cut never splits a character.
"""

from __future__ import annotations

import json
import math
from typing import Any

VERSION = 1
KIND = "_kind"
TIME = "_ts"
STEP = "step"
ESCAPE = "_="
STAGES = ("tokenizer", "pretraining", "midtraining", "sft", "rl", "eval")

_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN = frozenset((float, int, str, bool))
_dump = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class UnserialisableError(TypeError):
    """A value that has no JSON form; the message names its key and type, never its content."""


def plain(value: Any, key: str) -> Any:
    """Return *value* as strict JSON can hold it: numbers, text, None, or lists and dicts of these.

    Tensors and numpy scalars of one element become Python numbers.

    Raises:
        UnserialisableError: *value* has no such form.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        return {str(name): plain(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, key) for item in value]
    for reader in ("item", "tolist"):  # numpy and torch, without importing either
        read = getattr(value, reader, None)
        if read is None:
            continue
        try:
            return plain(read(), key)
        except (ValueError, RuntimeError, TypeError):
            continue
    raise UnserialisableError(f"{key!r} is a {type(value).__name__}, which has no JSON form")


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number(value: Any) -> float | None:
    """Return a decoded metric as a float, or None where it is text, missing or structured.

    >>> number("NaN"), number(3), number("three")
    (nan, 3.0, None)
    """
    if isinstance(value, (int, float)):
        return float(value)
    return _NONFINITE.get(value) if isinstance(value, str) else None


def escape(key: str) -> str:
    """Return the name under which metric *key* stands in a history line."""
    return ESCAPE + key if key == STEP or key.startswith("_") else key


def unescape(key: str) -> str:
    """Return the metric that stands in a history line as *key*."""
    return key.removeprefix(ESCAPE)


def flatten(metrics: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return *metrics* as one flat dict of plain values, and what had to be left out, with reasons.

    >>> flatten({"train": {"loss": 2.0}, "step": 3})
    ({'train.loss': 2.0, '_=step': 3}, [])
    """
    flat: dict[str, Any] = {}
    left_out: list[str] = []

    def walk(prefix: str, items: dict[Any, Any]) -> None:
        for name, value in items.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict):
                walk(f"{key}.", value)
                continue
            try:
                flat[escape(key)] = plain(value, key)
            except UnserialisableError as problem:
                left_out.append(str(problem))

    walk("", metrics)
    return flat, left_out


def encode_history(step: int, ts: float, metrics: dict[str, Any]) -> tuple[bytes, list[str]]:
    """Return one history line with its newline, and the metrics that could not be written."""
    head = f'{{"step":{step},"_ts":{ts:.6f}'
    left_out: list[str] = []
    if all(map(_PLAIN.__contains__, map(type, metrics.values()))) and not any(
        key == STEP or key[:1] == "_" for key in metrics
    ):
        try:
            body = _dump(metrics)
        except ValueError:  # a NaN or an infinity: the slow path knows their words
            metrics, left_out = flatten(metrics)
            body = _dump(metrics)
    else:
        metrics, left_out = flatten(metrics)
        body = _dump(metrics)
    separator = "," if metrics else ""
    return f"{head}{separator}{body[1:]}\n".encode("ascii"), left_out


def encode_event(kind: str, ts: float, fields: dict[str, Any]) -> bytes:
    """Return one line that is not history: kind ``run``, ``config``, ``summary`` or ``finish``.

    Raises:
        UnserialisableError: a value of *fields* has no JSON form.
    """
    line = {KIND: kind, TIME: round(ts, 6), **{k: plain(v, k) for k, v in fields.items()}}
    return (_dump(line) + "\n").encode("ascii")


def decode(line: bytes | str) -> dict[str, Any]:
    """Return the object that *line* holds, its keys still escaped.

    Raises:
        ValueError: *line* is not one JSON object.
    """
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")  # noqa: TRY004
    return value
