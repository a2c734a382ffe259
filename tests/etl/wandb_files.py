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


def history(row, style="nested"):
    """One history row, its keys spelled as one of the three ways that SDKs have had."""
    items = b""
    for key, value in row.items():
        text = field(16, json.dumps(value))
        named = {
            "key": field(1, key),
            "nested": field(2, key),
            "both": field(1, key) + field(2, key),
        }
        items += field(1, named[style] + text)
    return field(1, 2) + field(2, items)


def exit_record(code=0, runtime=60):
    return field(1, 3) + field(18, field(1, code & (1 << 64) - 1) + field(2, runtime))


def pack(records):
    """The file that holds *records*, and the byte behind each of them."""
    out, ends = HEADER, []
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
    return out, ends
