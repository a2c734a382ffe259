"""A W&B run file (``run-ID.wandb``, SDK 0.10 to 0.31) -> a run's facts and points, without the SDK.

Half of such a file are summary records, so records are told apart by their first byte and only
those that are wanted are parsed. Field numbers: wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import wandb_log, wire
from etl.sources.jsonl_rows import MAX_STEP
from etl.sources.reading import POINTS, Facts, Part, Reading, Reject, Source, clean
from hooks import record

_NUM, _HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT, _ENVIRONMENT = 1, 2, 3, 5, 17, 18, 26
_NOT_READ = frozenset((4, 6, 7, 8, 9, 10, 11, 12, 13, 16, 19, 20, 21, 22, 23, 24, 25, 27, 100, 200))
# What strange bytes in a record can raise on the way; it costs that record.
_BAD_RECORD = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, struct.error)
_STEP, _LOG_INDEX, _TIME, _RUNTIME = "step", "_step", "_timestamp", "_runtime"
_OWN_ROLES = {_LOG_INDEX: "log index", _TIME: "wall time", _RUNTIME: "runtime"}


def recognises(path: Path, head: bytes) -> bool:  # noqa: ARG001  every source is asked alike
    """Whether *path* is a W&B run file: by its name, as a cut one may have no content to tell."""
    return path.suffix == ".wandb"


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    facts = known[0] if known else None
    with path.open("rb") as file:
        head = file.read(len(wandb_log.HEADER))
        bad = _bad_header(head)
        if bad:
            rest = head + file.read()
            return Reading(tuple(Part(fact) for fact in known), (Reject(0, bad, rest),))
        start = max(start, len(head))
        file.seek(start)
        walk = wandb_log.Walk(file.read(), start)
    rows = _Rows(facts or Facts(run_id="", segment_id=""))
    rows.current_step = rows.facts.current_step
    unread: list[Reject] = []
    for at, data in walk.records():
        try:
            rows.take(data)
        except _BAD_RECORD as problem:
            reason = f"a record that is no W&B record: {type(problem).__name__}: {problem}"
            unread.append(Reject(at, reason, data))
    return rows.reading(path, walk, unread)


def _bad_header(head: bytes) -> str | None:
    if head == wandb_log.HEADER:
        return None
    if not head:
        return "empty: W&B had written nothing yet"
    if wandb_log.HEADER.startswith(head):
        return "cut within the file header"
    return "not a W&B run file: its first 7 bytes are not a W&B header of version 0"


@dataclass(slots=True)
class _Rows:
    """Records of one file, taken one by one."""

    facts: Facts
    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in POINTS})
    roles: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    current_step: int | None = None
    log_index_steps: bool = False
    unknown: dict[int, int] = field(default_factory=dict)

    def take(self, data: bytes) -> None:
        """Take one record; kinds that are not known are counted and skipped."""
        for number, body in wire.fields(data):
            if number == _NUM or number in _NOT_READ:
                continue
            if not isinstance(body, bytes):
                self.unknown[number] = self.unknown.get(number, 0) + 1
            elif number == _HISTORY:
                self.history(body)
            elif number == _SUMMARY:
                self.change(summary=_changed(self.facts.summary, body))
            elif number == _CONFIG:
                self.config(body)
            elif number == _RUN:
                self.run(body)
            elif number == _EXIT:
                self.exit(body)
            elif number == _ENVIRONMENT:
                self.environment(body)
            else:
                self.unknown[number] = self.unknown.get(number, 0) + 1

    def change(self, **values: Any) -> None:
        self.facts = dataclasses.replace(self.facts, **values)

    def history(self, body: bytes) -> None:
        """Take one ``run.log`` row: its items, whichever of the three ways they spell their key."""
        row: dict[str, Any] = {}
        index: int | None = None
        for number, item in wire.fields(body):
            if number == 1 and isinstance(item, bytes):
                key, value = _item(item)
                row[key] = value
            elif number == 2 and isinstance(item, bytes):
                index = next((wire.signed(v) for n, v in wire.fields(item) if n == 1), 0)  # type: ignore[arg-type]
        self.rows += 1
        step = _whole(row.get(_STEP))
        log_index = _whole(row.get(_LOG_INDEX))
        if step is not None:
            self.roles[_STEP] = "step"
            self.current_step = step
        elif self.current_step is not None:
            step = self.current_step  # logged within the step that was named last
        else:
            step = log_index if log_index is not None else index
            step = self.facts.rows + self.rows - 1 if step is None else step
            self.log_index_steps = True
        ts = record.number(row.get(_TIME))
        for key, value in row.items():
            if key in _OWN_ROLES:
                self.roles[key] = _OWN_ROLES[key]
            elif key != _STEP or self.roles.get(_STEP) != "step":
                self.point(key, step, value, ts)

    def point(self, key: str, step: int, value: Any, ts: float | None) -> None:
        if value is None:
            return
        number = record.number(value) if not isinstance(value, str) else None
        text = value if isinstance(value, str) or number is not None else json.dumps(value)
        columns = self.columns
        columns["key"].append(clean(key))
        columns["step"].append(step)
        columns["value"].append(number)
        columns["text"].append(clean(text) if number is None else None)
        columns["ts"].append(ts)

    def config(self, body: bytes) -> None:
        config = _changed(self.facts.config, body)
        config.pop("_wandb", None)
        own = config.pop("runatlas", None)
        self.change(config=config)
        if isinstance(own, dict):
            stage = own.get("stage")
            self.change(
                segment_id=str(own.get("segment") or self.facts.segment_id),
                stage=stage,
                stage_from="the run's own config" if stage else None,
                resume_step=own.get("resume_step"),
                resumed=self.facts.resumed or own.get("resume_step") is not None,
                parent_run_id=own.get("parent_run_id"),
            )

    def run(self, body: bytes) -> None:
        texts: dict[int, str] = {}
        tags: list[str] = []
        for number, value in wire.fields(body):
            if number == 4 and isinstance(value, bytes):
                self.config(value)
            elif number == 5 and isinstance(value, bytes):
                self.change(summary=_changed(self.facts.summary, value))
            elif number == 10 and isinstance(value, bytes):
                tags.append(_decode(value))
            elif number == 17 and isinstance(value, bytes):
                self.change(started_at=_timestamp(value))
            elif number in (18, 24) and value:  # resumed, resume
                self.change(resumed=True)
            elif isinstance(value, bytes) and number in (1, 3, 6, 7, 8, 9):
                texts[number] = _decode(value)
        self.change(
            run_id=texts.get(1) or self.facts.run_id,
            source_project=texts.get(3) or None,
            group=texts.get(6) or None,
            job_type=texts.get(7) or None,
            name=texts.get(8) or None,
            notes=texts.get(9) or None,
            tags=tuple(sorted(tags)),
        )

    def exit(self, body: bytes) -> None:
        values = {number: value for number, value in wire.fields(body) if isinstance(value, int)}
        code = wire.signed(values.get(1, 0))
        started, runtime = self.facts.started_at, values.get(2)
        ended = started + runtime if started is not None and runtime else None
        self.change(finished=True, exit_code=code, ended_at=ended)

    def environment(self, body: bytes) -> None:
        for number, value in wire.fields(body):
            if number == 2 and isinstance(value, bytes):
                self.change(versions={**self.facts.versions, "python": _decode(value)})
            elif number == 6 and isinstance(value, bytes):  # a path; only its last part is kept
                self.change(script=_decode(value).replace("\\", "/").rsplit("/", 1)[-1] or None)

    def reading(self, path: Path, walk: wandb_log.Walk, unread: list[Reject]) -> Reading:
        """Return all that was taken."""
        points = pl.DataFrame(self.columns, schema=POINTS)
        notes = tuple(
            f"{count} records of kind {number}, which is not known here, were skipped"
            for number, count in sorted(self.unknown.items())
        )
        rejects = [*walk.rejects, *unread]
        file_end = walk.start + len(walk.data)
        if not self.facts.run_id:
            reason = "no run record: cut before the run began"
            if self.rows:  # the block that held it is damaged; the name of the file holds the id
                self.change(run_id=path.stem.removeprefix("run-"))
                reason = "no run record: the run is named after the file"
            rejects.append(Reject(walk.end, reason, b""))
            if not self.rows:
                return Reading((), tuple(rejects[:1]), 0, notes)
        if not self.facts.finished and not any(_reaches(reject, file_end) for reject in rejects):
            reason = (
                "no exit record: the run is still being written, was killed, or the file was cut"
            )
            rejects.append(Reject(walk.end, reason, b""))
        if not self.facts.segment_id:
            began = self.facts.started_at
            self.change(segment_id=f"{began:.6f}" if began is not None else path.stem)
        self.change(
            current_step=self.current_step,
            log_index_steps=self.facts.log_index_steps or self.log_index_steps,
        )
        facts = self.facts.counted(self.rows, points, self.roles)
        return Reading((Part(facts, points),), tuple(rejects), walk.end, notes)


def _reaches(reject: Reject, end: int) -> bool:
    return reject.at_byte + len(reject.raw) >= end


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _item(body: bytes) -> tuple[str, Any]:
    """Return (key, value) of a history, summary or config item."""
    key, nested, value = "", [], None
    for number, data in wire.fields(body):
        if number == 16:
            value = _json(data)
        elif number == 1:
            key = _decode(data)  # type: ignore[arg-type]
        elif number == 2:
            nested.append(_decode(data))  # type: ignore[arg-type]
        elif number == 4:
            value = bool(data)
        elif number == 5:
            value = wire.zigzag(data)  # type: ignore[arg-type]
        elif number == 6:
            (value,) = struct.unpack("<d", data)  # type: ignore[arg-type]
        elif number == 7:
            value = _decode(data)  # type: ignore[arg-type]
        elif number == 8:
            value = _json(data)
    return ".".join(nested) if nested else key, value


def _json(data: int | bytes) -> Any:
    """Return a value from its JSON text, which may be a bare NaN or Infinity."""
    if not isinstance(data, bytes):
        raise wire.MalformedError("a value that is not text")
    return json.loads(data) if data else None


def _changed(before: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return *before* with the updates and removals of a config or summary record."""
    after = dict(before)
    for number, data in wire.fields(body):
        if number in (1, 2) and isinstance(data, bytes):
            key, value = _item(data)
            if number == 1:
                after[key] = value
            else:
                after.pop(key, None)
    return after


def _timestamp(body: bytes) -> float:
    values = {number: value for number, value in wire.fields(body) if isinstance(value, int)}
    return float(values.get(1, 0)) + values.get(2, 0) / 1e9


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < MAX_STEP and value == int(value) else None


SOURCE = Source("wandb-offline", 50, recognises, read, grows=True, processes=True)
