"""Merging: one value a point, whatever the order, the portions and the repetitions."""

from __future__ import annotations

import math

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import merge
from etl.sources.reading import POINTS, Facts
from etl.stitch import stitch

PRECEDENCE = {"hooks-jsonl": 60, "wandb-offline": 50}
FACTS = [
    Facts("r", "a", started_at=1.0, first_step=0, last_step=9),
    Facts("r", "b", started_at=2.0, first_step=4, last_step=12, resumed=True, resume_step=4),
    Facts("r", "c", started_at=3.0, first_step=8, last_step=15, resumed=True),
]
SEGMENTS = stitch(FACTS)


def file_of(source, segment, values):
    """History rows of one file: steps of one segment, whose value says where it is from."""
    points = pl.DataFrame(
        [("loss", step, value, None, 1.8e9 + step) for step, value in values.items()],
        schema=POINTS,
        orient="row",
    )
    return merge.from_points(points, source, SEGMENTS[segment], lambda key: key)


FILES = st.lists(
    st.builds(
        file_of,
        st.sampled_from(sorted(PRECEDENCE)),
        st.integers(0, 2),
        st.dictionaries(st.integers(0, 15), st.sampled_from([1.0, 2.0, math.nan]), max_size=8),
    ),
    min_size=1,
    max_size=5,
)


def merged(files):
    """Merge *files* one after the other, as syncs would."""
    history = pl.DataFrame(schema=merge.HISTORY)
    for file in files:
        history = merge.merge(history, [file], SEGMENTS, PRECEDENCE).history
    return history


def best(files):
    """The rule in words: latest segment that stands, then the better source."""
    found = {}
    for file in files:
        for row in file.rows(named=True):
            limit = SEGMENTS[row["segment"]].abandoned_from
            if limit is not None and row["step"] >= limit:
                continue
            rank = (row["segment"], PRECEDENCE[row["source"]])
            if row["step"] not in found or rank > found[row["step"]][0]:
                found[row["step"]] = (rank, row["source"])
    return {step: (rank[0], source) for step, (rank, source) in found.items()}


def places(history):
    return {row["step"]: (row["segment"], row["source"]) for row in history.rows(named=True)}


def test_segments_are_stitched_at_the_step_they_resumed_from():
    """A stated step is taken, an unstated one is the first that was logged."""
    assert [s.abandoned_from for s in SEGMENTS] == [4, 8, None]
    assert [s.resume_step for s in SEGMENTS] == [None, 4, 8]
    assert stitch(reversed(FACTS)) == SEGMENTS


@settings(max_examples=150, deadline=None)
@given(FILES)
def test_the_best_value_of_each_point_stands(files):
    assert places(merged(files)) == best(files)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_merging_is_order_free_and_idempotent(data):
    """Any permutation, with any file any number of times, gives the same points."""
    files = data.draw(FILES)
    unlike = {(f["source"][0], f["segment"][0]): f for f in files if f.height}
    files = list(unlike.values())  # of one segment and source there is one truth
    again = data.draw(st.permutations([*files, *files]))

    assert merged(again).equals(merged(files), null_equal=True)


@settings(max_examples=100, deadline=None)
@given(FILES, st.integers(0, 5))
def test_merging_in_portions_is_merging_at_once(files, at):
    """merge(a + b) is merge(merge(a) + b)."""
    empty = pl.DataFrame(schema=merge.HISTORY)
    first = merge.merge(empty, files[:at], SEGMENTS, PRECEDENCE).history
    then = merge.merge(first, files[at:], SEGMENTS, PRECEDENCE).history
    once = merge.merge(empty, files, SEGMENTS, PRECEDENCE).history

    assert places(then) == places(once)


def test_a_disagreement_beyond_printing_is_kept_and_agreement_is_not():
    ours = file_of("hooks-jsonl", 0, {1: 1.0, 2: 2.0, 3: math.nan})
    theirs = file_of("wandb-offline", 0, {1: 1.0 + 1e-9, 2: 2.5, 3: math.nan})
    for files in ([ours, theirs], [theirs, ours]):
        found = merge.merge(pl.DataFrame(schema=merge.HISTORY), files, SEGMENTS, PRECEDENCE)

        assert found.differing.rows() == [("loss", 2, "hooks-jsonl", "wandb-offline", 2.0, 2.5)]


def test_an_offline_resume_that_counts_its_log_calls_anew_goes_on_behind_the_first(place):
    """Current W&B SDKs restart ``_step`` at 0; the steps of the first segment are not replayed."""
    first = Facts("r", "a", started_at=1.0, first_step=0, last_step=9, log_index_steps=True)
    second = Facts(
        "r", "b", started_at=2.0, first_step=0, last_step=4, log_index_steps=True, resumed=True
    )
    one, two = stitch([second, first])

    assert (one.abandoned_from, two.shift, two.first_step, two.last_step) == (10, 10, 10, 14)


def test_a_resumed_run_has_each_replayed_step_once_and_from_its_last_segment(place):
    place.log(steps=range(10), finish=False)
    place.log(steps=range(6, 12), resume=6)
    done = place.sync(place.logs)

    assert done.document["points"] == 24
    assert place.rows("select segment, min(step), max(step), count(*) from history group by 1") == [
        (0, 0, 5, 12), (1, 6, 11, 12)
    ]  # fmt: skip
    query = "select segment, resume_step, last_step, abandoned_from, state from segments"
    assert place.rows(f"{query} order by 1") == [
        (0, None, 9, 6, "unfinished"), (1, 6, 11, None, "finished")
    ]  # fmt: skip
    assert place.rows("select state from runs") == [("finished",)]


def test_a_resume_that_is_seen_before_its_beginning_comes_to_the_same(place):
    """Whichever segment's file arrives first: same snapshot."""
    first = place.log(steps=range(10), finish=False)
    second = place.log(steps=range(6, 12), resume=6)
    together = place.sync(first, second, project="a").document
    for path in (first, second):
        place.sync(path, project="b")
    for path in (second, first):
        place.sync(path, project="c")

    for project in ("b", "c"):
        assert place.history(project) == place.history("a")
        query = "select segment, segment_id, points, abandoned_from from segments order by 1"
        assert place.rows(query, project=project) == place.rows(query, project="a")
    assert together["points"] == 24
