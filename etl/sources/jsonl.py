"""Lines of flat JSON objects -> points, events and rejects, exactly, for any JSONL.

Small slices are parsed here line by line. Large ones go through DuckDB's explicit-column reader,
the one fast reader that survives torn, corrupt and non-UTF-8 lines without losing their neighbours
(measured against Polars, pyarrow and orjson); both ways give the same points, and a property test
holds them to it.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from etl.sources.reading import POINTS, Reject, no_points
from hooks import record

# Below this DuckDB's per-query cost exceeds the parsing (109 us a file against 16 us, measured).
SMALL_BYTES = 256 * 1024
CHUNK_BYTES = 64 * 1024 * 1024  # what is held in memory at a time
MAX_STEP = 2**53
_OWN = ("n", "plain", "own_step", "own_ts")
_EVENT = "json_exists(json, '$._kind')"


@dataclass(frozen=True, slots=True)
class Event:
    """A line that is not history, and where it stands."""

    value: dict[str, Any]
    place: Reject


@dataclass(frozen=True, slots=True)
class Lines:
    """A slice of a JSONL file. ``rows`` counts history lines, ``end`` is where the slice ended."""

    points: pl.DataFrame
    events: tuple[Event, ...]
    rejects: tuple[Reject, ...]
    rows: int
    end: int


class _NotFlatError(Exception):
    """The fast reader cannot take these keys; the slow one can."""


def read(path: Path, start: int, step_key: str, time_key: str | None) -> Lines:
    """Return what *path* holds from byte *start* to its last complete line.

    A last line without its newline is rejected, and left for the next read to begin with. Lines
    are numbered from 0 at *start*; ``numbered`` makes that their number in the file.
    """
    pieces: list[Lines] = []
    line, rest, at = 0, b"", start
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(CHUNK_BYTES):
            rest += block
            whole = rest.rfind(b"\n") + 1
            if whole:
                pieces.append(_parse(rest[:whole], at, line, step_key, time_key))
                line += rest.count(b"\n", 0, whole)
                at += whole
                rest = rest[whole:]
    rejects = [reject for piece in pieces for reject in piece.rejects]
    if rest:
        reason = "torn last line: no newline yet; the next sync reads it again"
        rejects.append(Reject(at, reason, rest, line))
    points = pl.concat([no_points(), *(piece.points for piece in pieces)])
    events = tuple(event for piece in pieces for event in piece.events)
    return Lines(points, events, tuple(rejects), sum(piece.rows for piece in pieces), at)


def numbered(path: Path, start: int, rejects: Sequence[Reject]) -> tuple[Reject, ...]:
    """Return *rejects* of a read that began at *start* with their line numbers in the whole file.

    The lines before *start* are counted only when there is something to place.
    """
    if not rejects:
        return ()
    before = 1 + _newlines(path, start)
    return tuple(replace(reject, line=before + (reject.line or 0)) for reject in rejects)


def _newlines(path: Path, end: int) -> int:
    """Return how many lines end before byte *end*."""
    count = 0
    with path.open("rb") as file:
        while end > 0 and (block := file.read(min(end, 1 << 20))):
            count += block.count(b"\n")
            end -= len(block)
    return count


def _parse(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    if len(data) > SMALL_BYTES:
        try:
            return parse_fast(data, start, first, step_key, time_key)
        except (_NotFlatError, duckdb.Error):
            pass
    return parse_slow(data, start, first, step_key, time_key)


# ------------------------------------------------------------------------------ line by line


def parse_slow(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    """Return what the lines of *data*, which begin at byte *start* and line *first*, hold."""
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    events: list[Event] = []
    rejects: list[Reject] = []
    rows, at = 0, start
    for number, line in enumerate(data.split(b"\n")[:-1], first):
        begin, at = at, at + len(line) + 1
        if not line.strip():
            continue
        found = _object(line)
        if isinstance(found, str):
            rejects.append(Reject(begin, found, line, number))
        elif record.KIND in found:
            events.append(Event(found, Reject(begin, "", line, number)))
        elif (step := _step(found.get(step_key))) is None:
            rejects.append(Reject(begin, _no_step(found, step_key), line, number))
        else:
            rows += 1
            _add_row(columns, found, step, step_key, time_key)
    return Lines(pl.DataFrame(columns, schema=POINTS), tuple(events), tuple(rejects), rows, at)


def _object(line: bytes) -> dict[str, Any] | str:
    """Return the object in *line*, or why there is none."""
    text = line.removeprefix(b"\xef\xbb\xbf")
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_first_wins)
    except UnicodeDecodeError:
        return "not UTF-8"
    except (ValueError, RecursionError):
        return "not JSON"
    return value if isinstance(value, dict) else "not a JSON object"


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _step(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) <= MAX_STEP and value == int(value) else None


def _no_step(found: dict[str, Any], step_key: str) -> str:
    if step_key not in found:
        return f"no {step_key!r}"
    return f"{step_key!r} is not a whole number"


def _add_row(
    columns: dict[str, list[Any]],
    row: dict[str, Any],
    step: int,
    step_key: str,
    time_key: str | None,
) -> None:
    ts = record.number(row.get(time_key)) if time_key else None
    for key, value in _flat(row):
        if key in (step_key, time_key) or value is None:
            continue
        number = _number(value)
        columns["key"].append(record.unescape(key))
        columns["step"].append(step)
        columns["value"].append(number)
        columns["text"].append(None if number is not None else _text(value))
        columns["ts"].append(ts)


def _flat(row: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the entries of *row*, those of dicts in it under ``outer.inner``."""
    entries: list[tuple[str, Any]] = []
    for key, value in row.items():
        if isinstance(value, dict) and "_type" not in value:
            entries.extend(_flat(value, f"{prefix}{key}."))
        else:
            entries.append((prefix + key, value))
    return entries


def _number(value: Any) -> float | None:
    try:
        return record.number(value)
    except OverflowError:  # an integer beyond 1e308
        return math.inf if value > 0 else -math.inf


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form


# ------------------------------------------------------------------------------- in columns


def parse_fast(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    """As ``parse_slow``, through DuckDB; for slices whose keys DuckDB can have as columns.

    Raises:
        _NotFlatError: they cannot be columns.
        duckdb.Error: DuckDB cannot read the slice.
    """
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file, duckdb.connect() as con:
        file.write(data.removeprefix(b"\xef\xbb\xbf"))
        file.flush()
        return _Columns(con, file.name, step_key, time_key).lines(data, start, first)


class _Columns:
    """One slice in a temporary file, read in passes: its keys, its wide table, its odd lines."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, file: str, step_key: str, time_key: str | None
    ) -> None:
        self.con, self.file = con, file.replace("'", "''")
        self.step_key, self.time_key = step_key, time_key
        self.objects = f"read_ndjson_objects('{self.file}', ignore_errors=true)"

    def lines(self, data: bytes, start: int, first: int) -> Lines:
        keys = self.keys()
        rich = self.rich_keys(keys)
        self.load(keys, rich)
        odd = self.rows("select n from wide where not plain order by n")
        events, rejects = self.odd_lines([n for (n,) in odd], data, start, first)
        points = [self.numbers([k for k in keys if k not in rich])]
        points += [self.rich(key) for key in sorted(rich)]
        frame = pl.concat(
            [frame for frame in points if frame.height] or [no_points().with_row_index("n")]
        )
        frame = frame.sort("n", maintain_order=True).select(list(POINTS))
        ((rows,),) = self.rows("select count(*) from wide where plain")
        return Lines(frame, tuple(events), tuple(rejects), rows, start + len(data))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.execute(sql).fetchall()

    def keys(self) -> list[str]:
        """Return every key of the history lines."""
        found = self.rows(
            f"select distinct unnest(json_keys(json)) from {self.objects}"
            f" where not (contains(json::varchar, '\"_kind\"') and {_EVENT})"
        )
        keys = sorted(key for (key,) in found)
        folded = Counter(key.lower() for key in [*keys, *_OWN])
        # DuckDB's column names ignore case and hold no NUL
        if max(folded.values()) > 1 or any("\0" in key or not key for key in keys):
            raise _NotFlatError
        return [key for key in keys if key not in (self.step_key, self.time_key)]

    def rich_keys(self, keys: list[str]) -> set[str]:
        """Return the keys whose value is, in any line, something other than a bare number."""
        pattern = r'"((?:[^"\\]|\\.)*)"\s*:\s*["\[{ntf]'
        found = self.rows(
            f"select distinct unnest(regexp_extract_all(json::varchar, '{pattern}', 1))"
            f" from {self.objects}"
        )
        try:
            rich = {json.loads(f'"{key}"', strict=False) for (key,) in found}
        except ValueError:
            raise _NotFlatError from None
        if self.step_key in rich or self.time_key in rich:
            raise _NotFlatError
        return rich.intersection(keys)

    def load(self, keys: list[str], rich: set[str]) -> None:
        names = [self.step_key, *([self.time_key] if self.time_key else []), *keys]
        columns = ", ".join(
            f"{_text_literal(k)}: '{'JSON' if k in rich else 'DOUBLE'}'" for k in names
        )
        step = _name(self.step_key)
        self.con.execute(
            f"""
            create temp table wide as
            select row_number() over () as n, *,
                coalesce(
                    _kind is null and {step} = floor({step}) and abs({step}) <= {MAX_STEP}, false
                ) as plain
            from read_json('{self.file}', format='newline_delimited', ignore_errors=true,
                           columns={{{columns}, '_kind': 'VARCHAR'}})
            """
        ).fetchall()

    def odd_lines(
        self, odd: list[int], data: bytes, start: int, first: int
    ) -> tuple[list[Event], list[Reject]]:
        """Return the events and rejects among the lines that are no history."""
        if not odd:
            return [], []
        places = _places(data, start, first)
        ((count,),) = self.rows("select count(*) from wide")
        if count != len(places):
            raise _NotFlatError
        events: list[Event] = []
        rejects: list[Reject] = []
        for n in odd:
            at, number = places[n - 1]
            line = data[at - start : data.index(b"\n", at - start) + 1]
            slow = parse_slow(line, at, number, self.step_key, self.time_key)
            if slow.rows:  # readable after all
                raise _NotFlatError
            events += slow.events
            rejects += slow.rejects
        return events, rejects

    def numbers(self, keys: list[str]) -> pl.DataFrame:
        if not keys:
            return no_points().with_row_index("n").clear()
        listed = ", ".join(_name(key) for key in keys)
        found = self.con.sql(
            f"""
            select n::uinteger as n, key, own_step::bigint as step, value, null::varchar as text,
                own_ts as ts
            from (unpivot (select n, {self.axes()}, {listed} from wide where plain)
                  on {listed} into name key value value)
            order by n
            """
        )
        frame = pl.DataFrame(pl.from_arrow(found.to_arrow_table()))
        return frame.with_columns(key=_unescaped(frame["key"]))

    def rich(self, key: str) -> pl.DataFrame:
        rows = self.rows(
            f"select n, {self.axes()}, {_name(key)}::varchar from wide"
            f" where plain and {_name(key)} is not null order by n"
        )
        columns: dict[str, list[Any]] = {name: [] for name in POINTS}
        numbers: list[int] = []
        for n, step, ts, text in rows:
            before = len(columns["key"])
            value = json.loads(text, object_pairs_hook=_first_wins)
            _add_row(columns, {key: value, "_ts": ts}, int(step), "", "_ts")
            numbers += [n] * (len(columns["key"]) - before)
        frame = pl.DataFrame(columns, schema=POINTS)
        return frame.insert_column(0, pl.Series("n", numbers, dtype=pl.UInt32))

    def axes(self) -> str:
        time = _name(self.time_key) if self.time_key else "null::double"
        return f"{_name(self.step_key)} as own_step, {time} as own_ts"


def _places(data: bytes, start: int, first: int) -> list[tuple[int, int]]:
    """Return the byte and the number of each line that is not blank."""
    places = []
    for number, match in enumerate(re.finditer(rb"[^\n]*\n", data), first):
        if match.group().strip():
            places.append((start + match.start(), number))
    return places


def _unescaped(keys: pl.Series) -> pl.Series:
    return keys.str.strip_prefix(record.ESCAPE)


def _name(key: str) -> str:
    return '"' + key.replace('"', '""') + '"'


def _text_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
