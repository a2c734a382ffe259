"""trackio's databases and Parquet exports -> facts, points and telemetry of their runs.

A project is a file: ``PROJECT.db`` (SQLite), or ``PROJECT.parquet`` with ``PROJECT_system.parquet``
and ``PROJECT_configs.parquet`` beside it. In newer ones a run has an id; in older ones it is its
name within its project. Times of the oldest name no zone and are taken for UTC. Non-finite numbers
are the texts NaN, Infinity and -Infinity.
Schema: trackio/sqlite_storage.py of 2025 to 0.43.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from etl.sources import sqlite_file
from etl.sources.facts import Facts
from etl.sources.reading import Reading, Reject
from etl.sources.trackio_rows import Row, Rows

_TABLES = ("metrics", "configs", "system_metrics", "alerts")
_PARQUET = b"PAR1"
_ENDS = {"_system": "system_metrics", "_configs": "configs"}
_FIELDS = ("id", "run_id", "log_id", "space_id", "timestamp", "run_name", "step", "project_name")
Reads = Iterator[tuple[str, Row]]


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a database with trackio's tables, or one of its Parquet files."""
    if head.startswith(sqlite_file.MAGIC):
        found = sqlite_file.columns(path, _TABLES).get("metrics", set())
        return found >= {"timestamp", "run_name", "metrics"}
    return head.startswith(_PARQUET) and _table_of(path, _names(path)) is not None


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001  always whole
    """Return a part for each run that *path* holds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        parquet = file.read(len(_PARQUET)) == _PARQUET
    stem = path.stem
    table = _table_of(path, _names(path)) if parquet else None
    for end, kind in _ENDS.items():
        stem = stem.removesuffix(end) if table == kind else stem
    rows = Rows(stem)
    notes: list[str] = []
    try:
        for kind, row in _from_parquet(path, table or "") if parquet else _from_db(path, notes):
            rows.take(kind, row)
    except (*sqlite_file.DAMAGED, ValueError, KeyError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise
        reject = Reject(0, f"cannot be read: {type(problem).__name__}: {problem}", b"")
        return Reading(rows.parts(), (*rows.rejects, reject), 0)
    return Reading(rows.parts(), tuple(rows.rejects), size, tuple(notes))


def _from_db(path: Path, notes: list[str]) -> Reads:
    """Yield (table, row) in the order in which trackio wrote them; add to *notes* what is not."""
    with sqlite_file.opened(path) as con:
        found = sqlite_file.tables(con, (*_TABLES, "traces"))
        for table in _TABLES:
            if table not in found:
                continue
            optional = [name for name in ("project_name", "run_id", "step") if name in found[table]]
            named = [*optional, "run_name", _content(table, found[table]), _time(table)]
            for values in con.execute(f"select id, {', '.join(named)} from {table} order by id"):
                number, *rest = values
                stated = dict(zip(named, rest, strict=True))
                yield (
                    table,
                    Row(
                        place=f"{table} {number}",
                        run_id=stated.get("run_id"),
                        name=stated["run_name"],
                        project=stated.get("project_name"),
                        step=stated.get("step"),
                        time=stated[_time(table)],
                        content=stated[named[-2]],
                    ),
                )
        if "traces" in found:
            ((count,),) = con.execute("select count(*) from traces")
            if count:
                notes.append(f"{count} traces of model calls are no metrics and were left out")


def _content(table: str, columns: set[str]) -> str:
    """Return the expression that holds what a row says."""
    if table == "alerts":
        text = "coalesce(': ' || text, '')" if "text" in columns else "''"
        return f"'[' || level || '] ' || title || {text}"
    return "config" if table == "configs" else "metrics"


def _time(table: str) -> str:
    return "created_at" if table == "configs" else "timestamp"


def _names(path: Path) -> set[str]:
    """Return the columns of a Parquet file; none if it is not one."""
    import pyarrow as pa  # noqa: PLC0415  200 ms that a project without such files does not pay
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return set()


def _table_of(path: Path, names: set[str]) -> str | None:
    """Return which of trackio's tables a Parquet file of columns *names* is."""
    if not names & {"id", "log_id", "run_id"} or "run_name" not in names:
        return None
    if "timestamp" in names and "step" in names and "_step" not in names:
        return "metrics" if not {"title", "messages"} & names else None
    kind = next((kind for end, kind in _ENDS.items() if path.stem.endswith(end)), None)
    return kind if kind and _time(kind) in names else None


def _from_parquet(path: Path, table: str) -> Reads:
    import pyarrow.parquet as pq  # noqa: PLC0415  as above

    at = 0
    for batch in pq.ParquetFile(path).iter_batches():
        for record in batch.to_pylist():
            at += 1
            own = {key: value for key, value in record.items() if value is not None}
            time = own.pop(_time(table), None)
            yield (
                table,
                Row(
                    place=f"row {at}",
                    run_id=own.get("run_id"),
                    name=own.get("run_name", ""),
                    project=own.get("project_name"),
                    step=own.get("step"),
                    time=time,
                    content=json.dumps(
                        {k: v for k, v in own.items() if k not in _FIELDS}, default=str
                    ),
                ),
            )
