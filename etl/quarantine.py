"""Rejected pieces of files -> rows with place, reason and raw bytes, and a file to read them in.

The table holds what is wrong now: a file that is mended, or a last line that is completed, leaves
the quarantine with the next sync. The originals stay where they are.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import duckdb

from etl import ledger, tables
from etl.project import Project
from etl.whole_file import replace_text

if TYPE_CHECKING:
    from etl.sources.reading import Reject

RAW_BYTES = 64 * 1024
FILE = "quarantine.jsonl"
Rejected = tuple[str, int | None, int, str]  # path, line, byte, reason
_FOLDER = -1  # the place of what is no place in a file


def paths(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the files with which anything is wrong."""
    return {path for (path,) in tables.rows(con, "select distinct path from store.quarantine")}


def put(con: duckdb.DuckDBPyConnection, path: str, rejects: Sequence[Reject], since: int) -> None:
    """Make *rejects* what is wrong with *path* from byte *since* on."""
    tables.rows(con, "delete from store.quarantine where path = ? and at_byte >= ?", path, since)
    if not rejects:
        return
    from etl.sources.facts import clean

    columns = (
        ([reject.line for reject in rejects], "BIGINT"),
        ([reject.at_byte for reject in rejects], "BIGINT"),
        ([clean(reject.reason) for reject in rejects], "VARCHAR"),
        ([len(reject.raw) for reject in rejects], "BIGINT"),
        ([reject.raw[:RAW_BYTES] for reject in rejects], "BLOB"),
    )
    tables.rows(
        con,
        "insert into store.quarantine (file, path, line, at_byte, reason, bytes, raw)"
        f" select ?, ?, {', '.join(f'unnest(?::{kind}[])' for _, kind in columns)}",
        *(PurePath(path).name, path),
        *(values for values, _ in columns),
    )


def refresh(con: duckdb.DuckDBPyConnection, project: Project, failed: Sequence[OSError]) -> bool:
    """Drop what was wrong with files that are gone, note what cannot be looked at now.

    Return whether that changed anything.
    """
    state = "select path, reason, at_byte from store.quarantine order by all"
    before = tables.rows(con, state)
    if not before and not failed:
        return False
    for path in sorted({path for path, *_ in before}):
        if not ledger.place(project, path).exists():
            tables.rows(con, "delete from store.quarantine where path = ?", path)
    tables.rows(con, "delete from store.quarantine where at_byte = ?", _FOLDER)
    for problem in failed:
        from etl.sources.reading import Reject

        reason = f"cannot be looked at: {problem.strerror}"
        name = ledger.label(project, Path(str(problem.filename)))
        put(con, name, [Reject(_FOLDER, reason, b"")], since=_FOLDER)
    return before != tables.rows(con, state)


def write_file(con: duckdb.DuckDBPyConnection, project: Project) -> list[Rejected]:
    """Write the quarantine's readable copy, a JSON object for each piece; return all, sorted."""
    query = "select path, line, at_byte, reason, bytes, raw from store.quarantine"
    rejected = tables.rows(con, query + " order by path, at_byte")
    lines = []
    for path, line, at_byte, reason, size, raw in rejected:
        found = {"file": path, "line": line, "at_byte": at_byte, "reason": reason, "bytes": size}
        try:
            found["raw"] = raw.decode("utf-8")
        except UnicodeDecodeError:
            found["raw_base64"] = base64.b64encode(raw).decode("ascii")
        lines.append(json.dumps(found) + "\n")
    target = project.quarantine / FILE
    text = "".join(lines)
    if (text or target.exists()) and not (
        target.exists() and target.read_text(encoding="utf-8") == text
    ):
        replace_text(target, text)
    every = [(path, line, at_byte, reason) for path, line, at_byte, reason, *_ in rejected]
    return sorted(every, key=lambda item: (item[0], item[2], item[3]))
