"""One log line <-> one strict-JSON object: the runatlas line grammar, version 1.

A file holds one JSON object a line and belongs to one process of one run.
A history line has ``step`` (the training step) and ``_ts`` (seconds since the epoch) at its top
level and one entry per metric:

    {"step": 100, "_ts": 1763800000.25, "train/loss": 3.2145, "val/bpb": "NaN"}

Every other line names its kind in ``_kind``: ``run`` (first line of every file), ``config``,
``summary``, ``finish``, ``telemetry`` (of the machine: an entry per metric, by time and not by
step) and ``console`` (``lines``, a list of printed lines). A reader skips kinds and fields that it
does not know, and says so.

Keys that begin with ``_`` and the key ``step`` belong to the grammar; a metric of such a name is
written with the prefix ``_=``. Non-finite numbers are the strings "NaN", "Infinity", "-Infinity",
because strict JSON has no other word for them. Nested metrics are flattened with ``.``, as W&B
does. Lines are ASCII, so that a cut never splits a character. A file may hold a second ``finish``
line, where more was lost after the first: the last one counts; and ``console`` lines after it, of
a script that goes on when its run has ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeAlias

VERSION = 1
KIND = "_kind"
TIME = "_ts"
STEP = "step"
ESCAPE = "_="
MAX_DEPTH = 50
MOST_SHAPES = 256  # sets of names that one encoder remembers
MAX_BITS = 1023  # the largest integer that is still a float
STAGES = ("tokenizer", "pretraining", "midtraining", "sft", "rl", "eval")

_NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN = frozenset((float, int, str, bool))
_dump = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class UnserialisableError(TypeError):
    """A value that has no JSON form; the message names its key and type, never its content."""


def plain(value: Any, key: str) -> Any:
    """Return *value* as strict JSON can hold it: numbers, text, None, or lists and dicts of these.

    Tensors, numpy scalars and other numbers of one element become Python numbers.

    Raises:
        UnserialisableError: *value* has no such form, or fails when it is asked for it.
    """
    try:
        return _plain(value, key, 0)
    except UnserialisableError:
        raise
    except Exception as problem:  # noqa: BLE001  the methods of a logged object may raise anything
        what = f"{key!r} is a {type(value).__name__} that fails when it is read"
        raise UnserialisableError(f"{what} ({type(problem).__name__})") from None


def _plain(value: Any, key: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise UnserialisableError(f"{key!r} is nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise UnserialisableError(f"{key!r} is an integer of {value.bit_length()} bits")
        return int(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict):
        return {str(name): _plain(item, key, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, key, depth + 1) for item in value]
    return _plain(_unwrapped(value, key), key, depth + 1)


def _unwrapped(value: Any, key: str) -> Any:
    """Return the Python value in a numpy, torch or other number, without importing either."""
    for name in ("item", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            try:
                found = method()
            except (ValueError, RuntimeError, TypeError):  # an array of several, a meta tensor
                continue
            if isinstance(found, (float, int, str, list)):  # not a wrapper again: longdouble, mocks
                return found
    if hasattr(value, "__float__"):
        return float(value)
    raise UnserialisableError(f"{key!r} is a {type(value).__name__}, which has no JSON form")


def sift(values: dict[Any, Any], *, as_text: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return the entries of *values* as plain ones, and what had to be left out, with reasons.

    With *as_text* an object without a JSON form, such as a path, is written as its text.
    """
    found: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in values.items():
        try:
            found[str(name)] = plain(value, str(name))
        except UnserialisableError as problem:
            if as_text and not isinstance(value, (int, list, tuple, dict)):
                found[str(name)] = plain(str(value), str(name))
            else:
                left_out.append(str(problem))
    return found, left_out


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number(value: Any) -> float | None:
    """Return a decoded metric as a float, or None where it is text, missing or structured.

    >>> number("NaN"), number(3), number("three")
    (nan, 3.0, None)
    """
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return math.inf if value > 0 else -math.inf
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
    _walk(metrics, "", 0, flat, left_out)
    return flat, left_out


# a function of its own: one inside of flatten() would be a reference cycle for each row
def _walk(
    items: dict[Any, Any], prefix: str, depth: int, flat: dict[str, Any], left_out: list[str]
) -> None:
    for name, value in items.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and depth < MAX_DEPTH:
            _walk(value, f"{key}.", depth + 1, flat, left_out)
            continue
        try:
            flat[escape(key)] = plain(value, key)
        except UnserialisableError as problem:
            left_out.append(str(problem))


def encode_history(step: int, ts: float, metrics: dict[str, Any]) -> tuple[bytes, list[str]]:
    """Return one history line with its newline, and the metrics that could not be written."""
    head = f'{{"step":{step},"_ts":{ts!r}'
    left_out: list[str] = []
    if _PLAIN.issuperset(map(type, metrics.values())) and not any(
        type(key) is not str or key == STEP or key[:1] == "_" for key in metrics
    ):
        try:
            body = _dump(metrics)
        except ValueError:  # a NaN, an infinity or a huge integer: the slow path knows them
            metrics, left_out = flatten(metrics)
            body = _dump(metrics)
    else:
        metrics, left_out = flatten(metrics)
        body = _dump(metrics)
    separator = "," if metrics else ""
    return f"{head}{separator}{body[1:]}\n".encode("ascii"), left_out


FastEncoder: TypeAlias = Callable[[int, float, dict[str, Any]], bytes | None]


def fast_encoder() -> FastEncoder | None:
    """Return an encoder of history lines that uses orjson, or None where there is none.

    It returns a line that decodes to what ``encode_history`` makes of the same row, with the entry
    ``step`` of the row taken for the row's step; or None for a row that only ``encode_history``
    can tell, such as one with a NaN, a tensor, nested metrics or a name of the grammar's own.
    """
    try:
        import orjson  # noqa: PLC0415  not everywhere, and 3 ms to import

        options = (
            orjson.OPT_APPEND_NEWLINE
            | orjson.OPT_PASSTHROUGH_DATACLASS
            | orjson.OPT_PASSTHROUGH_DATETIME
            | orjson.OPT_PASSTHROUGH_SUBCLASS
        )
        dumps = orjson.dumps
    except Exception:  # noqa: BLE001  a broken or an old orjson is none
        return None
    total, isfinite, are_plain = sum, math.isfinite, _PLAIN.issuperset
    known: dict[tuple[str, ...], bool] = {}  # names that were looked at; whether step is of them

    def encode(step: int, ts: float, metrics: dict[str, Any]) -> bytes | None:
        names = tuple(metrics)
        has_step = known.get(names)
        if has_step is None:
            if not all(map(_is_simple, names)):
                return None
            has_step = STEP in metrics
            if len(known) < MOST_SHAPES:
                known[names] = has_step
        if has_step:
            own = metrics[STEP]
            if own is not step and (type(own) is not int or own != step):
                return None
        try:
            line: bytes = dumps({STEP: step, TIME: ts, **metrics}, None, options)
        except TypeError:
            return None
        # orjson turns NaN into null; of numbers, one sum tells that in 0.3 us (a search takes 0.6)
        try:
            sound = isfinite(total(metrics.values()))
        except TypeError:  # text, or something structured
            sound = are_plain(map(type, metrics.values()))
            sound = sound and b"null" not in line and line.isascii()
        return line if sound else None

    return encode


def _is_simple(name: Any) -> bool:
    """Whether *name* stands in a line as it is."""
    return type(name) is str and name.isascii() and name[:1] != "_"


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
