"""A small writer of ``.wandb`` files, to have damaged and odd ones; real ones come from wandb."""

from __future__ import annotations

import json
import struct
import zlib

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    """One protobuf field: an int as varint, text or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def run(run_id="r1", project="p", name="n", started=1_800_000_000, **config):
    items = b"".join(
        field(1, field(1, key) + field(16, json.dumps(value))) for key, value in config.items()
    )
    body = field(1, run_id) + field(3, project) + field(4, items) + field(8, name)
    return field(1, 1) + field(17, body + field(17, field(1, started)))


def item(path, text, style="nested"):
    """One item: *path* is its name or the names of its path, *text* its value as JSON text."""
    path = (path,) if isinstance(path, str) else path
    key, nested = field(1, ".".join(path)), b"".join(field(2, name) for name in path)
    named = {"key": key, "nested": nested, "both": key + nested}
    return named[style] + field(16, text)


def history(row, style="nested"):
    """One history row, its keys spelled as one of the three ways that SDKs have had."""
    items = [field(1, item(key, json.dumps(value), style)) for key, value in row.items()]
    return field(1, 2) + field(2, b"".join(items))


def summary(row, *removed):
    """One change of the summary."""
    items = [field(1, item(key, json.dumps(value))) for key, value in row.items()]
    items += [field(2, item(key, "")) for key in removed]
    return field(1, 2) + field(3, b"".join(items))


def stats(row, seconds=1_800_000_000):
    """One measurement of the machine."""
    items = [field(3, item(key, json.dumps(value), "key")) for key, value in row.items()]
    return field(1, 2) + field(7, field(2, field(1, seconds)) + b"".join(items))


def output(text, seconds=1_800_000_000, stream=1, *, raw=True):
    """A piece of what was printed."""
    body = field(1, stream) + field(2, field(1, seconds)) + field(3, text)
    return field(1, 2) + field(13 if raw else 4, body)


def metric(name, x_axis):
    """What ``define_metric`` writes."""
    return field(1, 2) + field(12, field(1, name) + field(4, x_axis))


def exit_record(code=0, runtime=60):
    return field(1, 3) + field(18, field(1, code & (1 << 64) - 1) + field(2, runtime))


def pack(records):
    """The file that holds *records*, and the byte behind each of them."""
    out, ends = bytearray(HEADER), []
    for record in records:
        first, left = True, record
        while first or left:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += b"\0" * room
                room = BLOCK
            piece, left = left[: room - 7], left[room - 7 :]
            kind = (1 if not left else 2) if first else (4 if not left else 3)
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            out += struct.pack("<IHB", crc, len(piece), kind) + piece
            first = False
        ends.append(len(out))
    return bytes(out), ends
