"""Lines of our hooks that are not history come into tables of their own."""

from __future__ import annotations

import json
import time

import polars as pl
import pytest

from etl.sources import hooks_events, hooks_jsonl
from etl.sources.frames import CONSOLE, TELEMETRY
from etl.sources.jsonl_rows import Event
from etl.sources.reading import Reject
from hooks import record

HEAD = record.encode_event("run", 1.0, {"v": 1, "run_id": "r", "segment": "s", "rank": 0})


def event(kind, ts, **fields):
    return record.encode_event(kind, ts, fields)


def read(path, start=0, known=()):
    (part,) = (reading := hooks_jsonl.read(path, start, known)).parts
    return part, reading


def test_telemetry_is_points_by_time_and_nan_is_one_of_them(tmp_path):
    path = tmp_path / "r.s.rank0.1.jsonl"
    first = event("telemetry", 2.0, **{"system.cpu": 50.5, "system.gpu.0.temp": None})
    second = event("telemetry", 3.0, **{"system.cpu": float("nan"), "_odd": 7})
    path.write_bytes(HEAD + first + second + event("telemetry", 4.0, name="H100", flag=True))
    part, reading = read(path)

    assert part.telemetry.schema == TELEMETRY
    rows = [(key, ts, str(value)) for key, ts, value in part.telemetry.rows()]
    assert rows == [
        ("system.cpu", 2.0, "50.5"),
        ("system.cpu", 3.0, "nan"),
        ("_odd", 3.0, "7.0"),
        ("flag", 4.0, "1.0"),
    ]
    assert reading.rejects == ()
    assert reading.notes == ("1 measurements of the machine are no numbers",)
    assert part.points.height == 0


def test_printed_lines_are_numbered_on_however_often_the_file_is_read(tmp_path):
    path = tmp_path / "r.s.rank0.1.jsonl"
    lines = [event("console", 2.0, lines=["a", "b"]), event("console", 3.0, lines=["c \ud800"])]
    path.write_bytes(HEAD + lines[0])
    early, reading = read(path)
    path.write_bytes(HEAD + b"".join(lines))
    late, _ = read(path, reading.end, (early.facts,))
    whole, _ = read(path)

    assert early.console.schema == CONSOLE
    assert whole.console.rows() == [(1, 2.0, "a"), (2, 2.0, "b"), (3, 3.0, "c ?")]
    assert pl.concat([early.console, late.console]).rows() == whole.console.rows()
    assert late.facts == whole.facts


def test_a_kind_that_is_not_known_is_said(tmp_path):
    path = tmp_path / "r.s.rank0.1.jsonl"
    path.write_bytes(HEAD + event("hologram", 2.0) + event("console", 3.0, lines="no list"))
    part, reading = read(path)

    assert [reject.reason for reject in reading.rejects] == [
        "record kind 'hologram' is not known to grammar v1"
    ]
    assert part.console is None


def test_a_real_run_is_measured_and_its_numbers_are_in_the_table(place):
    import hooks

    run = hooks.init("demo", run_id="r1", dir=place.logs, wandb=False, telemetry=0.05)
    run.log({"train/loss": 1.0}, step=1)
    time.sleep(0.4)
    run.finish()
    synced = place.sync(place.logs)
    rows = place.rows("select metric, count(*), min(value) from store.telemetry group by all")
    again = place.sync(place.logs)

    assert synced.code == 0, synced.err
    found = {metric: (count, least) for metric, count, least in rows}
    assert found["system.proc.memory.rssMB"][0] >= 3
    assert found["system.proc.memory.rssMB"][1] > 1
    assert again.document["snapshot"] == synced.document["snapshot"]


@pytest.mark.slow
def test_a_million_lines_of_telemetry_are_read_in_seconds():
    """Ten million values; what is spent on each is measured, for somebody to look at."""
    fields = {f"system.gpu.{i}.temp": 40.0 + i for i in range(8)}
    value = json.loads(event("telemetry", 2.0, **fields))
    place = Reject(0, "", b"", 0)
    events = [Event({**value, "_ts": float(i)}, place) for i in range(100_000)]
    began = time.process_time()
    found, left_out = hooks_events.telemetry(events)
    print(f"{(time.process_time() - began) * 1e9 / found.height:.0f} ns a value")  # noqa: T201

    assert (found.height, left_out) == (800_000, 0)
