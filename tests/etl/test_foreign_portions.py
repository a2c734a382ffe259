"""A log of another program that grows -> in any portions what it is as a whole, none lost."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonl_files import put, rows

from etl.sources import foreign_jsonl
from etl.sources.frames import POINTS

STRETCHES = st.lists(
    st.builds(
        lambda first, count, by, start: rows(range(first, first + count * by, by), start),
        st.integers(0, 6), st.integers(1, 8), st.integers(1, 3), st.sampled_from([3.0, 5.0]),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip
OTHERS = st.sampled_from(
    [[], [{"config": {"lr": 1}}], [{"config": {"lr": 2}}], [{"odd": 1}], [{"step": 3, "val": 1.0}]]
)
NAMES = st.sampled_from([{}, {"run": "aa"}, {"run": "bb"}])


def whole(reading):
    """Return what a reading comes to."""
    return (
        {(p.facts.run_id, p.facts.segment_id): (p.facts, sorted(p.points.rows(), key=repr))
         for p in reading.parts},
        [(r.at_byte, r.line, r.reason) for r in reading.rejects],
    )  # fmt: skip


def folded(path, data, cuts):
    """Read *data* as it grows to each of *cuts*, as the ledger does, and return what it came to."""
    start, known, points, rejects = 0, (), {}, []
    for cut in [*cuts, len(data)]:
        path.write_bytes(data[:cut])
        reading = foreign_jsonl.read(path, start, known)
        if reading.anew:
            points, rejects = {}, []
        rejects = [r for r in rejects if r.at_byte < start] + list(reading.rejects)
        for part in reading.parts:
            place = (part.facts.run_id, part.facts.segment_id)
            points.setdefault(place, []).extend(part.points.rows())
        start, known = reading.end, tuple(part.facts for part in reading.parts)
    facts = {(fact.run_id, fact.segment_id): fact for fact in known}
    return (
        {place: (facts[place], sorted(points[place], key=repr)) for place in facts},
        [(r.at_byte, r.line, r.reason) for r in rejects],
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(STRETCHES, OTHERS, NAMES), min_size=1, max_size=3), st.data())
def test_a_log_read_as_it_grows_is_what_it_is_read_whole(tmp_path_factory, pieces, data):
    """Whatever turns, configs, names and odd lines are in it, and wherever the reads fall."""
    lines = [
        {**row, **name}
        for stretches, others, name in pieces
        for row in (*others, *(row for stretch in stretches for row in stretch))
    ]
    content = "".join(json.dumps(row) + "\n" for row in [*rows([0]), *lines]).encode()
    head = content.index(b"\n") + 1
    cuts = data.draw(st.lists(st.integers(head, len(content)), max_size=4).map(sorted))
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_bytes(content)
    expected = whole(foreign_jsonl.read(path, 0, ()))

    assert folded(path, content, cuts) == expected


@settings(max_examples=60, deadline=None)
@given(STRETCHES)
def test_every_row_is_in_one_part_or_in_what_is_given_up(tmp_path_factory, stretches):
    """Nothing is lost on the way, and nothing stands twice."""
    lines = [row for stretch in stretches for row in stretch]
    path = put(tmp_path_factory.mktemp("log") / "log.jsonl", lines)
    reading = foreign_jsonl.read(path, 0, ())

    kept = Counter(
        (s, v) for p in reading.parts for s, v in p.points.select("step", "value").rows()
    )
    given_up = sum(r.raw.count(b"\n") for r in reading.rejects)
    assert sum(kept.values()) + given_up == len(lines)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.integers(0, 3),
            st.sampled_from([None, 0.0, -0.0, 1.5, float("nan"), float("-nan"), float("inf")]),
            st.sampled_from([None, None, "x", "y"]),
            st.none(),
        ),
        max_size=7,
    )
)
def test_few_points_go_up_where_many_would(rows):
    """Whether a log's steps go back is one question, answered in rows and in columns."""
    points = pl.DataFrame(rows, schema=POINTS, orient="row")

    assert foreign_jsonl.few_go_up(points) == foreign_jsonl.many_go_up(points)
