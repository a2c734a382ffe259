"""A console log that grows, or was cut: reading on is reading at once, a cut costs one record."""

from __future__ import annotations

import time

import console_logs as logs
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.sources import nanochat_console

_LOG = logs.text(
    [
        *logs.speedrun(),
        *logs.base_2025(range(4), 4),
        *logs.base_2025(range(2, 4), 4, ["Resuming optimization from step 2"]),
        *logs.sft_2026(),
        *logs.base_2026(),
        *logs.records_base(),
        *logs.records_eval(),
        *[line for line in logs.base_2025(range(9), 9) if line.startswith("step")],
        *[line for line in logs.base_2025(range(2, 5), 9) if line.startswith("step")],
    ]
)
_CALM = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read_in_portions(path, data, cuts):
    """Read *data* as a log that had grown to each of *cuts* when it was read."""
    known, start, found, rejects = (), 0, {}, []
    for cut in [*sorted(cuts), len(data)]:
        path.write_bytes(data[:cut])
        reading = nanochat_console.read(path, start, known)
        start, known = reading.end, tuple(part.facts for part in reading.parts)
        rejects += [r for r in reading.rejects if "torn" not in r.reason]
        for part in reading.parts:
            place = (part.facts.run_id, part.facts.segment_id)
            found.setdefault(place, []).append((part.points, part.console))
    tables = {
        place: [str(pl.concat(frames).rows()) for frames in zip(*pieces, strict=True)]  # nan == nan
        for place, pieces in found.items()
    }
    facts = {(fact.run_id, fact.segment_id): fact.dump() for fact in known}
    return facts, tables, rejects


@_CALM
@given(cuts=st.lists(st.integers(0, len(_LOG)), max_size=6))
def test_reading_in_any_portions_is_reading_at_once(tmp_path, cuts):
    """Facts, points and lines are the same wherever reading stopped in between."""
    path = tmp_path / "train.log"

    assert read_in_portions(path, _LOG, cuts) == read_in_portions(path, _LOG, [])


def test_reading_line_by_line_is_reading_at_once(tmp_path):
    """Even where the log was read after each of its lines, and between a line and its end."""
    path = tmp_path / "train.log"
    ends = [at for at, byte in enumerate(_LOG) if byte == ord("\n")]
    cuts = sorted({*ends, *(at + 1 for at in ends)})

    assert read_in_portions(path, _LOG, cuts) == read_in_portions(path, _LOG, [])


@_CALM
@given(cut=st.integers(0, len(_LOG) - 1))
def test_a_cut_at_any_byte_costs_at_most_the_line_cut(tmp_path, cut):
    """What the whole lines say stays; nothing is read out of the rest that is not in it."""
    path = tmp_path / "train.log"
    path.write_bytes(_LOG[:cut])
    torn = nanochat_console.read(path, 0, ())
    path.write_bytes(_LOG[: _LOG.rfind(b"\n", 0, cut) + 1])
    whole = nanochat_console.read(path, 0, ())
    path.write_bytes(_LOG[: _LOG.find(b"\n", cut) + 1])
    ended = nanochat_console.read(path, 0, ())

    assert rows(whole) <= rows(torn) <= rows(ended)


def rows(reading):
    return {
        (part.facts.segment_id, *row[:2], str(row[2:4]))
        for part in reading.parts
        for row in part.points.iter_rows()
    }


@_CALM
@given(noise=st.lists(st.binary(max_size=40), max_size=5), at=st.integers(0, len(_LOG)))
def test_strange_bytes_never_stop_the_rest(tmp_path, noise, at):
    """Whatever lands in a log, it is read."""
    path = tmp_path / "train.log"
    data = _LOG[:at] + b"\n".join(noise) + _LOG[at:]
    path.write_bytes(data)
    reading = nanochat_console.read(path, 0, ())
    nanochat_console.recognises(path, data)

    assert len(reading.parts) >= 8


def test_a_log_without_a_last_newline_is_whole(tmp_path):
    """A training line tells by its unit that nothing of it is missing; others have to be ended."""
    path = tmp_path / "sft.log"
    lines = logs.sft_2026()[:4]
    path.write_bytes(logs.text(lines)[:-1])
    (part,) = nanochat_console.read(path, 0, ()).parts

    assert part.facts.last_step == 1

    path.write_bytes(logs.text(lines[:3])[:-1])

    assert nanochat_console.read(path, 0, ()).parts == ()


def test_a_log_of_a_day_is_read_in_about_a_second(fixtures):
    """The 2.9 MB of a speedrun; three seconds leave room for a busy machine."""
    path = fixtures / "nanochat" / "jhinpan+nanochat" / "speedrun.log"
    began = time.process_time()
    nanochat_console.read(path, 0, ())

    assert time.process_time() - began < 3.0
