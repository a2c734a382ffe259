"""A TFRecord file -> the places of its records, every one whose checksums hold, in bounded memory.

A record is its length (8 bytes), the length's masked CRC-32C (4), the data, and the data's (4).
Format: https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from etl.sources import crc32c
from etl.sources.reading import Reject

HEADER, FOOTER = 12, 4
_BLOCK = 16 << 20  # bytes read at a time
_SEARCHED = 1 << 18  # places tried at a time for where records go on
_LENGTH = struct.Struct("<Q")


@dataclass(slots=True)
class Block:
    """A stretch of a file from byte ``start`` on, and (place, length) of each record's data."""

    data: bytes
    start: int
    records: list[tuple[int, int]]


@dataclass(slots=True)
class Walk:
    """One walk over a file from byte ``start`` on; afterwards where it ended and what was bad.

    ``end`` is the byte behind the last whole record; a later read goes on there.
    """

    path: Path
    start: int
    end: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def blocks(self) -> Iterator[Block]:
        """Yield the records block by block; a damaged one costs itself alone."""
        at = self.end = self.start
        rest = b""
        with self.path.open("rb") as file:
            file.seek(at)
            while data := file.read(max(_BLOCK, len(rest))):  # doubles for a record of any size
                rest += data
                used = yield from self._records(rest, at)
                at, rest = at + used, rest[used:]
        if not rest.strip(b"\0"):
            return  # nothing, or zeros that were never written over
        torn = len(rest) < HEADER or length_holds(rest)
        reason = "cut within a record: the next sync reads it again" if torn else _DAMAGED
        self._reject(at, rest, reason)

    def _records(self, data: bytes, start: int) -> Generator[Block, None, int]:
        """Yield the records of *data*, which begins at byte *start*; return how far it was used."""
        at = 0
        while True:
            heads, stop = _framed(data, at)
            bad = _mismatched(data, heads, heads[:, 0] + HEADER, heads[:, 1])
            for head, size in heads[bad].tolist():
                frame = data[head : head + HEADER + size + FOOTER]
                self._reject(start + head, frame, "a record whose checksum does not match")
            if len(heads):
                self.end = start + stop
                good = heads[~bad] + (HEADER, 0)
                yield Block(data, start, list(map(tuple, good.tolist())))
            at = stop
            head = data[at : at + HEADER]
            found = None if len(head) < HEADER or length_holds(head) else _next(data, at + 1)
            if found is None:
                return at
            self._reject(start + at, data[at:found], _DAMAGED)
            at = found

    def _reject(self, at: int, raw: bytes, reason: str) -> None:
        self.rejects.append(Reject(at, reason, raw))


def length_holds(head: bytes) -> bool:
    """Whether *head* begins with a record's length and the checksum of that."""
    return len(head) >= HEADER and not _mismatched(head, np.zeros((1, 2), np.int64), 0, 8)[0]


def _framed(data: bytes, at: int) -> tuple[crc32c.Places, int]:
    """Return (place, size) of each whole record from *at* on, and where the last one ends."""
    heads: list[tuple[int, int]] = []
    whole = len(data)
    while at + HEADER <= whole:
        (size,) = _LENGTH.unpack_from(data, at)
        stop = at + HEADER + size + FOOTER
        if stop > whole:
            break
        heads.append((at, size))
        at = stop
    found = np.array(heads, np.int64).reshape(-1, 2)
    (wrong,) = np.nonzero(_mismatched(data, found, found[:, 0], 8))
    if len(wrong):  # from here on nothing says where a record begins
        return found[: wrong[0]], int(found[wrong[0], 0])
    return found, at


def _mismatched(
    data: bytes, heads: crc32c.Places, starts: crc32c.Places | int, sizes: crc32c.Places | int
) -> npt.NDArray[np.bool_]:
    """Return for each of *heads* whether the range of it is another than the checksum behind."""
    if not len(heads):
        return np.zeros(0, np.bool_)
    octets = np.frombuffer(data, np.uint8)
    begins = np.broadcast_to(np.asarray(starts, np.int64), len(heads))
    lengths = np.broadcast_to(np.asarray(sizes, np.int64), len(heads))
    stored = octets[(begins + lengths)[:, None] + np.arange(4)].copy().view("<u4")[:, 0]
    wrong: npt.NDArray[np.bool_] = crc32c.masked(octets, begins, lengths) != stored
    return wrong


def _next(data: bytes, begin: int) -> int | None:
    """Return the first place from *begin* on where a valid length stands, None if there is none."""
    for first in range(begin, len(data) - HEADER + 1, _SEARCHED):
        places = np.arange(first, min(first + _SEARCHED, len(data) - HEADER + 1))
        heads = np.stack([places, places], axis=1)
        (held,) = np.nonzero(~_mismatched(data, heads, places, 8))
        if len(held):
            return int(places[held[0]])
    return None


_DAMAGED = "no record here: bytes without a valid length; read on at the next record"
