"""TensorBoard event files -> a run's facts and points, without TensorBoard.

- As in TensorBoard, a folder of event files is a run (``x/train`` and ``x/validation`` are two)
  and its files are pieces of it. A run is known by the folder's name and the time of the first
  event of its first file, so a copy is the same run and another folder called ``train`` is not.
- A process is a segment. Names by torch and TensorFlow 2 end in host, process and counter, so the
  files of one process are told; of other names each file is a segment.
- A session start within a file begins a segment from its step on, as TensorBoard drops what came
  before at and after that step. Steps that go back without one are not taken for a restart: a
  script may well count batches anew in each epoch. There the value logged last stands.
- The folder that ``add_hparams`` makes, named as a time, belongs to the run of the folder above.

Reading with ``tensorboard`` instead would bring 75 MB of packages along and takes 4 times as long:
1.6 s for 100,000 scalars against 0.4 s (CPU, measured with 2.21).
Field numbers: tensorboard/compat/proto/{event,summary}.proto.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import tensorboard_place, tfrecord, wire
from etl.sources import tensorboard_values as values
from etl.sources.facts import Facts, clean
from etl.sources.frames import CONSOLE, POINTS
from etl.sources.jsonl_rows import MAX_STEP
from etl.sources.reading import Part, Reading, Reject

_START = 1  # of a session
# What strange bytes in an event can raise on the way; it costs that event.
_BAD_EVENT = (ValueError, TypeError, OverflowError, RecursionError, struct.error)
# An event of one simple value, as nearly all are: time, step, summary{value{tag, simple_value}}.
_SCALAR = re.compile(
    rb"\t(.{8})(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\*(.)\n(.)\n(.)(.*)\x15(.{4})", re.DOTALL
)


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is an event file: its first record says so, or the name where that is cut."""
    return tensorboard_place.first_time(head) is not None or tensorboard_place.is_named_so(path)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    walk = tfrecord.Walk(path, start)
    events = _Events(path, list(known))
    unread: list[Reject] = []
    for block in walk.blocks():
        for at, size in block.records:
            try:
                events.take(block.data, at, at + size)
            except _BAD_EVENT as problem:
                reason = f"a record that is no event: {type(problem).__name__}: {problem}"
                raw = block.data[at : at + size]
                unread.append(Reject(block.start + at - tfrecord.HEADER, reason, raw))
    notes = () if walk.end else ("no event yet: nothing was written, or it was cut at once",)
    return Reading(events.parts(), (*walk.rejects, *unread), walk.end, notes)


@dataclass(slots=True)
class _Segment:
    """The rows of one segment that this read gave."""

    facts: Facts
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in POINTS})
    roles: dict[str, str] = field(default_factory=dict)
    printed: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in CONSOLE})
    rows: int = 0


class _Events:
    """Events of one file, taken one by one."""

    def __init__(self, path: Path, known: list[Facts]) -> None:
        self.path, self.tags = path, {b"": ""}
        self.segments = [_Segment(facts) for facts in known]  # the last one goes on

    def take(self, data: bytes, at: int, end: int) -> None:
        """Take the event at ``data[at:end]``."""
        found = _SCALAR.fullmatch(data, at, end) if self.segments else None
        if found is not None:
            time, step, summary, outer, size, tag, number = found.groups()
            inner = len(tag) + 7
            if size[0] == len(tag) and outer[0] == inner and summary[0] == inner + 2:
                segment = self.segments[-1]
                segment.rows += 1
                (value,) = struct.unpack("<f", number)
                self.point(tag, _step(step), value, None, _time(time))
                return
        self.slow(data[at:end])

    def slow(self, body: bytes) -> None:
        """Take an event of any kind; those that are not known here are skipped."""
        event = dict(wire.fields(body))
        ts = _time(event.get(1, bytes(8)))
        step = wire.signed(number) if isinstance(number := event.get(2, 0), int) else 0
        if not self.segments:
            self.segments.append(_Segment(tensorboard_place.facts(self.path, ts)))
        facts = self.segments[-1].facts
        if isinstance(version := event.get(3), bytes):
            versions = {"events": version.decode("utf-8", "replace")}
            self.segments[-1].facts = dataclasses.replace(
                facts, versions={**facts.versions, **versions}
            )
        session = event.get(7)
        if isinstance(session, bytes) and dict(wire.fields(session)).get(1) == _START:
            self.restart(step, ts)
        if isinstance(message := event.get(6), bytes):
            self.printed(message, ts)
        if isinstance(summary := event.get(5), bytes):
            self.segments[-1].rows += 1
            for number, value in wire.fields(summary):
                if number == 1 and isinstance(value, bytes):
                    self.value(value, step, ts)

    def restart(self, step: int, ts: float) -> None:
        """Begin a segment; before a file's first row the one that is there begins here."""
        last = self.segments[-1].facts
        base, _, place = last.segment_id.partition("@")
        opened, _, count = place.rpartition(".")
        began = f"{base}@{opened or f'{last.started_at:.6f}'}.{int(count or 0) + 1:04d}"
        again = step > 0 or any(s.facts.rows or s.rows for s in self.segments)
        facts = dataclasses.replace(
            _bare(last),
            segment_id=began,
            started_at=ts,
            resumed=again,
            resume_step=step if again else None,
        )
        self.segments.append(_Segment(facts))

    def value(self, body: bytes, step: int, ts: float) -> None:
        """Take one value of a summary."""
        fields = list(wire.fields(body))
        found = dict(fields)
        tag = found.get(1, b"")
        plugin, content = _plugin(found.get(9))
        segment = self.segments[-1]
        if not isinstance(tag, bytes):
            raise wire.MalformedError("a tag that is no text")
        if plugin == "hparams" and content:
            config, group = values.hyperparameters(content)
            segment.roles[clean(tag.decode("utf-8", "replace"))] = "config"
            facts = segment.facts
            segment.facts = dataclasses.replace(
                facts, config={**facts.config, **config}, group=group or facts.group
            )
            return
        number, text = values.number_or_text(fields, plugin)
        if number is not None or text is not None:
            self.point(tag, step, number, text, ts)

    def point(
        self, tag: bytes, step: int, number: float | None, text: str | None, ts: float
    ) -> None:
        if not abs(step) < MAX_STEP:
            raise ValueError("a step beyond 2**53")
        key = self.tags.get(tag)
        if key is None:
            key = self.tags[tag] = clean(tag.decode("utf-8", "replace"))
        columns = self.segments[-1].columns
        columns["key"].append(key)
        columns["step"].append(step)
        columns["value"].append(number)
        columns["text"].append(clean(text) if text is not None else None)
        columns["ts"].append(ts)

    def printed(self, message: bytes, ts: float) -> None:
        """Take a line that TensorFlow logged."""
        text = dict(wire.fields(message)).get(2, b"")
        if isinstance(text, bytes):
            printed = self.segments[-1].printed
            printed["line"].append(len(printed["line"]) + 1)
            printed["ts"].append(ts)
            printed["text"].append(clean(text.decode("utf-8", "replace")))

    def parts(self) -> tuple[Part, ...]:
        """Return a part for each segment; one that ended before its first row is none."""
        made = []
        for segment in self.segments:
            if not (segment.rows or segment.facts.rows) and segment is not self.segments[-1]:
                continue
            points = pl.DataFrame(segment.columns, schema=POINTS)
            facts = segment.facts.counted(segment.rows, points, segment.roles)
            last = [t for t in (facts.ended_at, points["ts"].max()) if isinstance(t, float)]
            facts = dataclasses.replace(facts, ended_at=max(last, default=None))
            console = pl.DataFrame(segment.printed, schema=CONSOLE)
            made.append(Part(facts, points, console=console if console.height else None))
        return tuple(made)


def _bare(last: Facts) -> Facts:
    """Return what holds for a run, whichever of its segments says it."""
    return Facts(
        run_id=last.run_id,
        segment_id=last.segment_id,
        id_known=last.id_known,
        name=last.name,
        tells_end=last.tells_end,
        versions=last.versions,
    )


def _time(body: int | bytes) -> float:
    if not isinstance(body, bytes):
        raise wire.MalformedError("a time that is no number")
    (seconds,) = struct.unpack("<d", body)
    return float(seconds)


def _step(varint: bytes | None) -> int:
    if varint is None:
        return 0
    number = 0
    for octet in reversed(varint):
        number = number << 7 | octet & 127
    return wire.signed(number)


def _plugin(metadata: int | bytes | None) -> tuple[str, bytes]:
    """Return the name and the data of the plugin that a value is for."""
    if not isinstance(metadata, bytes):
        return "", b""
    data = dict(wire.fields(metadata)).get(1, b"")
    found = dict(wire.fields(data)) if isinstance(data, bytes) else {}
    name, content = found.get(1, b""), found.get(2, b"")
    if not isinstance(name, bytes) or not isinstance(content, bytes):
        return "", b""
    return name.decode("utf-8", "replace"), content
