"""Protobuf bytes -> fields, without a schema: the few wire types that W&B's records use.

Reading ``wandb.proto`` instead would need the SDK installed and costs 0.9 s to import (measured).
Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class MalformedError(ValueError):
    """The bytes are no protobuf message."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field of a message as (number, value); messages and texts are bytes.

    Raises:
        MalformedError: *data* ends within a field, or has a wire type that is not known.
    """
    at, size = 0, len(data)
    try:
        while at < size:
            tag = data[at]
            at += 1
            if tag > 127:
                tag, at = _varint(data, at - 1)
            kind = tag & 7
            if kind == BYTES:
                length = data[at]
                at += 1
                if length > 127:
                    length, at = _varint(data, at - 1)
                end = at + length
                if end > size:
                    raise MalformedError("a field runs past the end of its message")
                yield tag >> 3, data[at:end]
                at = end
            elif kind == VARINT:
                value, at = _varint(data, at)
                yield tag >> 3, value
            elif kind in (FIXED64, FIXED32):
                end = at + (8 if kind == FIXED64 else 4)
                if end > size:
                    raise MalformedError("a field runs past the end of its message")
                yield tag >> 3, data[at:end]
                at = end
            else:
                raise MalformedError(f"wire type {kind} is not known")
    except IndexError:
        raise MalformedError("a message ends within a field") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise MalformedError("a number has more than 64 bits")


def signed(value: int) -> int:
    """Return a varint as the signed 64-bit number that it stands for."""
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """Return a varint of type sint64 as a number."""
    return (value >> 1) ^ -(value & 1)
