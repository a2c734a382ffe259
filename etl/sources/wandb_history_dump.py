"""What ``run.history()`` and ``scan_history()`` gave, saved as CSV or JSON -> points of one run.

A history is what has W&B's own ``_step``. ``history()`` is a sample of 500 rows unless it was asked
for more, and pandas writes NaN as an empty cell: neither can be told from the file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import csv_table, json_pieces, wandb_facts, wide
from etl.sources.facts import Facts
from etl.sources.frames import POINTS
from etl.sources.jsonl_rows import add_row
from etl.sources.reading import Part, Reading, Reject

_INDEX = ("", "Unnamed: 0", "index")  # what pandas calls the row numbers that it saves along


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a saved history: rows with ``_step`` and with what else W&B keeps."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _is_json(head)
    if suffix not in (".csv", ".tsv"):
        return False
    header = csv_table.header_of(head)
    return header is not None and _is_history(header)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return what *path* holds; it is always read whole."""
    if path.suffix.lower() == ".json":
        return _read_json(path)
    return _read_csv(path)


def _is_history(keys: tuple[str, ...]) -> bool:
    plain = [key for key in keys if key not in _INDEX]
    return wide.LOG_INDEX in plain and len(plain) > 1 and not any(" - " in key for key in plain)


def _is_json(head: bytes) -> bool:
    """Whether *head* begins a list of rows, or pandas' ``{"key": {"0": value}}``."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if text not in (b"[", b"{") or b'"_step"' not in head:
        return False
    pieces = json_pieces.read(head)
    if pieces.kind == "array":
        rows = pieces.found[:20]
        return bool(rows) and all(
            isinstance(row, dict) and _number(row.get(wide.LOG_INDEX)) and len(row) > 1
            for row in rows
        )
    # a long column may reach beyond the head: then its beginning is all that is seen of it
    columns = dict(pieces.found)
    begun = (
        re.match(rb'\s*"_step"\s*:\s*\{\s*"0"\s*:', pieces.rejects[0].raw)
        if pieces.rejects
        else None
    )
    step = columns.get(wide.LOG_INDEX)
    return bool(begun) or (isinstance(step, dict) and "0" in step and len(columns) > 1)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _read_csv(path: Path) -> Reading:
    table = csv_table.read(path)
    columns = {
        name: table.series(at)
        for at, name in enumerate(table.header)
        if table.header.index(name) == at and name not in _INDEX
    }
    if wide.LOG_INDEX not in columns:
        return Reading((), table.rejects, table.size)
    axes = [name for name in (wide.LOG_INDEX, wide.STEP) if name in columns]
    frame = pl.DataFrame({name: csv_table.numbers(columns[name]) for name in axes})
    step = wide.steps(frame, None)
    rejects = list(table.rejects)
    rejects += [_no_step(table, at) for at in step.is_null().arg_true().to_list()]
    ts = csv_table.numbers(columns[wide.TIME]) if wide.TIME in columns else None
    found = [
        csv_table.points(key, column, step, ts)
        for key, column in sorted(columns.items())
        if key not in wide.ROLES and key != wide.STEP
    ]
    points = pl.concat([wide.points({}, step), *found])
    first = {name: column[0] for name, column in sorted(columns.items()) if len(column)}
    facts = _facts(path, first, log_index=wide.STEP not in columns)
    facts = facts.counted(len(step) - step.null_count(), points, _roles(columns))
    parts = (Part(facts, points),) if facts.rows or facts.id_known else ()
    return Reading(parts, tuple(rejects), table.size)


def _no_step(table: csv_table.Table, at: int) -> Reject:
    raw = ",".join(cell or "" for cell in table.cells.row(at)).encode()
    return Reject(table.offsets[at], "neither a step nor a log index", raw, table.lines[at])


def _read_json(path: Path) -> Reading:
    data = path.read_bytes()
    pieces = json_pieces.read(data)
    rejects = list(pieces.rejects)
    rows = list(pieces.found) if pieces.kind == "array" else _transposed(dict(pieces.found))
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    named: int | None = None
    taken = 0
    keys: set[str] = set()
    for row in rows:
        if not isinstance(row, dict):
            rejects.append(Reject(0, "an element that is no row", json.dumps(row).encode()))
            continue
        said, index = _whole(row.get(wide.STEP)), _whole(row.get(wide.LOG_INDEX))
        named = said if said is not None else named
        step = named if named is not None else index
        if step is None:
            raw = json.dumps(row, sort_keys=True).encode()
            rejects.append(Reject(0, "neither a step nor a log index", raw))
            continue
        keys.update(row)
        plain = {k: v for k, v in row.items() if k not in wide.ROLES and k != wide.STEP}
        plain[wide.TIME] = row.get(wide.TIME)
        add_row(columns, plain, step, wide.STEP, wide.TIME)
        taken += 1
    points = pl.DataFrame(columns, schema=POINTS)
    first = next((row for row in rows if isinstance(row, dict)), {})
    facts = _facts(path, first, log_index=wide.STEP not in keys)
    facts = facts.counted(taken, points, _roles(keys))
    parts = (Part(facts, points),) if facts.rows or facts.id_known else ()
    return Reading(parts, tuple(rejects), len(data))


def _transposed(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of pandas' column form, in the order of their numbers."""
    rows: dict[str, dict[str, Any]] = {}
    for key, cells in columns.items():
        for number, value in cells.items() if isinstance(cells, dict) else ():
            if value is not None:
                rows.setdefault(number, {})[key] = value
    return [rows[at] for at in sorted(rows, key=lambda at: (len(at), at))]


def _whole(value: Any) -> int | None:
    if not _number(value):
        return None
    found = wide.whole(pl.Series([float(value)]))[0]
    return None if found is None else int(found)


def _roles(keys: Any) -> dict[str, str]:
    roles = {key: role for key, role in wide.ROLES.items() if key in keys}
    return {wide.STEP: "step", **roles} if wide.STEP in keys else roles


def _facts(path: Path, first: dict[str, Any], *, log_index: bool) -> Facts:
    """Return what the name of a file says: a run id where it plainly has one, else a name alone."""
    name = wandb_facts.name_of(path)
    stated = wandb_facts.id_beside("history", name)
    words = [word for word in re.split(r"([_.-]+)", name) if word not in (stated, "history")]
    run_id = stated or wandb_facts.own_id("history", name, first)
    return Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=stated is not None,
        name="".join(words).strip("_.-") or None,
        tells_end=False,
        log_index_steps=log_index,
    )
