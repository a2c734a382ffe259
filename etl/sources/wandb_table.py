"""Many records of items -> one value for each (key, record), sorted, in columns.

Numbers, words such as NaN and plain texts are read in columns; what is neither, what belongs to a
histogram or a file and what an odd record holds is read one by one, by ``wandb_values``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from etl.sources import wandb_items
from etl.sources.facts import clean
from etl.sources.wandb_items import Floats, Headers, Items
from etl.sources.wandb_log import Bytes, Integers, Spans, rows_of
from etl.sources.wandb_values import (
    BAD_RECORD,
    Entry,
    Path,
    cell,
    parsed,
    prefix_of,
    resolved,
    typed_prefixes,
)

NUMBER, TEXT, TRUTH, MISSING = 0, 1, 2, 3
_WORDS = {
    b"NaN": (np.nan, NUMBER),
    b"Infinity": (np.inf, NUMBER),
    b"-Infinity": (-np.inf, NUMBER),
    b"true": (1.0, TRUTH),
    b"false": (0.0, TRUTH),
    b"null": (np.nan, MISSING),
}
_UNREAD = 255
_LONG_TEXT = 256
# A grid of (key, record) is filled where at least this share of it is, else the items are sorted.
_DENSE = 1 / 16

Kinds = npt.NDArray[np.uint8]


class Cells(NamedTuple):
    """Values, one for each (name, record) that has one, sorted by both.

    ``texts`` are those of the cells of kind TEXT, in order. ``failed`` are the records that could
    not be read, none of whose values is here, and why.
    """

    names: Integers  # numbers of Table.names
    records: Integers
    values: Floats  # NaN where there is no number
    kinds: Kinds
    texts: list[str]
    failed: dict[int, Exception]

    def of(self, name: int | None) -> slice:
        """Return where the values of one name are."""
        if name is None:
            return slice(0, 0)
        first, last = np.searchsorted(self.names, [name, name + 1]).tolist()
        return slice(first, last)


class _Columns(NamedTuple):
    """Values, those of a record in order; of two of one name that with the greater order holds.

    ``texts`` are places in a list of texts.
    """

    records: Integers
    orders: Integers
    names: Integers
    values: Floats
    kinds: Kinds
    texts: Integers


class Table:
    """The names that a file's items have, numbered as they are met, and a reader of many records.

    With ``in_columns`` false every record is read one by one, which gives the same.
    """

    def __init__(self, *, in_columns: bool = True) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._headers = Headers()
        self._of_header = np.zeros(0, np.int64)  # header -> name
        self._typed = np.zeros(0, np.bool_)  # header -> whether it is a part of a typed value
        self._in_columns = in_columns

    def number(self, name: str) -> int:
        """Return the number of a name, a new one for a new name."""
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number

    def known(self, name: str) -> int | None:
        """Return the number of a name, None if it has not been met."""
        return self._numbers.get(name)

    def cells(
        self,
        records: Spans,
        tag: int,
        entries_of: Callable[[int], Iterable[Entry]],
        check: Callable[[Items], None] | None = None,
    ) -> Cells:
        """Return the values of *records*, which begin with their items, each behind *tag*.

        *entries_of* reads one record the long way; *check* may mark more records as odd.
        """
        items = self.find(records, tag)
        if check is not None:
            check(items)
        texts: list[str] = []
        together, entries = self._together(records.data, items, texts)
        failed: dict[int, Exception] = {}
        for record in np.flatnonzero(items.odd).tolist():
            try:
                entries[record] = list(entries_of(record))
            except BAD_RECORD as problem:
                failed[record] = problem
                entries.pop(record, None)
        single = self._one_by_one(entries, texts, failed)
        chosen = _chosen(together, single, len(records.starts), len(self.names))
        pairs: Iterable[tuple[Any, Any]] = zip(together, single, strict=True)
        columns = _Columns(*(np.concatenate(pair)[chosen] for pair in pairs))
        kept = columns.kinds != MISSING
        if failed:
            kept &= ~np.isin(columns.records, list(failed))
        if not kept.all():
            columns = _Columns(*(column[kept] for column in columns))
        places = columns.texts[columns.kinds == TEXT].tolist()
        return Cells(
            columns.names,
            columns.records,
            columns.values,
            columns.kinds,
            [texts[place] for place in places],
            failed,
        )

    @property
    def paths(self) -> list[Path]:
        """What each header spells."""
        return self._headers.paths

    def find(self, records: Spans, tag: int) -> Items:
        """Return the items of records, as ``wandb_items.find`` does."""
        if not self._in_columns:
            empty, starts = records.starts[:0], records.starts.copy()
            every = np.ones(len(starts), np.bool_)
            return Items(empty, empty, empty, empty, empty, starts, every)
        items = wandb_items.find(records, tag, self._headers)
        paths = self._headers.paths
        if len(paths) > len(self._of_header):
            self._of_header = np.array([self.number(".".join(path)) for path in paths], np.int64)
            prefixes = typed_prefixes(paths)
            typed = [prefix_of(path, prefixes) is not None for path in paths]
            self._typed = np.array(typed, np.bool_)
        return items

    def _together(
        self, data: Bytes, items: Items, texts: list[str]
    ) -> tuple[_Columns, dict[int, list[Entry]]]:
        """Return the items that are numbers, words or plain texts, and the others as entries."""
        values, plain = wandb_items.numbers(data, items.starts, items.lengths)
        kinds = np.where(plain, NUMBER, _UNREAD).astype(np.uint8)
        typed = self._typed.take(items.headers)
        kinds[typed] = _UNREAD
        free = np.flatnonzero((kinds == _UNREAD) & ~typed)
        columns = _Columns(
            items.records,
            items.orders,
            self._of_header.take(items.headers),
            values,
            kinds,
            np.full(len(kinds), -1, np.int64),
        )
        _read_words(data, items, free, columns)
        _read_texts(data, items, free[kinds[free] == _UNREAD], columns, texts)
        entries: dict[int, list[Entry]] = defaultdict(list)
        for at in np.flatnonzero(kinds == _UNREAD).tolist():
            record, start = int(items.records[at]), int(items.starts[at])
            try:
                value = parsed(data[start : start + int(items.lengths[at])].tobytes())
            except BAD_RECORD:
                items.odd[record] = True
                continue
            path = self._headers.paths[items.headers[at]]
            entries[record].append(Entry(int(items.orders[at]), path, value))
        use = (kinds != _UNREAD) & ~items.odd.take(items.records)
        if not use.all():
            columns = _Columns(*(column[use] for column in columns))
        return columns, entries

    def _one_by_one(
        self, entries: dict[int, list[Entry]], texts: list[str], failed: dict[int, Exception]
    ) -> _Columns:
        """Return the values of entries, record by record."""
        found: list[tuple[int, int, int, float, int, int]] = []
        for record in sorted(entries):
            try:
                for order, (name,), value in resolved(entries[record]):
                    number, text, _ = cell(value)
                    kind, place = NUMBER if text is None else TEXT, -1
                    if value is None or isinstance(value, bool):
                        kind = MISSING if value is None else TRUTH
                    elif text is not None:
                        place = len(texts)
                        texts.append(text)
                    amount = np.nan if number is None else number
                    found.append((record, order, self.number(clean(name)), amount, kind, place))
            except BAD_RECORD as problem:
                failed[record] = problem
        columns = list(zip(*found, strict=True)) or [()] * 6
        types = (np.int64, np.int64, np.int64, np.float64, np.uint8, np.int64)
        return _Columns(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))


def _read_words(data: Bytes, items: Items, at: Integers, columns: _Columns) -> None:
    """Read those items of *at* that are one of JSON's words."""
    lengths = items.lengths[at]
    rows = rows_of(data, items.starts[at], 2)
    rows &= wandb_items.masks(2).take(np.minimum(lengths, 16), axis=0)
    for word, (value, kind) in _WORDS.items():
        low, high = np.frombuffer(word.ljust(16, b"\0"), "<u8")
        same = at[(rows[:, 0] == low) & (rows[:, 1] == high) & (lengths == len(word))]
        columns.values[same], columns.kinds[same] = value, kind


def _read_texts(
    data: Bytes, items: Items, at: Integers, columns: _Columns, texts: list[str]
) -> None:
    """Read those items of *at* that are a short text of plain ASCII, and add it to *texts*."""
    starts, lengths = items.starts[at], items.lengths[at]
    quoted = (lengths > 1) & (lengths < _LONG_TEXT)
    quoted &= data.take(starts) == ord('"')
    quoted &= data.take(starts + np.maximum(lengths, 1) - 1) == ord('"')
    at, starts, lengths = at[quoted], starts[quoted] + 1, lengths[quoted] - 2
    ends = np.cumsum(lengths)
    begins = ends - lengths
    inner = data.take(np.arange(lengths.sum()) + np.repeat(starts - begins, lengths))
    strange = (inner < 32) | (inner > 126) | (inner == ord('"')) | (inner == ord("\\"))
    count = np.concatenate(([0], np.cumsum(strange)))
    plain = count[ends] == count[begins]
    columns.kinds[at[plain]] = TEXT
    columns.texts[at[plain]] = np.arange(len(texts), len(texts) + int(plain.sum()))
    said = inner.tobytes().decode("ascii", "replace")
    pairs = zip(begins[plain].tolist(), ends[plain].tolist(), strict=True)
    texts.extend(said[begin:end] for begin, end in pairs)


def _chosen(together: _Columns, single: _Columns, records: int, names: int) -> Integers:
    """Return which rows of both hold, one for each (name, record), sorted by both."""
    name = np.concatenate((together.names, single.names))
    present = np.bincount(name, minlength=names) > 0
    place = (np.cumsum(present) - 1)[name] * records + np.concatenate(
        (together.records, single.records)
    )
    count, some = int(present.sum()) * records, len(together.names)
    if len(place) < count * _DENSE:
        order = np.concatenate((together.orders, single.orders))
        ranked = np.lexsort((order, place))
        last = np.append(place[ranked][1:] != place[ranked][:-1], [True] * bool(len(place)))
        return cast("Integers", ranked[last])
    grid = np.full(count, -1, np.int64)
    grid[place[:some]] = np.arange(some)  # of equal places numpy keeps the last
    before = grid[place[some:]]
    later = np.ones(len(before), np.bool_)
    twice = before >= 0
    later[twice] = together.orders[before[twice]] < single.orders[twice]
    grid[place[some:][later]] = np.arange(some, len(place))[later]
    return grid[grid >= 0]
