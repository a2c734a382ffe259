"""One value of a TensorBoard summary -> a number, or what it is as text.

Pictures and sound become their size, histograms their bins; other numbers stay as they are, up to a
size. Field numbers: tensorboard/compat/proto/{summary,tensor,tensor_shape,struct}.proto.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from etl.sources import wire
from etl.sources.facts import clean
from hooks import record

_MOST_NUMBERS = 4096  # of one tensor that are kept
# Code of a type in a tensor -> its numpy type, and the field that holds values of it one by one.
_TYPES: dict[int, tuple[str, int]] = {
    1: ("<f4", 5), 2: ("<f8", 6), 3: ("<i4", 7), 4: ("|u1", 7), 5: ("<i2", 7), 6: ("|i1", 7),
    9: ("<i8", 10), 10: ("|b1", 11), 17: ("<u2", 7), 19: ("<f2", 13), 22: ("<u4", 16),
    23: ("<u8", 17),
}  # fmt: skip
_STRING, _STRINGS = 7, 8
Field = int | bytes


def number_or_text(fields: list[tuple[int, Field]], plugin: str) -> tuple[float | None, str | None]:
    """Return (number, None) or (None, text) for the fields of a ``Summary.Value``.

    Raises:
        wire.MalformedError, ValueError, struct.error: the bytes hold no such value.
    """
    for number, body in fields:
        if number == 2 and isinstance(body, bytes):
            (value,) = struct.unpack("<f", body)
            return value, None
        if not isinstance(body, bytes):
            continue
        if number == 8:
            return _tensor(body, plugin)
        if number in (4, 5, 6):
            made = {4: _image, 5: _histogram, 6: _audio}[number](body)
            return None, _json(made)
    return None, None


def hyperparameters(content: bytes) -> tuple[dict[str, Any], str | None]:
    """Return (parameters, name of the group) that the data of the plugin ``hparams`` states."""
    values: dict[str, Any] = {}
    group = None
    for number, body in wire.fields(content):
        if number != 3 or not isinstance(body, bytes):  # session_start_info
            continue
        for inner, entry in wire.fields(body):
            if inner == 1 and isinstance(entry, bytes):
                pair = dict(wire.fields(entry))
                key, value = pair.get(1, b""), pair.get(2, b"")
                if isinstance(key, bytes) and isinstance(value, bytes):
                    values[clean(_text(key))] = _plain(value)
            elif inner == 4 and isinstance(entry, bytes):
                group = _text(entry) or None
    return values, group


def _plain(body: bytes, depth: int = 0) -> Any:
    """Return a ``google.protobuf.Value``."""
    for number, value in wire.fields(body):
        if number == 2 and isinstance(value, bytes):
            (found,) = struct.unpack("<d", value)
            return found
        if number == 3 and isinstance(value, bytes):
            return clean(_text(value))
        if number == 4:
            return bool(value)
        if number == 6 and isinstance(value, bytes) and depth < 50:
            items = [item for n, item in wire.fields(value) if n == 1]
            return [_plain(item, depth + 1) for item in items if isinstance(item, bytes)]
    return None


def _tensor(body: bytes, plugin: str) -> tuple[float | None, str | None]:
    code, shape, packed = 0, [], None
    found: dict[int, list[Field]] = {}
    for number, value in wire.fields(body):
        if number == 1 and isinstance(value, int):
            code = value
        elif number == 2 and isinstance(value, bytes):
            shape = [_size(dim) for n, dim in wire.fields(value) if n == 2]
        elif number == 4 and isinstance(value, bytes):
            packed = value
        else:
            found.setdefault(number, []).append(value)
    if code == _STRING:
        return None, _strings([v for v in found.get(_STRINGS, []) if isinstance(v, bytes)], plugin)
    if code not in _TYPES:
        return None, _json({"_type": "tensor", "dtype": code, "shape": shape})
    kind, place = _TYPES[code]
    numbers = _numbers(packed, found.get(place, []), np.dtype(kind), place)
    count = math.prod(shape)
    if len(numbers) == 1 and count > 1:  # all alike
        numbers = np.repeat(numbers, min(count, _MOST_NUMBERS + 1))
    if count == 1 and not len(numbers):  # a zero is left out
        return 0.0, None
    if len(numbers) == 1:
        return float(numbers[0]), None
    return None, _json(_array(numbers, shape, plugin))


def _size(dim: Field) -> int:
    sizes = [v for n, v in wire.fields(dim) if n == 1] if isinstance(dim, bytes) else []
    return wire.signed(sizes[-1]) if sizes and isinstance(sizes[-1], int) else 0


def _numbers(packed: bytes | None, items: list[Field], kind: np.dtype[Any], place: int) -> Any:
    """Return the numbers of a tensor: all its bytes at once, or value by value."""
    if packed is not None:
        return np.frombuffer(packed, kind)
    if place in (5, 6):  # fixed width, packed or not
        return np.frombuffer(b"".join(i for i in items if isinstance(i, bytes)), kind)
    whole: list[int] = []
    for item in items:
        whole += [item] if isinstance(item, int) else _varints(item)
    if place == 13:  # the bits of half floats
        return np.array(whole, np.uint16).view(np.float16)
    wide = np.array(whole, np.uint64)
    return (wide if kind.kind == "u" else wide.view(np.int64)).astype(kind)


def _varints(packed: bytes) -> list[int]:
    """Return the numbers of a packed field."""
    # each behind a tag of a varint is a message of its own kind, which the walker reads
    tagged, begin = bytearray(), True
    for octet in packed:
        if begin:
            tagged.append(8)
        tagged.append(octet)
        begin = octet < 128
    return [value for _, value in wire.fields(bytes(tagged)) if isinstance(value, int)]


def _array(numbers: Any, shape: list[int], plugin: str) -> dict[str, Any]:
    if (
        plugin == "histograms"
        and len(shape) == 2
        and shape[1] == 3
        and numbers.size == 3 * shape[0]
    ):
        left, right, count = numbers.reshape(-1, 3).T.tolist()
        return _bins([*left[:1], *right], count)
    made: dict[str, Any] = {"_type": "tensor", "dtype": numbers.dtype.name, "shape": shape}
    if plugin:
        made["plugin"] = plugin
    if numbers.size <= _MOST_NUMBERS:
        made["values"] = numbers.tolist()
    return made


def _strings(items: list[bytes], plugin: str) -> str:
    if plugin == "images" and len(items) > 2:
        pictures = items[2:]
        made = {"_type": "image", "count": len(pictures), "bytes": sum(map(len, pictures))}
        width, height = (int(i) if i.isdigit() else None for i in items[:2])
        return _json({**made, "width": width, "height": height})
    try:
        texts = [item.decode() for item in items]
    except UnicodeDecodeError:
        made = {"_type": plugin or "bytes", "count": len(items), "bytes": sum(map(len, items))}
        return _json(made)
    return texts[0] if len(texts) == 1 else _json({"_type": "text", "values": texts})


def _image(body: bytes) -> dict[str, Any]:
    found = dict(wire.fields(body))
    made = {"_type": "image", "height": found.get(1), "width": found.get(2)}
    return {**made, "bytes": _length(found.get(4))}


def _audio(body: bytes) -> dict[str, Any]:
    found = dict(wire.fields(body))
    return {"_type": "audio", "frames": found.get(3), "bytes": _length(found.get(4))}


def _length(value: Field | None) -> int:
    return len(value) if isinstance(value, bytes) else 0


def _histogram(body: bytes) -> dict[str, Any]:
    """Return a ``HistogramProto``, its outermost bins cut at the least and greatest value."""
    stated = {1: "min", 2: "max", 3: "num", 4: "sum", 5: "sum_squares"}
    made: dict[str, Any] = dict.fromkeys(stated.values(), 0.0)
    raw: dict[int, bytes] = {6: b"", 7: b""}
    for number, value in wire.fields(body):
        if number in stated and isinstance(value, bytes):
            (made[stated[number]],) = struct.unpack("<d", value)
        elif number in raw and isinstance(value, bytes):
            raw[number] += value
    limits, counts = (np.frombuffer(raw[number], "<f8").tolist() for number in (6, 7))
    if len(limits) != len(counts):
        raise ValueError("a histogram whose bins and counts differ in number")
    edges = [made["min"], *limits[:-1], made["max"]] if limits else []
    return {**_bins(edges, counts), **made}


def _bins(edges: list[float], counts: list[float]) -> dict[str, Any]:
    """Return a histogram as W&B writes one, empty bins beside each other as one."""
    bins, values = edges[:1], list[float]()
    for edge, count in zip(edges[1:], counts, strict=True):
        if values and values[-1] == 0 == count:
            bins[-1] = edge
        else:
            bins.append(edge)
            values.append(count)
    return {"_type": "histogram", "bins": bins, "values": values}


def _json(made: dict[str, Any]) -> str:
    """Return strict JSON: what is no finite number as our own logs spell it."""
    return json.dumps(record.plain(made, "value"), sort_keys=True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
