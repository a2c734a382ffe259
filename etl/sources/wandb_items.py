"""W&B's items in many records -> columns: which record, which key, where its value's text is.

An item is ``tag, length, (name tag, length, name)+, 82 01, length, value as JSON``. Records are
walked side by side, the first item of each, then the second of each, so that what would be Python
for an item is numpy for thousands: 50 ns an item instead of 2 us (measured). What is not exactly of
that form is left to ``wandb_values``, record by record, and so are few records.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.sources import wire
from etl.sources.wandb_log import Bytes, Integers, Spans, Words, rows_of
from etl.sources.wandb_values import Path, text_of

FEW = 48  # fewer records than this are read faster one by one
_ABREAST = 4096  # records walked side by side: what is held of them stays in the cache
_AT_ONCE = 32 * 1024  # values parsed at once, likewise
# Widths in words that a header is looked for in, the narrow first: most keys are short.
_WIDTHS = (4, 8, 16)
_KEY, _NESTED = 0x0A, 0x12  # field 1 or 2, length-delimited
_VALUE = (0x82, 0x01)  # field 16, length-delimited
_LONGEST = 1000  # bytes of a number's text; Python refuses more than 4300 digits
_SLOT_BITS = 16
# Odd numbers without a pattern: multiples of the golden ratio's 64 bits.
_FACTORS = [np.uint64(0x9E3779B97F4A7C15 * (2 * n + 1) % 2**64) for n in range(max(_WIDTHS))]

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Items(NamedTuple):
    """Items found, and what became of each record.

    ``starts`` and ``lengths`` are the values' places, ``orders`` the items' within their record.
    ``stops`` are the bytes behind each record's last item, ``odd`` those records that have to be
    read another way: no item of theirs is here.
    """

    records: Integers
    orders: Integers
    headers: Integers
    starts: Integers
    lengths: Integers
    stops: Integers
    odd: Flags


def find(records: Spans, tag: int, headers: Headers) -> Items:
    """Return the items, each behind *tag*, with which *records* begin."""
    data, starts, ends = records
    count = len(starts)
    stops, odd = starts.copy(), np.zeros(count, np.bool_)
    parts: list[tuple[Integers, ...]] = []
    for begin in range(0, count, _ABREAST):
        some = np.arange(begin, min(begin + _ABREAST, count))
        for words in _WIDTHS:
            walk = _Abreast(data, starts[some], ends[some], tag)
            walk.run(words, headers)
            kept = ~(walk.odd | walk.wide)
            stops[some[kept]] = walk.stops[kept]
            odd[some[walk.odd]] = True
            parts.extend(walk.items(some, kept))
            some = some[walk.wide]
            if len(some) < FEW:
                break
        odd[some] = True
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    numbers, orders, found, begins, sizes = columns or [np.zeros(0, np.int64)] * 5
    return Items(numbers, orders, found, begins, sizes, stops, odd)


class _Abreast:
    """Some records, walked side by side."""

    def __init__(self, data: Bytes, starts: Integers, ends: Integers, tag: int) -> None:
        self.data, self.starts, self.ends, self.tag = data, starts, ends, tag
        self.stops = starts.copy()
        self.odd = np.zeros(len(starts), np.bool_)
        self.wide = np.zeros(len(starts), np.bool_)  # a header has more bytes than were looked at
        self.found: list[tuple[Integers, Integers, Integers, Integers]] = []

    def run(self, words: int, headers: Headers) -> None:
        """Find every item of each record whose headers are *words* long at most."""
        records, at, limits = np.arange(len(self.starts)), self.starts, self.ends
        keep = masks(words)
        while True:
            more = (self.data.take(at) == self.tag) & (at < limits)
            if not more.all():
                self.stops[records[~more]] = at[~more]
                records, at, limits = records[more], at[more], limits[more]
            if len(records) < FEW:
                self.odd[records] = True
                return
            body, length = lengths(self.data, at + 1)
            ends = body + length
            rows = rows_of(self.data, body, words)
            size, wide, good = _header(rows)
            rows &= keep.take(size, axis=0)
            value, length = lengths(self.data, body + size + 2)
            good &= (value + length == ends) & (ends <= limits) & ~wide
            if not good.all():
                self.wide[records[wide]] = True
                self.odd[records[~good & ~wide]] = True
                records, limits, ends = records[good], limits[good], ends[good]
                rows, size, value, length = rows[good], size[good], value[good], length[good]
            self.found.append((records, headers.numbers(rows, size), value, length))
            at = ends

    def items(self, numbers: Integers, kept: Flags) -> list[tuple[Integers, ...]]:
        """Return (record, order, header, start, length) columns, records numbered as told."""
        every = bool(kept.all())
        parts: list[tuple[Integers, ...]] = []
        for order, (records, headers, starts, lengths) in enumerate(self.found):
            place = np.full(len(records), order)
            stay = slice(None) if every else kept[records]
            columns = (numbers[records], place, headers, starts, lengths)
            parts.append(tuple(column[stay] for column in columns))
        return parts


def _header(rows: Words) -> tuple[Integers, Flags, Flags]:
    """Return (bytes, whether there are more than fit, whether it is one) of each row's header."""
    count, width = len(rows), rows.shape[1] * 8
    flat, base = rows.view(np.uint8).reshape(-1), np.arange(count) * width
    kind, length = flat.take(base), flat.take(base + 1)
    good = ((kind == _KEY) | (kind == _NESTED)) & (length < 128)
    size = length.astype(np.int64) + 2
    wide = good & (size > width - 2)
    np.minimum(size, width - 2, out=size)
    tag = flat.take(base + size)
    others = np.flatnonzero(((tag == _KEY) | (tag == _NESTED)) & good & ~wide)
    while len(others):  # a name in several parts
        length = flat.take(base[others] + size[others] + 1)
        good[others] &= length < 128
        size[others] += length.astype(np.int64) + 2
        wide[others] = good[others] & (size[others] > width - 2)
        np.minimum(size, width - 2, out=size)
        tag[others] = flat.take(base[others] + size[others])
        stay = (tag[others] == _KEY) | (tag[others] == _NESTED)
        others = others[stay & good[others] & ~wide[others]]
    good &= (tag == _VALUE[0]) & (flat.take(base + size + 1) == _VALUE[1])
    return size, wide, good


def lengths(data: Bytes, at: Integers) -> tuple[Integers, Integers]:
    """Return where each varint ends, and what it says; -1 for one of more than four bytes."""
    byte = data.take(at)
    found, behind, shift = (byte & 127).astype(np.int64), at + 1, 7
    longer = np.flatnonzero(byte > 127)
    while len(longer) and shift < 28:
        byte = data.take(behind[longer])
        found[longer] |= (byte & 127).astype(np.int64) << shift
        behind[longer] += 1
        longer, shift = longer[byte > 127], shift + 7
    found[longer] = -1
    return behind, found


def masks(words: int) -> Words:
    """Return rows of words: row n keeps the first n bytes."""
    kept = np.arange(words * 8)[None, :] < np.arange(words * 8 + 1)[:, None]
    return np.where(kept, 255, 0).astype(np.uint8).view("<u8")


class Headers:
    """What stands before a value, numbered as it is met. ``paths[i]`` is what header i spells."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._numbers: dict[bytes, int] = {}
        self._known = {words: np.zeros((0, words), np.uint64) for words in _WIDTHS}
        self._slots = {words: np.zeros(1 << _SLOT_BITS, np.int64) for words in _WIDTHS}

    def numbers(self, words: Words, lengths: Integers) -> Integers:
        """Return the number of each header of *lengths* bytes, in rows filled up with zeros."""
        width = words.shape[1]
        slots = _slots(words)
        found = self._slots[width].take(slots)
        missing = np.flatnonzero(~self._are(words, found))
        while len(missing):  # a header met for the first time, or two of one slot
            at = missing[0]
            first = words[at]
            text = first.tobytes()[: lengths[at]]
            number = self._number(text, first, int(slots[at]))
            same = (words[missing] == first).all(axis=1)
            found[missing[same]] = number
            missing = missing[~same]
        return found

    def _are(self, words: Words, numbers: Integers) -> Flags:
        known = self._known[words.shape[1]]
        if not len(known):
            return np.zeros(len(words), np.bool_)
        theirs = known.take(numbers, axis=0)
        differing = words[:, 0] ^ theirs[:, 0]
        for column in range(1, words.shape[1]):
            differing |= words[:, column] ^ theirs[:, column]
        flags: Flags = differing == 0
        return flags

    def _number(self, text: bytes, words: Words, slot: int) -> int:
        width = len(words)
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.paths)
            self.paths.append(_path(text))
        known = self._known[width]
        if number >= len(known):  # room for all there are, as numbers are the same in every width
            known = self._known[width] = np.vstack(
                [known, np.zeros((2 * number + 8 - len(known), width), np.uint64)]
            )
        if not known[number].any():
            known[number] = words
            self._slots[width][slot] = number
        return number


def _path(header: bytes) -> Path:
    key, nested = "", []
    for number, data in wire.fields(header):
        if number == 1:
            key = text_of(data)
        else:
            nested.append(text_of(data))
    return tuple(nested) if nested else (key,)


def _slots(words: Words) -> Integers:
    """Return a hash of each row: its highest bits depend on every bit of the words."""
    mixed = words[:, 0] * _FACTORS[0]
    for column in range(1, words.shape[1]):
        mixed += words[:, column] * _FACTORS[column]
    return (mixed >> np.uint64(64 - _SLOT_BITS)).view(np.int64)


def numbers(data: Bytes, starts: Integers, sizes: Integers) -> tuple[Floats, Flags]:
    """Return the values that are JSON numbers, and which those are; the others are NaN."""
    values, plain = np.empty(len(starts)), np.empty(len(starts), np.bool_)
    for begin in range(0, len(starts), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        values[some], plain[some] = _numbers(data, starts[some], sizes[some])
    return values, plain


def _numbers(data: Bytes, starts: Integers, sizes: Integers) -> tuple[Floats, Flags]:
    import pyarrow as pa  # noqa: PLC0415  60 ms that a sync without such a file need not spend

    rows = rows_of(data, starts, 2)
    last = data.take(starts + np.maximum(sizes, 1) - 1)
    plain = _look_like_numbers(rows.view(np.uint8), last, sizes)
    # texts as Arrow's views into the file's own bytes: up to 12 bytes stand in the view itself
    sizes = np.where(plain, sizes, 0)
    rows &= masks(2).take(np.minimum(sizes, 16), axis=0)
    low, high = rows[:, 0], rows[:, 1]
    views = np.empty((len(starts), 2), np.uint64)
    views[:, 0] = sizes.view(np.uint64) | low << np.uint64(32)
    views[:, 1] = np.where(
        sizes > 12,
        starts.view(np.uint64) << np.uint64(32),
        low >> np.uint64(32) | high << np.uint64(32),
    )
    buffers = [None, pa.py_buffer(views), pa.py_buffer(data)]
    texts = pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(starts), buffers))
    found = cast("pl.Series", texts).cast(pl.Float64, strict=False)
    if found.has_nulls():
        plain &= found.is_not_null().to_numpy()
    return found.to_numpy() + 0.0, plain  # missing is NaN; + 0.0: -0 is 0


def _look_like_numbers(rows: Bytes, last: Bytes, sizes: Integers) -> Flags:
    """Tell JSON numbers from what polars, which is more lenient, would take for one.

    *rows* are the first bytes of each text, *last* its last one.
    """
    negative = rows[:, 0] == ord("-")
    first = np.where(negative, rows[:, 1], rows[:, 0]) - np.uint8(ord("0"))
    second = np.where(negative, rows[:, 2], rows[:, 1]) - np.uint8(ord("0"))
    digits = sizes - negative
    plain: Flags = (first < 10) & (last - np.uint8(ord("0")) < 10)
    plain &= (digits > 0) & (sizes <= _LONGEST)
    plain &= (first != 0) | (digits == 1) | (second >= 10)
    return plain
