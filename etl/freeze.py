"""The tables as they are now -> a snapshot of them."""

from __future__ import annotations

import itertools
import os
import platform
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from importlib import metadata
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import duckdb

from etl import layout, schema, snapshot, tables
from etl.parts import Part, digest, parts_in, write_part
from etl.project import Project
from etl.snapshot import Manifest

if TYPE_CHECKING:
    import polars as pl

_LONGEST_LINE = 1_000
_ONE_OUTPUT = ("run_id", "segment")  # lines of which follow each other
_TAIL = """
    with counted as (
        select run_id, source, count(*) as lines from console group by run_id, source
    ), chosen as (
        select run_id, arg_max(source, (lines, source)) as source from counted group by run_id
    )
    select {columns} from console semi join chosen using (run_id, source)
    qualify row_number() over (partition by run_id order by segment desc, line desc) <= ?
"""
_HOST = re.compile(r"(tfevents\.\d+)\..*")  # TensorBoard's writers put it into their files' names
_BY_SOURCE = """
    select source, sum(points)::bigint from (
        select source, points from store.slots
        union all select source, 1 from store.long
    ) group by source order by source
"""


def take(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    now: datetime,
    same: Collection[str] = (),
    console_lines: int = 0,
) -> Manifest:
    """Write a snapshot of the project's tables, of which only what changed is written, and note it.

    The rows of the tables *same* are those of the snapshot that was current until now. Of what each
    run printed the last *console_lines* are kept, without what looks like a secret or a person.
    The same tables give the same id, whenever, wherever and in whatever order they were filled.
    """
    frozen = [name for name in schema.TABLES if name not in ("history", *schema.LOCAL)]
    noted = _noted(con)
    there = parts_in(project.parts)
    before = _before(project, noted, there) if same and noted else {}
    parts = (
        *(
            before[name] if name in same and name in before else _table_part(con, project, name)
            for name in frozen
        ),
        _slots(con, project),
        *([_console_tail(con, project, console_lines)] if console_lines else []),
    )
    of_runs = _history_parts(con, project, there)
    identity = snapshot.identify(project.name, parts, of_runs)
    manifest = Manifest(
        snapshot=identity,
        project=project.name,
        created_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        counts=_counts(con),
        sources=dict(tables.rows(con, _BY_SOURCE)),
        tables=parts,
        history=of_runs,
        inputs=tuple(_inputs(con)),
        versions=_versions(),
        previous=noted if noted != identity else None,
    )
    snapshot.write_manifest(project, manifest)
    _note(con, manifest, now)
    return manifest


def _note(con: duckdb.DuckDBPyConnection, manifest: Manifest, now: datetime) -> None:
    """Make the snapshot the project's current one."""
    identity, counts = manifest.snapshot, manifest.counts
    known = tables.rows(
        con, "update store.snapshots set is_current = (snapshot = ?) returning snapshot", identity
    )
    if (identity,) not in known:
        query = "insert into store.snapshots values (?, ?, ?, ?, true)"
        tables.rows(
            con, query, identity, now.replace(tzinfo=None), counts["runs"], counts["points"]
        )


def current(con: duckdb.DuckDBPyConnection, project: Project, console_lines: int = 0) -> str | None:
    """Return the id of the snapshot that holds the tables' state, if it is whole on disk.

    One with printed lines does not hold it where none are wanted, nor the other way round.
    """
    identity = _noted(con)
    if identity is None:
        return None
    path = project.snapshots / f"{identity}.json"
    if not path.exists() or not path.stat().st_size:
        return None
    manifest = snapshot.read_manifest(project, identity)
    if any(part.key == "console" for part in manifest.tables) != bool(console_lines):
        return None
    there = parts_in(project.parts)
    return identity if all(part.digest in there for part in manifest.parts) else None


def _noted(con: duckdb.DuckDBPyConnection) -> str | None:
    """Return the id of the snapshot that was the project's last one so far."""
    found = tables.rows(con, "select snapshot from store.snapshots where is_current")
    return str(found[0][0]) if found else None


def _before(project: Project, identity: str, there: set[str]) -> dict[str, Part]:
    """Return the tables' parts of the snapshot *identity*, of those that are *there*."""
    path = project.snapshots / f"{identity}.json"
    if not path.exists() or not path.stat().st_size:
        return {}
    parts = snapshot.read_manifest(project, path.stem).tables
    return {part.key: part for part in parts if part.digest in there}


def _table_part(con: duckdb.DuckDBPyConnection, project: Project, name: str) -> Part:
    columns = [c for c in schema.TABLES[name] if c not in schema.PRIVATE.get(name, ())]
    listed = ", ".join(columns)
    # a copy of a file is quarantined twice, and is the same content
    distinct = "distinct " if name == "quarantine" else ""
    query = f"select {distinct}{listed} from {name}"
    frame = tables.frame(con, query).sort(*_order(name, columns), nulls_last=False)
    return _written(project, name, frame)


def _console_tail(con: duckdb.DuckDBPyConnection, project: Project, lines: int) -> Part:
    """Write the last lines of each run, of the source that has most of them."""
    import polars as pl

    from etl.sources import private

    columns = list(schema.TABLES["console"])
    rows = tables.rows(con, _TAIL.format(columns=", ".join(columns)), lines)
    text = columns.index("text")
    of_run, of_line = (
        itemgetter(*map(columns.index, names)) for names in (_ONE_OUTPUT, (*_ONE_OUTPUT, "line"))
    )
    public = []
    for _, printed in itertools.groupby(sorted(rows, key=of_line), key=of_run):
        kept = list(printed)
        shown = private.lines(row[text] or "" for row in kept)
        public += [
            (*row[:text], now[:_LONGEST_LINE], *row[text + 1 :])
            for row, now in zip(kept, shown, strict=True)
        ]
    empty = tables.frame(con, f"select {', '.join(columns)} from console limit 0")
    frame = pl.DataFrame(public, schema=empty.schema, orient="row")
    return _written(project, "console", frame.sort(*_order("console", columns), nulls_last=False))


def _slots(con: duckdb.DuckDBPyConnection, project: Project) -> Part:
    listed = ", ".join(layout.PARTS["slots"])
    query = f"select {listed} from store.slots order by run_id, place, slot"
    return _written(project, "slots", tables.frame(con, query))


def _written(project: Project, name: str, frame: pl.DataFrame) -> Part:
    part = Part(name, digest(frame), frame.height)
    write_part(project.parts, part, lambda: frame)
    return part


def _order(name: str, columns: list[str]) -> list[str]:
    return [*schema.SORT[name], *(c for c in columns if c not in schema.SORT[name])]


def _history_parts(
    con: duckdb.DuckDBPyConnection, project: Project, there: set[str]
) -> dict[str, tuple[Part, ...]]:
    """Return the runs' parts, by kind; one that is not *there* is written again."""
    found = tables.rows(con, "select kind, run_id, digest, rows from store.parts order by run_id")
    parts: dict[str, tuple[Part, ...]] = {}
    for kind in snapshot.HISTORY:
        parts[kind] = tuple(Part(*rest) for of, *rest in found if of == kind)
        for part in parts[kind]:
            if part.digest not in there:  # someone removed it
                from etl import history

                history.write_parts(project.parts, part.key, history.read(con, part.key))
    return parts


def _counts(con: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    query = """
        select (select count(*) from store.runs),
            (select coalesce(sum(points), 0)::bigint from store.measured),
            (select count(*) from store.metrics), (select count(*) from store.quarantine)
    """
    names = ("runs", "points", "metrics", "quarantined")
    return dict(zip(names, tables.rows(con, query)[0], strict=True))


def _inputs(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    query = "select path, kind, read_to, points, status from store.files where kind is not null"
    found = {
        (_HOST.sub(r"\1", os.path.basename(path)), kind, size, points, status)
        for path, kind, size, points, status in tables.rows(con, query)
    }
    names = ("file", "kind", "bytes", "points", "status")
    return [dict(zip(names, item, strict=True)) for item in sorted(found)]


def _versions() -> dict[str, str]:
    try:
        own = metadata.version("runatlas")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        own = "unknown"
    import polars as pl

    return {
        "runatlas": own,
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "polars": pl.__version__,
    }
