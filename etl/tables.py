"""The DuckDB file of a project: its stored tables, and the views that people query.

``history`` is stored in the file although the snapshot's parts hold the same rows: one trajectory
takes 10 ms from the tables and 78 ms from Parquet (84M points, measured), and the file is whole
when it is copied alone. It is a view over the tables of ``layout``. There is no primary key, which
would make loading three times as slow and the file 2.6 times as large (measured); what is written
is unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from etl import layout, schema
from etl.errors import LockedError, RunatlasError, UsageError

if TYPE_CHECKING:  # a sync with nothing new does without polars and numpy, 0.3 s to import
    import polars as pl

_EXTRA: dict[str, dict[str, str]] = {
    **layout.TABLES,
    "differing": {
        "run_id": "VARCHAR",
        "metric": "VARCHAR",
        "step": "BIGINT",
        "source": "VARCHAR",
        "other": "VARCHAR",
        "value": "DOUBLE",
        "other_value": "DOUBLE",
    },
    "measured": {"run_id": "VARCHAR", "metric": "VARCHAR", "points": "BIGINT"},
    "parts": {"run_id": "VARCHAR", "kind": "VARCHAR", "digest": "VARCHAR", "rows": "BIGINT"},
    "files": {
        "path": "VARCHAR",
        "kind": "VARCHAR",
        "size": "BIGINT",
        "mtime_ns": "BIGINT",
        "inode": "UBIGINT",
        "marks": "VARCHAR",
        "read_to": "BIGINT",
        "status": "VARCHAR",
        "points": "BIGINT",
        "notes": "VARCHAR",
    },
    "holds": {
        "path": "VARCHAR",
        "kind": "VARCHAR",
        "own_id": "VARCHAR",  # as the file has it
        "run_id": "VARCHAR",  # the run that it was found to be
        "id_known": "BOOLEAN",  # whether the own id is one that the file names
        "facts": "VARCHAR",
        "sample": "VARCHAR",
    },
    "inherited": {"run_id": "VARCHAR", "key": "VARCHAR", "value": "VARCHAR", "number": "DOUBLE"},
    "paths": {"path": "VARCHAR"},
    "snapshots": {
        "snapshot": "VARCHAR",
        "created_at": "TIMESTAMP",
        "runs": "BIGINT",
        "points": "BIGINT",
        "is_current": "BOOLEAN",
    },
    "meta": {"version": "INTEGER", "rules": "VARCHAR", "step_key": "VARCHAR"},
}
_DERIVED = ("config", "history", "metrics", "disagreements")
# JSON of up to 6 KB a file: zstd takes half the time of what DuckDB would choose (closing after a
# tail in 200 runs: 20 CPU ms against 27), and a sixth of the room.
_PACKED = ("facts", "sample")
_MADE = ("history", "disagreements")  # with no table of their own

_VIEWS = {
    "history": layout.view("store.slots", "store.wide", "store.long", "s.block = w.block"),
    "config": """
        select run_id, key, value, number, kind from store.config
        union all select run_id, key, value, number, 'effective' from store.inherited
        """,
    "metrics": """
        select m.metric, m.unit, m.direction, m.family, m.known, m.description, m.aliases,
            d.runs, d.points
        from store.metrics m join (
            select metric, count(*) as runs, sum(points)::bigint as points
            from store.measured group by metric
            union all
            select metric, count(*) as runs, 0 as points from store.summary
            where rule = 'reported' and value is not null
                and metric not in (select metric from store.measured)
            group by metric
        ) d using (metric)
        """,
    "disagreements": """
        select run_id, metric, source, other, count(*) as points,
            max(abs(value - other_value) / greatest(abs(value), abs(other_value))) as largest
        from store.differing group by run_id, metric, source, other
        """,
    "ledger": """
        select f.path, f.kind, f.status, h.run_id, f.size as bytes, f.read_to as read_bytes,
            f.points, f.notes
        from store.files f left join (select distinct path, run_id from store.holds) h using (path)
        """,
    "snapshots": "select snapshot, created_at, runs, points, is_current from store.snapshots",
}


def rows(con: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement to its end and return its rows."""
    return con.execute(sql, list(values)).fetchall()


def frame(con: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> pl.DataFrame:
    """Run one query and return its rows as a frame."""
    import polars as pl

    return pl.DataFrame(con.sql(sql, params=list(values)))


def open_database(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the project's database for writing, made new where there is none.

    Raises:
        LockedError: another program has it open.
        UsageError: it is no such database, or one of another version.
    """
    fix = f"move {path} away and sync again: everything in it is made from the sources"
    if not path.exists():  # made under another name: a full disk leaves no half of one
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with duckdb.connect(str(fresh)) as con:
            _create(con)
            rows(con, "checkpoint")
        fresh.replace(path)
    try:
        con = duckdb.connect(str(path))
    except duckdb.IOException as problem:
        raise _unopened(path, problem, fix) from None
    rows(con, "set timezone = 'UTC'")
    # what is written in a transaction would else stay in memory: 2 GB of a 2.4 GB sync
    rows(con, "set memory_limit = '384MB'")
    try:
        ((version,),) = rows(con, "select version from store.meta")
    except duckdb.CatalogException:
        version = None
    if version != schema.VERSION:
        con.close()
        what = f"a database of version {version}, not {schema.VERSION}"
        raise UsageError(what, where=str(path), done="nothing was changed", fix=fix)
    return con


def opened_to_read(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the project's database, which exists, to look at it.

    Raises:
        LockedError: another program is writing it.
        UsageError: it is no such database.
    """
    try:
        con = duckdb.connect(str(path), read_only=True)
    except duckdb.IOException as problem:
        raise _unopened(path, problem, "move it away and sync again") from None
    rows(con, "set timezone = 'UTC'")
    return con


def _unopened(path: Path, problem: duckdb.IOException, fix: str) -> RunatlasError:
    words = str(problem).lower()
    if "lock" in words:
        pid = str(problem).partition("PID ")[2].partition(")")[0]
        return LockedError(
            f"another program has the database open{f' (pid {pid})' if pid else ''}",
            where=str(path),
            done="nothing was changed",
            fix="close it there and run this again",
        )
    if "permission denied" in words or "read-only" in words:
        fix = "name a folder that can be written with --data-dir or RUNATLAS_DATA"
        return UsageError("cannot be written", where=str(path), fix=fix)
    return UsageError("not a DuckDB database", where=str(path), fix=fix)


def _create(con: duckdb.DuckDBPyConnection) -> None:
    rows(con, "begin")
    rows(con, "create schema store")
    for name, columns in {**schema.TABLES, **_EXTRA}.items():
        if name in _MADE:
            continue
        counted = ("runs", "points") if name == "metrics" else ()  # by the view
        listed = ", ".join(
            f"{c} {kind}{' USING COMPRESSION zstd' if c in _PACKED else ''}"
            for c, kind in columns.items()
            if c not in counted
        )
        rows(con, f"create table store.{name} ({listed})")
    for name, columns in schema.TABLES.items():
        if name not in _DERIVED:
            rows(con, f"create view {name} as select {', '.join(columns)} from store.{name}")
    for name, query in _VIEWS.items():
        rows(con, f"create view {name} as {query}")
    rows(con, "insert into store.meta values (?, null, null)", schema.VERSION)
    rows(con, "commit")


def renew_view(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make a view what it is now: the file may have been made when it was another."""
    rows(con, f"create or replace view {name} as {_VIEWS[name]}")


def add(con: duckdb.DuckDBPyConnection, table: str, values: Sequence[Mapping[str, Any]]) -> None:
    """Add *values* to one of the small tables."""
    if not values:
        return
    kinds, names = {**schema.TABLES, **_EXTRA}[table], list(values[0])
    into = f"insert into store.{table} ({', '.join(names)})"
    if len(values) == 1:
        rows(con, f"{into} values ({', '.join('?' * len(names))})", *values[0].values())
    else:
        # lists, since a frame would cost the import of pyarrow, 0.1 s
        lists = ", ".join(f"unnest(?::{kinds[name]}[])" for name in names)
        columns = [[value[name] for value in values] for name in names]
        rows(con, f"{into} select {lists}", *columns)


def holds(
    con: duckdb.DuckDBPyConnection,
    table: str,
    run_ids: Sequence[str],
    values: Sequence[Mapping[str, Any]],
) -> bool:
    """Whether *values*, in whatever order, are the rows that *run_ids* have in a small table."""
    names = list({**schema.TABLES, **_EXTRA}[table])
    condition, given = among("run_id", run_ids)
    found = rows(con, f"select {', '.join(names)} from store.{table} where {condition}", *given)
    return Counter(found) == Counter(tuple(value[name] for name in names) for value in values)


def forget(
    con: duckdb.DuckDBPyConnection, table: str, values: Sequence[str], column: str = "run_id"
) -> None:
    """Remove the rows of *table* whose *column* is one of *values*."""
    if values:
        condition, given = among(column, values)
        rows(con, f"delete from store.{table} where {condition}", *given)


def among(column: str, values: Sequence[str]) -> tuple[str, list[Any]]:
    """Return the condition that *column* is one of *values*, and its parameters."""
    if len(values) == 1:  # half the time
        return f"{column} = ?", [values[0]]
    return f"{column} in (select unnest(?::varchar[]))", [list(values)]


def replace_frame(
    con: duckdb.DuckDBPyConnection, table: str, run_id: str, values: pl.DataFrame
) -> None:
    """Make the rows of *values* those that *run_id* has in *table*, in their order."""
    rows(con, f"delete from store.{table} where run_id = ?", run_id)
    if values.height:
        import polars as pl

        insert(con, table, values.with_columns(run_id=pl.lit(run_id)))


def insert(con: duckdb.DuckDBPyConnection, table: str, values: pl.DataFrame) -> None:
    """Add the rows of *values* to *table*, in their order."""
    names = ", ".join(values.columns)
    con.register("arriving", values)
    rows(con, f"insert into store.{table} ({names}) select {names} from arriving")
    con.unregister("arriving")
