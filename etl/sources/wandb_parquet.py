"""W&B history as Parquet -> the points of a run, and what the place of the file says of it.

As ``Run.download_history_exports``, the artifact ``run-ID-history`` and ``etl.pull`` write it: a
column for each key, a row for each log call. Row groups are read one by one, so that only the
points themselves have to fit into memory.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl.sources import wandb_facts, wandb_run_json, wide
from etl.sources.facts import Facts
from etl.sources.frames import TELEMETRY, no_points
from etl.sources.reading import Part, Reading, Reject

EVENTS = "events.parquet"  # what etl.pull calls the measurements of the machine
_MAGIC = b"PAR1"
_WORDS = (b"_step", b"wandb", b"_timestamp")
_FOOTER_BYTES = 64 * 2**20
_ROWS = 131_072
_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__|__null_dask_index__")
# <entity>_<project>_<run id>_<part>.runhistory.parquet
_DOWNLOADED = re.compile(r"(?P<names>.+)_\d+\.runhistory\.parquet")
_ANY_ID = re.compile(r"[a-z0-9]{8}")
_ARTIFACT = re.compile(r"run-(?P<id>[A-Za-z0-9_.-]+?)-history(?:[:-]v\d+)?")
# What a Parquet file that is damaged, or not one, makes pyarrow and polars raise.
_UNREADABLE = (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError)


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is W&B's history: by the columns that its footer names.

    Without a readable footer (a download that was cut) only a name of W&B's own tells.
    """
    if not head.startswith(_MAGIC):
        return False
    footer = _footer(path)
    if footer is None:
        return bool(_DOWNLOADED.fullmatch(path.name)) or wandb_run_json.beside(path) is not None
    # the shards of a data set end here
    return any(word in footer for word in _WORDS) and _of_wandb(path)


def _of_wandb(path: Path) -> bool:
    """Whether the schema of a Parquet file is that of W&B's history or events."""
    try:
        schema = pq.read_schema(path)
    except _UNREADABLE:
        return False
    if path.name == EVENTS:
        return wide.TIME in schema.names and wandb_run_json.beside(path) is not None
    if wide.LOG_INDEX in schema.names:
        kind = schema.field(wide.LOG_INDEX).type
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
    return any(key.startswith(b"wandb") for key in schema.metadata or {})


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return what *path* holds; it is always read whole."""
    size = path.stat().st_size
    facts = _facts(path)
    try:
        file = pq.ParquetFile(path)
    except _UNREADABLE as problem:
        reason = f"the Parquet file is cut or damaged: {_short(problem)}"
        return Reading((), (Reject(0, reason, b""),), size)
    with file:
        if path.name == EVENTS and facts is not None:
            return _events(file, facts, size)
        before = _named_before(path, file) if _has_gap(file) else None
        rows = _Rows(before)
        for frame in _frames(file, rows.rejects):
            rows.take(frame)
    if facts is None and not rows.count:  # nothing of no run
        return Reading((), tuple(rows.rejects), size)
    if facts is None:
        run_id = wandb_facts.own_id("parquet", wandb_facts.name_of(path), rows.first)
        name = wandb_facts.name_of(path)
        facts = Facts(run_id=run_id, segment_id=run_id, id_known=False, name=name, tells_end=False)
    points, numbers = rows.parts()
    log_index = wide.STEP not in rows.names and before is None
    facts = dataclasses.replace(facts, log_index_steps=log_index)
    facts = facts.counted(rows.count, points, rows.roles(), numbers)
    return Reading((Part(facts, points, rows=numbers),), tuple(rows.rejects), size)


class _Rows:
    """Rows of one file, taken frame by frame."""

    def __init__(self, named_last: int | None) -> None:
        self.named_last = named_last
        self.frames: list[pl.DataFrame] = []  # of points
        self.wide: list[pl.DataFrame] = []
        self.rejects: list[Reject] = []
        self.names: set[str] = set()
        self.first: dict[str, Any] = {}
        self.count = 0

    def take(self, frame: pl.DataFrame) -> None:
        """Take the rows of *frame*."""
        if not self.count and frame.height:
            self.first = frame.row(0, named=True)
        self.names.update(frame.columns)
        step = wide.steps(frame, self.named_last)
        if wide.STEP in frame.columns:
            said = wide.whole(frame[wide.STEP]).drop_nulls()
            self.named_last = said[-1] if len(said) else self.named_last
        lost = step.null_count()
        if lost:
            reason = f"{lost} of {frame.height} rows have neither a step nor a log index"
            self.rejects.append(Reject(0, reason, b""))
        columns = {
            key: frame[key]
            for key in sorted(frame.columns)
            if key not in wide.ROLES and key != wide.STEP and not _INDEX.fullmatch(key)
        }
        ts = frame[wide.TIME] if wide.TIME in frame.columns else None
        numbers = wide.numbers(columns)
        others = {key: column for key, column in columns.items() if key not in numbers}
        self.frames.append(wide.points(others, step, ts))
        self.wide.append(wide.rows(numbers, step, ts))
        self.count += frame.height

    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return what was taken as ``Part.points`` and ``Part.rows``."""
        if not self.wide:
            return no_points(), None
        points, rows = wide.divided(pl.concat(self.wide, how="diagonal"))
        return pl.concat([points, *self.frames]), rows

    def roles(self) -> dict[str, str]:
        """Return the columns that are no metrics, and what they are."""
        roles = {key: role for key, role in wide.ROLES.items() if key in self.names}
        return {wide.STEP: "step", **roles} if wide.STEP in self.names else roles


def _events(file: pq.ParquetFile, facts: Facts, size: int) -> Reading:
    """Return what was measured of the machine: numbers by time, without steps."""
    rejects: list[Reject] = []
    found = [pl.DataFrame(schema=TELEMETRY)]
    for frame in _frames(file, rejects):
        if wide.TIME not in frame.columns:
            continue
        row = pl.Series(range(frame.height), dtype=pl.Int64)
        columns = {k: frame[k] for k in sorted(frame.columns) if not k.startswith("_")}
        points = wide.points(columns, row, frame[wide.TIME])
        found.append(points.select(list(TELEMETRY)).drop_nulls())
    part = Part(facts.counted(0, no_points(), {}), no_points(), pl.concat(found))
    return Reading((part,), tuple(rejects), size)


def _frames(file: pq.ParquetFile, rejects: list[Reject]) -> Iterator[pl.DataFrame]:
    """Yield the rows of *file* in portions; a row group that cannot be read costs itself."""
    for group in range(file.num_row_groups):
        try:
            for batch in file.iter_batches(batch_size=_ROWS, row_groups=[group]):
                if batch.num_columns:
                    yield pl.DataFrame(_distinct(batch))
        except _UNREADABLE as problem:
            reason = f"row group {group} cannot be read: {_short(problem)}"
            rejects.append(Reject(_offset(file, group), reason, b""))


def _distinct(batch: pa.RecordBatch) -> pa.Table:
    """Return *batch* with one column for each name: of two of one name the first."""
    names = batch.schema.names
    first = [at for at, name in enumerate(names) if names.index(name) == at]
    return pa.Table.from_batches([batch.select(first)])


def _offset(file: pq.ParquetFile, group: int) -> int:
    metadata = file.metadata.row_group(group)
    return int(metadata.column(0).data_page_offset) if metadata.num_columns else 0


def _short(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {str(problem).splitlines()[0][:200] if str(problem) else ''}"


def _footer(path: Path) -> bytes | None:
    """Return the bytes of the footer, or None where the file does not end in one."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            return None
        file.seek(size - 8)
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or not 0 < length <= min(size - 12, _FOOTER_BYTES):
            return None
        file.seek(size - 8 - length)
        return file.read(length)


def _has_gap(file: pq.ParquetFile) -> bool:
    """Whether the first row names no step of its own; then an earlier part of the run may."""
    names = file.schema_arrow.names
    if wide.LOG_INDEX not in names or not file.metadata.num_rows:
        return False
    if wide.STEP not in names:
        return True
    try:
        first = next(file.iter_batches(batch_size=1, columns=[wide.STEP]))
    except (*_UNREADABLE, StopIteration):
        return False
    return bool(first.column(0)[0].as_py() is None)


def _named_before(path: Path, file: pq.ParquetFile) -> int | None:
    """Return the last step that an earlier part of the same run names; parts stand side by side."""
    part, begin = _parts_of(path), _edge(file, wide.LOG_INDEX, last=False)
    if part is None or begin is None:
        return None
    found: list[tuple[int, int]] = []
    for other in sorted(path.parent.glob("*.parquet")):
        if other == path or _parts_of(other) != part:
            continue
        try:
            with pq.ParquetFile(other) as earlier:
                index = _edge(earlier, wide.LOG_INDEX, last=True)
                step = _edge(earlier, wide.STEP, last=True)
        except _UNREADABLE:
            continue
        if index is not None and step is not None and index < begin:
            found.append((index, step))
    return max(found)[1] if found else None


def _parts_of(path: Path) -> str | None:
    """Return what the parts of one run have in common in their names, or None."""
    match = _DOWNLOADED.fullmatch(path.name)
    if match:
        return match["names"]
    if _ARTIFACT.fullmatch(path.parent.name) or wandb_run_json.beside(path) is not None:
        return path.parent.name
    return None


def _edge(file: pq.ParquetFile, column: str, *, last: bool) -> int | None:
    """Return the first or last whole number in *column*, or None."""
    if column not in file.schema_arrow.names:
        return None
    found = wide.whole(pl.Series(file.read(columns=[column]).column(0))).drop_nulls()
    return int(found[-1 if last else 0]) if len(found) else None


def _facts(path: Path) -> Facts | None:
    """Return what the place of *path* says of its run, or None where it says no id."""
    document = wandb_run_json.beside(path)
    if document is not None:
        return wandb_run_json.stated(document)
    run_id, project = _placed(path)
    if run_id is None:
        return None
    return Facts(run_id=run_id, segment_id=run_id, source_project=project, tells_end=False)


def _placed(path: Path) -> tuple[str | None, str | None]:
    """Return (run id, project) as far as the name of the file, or of its folder, shows them."""
    match = _DOWNLOADED.fullmatch(path.name)
    if match:
        names = match["names"].split("_")
        if len(names) == 3:  # none of the three has an underscore of its own
            return names[2], names[1]
        return (names[-1], None) if _ANY_ID.fullmatch(names[-1]) else (None, None)
    artifact = _ARTIFACT.fullmatch(path.parent.name)
    if artifact:
        return artifact["id"], None
    if path.name.startswith("history") and wandb_facts.RUN_ID.fullmatch(path.parent.name):
        return path.parent.name, path.parent.parent.name or None
    return wandb_facts.id_beside("history", path.name.removesuffix(".parquet")), None
