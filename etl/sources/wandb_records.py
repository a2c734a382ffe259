"""Records of a ``.wandb`` file -> the parts of a run: history, machine telemetry, console, facts.

Records of the three kinds that make up nearly all of a file are taken together, in columns; the
others one by one. Field numbers: wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from etl.sources import wandb_values, wire
from etl.sources.facts import Facts
from etl.sources.frames import TELEMETRY
from etl.sources.reading import Part, Reject
from etl.sources.wandb_bodies import (
    HISTORY,
    ITEM,
    NUM,
    STATS,
    STATS_ITEM,
    SUMMARY,
    Bodies,
    kinds_of,
    read_indices,
    stats_head,
)
from etl.sources.wandb_console import Console
from etl.sources.wandb_history import History
from etl.sources.wandb_items import Items
from etl.sources.wandb_log import Batch
from etl.sources.wandb_run import Run, timestamp
from etl.sources.wandb_table import NUMBER, TRUTH, Cells, Table
from etl.sources.wandb_values import BAD_RECORD, Entry, Path, text_of

_OUTPUT, _CONFIG, _TELEMETRY, _METRIC, _OUTPUT_RAW, _RUN, _EXIT, _ENVIRONMENT = (
    4, 5, 11, 12, 13, 17, 18, 26
)  # fmt: skip
_NOT_READ = frozenset((NUM, 6, 8, 9, 10, 16, 19, 20, 21, 22, 23, 24, 25, 27, 100, 200))


class Records:
    """The records of one file, batch by batch, and what came of them.

    With *in_columns* false every record is read one by one, which gives the same.
    """

    def __init__(self, facts: Facts, *, in_columns: bool = True) -> None:
        carry: dict[str, Any] = json.loads(facts.cursor) if facts.cursor else {}
        self.run = Run(facts, step_given=carry.get("step_given", False))
        self.table, self.machine = Table(in_columns=in_columns), Table(in_columns=in_columns)
        self.history = History(
            self.table,
            before=facts.rows,
            current_step=facts.current_step,
            roles=facts.roles,
            axes=carry.get("axes", []),
        )
        self.history.counted_steps = carry.get("counted_steps", False)
        self.console = Console(carry.get("console", {}))
        self.rejects: list[Reject] = []
        self.unknown: dict[int, int] = {}
        self.unmeasured = 0  # values of the machine that are no numbers
        self._in_columns = in_columns
        self._ordinal = 0
        self._telemetry: list[pl.DataFrame] = []

    def take(self, batch: Batch) -> None:
        """Take the records of a batch."""
        kinds, begins = kinds_of(batch, in_columns=self._in_columns)
        bodies: dict[int, dict[int, bytes]] = {HISTORY: {}, SUMMARY: {}, STATS: {}}
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
                        bodies[SUMMARY].update((index, b) for b in summary if isinstance(b, bytes))
            except BAD_RECORD as problem:
                self._bad(batch, index, problem)
        takers = {HISTORY: self._histories, SUMMARY: self._summaries, STATS: self._stats}
        for kind, taker in takers.items():
            alone = np.array(list(bodies[kind]), np.int64)
            rows = np.union1d(np.flatnonzero(kinds == kind), alone)
            if len(rows):
                taker(Bodies(batch, rows, begins, bodies[kind]))
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

    def _histories(self, some: Bodies) -> None:
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
            read_indices(some, items, indices)

        cells = self.table.cells(some.spans(), ITEM, entries_of, check)
        self._failed(some, cells)
        self.history.add(cells, self._ordinal + some.rows, indices)

    def _stats(self, some: Bodies) -> None:
        times = np.full(len(some.rows), np.nan)
        for at in np.flatnonzero(~some.alone).tolist():
            start = int(some.starts[at])
            behind, times[at] = stats_head(some.data[start : start + 32].tobytes())
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

        cells = self.machine.cells(some.spans(), STATS_ITEM, entries_of, check)
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

    def _summaries(self, some: Bodies) -> None:
        """Apply the changes of summary records: of each run of plain ones only the last a key."""
        items = self.table.find(some.spans(), ITEM)
        items.odd[:] |= (items.stops != some.ends) | some.alone
        found = _last_changes(some, items, self.table.paths)
        while found is None:  # a value that cannot be read: its record is read alone, and refused
            found = _last_changes(some, items, self.table.paths)
        for at, change in found:
            try:
                wandb_values.change(self.run.summary, change or wandb_values.changes(some.body(at)))
            except BAD_RECORD as problem:
                self._bad(some.batch, int(some.rows[at]), problem)

    def _failed(self, some: Bodies, cells: Cells) -> None:
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
            "counted_steps": history.counted_steps,
            "step_given": self.run.step_given,
            "console": self.console.carry(),
        }
        facts = dataclasses.replace(
            facts,
            summary={key: value for key, value in self.run.summary.items() if key != "_wandb"},
            current_step=history.current_step,
            # the script's own steps, if it gave them with log(step=)
            log_index_steps=history.counted_steps and not self.run.step_given,
            cursor=json.dumps(carry, sort_keys=True),
        )
        points, rows = history.points()
        facts = facts.counted(history.rows - facts.rows, points, history.roles, rows)
        telemetry = pl.concat(self._telemetry) if self._telemetry else None
        return Part(facts, points, telemetry, self.console.frame(), rows)

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


_Changes = list[tuple[bool, Path, object]]


def _last_changes(
    some: Bodies, items: Items, paths: list[Path]
) -> list[tuple[int, _Changes]] | None:
    """Return (record, changes) in order, empty ones for an odd record; None if one became odd.

    Between two odd records a value holds that nothing later replaces: only those are read.
    """
    rank = items.records * (int(items.orders.max(initial=0)) + 1) + items.orders
    odd = np.flatnonzero(items.odd)
    order = np.arange(len(rank))
    if len(odd):  # those of an odd record, up to where it became odd, are not of use
        order = np.argsort(items.records, kind="stable")
        order = order[~items.odd[items.records[order]]]
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
