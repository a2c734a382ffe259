"""Records of a ``.wandb`` file -> the parts of a run: history, machine telemetry, console, facts.

Records of the three kinds that make up nearly all of a file are taken together, in columns; the
others one by one. Field numbers: wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import polars as pl

from etl.sources import wandb_items, wandb_values, wire
from etl.sources.reading import TELEMETRY, Facts, Part, Reject
from etl.sources.wandb_console import Console
from etl.sources.wandb_history import History
from etl.sources.wandb_items import Items
from etl.sources.wandb_log import Batch, Integers
from etl.sources.wandb_run import Run, timestamp
from etl.sources.wandb_table import NUMBER, TRUTH, Cells, Table
from etl.sources.wandb_values import BAD_RECORD, Entry, Path, text_of

_NUM, _HISTORY, _SUMMARY, _OUTPUT, _CONFIG, _STATS, _TELEMETRY, _METRIC = 1, 2, 3, 4, 5, 7, 11, 12
_OUTPUT_RAW, _RUN, _EXIT, _ENVIRONMENT = 13, 17, 18, 26
_NOT_READ = frozenset((_NUM, 6, 8, 9, 10, 16, 19, 20, 21, 22, 23, 24, 25, 27, 100, 200))
_ITEM, _STATS_ITEM = 0x0A, 0x1A  # tags of the items in a history or summary, in a stats record
_STEP = 0x12  # tag of the step behind the items of a history record


class Records:
    """The records of one file, batch by batch, and what came of them.

    With *in_columns* false every record is read one by one, which gives the same.
    """

    def __init__(self, facts: Facts, *, in_columns: bool = True) -> None:
        carry = facts.carry
        self.run = Run(facts)
        self.table, self.machine = Table(in_columns=in_columns), Table(in_columns=in_columns)
        self.history = History(
            self.table,
            before=facts.rows,
            current_step=facts.current_step,
            roles=facts.roles,
            axes=carry.get("axes", []),
        )
        self.console = Console(carry.get("console", {}))
        self.rejects: list[Reject] = []
        self.unknown: dict[int, int] = {}
        self.unmeasured = 0  # values of the machine that are no numbers
        self._in_columns = in_columns
        self._ordinal = 0
        self._telemetry: list[pl.DataFrame] = []

    def take(self, batch: Batch) -> None:
        """Take the records of a batch."""
        kinds, begins = _kinds(batch, in_columns=self._in_columns)
        bodies: dict[int, dict[int, bytes]] = {_HISTORY: {}, _SUMMARY: {}, _STATS: {}}
        for index in np.flatnonzero(kinds == 0).tolist():
            data = batch.record(index)
            try:
                for number, body in list(wire.fields(data)):
                    if number in bodies and isinstance(body, bytes):
                        bodies[number][index] = body
                    else:
                        self._one(self._ordinal + index, number, body)
                    if number == _RUN and isinstance(body, bytes):
                        summary = [inner for field, inner in wire.fields(body) if field == 5]
                        bodies[_SUMMARY].update((index, b) for b in summary if isinstance(b, bytes))
            except BAD_RECORD as problem:
                self._bad(batch, index, problem)
        takers = {_HISTORY: self._histories, _SUMMARY: self._summaries, _STATS: self._stats}
        for kind, taker in takers.items():
            alone = np.array(list(bodies[kind]), np.int64)
            rows = np.union1d(np.flatnonzero(kinds == kind), alone)
            if len(rows):
                taker(_Some(batch, rows, begins, bodies[kind]))
        self._ordinal += len(kinds)

    def _one(self, ordinal: int, number: int, body: int | bytes) -> None:
        """Take a record of one of the rarer kinds; those that are not known are counted."""
        takers = {
            _CONFIG: self.run.config,
            _RUN: self.run.run,
            _ENVIRONMENT: self.run.environment,
            _TELEMETRY: self.run.telemetry,
        }
        if number in _NOT_READ:
            return
        if not isinstance(body, bytes):
            self.unknown[number] = self.unknown.get(number, 0) + 1
        elif number in takers:
            takers[number](body)
        elif number in (_OUTPUT, _OUTPUT_RAW):
            self._output(body)
        elif number == _METRIC:  # field 4 is the x axis that define_metric names
            for field, name in wire.fields(body):
                if field == 4:
                    self.history.axis(ordinal, text_of(name))
        elif number == _EXIT:
            self.run.exit(body)
            self.console.close()
        else:
            self.unknown[number] = self.unknown.get(number, 0) + 1

    def _output(self, body: bytes) -> None:
        stream, ts, text = 0, None, ""
        for number, value in wire.fields(body):
            if number == 1 and isinstance(value, int):
                stream = value
            elif number == 2 and isinstance(value, bytes):
                ts = timestamp(value)
            elif number == 3:
                text = text_of(value)
        self.console.write(stream, ts, text)

    def _histories(self, some: _Some) -> None:
        indices = np.full(len(some.rows), -1, np.int64)

        def entries_of(at: int) -> Iterator[Entry]:
            order = 0
            for number, body in list(wire.fields(some.body(at))):
                if number == 1 and isinstance(body, bytes):
                    yield Entry(order, *wandb_values.item(body))
                    order += 1
                elif number == 2 and isinstance(body, bytes):
                    steps = [v for n, v in wire.fields(body) if n == 1 and isinstance(v, int)]
                    indices[at] = wire.signed(steps[0]) if steps else 0

        def check(items: Items) -> None:
            _read_indices(some, items, indices)

        cells = self.table.cells(some.data, some.starts, some.ends, _ITEM, entries_of, check)
        self._failed(some, cells)
        self.history.add(cells, self._ordinal + some.rows, indices)

    def _stats(self, some: _Some) -> None:
        times = np.full(len(some.rows), np.nan)
        for at, start in enumerate(some.starts.tolist()):
            head = some.data[start : start + 32].tobytes()
            behind, times[at] = _stats_head(head)
            some.starts[at] = start + behind

        def entries_of(at: int) -> Iterator[Entry]:
            order = 0
            for number, body in list(wire.fields(some.body(at))):
                if number == 3 and isinstance(body, bytes):
                    yield Entry(order, *wandb_values.item(body))
                    order += 1
                elif number == 2 and isinstance(body, bytes):
                    times[at] = timestamp(body)

        def check(items: Items) -> None:
            items.odd[:] |= (items.stops != some.ends) | np.isnan(times) | some.alone

        cells = self.machine.cells(
            some.data, some.starts, some.ends, _STATS_ITEM, entries_of, check
        )
        self._failed(some, cells)
        measured = (cells.kinds == NUMBER) | (cells.kinds == TRUTH)
        self.unmeasured += int((~measured).sum())
        names = pl.Series([f"system.{name}" for name in self.machine.names], dtype=pl.String)
        frame = {
            "key": names.gather(cells.names[measured]),
            "ts": pl.Series(times.take(cells.records[measured])).fill_nan(None),
            "value": cells.values[measured],
        }
        self._telemetry.append(pl.DataFrame(frame, schema=TELEMETRY))

    def _summaries(self, some: _Some) -> None:
        """Apply the changes of summary records: of each run of plain ones only the last a key."""
        items = self.table.find(some.data, some.starts, some.ends, _ITEM)
        items.odd[:] |= (items.stops != some.ends) | some.alone
        found = _last_changes(some, items, self.table.paths)
        while found is None:  # a value that cannot be read: its record is read alone, and refused
            found = _last_changes(some, items, self.table.paths)
        for at, change in found:
            try:
                wandb_values.change(self.run.summary, change or wandb_values.changes(some.body(at)))
            except BAD_RECORD as problem:
                self._bad(some.batch, int(some.rows[at]), problem)

    def _failed(self, some: _Some, cells: Cells) -> None:
        for at, problem in cells.failed.items():
            self._bad(some.batch, int(some.rows[at]), problem)

    def _bad(self, batch: Batch, index: int, problem: Exception) -> None:
        reason = f"a record that is no W&B record: {type(problem).__name__}: {problem}"
        self.rejects.append(Reject(int(batch.places[index]), reason, batch.record(index)))

    def part(self) -> Part:
        """Return all that was taken."""
        history, facts = self.history, self.run.facts
        carry = {
            "axes": [name for _, name in history.axes],
            "counted_steps": history.counted_steps or facts.carry.get("counted_steps", False),
            "step_given": self.run.step_given,
            "console": self.console.carry(),
        }
        facts = dataclasses.replace(
            facts,
            summary={key: value for key, value in self.run.summary.items() if key != "_wandb"},
            current_step=history.current_step,
            # the script's own steps, if it gave them with log(step=)
            log_index_steps=carry["counted_steps"] and not self.run.step_given,
            carry=carry,
        )
        points = history.points()
        facts = facts.counted(history.rows - facts.rows, points, history.roles)
        telemetry = pl.concat(self._telemetry) if self._telemetry else None
        return Part(facts, points, telemetry, self.console.frame())

    def notes(self) -> tuple[str, ...]:
        """Return what was left out without being damage."""
        found = [
            f"{count} records of kind {number}, which is not known here, were skipped"
            for number, count in sorted(self.unknown.items())
        ]
        if self.history.no_steps:
            key = self.history.step_key
            found.append(f"{self.history.no_steps} values of the step key {key!r} are no steps")
        if self.unmeasured:
            found.append(f"{self.unmeasured} system metrics that are no numbers were left out")
        return tuple(found)


class _Some:
    """The records of one kind in a batch: where the bodies are, those that are *alone* as bytes."""

    def __init__(
        self, batch: Batch, rows: Integers, begins: Integers, bodies: dict[int, bytes]
    ) -> None:
        self.batch, self.rows, self.data = batch, rows, batch.data
        self.starts, self.ends = begins[rows], batch.ends[rows].copy()
        self._bodies = {at: bodies[row] for at, row in enumerate(rows.tolist()) if row in bodies}
        self.alone = np.zeros(len(rows), np.bool_)
        self.alone[list(self._bodies)] = True
        self.starts[self.alone] = self.ends[self.alone] = 0
        self._begins = self.starts.copy()

    def body(self, at: int) -> bytes:
        """Return the bytes of one record's body."""
        if at in self._bodies:
            return self._bodies[at]
        return self.data[self._begins[at] : self.ends[at]].tobytes()


def _kinds(batch: Batch, *, in_columns: bool) -> tuple[Integers, Integers]:
    """Return which kind each record is and where its body begins; kind 0 has to be looked at.

    A record is its number, some of fields 16 and 200, and then its body.
    """
    count, data, at = len(batch.starts), batch.data, batch.starts.copy()
    if not in_columns or count < wandb_items.FEW:
        return np.zeros(count, np.int64), at
    numbered = data.take(at) == _NUM << 3
    at[numbered] = wandb_items.lengths(data, at[numbered] + 1)[0]
    before = np.flatnonzero(numbered)
    while len(before):  # control and _info
        first, second = data.take(at[before]), data.take(at[before] + 1)
        skipped = ((first == 0x82) & (second == 0x01)) | ((first == 0xC2) & (second == 0x0C))
        before = before[skipped]
        begin, length = wandb_items.lengths(data, at[before] + 2)
        stays = (length >= 0) & (begin + length < batch.ends[before])
        before = before[stays]
        at[before] = (begin + length)[stays]
    tag = data.take(at)
    begins, length = wandb_items.lengths(data, at + 1)
    kinds = np.where(begins + length == batch.ends, tag >> 3, 0).astype(np.int64)
    kinds[((tag & 7) != wire.BYTES) | ~np.isin(kinds, (_HISTORY, _SUMMARY, _STATS))] = 0
    return kinds, begins


def _read_indices(some: _Some, items: Items, indices: Integers) -> None:
    """Read W&B's counts, which stand behind the items; what else stands there is odd."""
    data, at = some.data, items.stops
    length = data.take(at + 1).astype(np.int64)
    there = (at < some.ends) & (data.take(at) == _STEP) & (at + 2 + length == some.ends)
    begin, value = wandb_items.lengths(data, at + 3)
    counted = there & (data.take(at + 2) == 0x08) & (value >= 0) & (begin == some.ends)
    indices[counted] = value[counted]
    indices[there & (length == 0)] = 0
    fine = (at == some.ends) | counted | (there & (length == 0))
    items.odd[:] |= ~fine | some.alone
    indices[items.odd] = -1


def _stats_head(head: bytes) -> tuple[int, float]:
    """Return (bytes, time) of what stands before the items of a stats record; NaN if that is odd."""
    at = 2 if head[:1] == b"\x08" else 0
    if head[at : at + 1] != b"\x12" or len(head) < at + 2 + head[at + 1]:
        return 0, np.nan
    end = at + 2 + head[at + 1]
    try:
        return end, timestamp(head[at + 2 : end])
    except BAD_RECORD:
        return 0, np.nan


_Changes = list[tuple[bool, Path, object]]


def _last_changes(
    some: _Some, items: Items, paths: list[Path]
) -> list[tuple[int, _Changes]] | None:
    """Return (record, changes) in order, empty ones for an odd record; None if one became odd.

    Between two odd records a value holds that nothing later replaces: only those are read.
    """
    rank = items.records * (int(items.orders.max(initial=0)) + 1) + items.orders
    odd = np.flatnonzero(items.odd)
    order = np.argsort(items.records, kind="stable") if len(odd) else np.arange(len(rank))
    limits = np.searchsorted(items.records[order], odd) if len(odd) else odd
    found: list[tuple[int, _Changes]] = []
    begin = 0
    for record, end in zip([*odd.tolist(), -1], [*limits.tolist(), len(order)], strict=True):
        between = order[begin:end]
        begin = end
        last = np.full(len(paths), -1, np.int64)
        np.maximum.at(last, items.headers[between], rank[between])
        chosen = between[rank[between] == last.take(items.headers[between])]
        for at in chosen[np.argsort(rank[chosen])].tolist():
            text = some.data[items.starts[at] : items.starts[at] + items.lengths[at]].tobytes()
            try:
                value = wandb_values.parsed(text)
            except BAD_RECORD:
                items.odd[items.records[at]] = True
                return None
            found.append((int(items.records[at]), [(False, paths[items.headers[at]], value)]))
        if record >= 0:
            found.append((record, []))
    return found
