"""Rejected pieces of files -> rows with place, reason and raw bytes, and a file to read them in.

The table holds what is wrong now: a file that is mended, or a last line that is completed, leaves
the quarantine with the next sync. The originals stay where they are.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import PurePath

import duckdb

from etl import tables
from etl.project import Project
from etl.snapshot import replace_text
from etl.sources.reading import Reject

RAW_BYTES = 64 * 1024
FILE = "quarantine.jsonl"


def put(con: duckdb.DuckDBPyConnection, path: str, rejects: Sequence[Reject], since: int) -> None:
    """Make *rejects* what is wrong with *path* from byte *since* on."""
    tables.rows(con, "delete from store.quarantine where path = ? and at_byte >= ?", path, since)
    for reject in rejects:
        tables.rows(
            con,
            "insert into store.quarantine (file, line, at_byte, reason, bytes, raw, path)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            PurePath(path).name,
            reject.line,
            reject.at_byte,
            reject.reason,
            len(reject.raw),
            reject.raw[:RAW_BYTES],
            path,
        )


def write_file(con: duckdb.DuckDBPyConnection, project: Project) -> None:
    """Write the quarantine's readable copy, one JSON object for each rejected piece."""
    query = "select path, line, at_byte, reason, bytes, raw from store.quarantine"
    lines = []
    for path, line, at_byte, reason, size, raw in tables.rows(
        con, query + " order by path, at_byte"
    ):
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
