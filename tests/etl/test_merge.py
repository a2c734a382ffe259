"""Merging: one value a point, whatever the order, the portions and the repetitions."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import blocks, merge, printing
from etl.blocks import NOTHING
from etl.sources.facts import Facts
from etl.sources.frames import KEY, POINTS, no_points
from etl.sources.reading import Piece
from etl.stitch import stitch

PRECEDENCE = {"hooks-jsonl": 60, "wandb-offline": 50}
FACTS = [
    Facts("r", "a", started_at=1.0, first_step=0, last_step=9),
    Facts("r", "b", started_at=2.0, first_step=4, last_step=12, resumed=True, resume_step=4),
    Facts("r", "c", started_at=3.0, first_step=8, last_step=15, resumed=True),
]
SEGMENTS = stitch(FACTS)


def file_of(source, segment, values, *, wide=False, metrics=("loss",)):
    """History of one file: steps of one segment, whose value says where it is from."""
    rows = [
        (metric, step, value, None, 1.8e9 + step)
        for step, value in values.items()
        for metric in metrics
    ]
    points = pl.DataFrame(rows, schema=POINTS, orient="row")
    facts = FACTS[segment]
    piece = Piece(source, facts, points)
    if wide:
        piece = Piece(source, facts, no_points(), rows=pivoted(points))
    return merge.of_piece(piece, SEGMENTS[segment], lambda key: key)


def pivoted(points):
    """The same points as a source gives them in columns: a row for each of them."""
    keys = sorted(points["key"].unique())
    columns = [pl.when(pl.col("key") == key).then("value").alias(KEY + key) for key in keys]
    return points.select("step", "ts", *columns)


FILES = st.lists(
    st.builds(
        file_of,
        st.sampled_from(sorted(PRECEDENCE)),
        st.integers(0, 2),
        st.dictionaries(st.integers(0, 15), st.sampled_from([1.0, 2.0, math.nan]), max_size=8),
        wide=st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def merged(files, least=4):
    """Merge *files* one after the other, as syncs would."""
    history = NOTHING
    for file in files:
        history = merge.merge(history, [file], SEGMENTS, PRECEDENCE, least).history
    return history


def best(files):
    """The rule in words: latest segment that stands, then the better source."""
    found = {}
    for file in files:
        for row in file.melted().rows(named=True):
            limit = SEGMENTS[row["segment"]].abandoned_from
            if limit is not None and row["step"] >= limit:
                continue
            rank = (row["segment"], PRECEDENCE[row["source"]])
            if row["step"] not in found or rank > found[row["step"]][0]:
                found[row["step"]] = (rank, row["source"])
    return {step: (rank[0], source) for step, (rank, source) in found.items()}


def places(history):
    return {
        row["step"]: (row["segment"], row["source"]) for row in history.melted().rows(named=True)
    }


def same(one, two):
    """Whether two histories are the same points in the same form."""
    shapes = [[(b.segment, b.source, b.metrics) for b in h.blocks] for h in (one, two)]
    frames = zip(one.blocks, two.blocks, strict=False)
    return (
        shapes[0] == shapes[1]
        and one.long.equals(two.long)
        and all(a.frame.equals(b.frame) for a, b in frames)
    )


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
    unlike = {(r["source"][0], r["segment"][0]): f for f in files if (r := f.melted()).height}
    files = list(unlike.values())  # of one segment and source there is one truth
    again = data.draw(st.permutations([*files, *files]))

    assert same(merged(again), merged(files))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.integers(0, 3),
            st.none() | st.floats(),
            st.none() | st.sampled_from([-1.0, 5.0, 1e9 + 0.1, 1e9 + 0.2]),
        ),
        max_size=12,
    )
)
def test_few_points_are_merged_as_many_are(rows):
    """Without queries as with them, also where a step comes again and two keys are one metric."""
    values = [(key, step, value, None if value else "text", ts) for key, step, value, ts in rows]
    points = pl.DataFrame(values, schema=POINTS, orient="row")
    piece = Piece("hooks-jsonl", Facts("r", "s"), points)
    segments = stitch([Facts("r", "s")])

    def found():
        history = merge.of_piece(piece, segments[0], lambda key: key.replace("c", "b"))
        return merge.merge(NOTHING, [history], segments, PRECEDENCE).history

    few = found()
    numbers = [(metric, *map(list, of)) for metric, *of in few.numbers()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "FEW", -1)
        patch.setattr(blocks, "FEW", -1)

        assert same(few, found())
        assert few.counts("metric") == found().counts("metric")
        assert repr(numbers) == repr([(m, *map(list, of)) for m, *of in found().numbers()])


@settings(max_examples=100, deadline=None)
@given(FILES, st.integers(0, 5))
def test_merging_in_portions_is_merging_at_once(files, at):
    """merge(a + b) is merge(merge(a) + b)."""
    first = merge.merge(NOTHING, files[:at], SEGMENTS, PRECEDENCE, 4).history
    then = merge.merge(first, files[at:], SEGMENTS, PRECEDENCE, 4).history
    once = merge.merge(NOTHING, files, SEGMENTS, PRECEDENCE, 4).history

    assert places(then) == places(once)
    assert blocks.added(then, first) + first.points == then.points + blocks.added(first, then)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "a2"]),
        st.integers(0, 9),
        st.one_of(st.sampled_from([1.0, 1.0 + 1e-9, 2.0, math.nan, math.inf]), st.none()),
        st.one_of(st.none(), st.sampled_from([1.0, 2.0, -1.0])),
    ),
    max_size=20,
)
PARTS = st.lists(
    st.tuples(st.sampled_from(sorted(PRECEDENCE)), st.integers(0, 2), ROWS, st.booleans()),
    max_size=5,
)


@settings(max_examples=300, deadline=None)
@given(PARTS, st.integers(1, 5))
def test_merging_in_columns_is_merging_in_rows(parts, least):
    """Whatever repeats, contradicts, is text or has no time: the same points and disagreements."""
    alias = {"a2": "a"}
    files, rows = [], []
    for source, segment, found, wide in parts:
        # a value of None stands for a text; spellings of one metric are either all columns or none
        points = pl.DataFrame(
            [(k, step, v, None if v is not None else "text", ts) for k, step, v, ts in found],
            schema=POINTS,
            orient="row",
        )
        place = SEGMENTS[segment]
        texts = points.filter(pl.col("text").is_not_null())["key"].to_list()
        few = pl.col("key").is_in(texts + [k for k in ("a", "a2") if {"a", "a2"} & {*texts}])
        piece = Piece(source, FACTS[segment], points)
        if wide:
            numbers = pivoted(points.filter(~few))
            piece = Piece(source, FACTS[segment], points.filter(few), rows=numbers)
        files.append(merge.of_piece(piece, place, lambda key: alias.get(key, key)))
        rows.append(merge.from_points(points, source, place, lambda key: alias.get(key, key)))
    found = merge.merge(NOTHING, files, SEGMENTS, PRECEDENCE, least)
    cutoffs = {s.index: s.abandoned_from for s in SEGMENTS if s.abandoned_from is not None}
    history, differing = merge.merge_rows(rows, cutoffs, PRECEDENCE)

    assert found.history.melted().equals(history)
    order = ["metric", "step", "source", "other"]
    assert found.differing.sort(order).equals(differing.sort(order))
    assert same(found.history, blocks.canonical((), history, least))
    assert found.history.points == history.height


def test_a_disagreement_beyond_printing_is_kept_and_agreement_is_not():
    ours = {1: 1.0, 2: 2.0, 3: math.nan}
    theirs = {1: 1.0 + 1e-9, 2: 2.5, 3: math.nan}
    for wide, other in ((True, True), (True, False), (False, False)):
        one = file_of("hooks-jsonl", 0, ours, wide=wide)
        two = file_of("wandb-offline", 0, theirs, wide=other)
        files = [one, two] if wide == other else [two, one]
        found = merge.merge(NOTHING, files, SEGMENTS, PRECEDENCE)

        assert found.differing.rows() == [("loss", 2, "hooks-jsonl", "wandb-offline", 2.0, 2.5)]


@pytest.mark.parametrize("wide", [True, False])
def test_what_another_source_printed_in_four_decimals_is_agreement(wide):
    """Halves go either way: Python prints 0.03125 as 0.0312, others 0.0313."""
    order = {"nanochat-console": 1, "nanochat-report": 0}
    ours = {1: 0.13587, 2: 0.03125, 3: 0.03125, 4: 0.374151, 5: 0.2200}
    theirs = {1: 0.1359, 2: 0.0312, 3: 0.0313, 4: 0.3742, 5: 0.2204}
    one = file_of("nanochat-console", 2, ours, wide=wide)
    two = file_of("nanochat-report", 2, theirs)
    found = merge.merge(NOTHING, [one, two], SEGMENTS, order)

    assert found.differing["step"].to_list() == [5]


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


@pytest.mark.parametrize(
    ("metric", "logged", "printed", "counted"),
    [
        ("train/loss", 3.21456749, 3.214567, 0),
        ("train/loss", 3.2145690, 3.214567, 1),
        ("core_metric", 0.22314, 0.2231, 0),
        ("mmlu_acc", 0.31512, 0.3151, 0),
        ("mmlu_acc", 0.3161, 0.3151, 1),
        ("train/tok_per_sec", 4212000.7, 4212000.0, 0),
        ("train/mfu", math.nan, 40.2, 1),
    ],
)
def test_what_a_console_rounded_is_no_disagreement(metric, logged, printed, counted):
    """Six decimals of a loss, hundredths of a percent of an accuracy; more than that is one."""
    differing = pl.DataFrame(
        {
            "metric": [metric],
            "step": [1],
            "source": ["wandb-offline"],
            "other": ["nanochat-console"],
            "value": [logged],
            "other_value": [printed],
        }
    )

    assert printing.beyond(differing).height == counted
    exact = differing.with_columns(other=pl.lit("hooks-jsonl"))
    assert printing.beyond(exact).height == 1
