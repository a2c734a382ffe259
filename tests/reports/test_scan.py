"""Several metrics of all runs in one table, each row placed by step, tokens, FLOPs and time."""

from __future__ import annotations

import math
from contextlib import closing

import polars as pl
import pytest
import snapshots
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl import snapshot
from reports import series
from reports.load import load
from reports.scan import Wanted, scan

NAN, INF = math.nan, math.inf
LOGGED = st.dictionaries(
    st.integers(0, 300), st.sampled_from([0.0, 1.0, 2.5, -4.0, 1e300, -1e-300, NAN, INF, -INF])
)


def joined(data, history, metrics, *, budget=10_000, config=()):
    """Write *history* as a project and return the scan of *metrics*."""
    runs = sorted({row["run_id"] for row in history})
    tables = {
        "runs": [snapshots.run_row(run, history, stage="sft") for run in runs],
        "config": list(config),
        "history": history,
        "metrics": snapshots.catalog(history),
    }
    project, _ = snapshots.write(data, "p", tables)
    manifest = snapshot.read_manifest(project)
    with closing(snapshot.connect(project, manifest)) as db:
        facts = load(db, manifest)
    wanted = Wanted(dict.fromkeys(metrics, 1), None, {}, budget=budget)
    return scan(project, manifest, facts, wanted)


def test_a_step_has_all_that_was_measured_there(tmp_path):
    """NaN is not measured, infinity measured and not finite; no row has nothing of what was asked.

    The metrics of a run may be logged at different steps.
    """
    history = snapshots.points("r", "a", [0, 1, 2], [3.0, NAN, -INF])
    history += snapshots.points("r", "b", [1, 3], [7.0, 8.0])
    history += snapshots.points("r", "c", [9], [1.0])
    found = joined(tmp_path, history, ["a", "b"])

    rows = found.frame.select("step", "a", "b").rows()
    assert repr(rows) == repr([(0, 3.0, NAN), (1, INF, 7.0), (2, INF, NAN), (3, NAN, 8.0)])
    assert {m: of[0].logged for m, of in found.tallies.items()} == {("a",): 3, ("b",): 2}
    assert found.tallies["a",][0].first_broken == 1


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(a=LOGGED, b=LOGGED, budget=st.sampled_from([12, 60]))
def test_thinning_keeps_the_extremes_of_every_metric(tmp_path, a, b, budget):
    """Whatever was logged where; and a value that is drawn is one that was logged."""
    history = snapshots.points("r", "a", list(a), list(a.values()))
    history += snapshots.points("r", "b", list(b), list(b.values()))
    frame = joined(tmp_path, history, ["a", "b"], budget=budget).frame

    for name, logged in (("a", a), ("b", b)):
        drawn = dict(frame.filter(pl.col(name).is_not_nan()).select("step", name).rows())
        finite = {step: value for step, value in logged.items() if math.isfinite(value)}
        kept = [value for value in drawn.values() if math.isfinite(value)]
        assert {s for s, value in drawn.items() if not math.isfinite(value)} <= {*logged} - {
            *finite
        }
        assert (math.isinf(max(drawn.values(), default=0))) == (len(finite) < len(logged))
        assert all(logged[step] == value for step, value in drawn.items() if step in finite)
        assert (min(kept, default=0), max(kept, default=0)) == (
            min(finite.values(), default=0),
            max(finite.values(), default=0),
        )
        assert {*drawn} >= ({min(logged), max(logged)} if logged else set())


def test_long_runs_get_what_short_ones_leave(tmp_path):
    """A run of a hundred points is drawn whole, and the budget is spent, not passed."""
    history = snapshots.points("short", "a", range(100), [float(s % 7) for s in range(100)])
    history += snapshots.points("tall", "a", range(9_000), [math.sin(s) for s in range(9_000)])
    found = joined(tmp_path, history, ["a"], budget=1_000)

    counts = dict(found.frame.group_by("run").len().rows())
    assert counts[0] == 100
    assert 700 < counts[1] <= 900
    assert {run: of.logged for run, of in found.tallies["a",].items()} == {0: 100, 1: 9_000}


def test_flops_lie_on_a_straight_line_between_two_logged_counters_and_never_beyond(tmp_path):
    """The counter may be logged at other steps than the loss; before the first there is none."""
    history = snapshots.points("r", "train/loss", [0, 5, 10, 15, 30], [5.0, 4.0, 3.0, 2.0, 1.0])
    history += snapshots.points("r", "total_training_flops", [5, 20], [50e18, 200e18])
    found = joined(tmp_path, history, ["train/loss"])

    at = found.frame["flops"].to_list()
    assert at[1:4] == pytest.approx([50e18, 100e18, 150e18])
    assert math.isnan(at[0])
    assert math.isnan(at[4])


@pytest.mark.parametrize(
    ("size", "expected"), [(524_288, 5_242_880.0), (-1, NAN), (None, NAN), ("auto", NAN)]
)
def test_tokens_are_steps_times_the_batch_where_the_run_says_it(tmp_path, size, expected):
    """A config says -1 for a size that it is yet to find out: that is no size."""
    history = snapshots.points("r", "a", [10], [1.0])
    asked = {} if size is None else {"total_batch_size": size}
    found = joined(tmp_path, history, ["a"], config=snapshots.config("r", asked))

    assert repr(found.frame["tokens"].to_list()) == repr([expected])


def test_time_is_the_training_time_that_was_logged_else_since_the_first_record(tmp_path):
    """Each run by itself."""
    history = snapshots.points("r1", "a", [100, 160], [1.0, 2.0])
    history += snapshots.points("r2", "a", [0, 10], [1.0, 2.0])
    history += snapshots.points("r2", "total_training_time", [0, 10], [0.0, 4.5])
    found = joined(tmp_path, history, ["a"])

    assert found.frame["time"].to_list() == [0.0, 60.0, 0.0, 4.5]


def test_steps_of_a_million_millions_are_placed_and_thinned(tmp_path):
    """Nothing on the way overflows or loses a digit."""
    steps = [10**12 + 10**9 * at for at in range(500)]
    history = snapshots.points("r", "a", steps, [1e300 / (1 + at) for at in range(500)])
    found = joined(tmp_path, history, ["a"], budget=100)

    assert found.frame["step"].min() == 10**12
    assert found.frame["step"].max() == steps[-1]
    assert found.frame["a"].max() == 1e300
    assert 40 < found.frame.height <= 100


def test_the_machine_is_drawn_by_time_the_median_of_its_gpus_and_all_extremes(tmp_path):
    """Where its NaN stands the line is cut; two GPUs are one line."""
    gauge = [50.0 + math.sin(at) for at in range(3_000)]
    gauge[700], gauge[800], gauge[900] = 99.0, 1.0, NAN
    machine = [
        {"run_id": "r", "metric": f"system/gpu.{gpu}.gpu", "ts": row["ts"], "value": row["value"]}
        for gpu in range(2)
        for row in snapshots.points("r", "", range(3_000), gauge)
    ]
    tables = {"runs": [snapshots.run_row("r", [])], "telemetry": machine}
    project, _ = snapshots.write(tmp_path, "p", tables)
    manifest = snapshot.read_manifest(project)
    with closing(snapshot.connect(project, manifest)) as db:
        drawn = series.machine(db, load(db, manifest), r"gpu\.\d+\.gpu$", budget=200)

    assert drawn.thinned
    assert 100 < drawn.frame.height <= 200
    assert drawn.frame["value"].max() == 99.0
    assert drawn.frame["value"].min() == 1.0
    assert drawn.frame["time"].to_list()[:: drawn.frame.height - 1] == [0.0, 2_999.0]
    assert drawn.frame["line"].n_unique() == 2
    assert (drawn.total("logged"), drawn.total("not_finite")) == (3_000, 1)
