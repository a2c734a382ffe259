"""Lines of JSON objects -> the same points as ``jsonl_rows`` gives, in columns, for large files.

DuckDB's explicit-column reader is the one fast reader that survives torn, corrupt and non-UTF-8
lines without losing their neighbours (measured against Polars, pyarrow and orjson). What cannot be
columns is handed back, to be read line by line.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections import Counter
from typing import Any

import duckdb
import polars as pl
import polars.selectors as cs

from etl.sources import jsonl_rows
from etl.sources.facts import clean
from etl.sources.frames import KEY, POINTS, no_points
from etl.sources.jsonl_rows import MAX_STEP, Event, Lines, add_row, last_wins
from etl.sources.reading import Reject
from hooks import record

_EVENT = b'"' + record.KIND.encode() + b'"'
_BOM = b"\xef\xbb\xbf"
# A value that is no bare number: text, list, object, null, true or false.
_RICH = rb':\s*["\[{ntf]'
# A key before such a value; a text is matched whole, so that its end is no beginning.
_RICH_KEY = r'"((?:[^"\\]|\\.)*)"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[\[{ntf])'
# What DuckDB takes for JSON and the standard does not.
LAX = re.compile(rb",\s*[}\]]|[\x0b\x0c]|\\u005f")
_NUMBERS_IN_TEXT = ('"NaN"', '"Infinity"', '"-Infinity"')
_NONFINITE = re.compile(rb"(?i)[:\[,]\s*([+-]?(?:nan|inf)\w*)")


class NotColumnsError(Exception):
    """These lines cannot be columns, or DuckDB counts other lines than there are."""


def parse(data: bytes, start: int, first: int, step_key: str, time_key: str | None) -> Lines:
    """As ``jsonl_rows.parse``.

    Raises:
        NotColumnsError, duckdb.Error: this way does not do for these lines.
    """
    if LAX.search(data):
        raise NotColumnsError
    axes = (step_key, time_key)
    events, rejects, history = _events(data, start, first, axes)
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file, duckdb.connect() as con:
        file.write(history)
        file.flush()
        keys = _keys(con, file.name, axes)
        rich = _rich_keys(con, file.name, axes) if re.search(_RICH, history) else set()
        wide = select(con, file.name, keys, rich, axes)
    if not finite(wide) and odd_number(history):
        raise NotColumnsError
    fits = (wide["step"] == wide["step"].floor()) & (wide["step"].abs() < MAX_STEP)
    fits = fits.fill_null(value=False)
    if not fits.all():
        odd = fits.not_().arg_true().to_list()
        lines = _lines(history, wide.height)
        rejects += [found for row in odd for found in _rejected(lines[row], start, first, axes)]
        wide = wide.filter(fits)
    rejects.sort(key=lambda reject: reject.at_byte)
    return lines_of(wide, keys, rich, (events, tuple(rejects)), start + len(data))


def _events(
    data: bytes, start: int, first: int, axes: tuple[str, str | None]
) -> tuple[tuple[Event, ...], list[Reject], bytes | bytearray]:
    """Take out the few lines that are no history; return the others with blanks in their places."""
    if data.startswith(_BOM):
        data = b"   " + data[len(_BOM) :]
    if _EVENT not in data:
        return (), [], data
    events: list[Event] = []
    rejects: list[Reject] = []
    rest = bytearray(data)
    at = data.find(_EVENT)
    while at >= 0:
        begin = data.rfind(b"\n", 0, at) + 1
        end = data.index(b"\n", at) + 1
        number = first + data.count(b"\n", 0, begin)
        line = jsonl_rows.parse(data[begin:end], start + begin, number, *axes)
        if not line.rows:
            events += line.events
            rejects += line.rejects
            rest[begin : end - 1] = b" " * (end - 1 - begin)
        at = data.find(_EVENT, end)
    return tuple(events), rejects, rest


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def _objects(file: str) -> str:
    return f"read_ndjson_objects({_text(file)}, ignore_errors=true)"


def _keys(con: duckdb.DuckDBPyConnection, file: str, axes: tuple[str, str | None]) -> list[str]:
    """Return every key of the lines but those of step and time, sorted."""
    # a list for each line: DuckDB takes the first value of a repeated key, and not the last
    rows = _rows(con, f"select distinct json_keys(json) from {_objects(file)}")
    found = [keys for (keys,) in rows if keys]
    if any(len(set(keys)) < len(keys) for keys in found):
        raise NotColumnsError
    return columns_of({axes[0]}.union(*found), axes)


def columns_of(keys: set[str], axes: tuple[str, str | None]) -> list[str]:
    """Return *keys* but those of step and time, sorted, if they can be names of columns."""
    names = {record.unescape(clean(key)) for key in keys}
    # DuckDB's names ignore case and hold no NUL
    alike = max(Counter(key.lower() for key in keys).values(), default=0) > 1
    if alike or len(names) < len(keys) or {"", "\0"} & {*keys, *"".join(keys)}:
        raise NotColumnsError
    return sorted(keys.difference(axes))


def _rich_keys(con: duckdb.DuckDBPyConnection, file: str, axes: tuple[str, str | None]) -> set[str]:
    """Return the keys whose value is, in any line, something other than a bare number."""
    pattern = f"regexp_extract_all(json::varchar, {_text(_RICH_KEY)}, 1)"
    found = _rows(con, f"select distinct unnest({pattern}) from {_objects(file)}")
    try:
        rich = {json.loads(f'"{key}"', strict=False) for (key,) in found}
    except ValueError:
        raise NotColumnsError from None
    if not rich.isdisjoint(axes):
        raise NotColumnsError
    return rich


def select(
    con: duckdb.DuckDBPyConnection,
    file: str,
    keys: list[str],
    rich: set[str],
    axes: tuple[str, str | None],
) -> pl.DataFrame:
    """Return a row for each line: step, ts, and a column named after its place for each key."""
    step, ts = axes
    kinds = {key: "JSON" if key in rich else "DOUBLE" for key in keys}
    kinds |= {step: "DOUBLE"} | ({ts: "DOUBLE"} if ts else {})
    columns = ", ".join(f"{_text(key)}: '{kind}'" for key, kind in kinds.items())
    named = "".join(
        f", {_name(key)}{'::varchar' if key in rich else ''} as k{at}"
        for at, key in enumerate(keys)
    )
    query = f"""
        select {_name(step)} as step, {_name(ts) if ts else "null::double"} as ts{named}
        from read_json({_text(file)}, format='newline_delimited', ignore_errors=true,
                       columns={{{columns}}})
    """
    return pl.DataFrame(con.sql(query))


def finite(wide: pl.DataFrame) -> bool:
    """Whether no number is NaN or infinite, nor any sum of them."""
    return all(math.isfinite(column.sum()) for column in wide.select(cs.float()).get_columns())


def odd_number(history: bytes | bytearray) -> bool:
    """Whether a NaN or an infinity is spelled as only DuckDB takes it: nan, inf, +Infinity..."""
    words = {match.group(1) for match in _NONFINITE.finditer(history)}
    return not words <= {b"NaN", b"Infinity", b"-Infinity"}


def _lines(history: bytes | bytearray, count: int) -> list[tuple[int, int, bytes]]:
    """Return (number, place, bytes) of each line that is not blank: those that DuckDB has seen."""
    lines = [
        (number, match.start(), bytes(match.group()))
        for number, match in enumerate(re.finditer(rb"[^\n]*\n", history))
        if match.group().strip()
    ]
    if len(lines) != count:
        raise NotColumnsError
    return lines


def _rejected(
    line: tuple[int, int, bytes], start: int, first: int, axes: tuple[str, str | None]
) -> tuple[Reject, ...]:
    number, at, data = line
    found = jsonl_rows.parse(data, start + at, first + number, *axes)
    if found.rows or found.events:  # readable after all
        raise NotColumnsError
    return found.rejects


def lines_of(
    wide: pl.DataFrame,
    keys: list[str],
    rich: set[str],
    others: tuple[tuple[Event, ...], tuple[Reject, ...]],
    end: int,
) -> Lines:
    """Return history rows, as ``select`` gives them, with what *others* there was."""
    places = {key: f"k{at}" for at, key in enumerate(keys)}
    texts = [
        _rich_points(wide.select("step", "ts", found=places[key]).drop_nulls("found"), key)
        for key in keys
        if key in rich
    ]
    numbers = wide.select(
        pl.col("step").cast(pl.Int64),
        "ts",
        *(
            pl.col(place).alias(KEY + record.unescape(clean(key)))
            for key, place in places.items()
            if key not in rich
        ),
    )
    return Lines(pl.concat([no_points(), *texts]), *others, wide.height, end, numbers)


def _rich_points(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return the points of one key whose values are JSON text, in file order."""
    found = pl.col("found")
    # a text without an escape is what stands between its quotes
    plain = found.str.starts_with('"') & ~found.str.contains("\\", literal=True)
    plain &= ~found.is_in(_NUMBERS_IN_TEXT)
    frame = frame.with_row_index("place")
    texts = frame.filter(plain).select(
        "place",
        key=pl.lit(record.unescape(clean(key))),
        step=pl.col("step").cast(pl.Int64),
        value=pl.lit(None, dtype=pl.Float64),
        text=found.str.slice(1, found.str.len_chars() - 2),
        ts="ts",
    )
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    places: list[int] = []
    for place, step, ts, text in frame.filter(~plain).iter_rows():
        value = json.loads(text, object_pairs_hook=last_wins)
        add_row(columns, {key: value, record.TIME: ts}, int(step), "", record.TIME)
        places += [place] * (len(columns["key"]) - len(places))
    others = pl.DataFrame(columns, schema=POINTS).select(
        pl.Series("place", places, dtype=frame.schema["place"]), pl.all()
    )
    return pl.concat([texts, others]).sort("place", maintain_order=True).drop("place")


def _name(key: str) -> str:
    return '"' + key.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
