"""Many byte ranges of a buffer -> their masked CRC-32C, all at once, as TensorFlow writes them.

Python has no CRC-32C, and one byte at a time in Python takes 100 ns. Here numpy goes through all
ranges side by side: each is cut into chunks, aligned at their ends and padded with zeros in front,
which leave a CRC that began with 0 as it is. What beginning with ones instead adds depends on the
length alone. Measured on one core: 100,000 records of 45 bytes in 50 ms, large ones at 150 MB/s.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint32]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
_CHUNK = 1024
_HELD = 16 << 20  # bytes gathered at a time
_ONES = 0xFFFFFFFF
_MASK = 0xA282EAD8  # https://github.com/tensorflow/tensorflow: tsl/lib/hash/crc32c.h


def masked(data: Bytes, starts: Places, lengths: Places) -> Words:
    """Return the masked CRC-32C of each range ``data[start : start + length]``.

    Raises:
        IndexError: a range does not lie within *data*.
    """
    crcs = _crcs(data, starts, lengths)
    turned: Words = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    return turned + np.uint32(_MASK)


def _crcs(data: Bytes, starts: Places, lengths: Places) -> Words:
    counts = np.maximum(-(-lengths // _CHUNK), 1)
    owner = np.repeat(np.arange(len(starts)), counts)
    firsts = np.cumsum(counts) - counts
    place = np.arange(len(owner)) - firsts[owner]  # of a chunk among its range's
    first_size = lengths - (counts - 1) * _CHUNK
    sizes = np.where(place == 0, first_size[owner], _CHUNK)
    begins = starts[owner] + np.where(place == 0, 0, first_size[owner] + (place - 1) * _CHUNK)
    pieces = np.zeros(len(owner), np.uint32)
    # of similar sizes together, so that padding at most doubles the work
    classes = np.ceil(np.log2(np.maximum(sizes, 8))).astype(np.int64)
    for size_class in np.unique(classes):
        (chosen,) = np.nonzero(classes == size_class)
        width = int(sizes[chosen].max())
        most = max(_HELD // max(width, 1), 1)
        for at in range(0, len(chosen), most):
            some = chosen[at : at + most]
            pieces[some] = _from_zero(data, begins[some] + sizes[some], sizes[some], width)
    raw: Words = pieces[firsts]
    for many in np.flatnonzero(counts > 1):
        crc = int(raw[many])
        first = int(firsts[many])
        for piece in pieces[first + 1 : first + int(counts[many])].tolist():
            crc = _after_chunk(crc) ^ piece
        raw[many] = crc
    crcs: Words = raw ^ _of_length(lengths) ^ np.uint32(_ONES)
    return crcs


def _from_zero(data: Bytes, ends: Places, sizes: Places, width: int) -> Words:
    """Return the CRCs, begun with 0, of the *sizes* bytes before *ends*, at most *width* each."""
    crcs, table, least = np.zeros(len(ends), np.uint32), _table(), int(sizes.min())
    for back in range(width, 0, -1):
        if back <= least:
            column = data[ends - back]
        else:
            there = sizes >= back
            column = np.where(there, data[np.where(there, ends - back, 0)], 0)
        crcs = table[(crcs ^ column) & 0xFF] ^ (crcs >> 8)
    return crcs


@cache
def _table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


@cache
def _shifts() -> list[list[int]]:
    """Return what each byte of a CRC becomes by a chunk of zeros behind it."""
    states = (
        np.arange(256, dtype=np.uint32)[None, :] << (8 * np.arange(4, dtype=np.uint32))[:, None]
    )
    table = _table()
    for _ in range(_CHUNK):
        states = table[states & 0xFF] ^ (states >> 8)
    rows: list[list[int]] = states.tolist()
    return rows


def _after_chunk(crc: int) -> int:
    a, b, c, d = _shifts()
    return a[crc & 255] ^ b[crc >> 8 & 255] ^ c[crc >> 16 & 255] ^ d[crc >> 24]


@cache
def _ones_after() -> list[int]:
    """Return what a CRC of ones becomes by 0, 1, 2, ... up to a chunk of zeros behind it."""
    crc, table = _ONES, _table().tolist()
    states = [crc]
    for _ in range(_CHUNK):
        crc = table[crc & 255] ^ (crc >> 8)
        states.append(crc)
    return states


def _of_length(lengths: Places) -> Words:
    """Return what beginning with ones adds to the CRC of a range of each of *lengths*."""
    found: dict[int, int] = {}
    for length in np.unique(lengths).tolist():
        crc = _ones_after()[length % _CHUNK]
        for _ in range(length // _CHUNK):
            crc = _after_chunk(crc)
        found[length] = crc
    return _looked_up(found, lengths)


def _looked_up(found: dict[int, int], lengths: Places) -> Words:
    known = np.fromiter(found, np.int64, len(found))
    values: Any = np.fromiter(found.values(), np.uint32, len(found))
    words: Words = values[np.searchsorted(known, lengths)]
    return words
