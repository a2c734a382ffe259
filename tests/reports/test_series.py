"""From a snapshot's history to the rows that are drawn."""

from __future__ import annotations

import math
from contextlib import closing
from itertools import pairwise

import polars as pl
import pytest
import snapshots
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import points as stored
from etl import snapshot
from reports import series
from reports.axes import Accuracy
from reports.load import load
from reports.scan import Wanted, measured, scan

ACCURACY = Accuracy(("a_acc",), "a_acc", "")
STEPS = st.lists(st.integers(0, 60), unique=True, max_size=25).map(sorted)
VALUES = st.sampled_from([0.0, 0.25, 1.0, -1.0, math.nan, math.inf])


def rows_of(data, history, budget=10_000, parents=None):
    """Write *history* as a project and return its drawn rows of loss with accuracy."""
    runs = sorted({row["run_id"] for row in history} | set(parents or ()))
    tables = {
        "runs": [
            snapshots.run_row(run, history, stage="sft", parent_run_id=(parents or {}).get(run))
            for run in runs
        ],
        "history": history,
        "metrics": snapshots.catalog(history),
    }
    project, _ = snapshots.write(data, "p", tables)
    manifest = snapshot.read_manifest(project)
    with closing(snapshot.connect(project, manifest)) as db:
        facts = load(db, manifest)
    wanted = Wanted({"train/loss": 1}, ACCURACY, {("train/loss",): True}, budget=budget)
    seen = scan(project, manifest, facts, wanted)
    return facts, series.rows(seen, {"train/loss": "loss"}, accuracy=True)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(logged=STEPS, measured=st.lists(st.tuples(st.integers(0, 60), VALUES), max_size=12))
def test_accuracy_is_that_of_the_last_evaluation_at_or_before(tmp_path, logged, measured):
    """Never the nearest, never a later one, whatever the steps; found again by brute force."""
    evals = dict(sorted(dict(measured).items()))
    losses = [1 + step / 7 for step in logged]
    history = snapshots.points("r", "train/loss", logged, losses)
    history += snapshots.points("r", "a_acc", list(evals), list(evals.values()))
    _, rows = rows_of(tmp_path, history)
    expected = []
    for step, loss in zip(logged, losses, strict=True):
        before = [at for at in evals if at <= step]
        if before and math.isfinite(evals[before[-1]]):
            expected.append((step, loss, evals[before[-1]], before[-1]))

    got = rows.frame.select("step", "loss", "accuracy", "eval_step").rows()
    assert got == expected
    assert rows.total("logged") == len(logged) if logged else rows.tally.is_empty()
    assert rows.total("before") == sum(1 for step in logged if not any(at <= step for at in evals))


def test_a_line_is_cut_where_a_value_is_not_finite(tmp_path):
    """A loss that went to NaN and came back gives two lines, not one that hides the gap."""
    losses = [3.0, 2.0, math.nan, 2.5, 2.4, math.inf, math.nan, 2.0]
    history = snapshots.points("r", "train/loss", range(8), losses)
    history += snapshots.points("r", "a_acc", [0], [0.5])
    _, rows = rows_of(tmp_path, history)

    assert rows.frame["step"].to_list() == [0, 1, 3, 4, 7]
    lines = rows.frame["line"].to_list()
    assert [a == b for a, b in pairwise(lines)] == [True, False, True, False]
    assert rows.total("not_finite") == 3


def test_two_runs_have_two_lines(tmp_path):
    """Also when the second goes on where the first ended."""
    history = snapshots.points("r1", "train/loss", [0, 1], [2.0, 1.0])
    history += snapshots.points("r2", "train/loss", [0, 1], [2.0, 1.0])
    history += [row for r in ("r1", "r2") for row in snapshots.points(r, "a_acc", [0], [0.5])]
    facts, rows = rows_of(tmp_path, history, parents={"r2": "r1"})

    assert rows.frame.select("run", "line", "step", "total_step").rows() == [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (1, 1, 0, 1),
        (1, 1, 1, 2),
    ]
    assert facts.runs[1].parent == 0


@pytest.mark.parametrize("budget", [120, 400])
def test_thinning_keeps_every_extreme_and_stays_near_the_budget(tmp_path, budget):
    """Of a run of 4,000 noisy steps the least and greatest loss and accuracy stay, whole rows."""
    steps = list(range(4_000))
    losses = [5 - step / 1_000 + math.sin(step * 12.9898) for step in steps]
    losses[1234], losses[2345] = 40.0, -7.0
    history = snapshots.points("r", "train/loss", steps, losses)
    history += snapshots.points("r", "a_acc", steps[::50], [math.cos(s) for s in steps[::50]])
    facts, whole = rows_of(tmp_path, history)
    _, rows = rows_of(tmp_path, history, budget)

    assert rows.thinned
    assert not whole.thinned
    assert rows.frame.height <= budget
    kept, every = rows.frame.drop("line"), whole.frame.drop("line")
    assert kept.join(every, on=kept.columns, how="semi").height == kept.height
    for column in ("step", "loss", "accuracy"):
        assert kept[column].min() == every[column].min()
        assert kept[column].max() == every[column].max()
    assert facts.runs[0].points == len(history)


def test_thinning_is_the_same_every_time(tmp_path):
    """Equal extremes, of which either would do, are chosen alike: the bytes depend on it."""
    steps = list(range(3_000))
    history = snapshots.points("r", "train/loss", steps, [float(step % 3) for step in steps])
    history += snapshots.points("r", "a_acc", [0, 1500], [0.5, 0.5])
    frames = [rows_of(tmp_path, history, 200)[1].frame for _ in range(3)]

    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_a_mean_counts_only_steps_at_which_all_were_measured(mini, sql):
    """Dropping the missing ones, or the zeros, would make another number of it."""
    manifest = snapshot.read_manifest(mini.project)
    accuracy = Accuracy(snapshots.TASKS, "mean", "")
    got = []
    for run, points in stored.runs(mini.project, manifest, snapshots.TASKS):
        if mean := measured(points, accuracy):
            got += [(run, *row) for row in zip(mean.steps, mean.values, strict=True)]
    expected = sql(
        "select run_id, step, avg(value) from history where metric like '%acc'"
        " group by run_id, step having count(*) = 4 order by run_id, step"
    )

    assert [row[:2] for row in got] == [row[:2] for row in expected]
    assert [row[2] for row in got] == pytest.approx([row[2] for row in expected])


def test_a_running_median_stays_within_its_line():
    """It smooths a run; it never mixes two."""
    frame = pl.DataFrame({"line": [0, 0, 0, 1, 1], "loss": [1.0, 9.0, 2.0, 100.0, 102.0]})
    rows = series.Rows(frame, pl.DataFrame())

    assert series.medians(rows, "loss").frame["loss_median"].to_list() == [2, 2, 2, 101, 101]
