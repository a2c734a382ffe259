"""Event files as TensorBoard's writers make them, by code that shares none with the reader."""

from __future__ import annotations

import struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data):
    size = struct.pack("<Q", len(data))
    return size + masked(size) + data + masked(data)


def varint(number):
    number &= (1 << 64) - 1
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


def field(number, body):
    """A field that holds text or a message."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def whole(number, value):
    return varint(number << 3) + varint(value)


def event(ts, step=0, body=b""):
    return record(b"\t" + struct.pack("<d", ts) + (whole(2, step) if step else b"") + body)


def version(ts=1e9):
    return event(ts, body=field(3, b"brain.Event:2"))


def session(ts, step, status=1):
    return event(ts, step, field(7, whole(1, status)))


def value(tag, body, plugin=None, content=b""):
    data = field(1, field(1, plugin) + (field(2, content) if content else b"")) if plugin else b""
    return field(1, field(1, tag.encode()) + body + (field(9, data) if plugin else b""))


def scalar(ts, step, tag, number):
    return event(ts, step, field(5, value(tag, b"\x15" + struct.pack("<f", number))))


def tensor(dtype, shape, body):
    dims = b"".join(field(2, whole(1, size)) for size in shape)
    return field(8, whole(1, dtype) + field(2, dims) + body)


def summary(ts, step, *values):
    return event(ts, step, field(5, b"".join(values)))
