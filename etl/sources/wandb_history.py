"""Rows of ``run.log`` -> points, each at the training step that the script means.

A row's step is what it says under the run's step key. Which key that is the first row decides that
has a whole number under one of STEP_KEYS: ``step``, else the one that ``define_metric`` made an x
axis, else the first of them. A row without it was logged within the step that was named last. Until
then, or where no row has such a key, the step is W&B's own count, which is one of calls unless the
script gave it with ``log(step=)``.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import polars as pl

from etl.sources.frames import KEY, MANY_ROWS, no_points
from etl.sources.wandb_items import Flags, Floats
from etl.sources.wandb_log import Integers
from etl.sources.wandb_table import NUMBER, TEXT, Cells, Table
from hooks import record

STEP_KEYS = ("step", "global_step", "train/global_step", "trainer/global_step", "iter", "iteration")
_LOG_INDEX, _TIME, _RUNTIME = "_step", "_timestamp", "_runtime"
_OWN_ROLES = {_LOG_INDEX: "log index", _TIME: "wall time", _RUNTIME: "runtime"}
_MAX_STEP = 2**53


class Columns(NamedTuple):
    """The values of a file, and the step and the time (NaN for none) of each of its rows.

    ``names`` are numbers of ``Table.names``, ``places`` those of texts, -1 for a number.
    """

    names: Integers
    rows: Integers
    values: Floats
    places: Integers
    steps: Integers
    times: Floats


class History:
    """The rows of one file, batch by batch.

    ``before`` is how many rows of it were read earlier, ``current_step`` the step they ended with.
    """

    def __init__(
        self,
        table: Table,
        *,
        before: int,
        current_step: int | None,
        roles: dict[str, str],
        axes: list[str],
    ) -> None:
        self.table, self.rows, self.current_step = table, before, current_step
        self.roles = dict(roles)
        self.step_key = next((key for key, role in roles.items() if role == "step"), None)
        self.axes: list[tuple[int, str]] = [(-1, name) for name in axes]  # and of which record
        self.counted_steps = False
        self.no_steps = 0  # values of the step key that are no step
        self._parts: list[tuple[Integers, Integers, Floats, Integers]] = []
        self._steps: list[Integers] = []
        self._times: list[Floats] = []
        self._texts: list[str] = []
        self._first = before

    def axis(self, ordinal: int, name: str) -> None:
        """Note that the record *ordinal* made *name* an x axis."""
        if name in STEP_KEYS and name not in (known for _, known in self.axes):
            self.axes.append((ordinal, name))

    def add(self, cells: Cells, ordinals: Integers, indices: Integers) -> None:
        """Add rows; *ordinals* are those of their records, *indices* W&B's counts, -1 for none."""
        good = np.ones(len(ordinals), np.bool_)
        good[list(cells.failed)] = False
        row = np.cumsum(good) - 1  # of a record
        decided = self._decide(cells, ordinals)
        named, steps = self._named_steps(cells, row, int(good.sum()))
        self._count_steps(cells, row, indices[good], named, steps)
        times = np.full(len(steps), np.nan)
        where = cells.of(self.table.known(_TIME))
        times[row[cells.records[where]]] = _numbers(cells, where)
        kept = np.ones(len(cells.names), np.bool_)
        for key, role in _OWN_ROLES.items():
            where = cells.of(self.table.known(key))
            kept[where] = False
            if where.stop > where.start:
                self.roles[key] = role
        if self.step_key is not None:
            where = cells.of(self.table.known(self.step_key))
            after = cells.records[where] >= decided
            kept[where] &= ~after
            self.no_steps += int((after & ~_whole(cells, where)).sum())
        places = np.full(len(cells.names), -1, np.int64)
        said = cells.kinds == TEXT
        places[said] = np.arange(len(self._texts), len(self._texts) + len(cells.texts))
        self._texts.extend(cells.texts)
        rows = row[cells.records] + (self.rows - self._first)
        columns = (cells.names, rows, cells.values, places)
        self._parts.append(tuple(column[kept] for column in columns))  # type: ignore[arg-type]
        self._steps.append(steps)
        self._times.append(times)
        self.rows += len(steps)

    def _decide(self, cells: Cells, ordinals: Integers) -> int:
        """Decide the step key, if it is not yet, and return the record from which on it holds."""
        if self.step_key is not None:
            return 0
        found: list[tuple[int, int, int, str]] = []
        for place, key in enumerate(STEP_KEYS):
            where = cells.of(self.table.known(key))
            records = cells.records[where][_whole(cells, where)]
            if len(records):
                first = int(records[0])
                axis = any(name == key and at < ordinals[first] for at, name in self.axes)
                rank = 0 if key == STEP_KEYS[0] else 1 if axis else 2
                found.append((first, rank, place, key))
        if not found:
            return 0
        first, _, _, self.step_key = min(found)
        self.roles[self.step_key] = "step"
        return first

    def _named_steps(self, cells: Cells, row: Integers, count: int) -> tuple[Flags, Integers]:
        """Return which rows have a step from the step key, their own or that named last, and it."""
        own = np.full(count, -1, np.int64)  # the row that named the step
        steps = np.zeros(count, np.int64)
        if self.step_key is not None:
            where = cells.of(self.table.known(self.step_key))
            whole = _whole(cells, where)
            at = row[cells.records[where][whole]]
            own[at] = at
            steps[at] = cells.values[where][whole]
        own = np.maximum.accumulate(own)
        named = own >= 0
        steps[named] = steps[own[named]]
        if self.current_step is not None:
            steps[~named] = self.current_step
            named[:] = True
        if count and named[-1]:
            self.current_step = int(steps[-1])
        return named, steps

    def _count_steps(
        self, cells: Cells, row: Integers, indices: Integers, named: Flags, steps: Integers
    ) -> None:
        """Give the rows that no step key has named a step W&B's count, or else our own."""
        if named.all():
            return
        self.counted_steps = True
        counted = np.where(indices >= 0, indices, self.rows + np.arange(len(steps)))
        where = cells.of(self.table.known(_LOG_INDEX))
        whole = _whole(cells, where)
        counted[row[cells.records[where][whole]]] = cells.values[where][whole]
        steps[~named] = counted[~named]

    def columns(self) -> Columns:
        """Return all values sorted by (key, row): those of one key are a slice."""
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        parts = self._parts or [(none, none, nothing, none)]
        joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
        names, rows, values, places = joined
        small = names.astype(np.uint16) if len(self.table.names) < 2**16 else names
        order = np.argsort(small, kind="stable")  # of 16 bits: by radix, 10 times as fast
        return Columns(
            names[order],
            rows[order],
            values[order],
            places[order],
            np.concatenate(self._steps or [none]),
            np.concatenate(self._times or [nothing]),
        )

    def points(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return the points (POINTS), by key and then by row, and as ``Part.rows`` the others.

        A key that is a number in most of many rows is a column of these.
        """
        found = self.columns()
        names, rows, values, places, steps, times = found
        if not len(names):
            return no_points(), None
        columns = self._dense(found)
        wide = None
        if columns:
            axes = {"step": steps, "ts": pl.Series(times).fill_nan(None)}
            wide = pl.DataFrame(
                {**axes, **{KEY + self.table.names[n]: c for n, c in columns.items()}}
            )
            rest = ~np.isin(names, list(columns))
            names, rows, values, places = names[rest], rows[rest], values[rest], places[rest]
        frame = pl.DataFrame(
            {
                "key": pl.Series(self.table.names, dtype=pl.String).gather(names),
                "step": steps.take(rows),
                "value": values,
                "place": places,
                "ts": times.take(rows),
            }
        )
        texts = pl.Series(self._texts, dtype=pl.String)
        said = pl.col("place") >= 0
        points = frame.select(
            "key",
            "step",
            pl.when(~said).then("value"),
            text=pl.lit(texts).gather(pl.when(said).then("place"))
            if self._texts
            else pl.lit(None, dtype=pl.String),
            ts=pl.col("ts").fill_nan(None),
        )
        return points, wide

    def _dense(self, found: Columns) -> dict[int, pl.Series]:
        """Return a column of all rows for each name that is a number in most of them."""
        count = len(found.steps)
        columns: dict[int, pl.Series] = {}
        if count < MANY_ROWS:
            return columns
        bounds = np.searchsorted(found.names, np.arange(len(self.table.names) + 1))
        for name, (begin, end) in enumerate(itertools.pairwise(bounds.tolist())):
            rows, values = found.rows[begin:end], found.values[begin:end]
            if 2 * len(rows) < count or (found.places[begin:end] >= 0).any():
                continue
            if len(rows) == count:
                columns[name] = pl.Series(values)
            else:
                at = np.full(count, -1, np.int64)
                at[rows] = np.arange(len(rows))
                there = pl.Series(at)
                columns[name] = pl.Series(values).gather(there.set(there < 0, None))
        return columns


def _whole(cells: Cells, where: slice) -> Flags:
    """Return which of these values can be a step."""
    values = cells.values[where]
    with np.errstate(invalid="ignore"):
        flags: Flags = (cells.kinds[where] == NUMBER) & (np.abs(values) < _MAX_STEP)
        flags &= values == np.floor(values)
    return flags


def _numbers(cells: Cells, where: slice) -> Floats:
    """Return these values as numbers, also those that are a text as "NaN" is; else NaN."""
    values = cells.values[where].copy()
    said = np.flatnonzero(cells.kinds[where] == TEXT)
    before = int((cells.kinds[: where.start] == TEXT).sum())
    for at, place in enumerate(said.tolist()):
        number = record.number(cells.texts[before + at])
        values[place] = np.nan if number is None else number
    return values
