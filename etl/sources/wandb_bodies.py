"""A batch of a ``.wandb`` file's records -> which kind each is and where its items begin.

Field numbers: wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import numpy as np

from etl.sources import wandb_items, wire
from etl.sources.wandb_items import Items
from etl.sources.wandb_log import Batch, Integers, Spans
from etl.sources.wandb_run import timestamp
from etl.sources.wandb_values import BAD_RECORD

NUM, HISTORY, SUMMARY, STATS = 1, 2, 3, 7
ITEM, STATS_ITEM = 0x0A, 0x1A  # tags of the items in a history or summary, in a stats record
_STEP = 0x12  # tag of the step behind the items of a history record


class Bodies:
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

    def spans(self) -> Spans:
        """Return where the items are."""
        return Spans(self.data, self.starts, self.ends)

    def body(self, at: int) -> bytes:
        """Return the bytes of one record's body."""
        if at in self._bodies:
            return self._bodies[at]
        return self.data[self._begins[at] : self.ends[at]].tobytes()


def kinds_of(batch: Batch, *, in_columns: bool) -> tuple[Integers, Integers]:
    """Return which kind each record is and where its body begins; kind 0 has to be looked at.

    A record is its number, some of fields 16 and 200, and then its body.
    """
    count, data, at = len(batch.starts), batch.data, batch.starts.copy()
    if not in_columns or count < wandb_items.FEW:
        return np.zeros(count, np.int64), at
    numbered = data.take(at) == NUM << 3
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
    kinds[((tag & 7) != wire.BYTES) | ~np.isin(kinds, (HISTORY, SUMMARY, STATS))] = 0
    return kinds, begins


def read_indices(some: Bodies, items: Items, indices: Integers) -> None:
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


def stats_head(head: bytes) -> tuple[int, float]:
    """Return (bytes, time) of what stands before a stats record's items; NaN if that is odd."""
    at = 2 if head[:1] == b"\x08" else 0
    if head[at : at + 1] != b"\x12" or len(head) < at + 2 + head[at + 1]:
        return 0, np.nan
    end = at + 2 + head[at + 1]
    try:
        return end, timestamp(head[at + 2 : end])
    except BAD_RECORD:
        return 0, np.nan
