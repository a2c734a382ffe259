"""A ``.wandb`` file -> its records, every one that is whole, in slices of bounded size.

The format is LevelDB's log (https://github.com/google/leveldb/blob/main/doc/log_format.md) behind a
7-byte header: blocks of 32 KiB hold chunks of (crc32, length, type), a record is one FULL chunk or
FIRST, MIDDLE..., LAST. The crc is zlib's, seeded with that of the type byte. The header is the same
in every SDK from 0.10 to 0.31.

A chunk never crosses a block, so the blocks of a slice are walked side by side, in columns. A slice
in which anything is odd is walked again chunk by chunk, which finds what and where.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from etl.sources.reading import Reject

BLOCK = 32 * 1024
SLICE = 512 * BLOCK  # 16 MiB: what is held of a file at a time, beside what came of it
PADDING = 256  # bytes behind a batch's last, so that rows of a fixed width can be read anywhere
_CHUNK = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_NO_HEADER, _NO_MATCH, _NOTHING = -1, -2, -3
_REASONS = {
    _NO_HEADER: "a chunk header that is not valid; went on at the next 32 KiB block",
    _NO_MATCH: "a checksum that does not match; went on at the next 32 KiB block",
}
_SEEDS = [zlib.crc32(bytes([kind])) for kind in range(5)]

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records: where in the file, and their bytes as ``data[starts[i]:ends[i]]``."""

    data: Bytes
    places: Integers
    starts: Integers
    ends: Integers

    def record(self, index: int) -> bytes:
        """Return the bytes of one record."""
        return self.data[self.starts[index] : self.ends[index]].tobytes()


class Spans(NamedTuple):
    """Pieces of a batch: ``data[starts[i]:ends[i]]``."""

    data: Bytes
    starts: Integers
    ends: Integers


def rows_of(data: Bytes, at: Integers, words: int) -> Words:
    """Return the bytes from each place of *at* on as a row of *words* little-endian 64-bit words.

    One gather of elements of any width costs 8 ns a row (measured), and as many as one of bytes 2.
    """
    width = 8 * words
    rows: npt.NDArray[np.void] = np.ndarray(
        len(data) - width + 1, f"V{width}", data.data, strides=(1,)
    )
    return rows[at].view("<u8").reshape(-1, words)


class Walk:
    """The records of one file from byte *start* on; afterwards where they ended and what was bad.

    ``end`` is the byte behind the last whole record, where a later read goes on; ``size`` the one
    behind the last that was there to be read.
    """

    def __init__(self, file: BinaryIO, start: int, *, slice_bytes: int = SLICE) -> None:
        self.start, self.end, self.size = start, start, start
        self.rejects: list[Reject] = []
        self._file, self._slice = file, slice_bytes
        self._begun = start  # where the record begins of which these are the pieces
        self._pieces: list[bytes] = []
        self._stopped = False

    def batches(self) -> Iterator[Batch]:
        """Yield the records in order; damage costs the rest of its own block."""
        at, size = self.start, self._file.seek(0, os.SEEK_END)
        while at < size and not self._stopped:
            length = min(self._slice - at % BLOCK, size - at)
            # room for the records in pieces, which are put together behind the slice
            data = np.empty(length + length // 16 + BLOCK, np.uint8)
            self._file.seek(at)
            length = self._file.readinto(data.data[:length])  # type: ignore[attr-defined]
            if not length:
                break
            chunks = _regular(data, length, at, opened=bool(self._pieces))
            if chunks is None:
                yield self._sorted_out(data, length, at)
            else:
                yield self._joined(data, length, at, chunks)
            at += length
        self.size = at if not self._stopped else size
        self._reject_tail()

    def _joined(self, data: Bytes, length: int, at: int, chunks: _Chunks) -> Batch:
        """Return the records of a regular slice; most of them are one chunk."""
        kinds, starts, ends = chunks
        places = at + starts - _CHUNK.size
        whole = (kinds == _FULL) | (kinds == _LAST)
        if whole.any():
            self.end = at + int(ends[whole][-1])
        starts, ends = starts.copy(), ends.copy()
        joined: list[bytes] = []
        for index in np.flatnonzero(kinds != _FULL).tolist():
            if kinds[index] == _FIRST:
                self._begun = int(places[index])
            self._pieces.append(data[starts[index] : ends[index]].tobytes())
            if kinds[index] == _LAST:
                joined.append(b"".join(self._pieces))
                self._pieces = []
                places[index], starts[index] = self._begun, length
                ends[index] = length = length + len(joined[-1])
        data = _with(data, length, joined)
        return Batch(data, places[whole], starts[whole], ends[whole])

    def _sorted_out(self, data: Bytes, length: int, at: int) -> Batch:
        """Return the records of a slice in which something is odd, and note what is."""
        joined: list[bytes] = []
        found: list[tuple[int, int, int]] = []
        for kind, begin, end in _chunks(data.data[:length], at):
            place = at + begin - _CHUNK.size
            if kind == _NOTHING:
                self._stopped = True
                break
            if kind in _REASONS:
                self._reject(self._begun if self._pieces else place, at + end, _REASONS[kind])
                self.end, self._pieces = at + end, []
                continue
            if kind in (_FULL, _FIRST):
                if self._pieces:
                    self._reject(self._begun, place, "a record without its end")
                self._begun, self._pieces = place, []
            elif not self._pieces:
                self._reject(place, at + end, "a record without its beginning")
                continue
            self._pieces.append(data[begin:end].tobytes())
            if kind in (_FULL, _LAST):
                joined.append(b"".join(self._pieces))
                found.append((self._begun, length, length + len(joined[-1])))
                length += len(joined[-1])
                self.end, self._pieces = at + end, []
        columns = np.array(found, np.int64).reshape(-1, 3)
        return Batch(_with(data, length, joined), columns[:, 0], columns[:, 1], columns[:, 2])

    def _reject_tail(self) -> None:
        rejected = (reject.at_byte + len(reject.raw) for reject in self.rejects)
        begin = max(self.end, *rejected, self.start)
        self._file.seek(begin)
        if self._file.read(max(self.size - begin, 0)).strip(b"\0"):
            reason = "cut within a record: the run is still being written, or was killed"
            self._reject(begin, self.size, reason)

    def _reject(self, begin: int, end: int, reason: str) -> None:
        self._file.seek(begin)
        raw = self._file.read(end - begin)
        if raw:
            self.rejects.append(Reject(begin, reason, raw))


class _Chunks(NamedTuple):
    """The chunks of a slice: their kinds, and where in it their contents are."""

    kinds: Integers
    starts: Integers
    ends: Integers


def _with(data: Bytes, length: int, joined: list[bytes]) -> Bytes:
    """Return *data* with the *joined* records as its last up to *length*, and padding."""
    extra = np.frombuffer(b"".join([*joined, bytes(PADDING)]), np.uint8)
    begin = length + PADDING - len(extra)
    if begin + len(extra) > len(data):
        return np.concatenate([data[:begin], extra])
    data[begin : begin + len(extra)] = extra
    return data[: begin + len(extra)]


def _regular(data: Bytes, length: int, at: int, *, opened: bool) -> _Chunks | None:
    """Return the chunks of a slice at byte *at* of the file, or None if anything in it is odd.

    *opened* says whether the slice goes on with a record that began before it.
    """
    found = _headers(data, length, at)
    if found is None:
        return None
    places, headers = found
    kinds, starts = headers >> 48, places + _CHUNK.size
    ends = starts + ((headers >> 32) & 0xFFFF)
    goes_on = (kinds == _FIRST) | (kinds == _MIDDLE)
    before = np.concatenate(([opened], goes_on[:-1]))
    if (before != ((kinds == _MIDDLE) | (kinds == _LAST))).any():
        return None
    view, crc32, seeds = data.data, zlib.crc32, _SEEDS
    rows = zip(starts.tolist(), ends.tolist(), kinds.tolist(), strict=True)
    crcs = [crc32(view[start:end], seeds[kind]) for start, end, kind in rows]
    if crcs != (headers & 0xFFFFFFFF).tolist():
        return None
    return _Chunks(kinds, starts, ends)


def _headers(data: Bytes, length: int, at: int) -> tuple[Integers, Integers] | None:
    """Return the places and the contents of a slice's chunk headers, or None if one is odd."""
    limits = np.arange(BLOCK - at % BLOCK, length + BLOCK, BLOCK)  # where each block ends
    place = np.concatenate(([0], limits[:-1]))
    places, headers = [], []
    while len(place):
        fits = place + _CHUNK.size <= np.minimum(limits, length)
        if (~fits & (place < length) & (limits > length)).any():  # the file is cut there
            return None
        place, limits = place[fits], limits[fits]
        header = rows_of(data, place, 1)[:, 0].view(np.int64) & 0xFFFFFFFFFFFFFF
        kind = header >> 48
        end = place + _CHUNK.size + ((header >> 32) & 0xFFFF)
        if ((kind < _FULL) | (kind > _LAST) | (end > np.minimum(limits, length))).any():
            return None
        places.append(place)
        headers.append(header)
        place = end
    found = np.concatenate(places)
    order = np.argsort(found)
    return found[order], np.concatenate(headers)[order]


def _chunks(data: memoryview, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, begin, end) of the content of each chunk of a slice at byte *at* of the file.

    A kind below 0 is no chunk; what cannot be read ends where its block does.
    """
    place = 0
    while True:
        limit = place + BLOCK - (at + place) % BLOCK
        if limit - place < _CHUNK.size:
            place, limit = limit, limit + BLOCK
        begin = place + _CHUNK.size
        if begin > len(data):
            return
        crc, length, kind = _CHUNK.unpack_from(data, place)
        end = begin + length
        if crc == length == kind == 0:  # zeros that were never written over
            yield _NOTHING, begin, begin
            return
        if not _FULL <= kind <= _LAST or end > limit:
            yield _NO_HEADER, begin, limit
            place = limit
        elif end > len(data):
            return
        elif zlib.crc32(data[begin:end], _SEEDS[kind]) != crc:
            yield _NO_MATCH, begin, limit
            place = limit
        else:
            yield kind, begin, end
            place = end
