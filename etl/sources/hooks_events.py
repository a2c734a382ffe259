"""Lines of our hooks that are neither history nor facts -> the rows of telemetry and console."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from etl.sources.facts import Facts, clean
from etl.sources.frames import CONSOLE, TELEMETRY
from etl.sources.jsonl_rows import Event
from hooks import record

KINDS = ("telemetry", "console")
_OWN = (record.KIND, record.TIME)


def telemetry(events: Sequence[Event]) -> tuple[pl.DataFrame | None, int]:
    """Return what was measured of the machine, and how many values had to be left out."""
    keys: list[str] = []
    times: list[float] = []
    values: list[float] = []
    names: dict[str, str] = {}  # a few, in a million lines
    left_out = 0
    for event in (found.value for found in events):
        if event[record.KIND] != "telemetry":
            continue
        ts = record.number(event.get(record.TIME))
        for key, value in event.items():
            if value is None or key in _OWN:
                continue
            number = value if type(value) is float else record.number(value)
            if number is None or ts is None:
                left_out += 1
                continue
            if key not in names:
                names[key] = clean(record.unescape(key))
            keys.append(names[key])
            times.append(ts)
            values.append(number)
    columns = {"key": keys, "ts": times, "value": values}
    return (pl.DataFrame(columns, schema=TELEMETRY) if keys else None), left_out


def console(facts: Facts, events: Sequence[Event]) -> tuple[Facts, pl.DataFrame | None]:
    """Return the lines that the run printed, and the facts with how many that makes so far.

    They are numbered from 1 for each process, on from those that earlier reads found.
    """
    before = int(facts.cursor or 0)
    texts: list[str] = []
    times: list[float | None] = []
    for event in (found.value for found in events):
        lines = event.get("lines") if event[record.KIND] == "console" else None
        if isinstance(lines, list):
            texts += [clean(str(line)) for line in lines]
            times += [record.number(event.get(record.TIME))] * len(lines)
    if not texts:
        return facts, None
    after = before + len(texts)
    columns = {"line": range(before + 1, after + 1), "ts": times, "text": texts}
    return dataclasses.replace(facts, cursor=str(after)), pl.DataFrame(columns, schema=CONSOLE)
