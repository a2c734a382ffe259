"""Line charts that were saved from W&B's interface, in every form of their header."""

from __future__ import annotations

import csv
import io

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_ui_csv
from etl.sources.csv_table import CUT
from etl.sources.reading import GROUPED


def save(path, header, *rows, quoting=csv.QUOTE_ALL):
    """Write a chart as the browser does: all cells quoted, no last line end."""
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue().removesuffix("\n"), encoding="utf-8", newline="")
    return path


def read(path, header, *rows):
    save(path, header, *rows)

    assert source_of(path) is sources.BY_KIND["wandb-ui-csv"]

    return wandb_ui_csv.read(path, 0, ())


def values(reading):
    """What a chart holds: (run, metric) -> {step: value}."""
    found = {}
    for part in reading.parts:
        for key, step, value, _, _ in part.points.iter_rows():
            found.setdefault((part.facts.name, key), {})[step] = value
    return found


def test_the_real_charts_have_every_series_and_step(fixtures, truths):
    """One run of 2,270 points, and eight runs of different lengths in one file."""
    files = [t for t in truths if t["kind"] == "wandb_ui_csv"]
    for file in files:
        path, truth = fixtures / file["file"], file["truth"]

        assert source_of(path) is sources.BY_KIND["wandb-ui-csv"]

        reading = wandb_ui_csv.read(path, 0, ())
        series = {f"{run} - {metric}" for run, metric in values(reading)}

        assert len(series) == len(reading.parts) == truth["n_series"]
        assert set(truth["series"]) <= series
        assert max(part.facts.last_step for part in reading.parts) == truth["steps"]["last"]
        cells = truth["rows"] * (truth["cols"] - 1) - truth["empty_cells"]
        assert sum(part.points.height for part in reading.parts) == cells / 3
        assert all(part.facts.log_index_steps and not part.facts.id_known for part in reading.parts)
        assert not reading.rejects


@pytest.mark.parametrize(
    ("axis", "log_index"), [("Step", True), ("_step", True), ("step", False), ("iter", False)]
)
def test_the_axis_tells_whether_its_steps_are_the_scripts_or_log_calls(tmp_path, axis, log_index):
    """``Step`` is W&B's own count; a key that the script logs is its step."""
    reading = read(tmp_path / "a.csv", [axis, "r - loss"], ["0", "4.0"], ["10", "3.0"])

    assert values(reading) == {("r", "loss"): {0: 4.0, 10: 3.0}}
    assert reading.parts[0].facts.log_index_steps is log_index


def test_bounds_that_are_the_value_add_nothing_and_others_are_kept(tmp_path):
    """A run's minimum and maximum at a step are its value, unless steps were drawn together."""
    header = ["Step", "a - x", "a - x__MIN", "a - x__MAX", "b - x", "b - x__MIN", "b - x__MAX"]

    reading = read(tmp_path / "a.csv", header, ["0", "2", "2", "2", "3", "1", "5"])

    assert values(reading) == {
        ("a", "x"): {0: 2.0},
        ("b", "x"): {0: 3.0},
        ("b", "x.min"): {0: 1.0},
        ("b", "x.max"): {0: 5.0},
    }


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (["17/04: a - x/loss", "b - c - x/loss"], [("17/04: a", "x/loss"), ("b - c", "x/loss")]),
        (["e - 1 - loss", "e - 2 - loss"], [("e - 1", "loss"), ("e - 2", "loss")]),
        (["r1 - eval - loss", "r2 - eval - loss"], [("r1", "eval - loss"), ("r2", "eval - loss")]),
        (["r - loss", "r - a - acc"], [("r", "loss"), ("r", "a - acc")]),
        (["r - s - loss"], [("r - s", "loss")]),
        (["r - _step", "r - a - loss"], [("r", "a - loss")]),
        (["a - b - _step", "a - b - c"], [("a - b", "c")]),
    ],
)
def test_run_and_metric_are_told_apart_by_what_all_series_have_in_common(
    tmp_path, series, expected
):
    """Both may have the separator in them."""
    reading = read(tmp_path / "a.csv", ["Step", *series], ["0", *["1"] * len(series)])

    assert sorted(values(reading)) == sorted(expected)


def test_two_runs_of_one_name_are_two_runs(tmp_path):
    """W&B's names need not be unique."""
    header = ["Step", "r - x", "r - x__MIN", "r - x__MAX", "r - x", "r - x__MIN", "r - x__MAX"]

    reading = read(tmp_path / "a.csv", header, ["0", *["1"] * 3, *["2"] * 3])

    assert sorted(part.points["value"].to_list() for part in reading.parts) == [[1.0], [2.0]]
    assert len({part.facts.run_id for part in reading.parts}) == 2


@pytest.mark.parametrize("axis", ["Relative Time (Process)", "Wall Time", "epoch"])
def test_steps_stand_beside_any_other_axis_in_columns_of_their_own(tmp_path, axis):
    """The time is the points' time; a metric that was chosen as the axis is kept as one."""
    header = [axis, "r - _step", "r - _step__MIN", "r - _step__MAX", "r - loss"]
    rows = [["1700000000", "5", "5", "5", "4.0"], ["1700000060", "6", "6", "6", "3.0"]]

    reading = read(tmp_path / "a.csv", header, *rows)
    found = values(reading)

    assert found[("r", "loss")] == {5: 4.0, 6: 3.0}
    assert (("r", "epoch") in found) is (axis == "epoch")
    times = [1.7e9, 1.7e9 + 60] if axis == "Wall Time" else [None, None]
    assert reading.parts[0].points.filter(pl.col("key") == "loss")["ts"].to_list() == times


def test_without_a_step_a_metric_is_quarantined_and_a_machines_measurement_is_not(tmp_path):
    """Steps are never made up; what is measured of a machine goes by time anyway."""
    header = ["Wall Time", "r - loss", "r - system/gpu.0.gpu"]

    reading = read(tmp_path / "a.csv", header, ["1700000000000", "4.0", "90"])
    (part,) = reading.parts

    assert part.points.height == 0
    assert part.telemetry.rows() == [("system/gpu.0.gpu", 1.7e9, 90.0)]
    assert len(reading.rejects) == 1
    assert "Step as its x-axis" in reading.rejects[0].reason


def test_steps_that_are_not_whole_are_named_once_for_a_column(tmp_path):
    """As means of steps are; the others are read."""
    rows = [[str(step), "1", "2"] for step in (0, 0.5, 1, 1.5)]

    reading = read(tmp_path / "a.csv", ["Step", "a - x", "b - x"], *rows)

    assert values(reading) == {("a", "x"): {0: 1, 1: 1}, ("b", "x"): {0: 2, 1: 2}}
    assert len(reading.rejects) == 2
    assert "2 of 4 rows" in reading.rejects[0].reason


@pytest.mark.parametrize(
    ("names", "config"),
    [(["Group: a", "Group: b - c"], {}), (["lr: 0.1", "lr: 0.2"], {"lr": 0.1})],
)
def test_a_group_of_runs_is_no_run(tmp_path, names, config):
    """Its mean, minimum and maximum are kept, and the id is one that no other file's run joins."""
    header = ["Step", *(f"{n} - loss{end}" for n in names for end in ("", "__MIN", "__MAX"))]

    reading = read(tmp_path / "a.csv", header, ["0", "2", "1", "3", "5", "4", "6"])
    first = next(part.facts for part in reading.parts if part.facts.name == names[0])

    assert values(reading)[(names[0], "loss.min")] == {0: 1.0}
    assert {part.facts.job_type for part in reading.parts} == {GROUPED}
    assert all(part.facts.id_known for part in reading.parts)
    assert first.config == config
    assert first.notes


def test_a_name_with_a_colon_alone_makes_no_group(tmp_path):
    """Bounds that are the value are a run's own."""
    header = ["Step", "lr: 0.1 - loss", "lr: 0.1 - loss__MIN", "lr: 0.1 - loss__MAX"]

    reading = read(tmp_path / "a.csv", header, ["0", "2", "2", "2"])

    assert reading.parts[0].facts.job_type is None


@pytest.mark.parametrize(
    "text",
    ["Step,loss\n1,2\n", "Step\n1\n", "Name,a - b\nx,1\n", "date,a - b\n1,2\n", "", '"Step'],
)
def test_other_tables_are_refused(tmp_path, text):
    """An axis of W&B's and nothing but series, or it is another program's file."""
    path = tmp_path / "a.csv"
    path.write_text(text)

    assert source_of(path) is not sources.BY_KIND["wandb-ui-csv"]


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8
).filter(lambda name: name.strip() == name and " - " not in name and not name.endswith(" -"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.sampled_from(["val/bpb", "train/loss", "loss"]),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=5, unique=True),
    st.booleans(),
)
def test_any_chart_is_read_as_it_was_drawn(tmp_path_factory, runs, metric, steps, bounds):
    """Whatever runs are called, each has its metric at its steps."""
    assume(not any(run.startswith("Group: ") for run in runs))
    ends = ("", "__MIN", "__MAX") if bounds else ("",)
    header = ["Step", *(f"{run} - {metric}{end}" for run in runs for end in ends)]
    rows = [
        [str(step), *(str(step / 4 + at) for at in range(len(runs)) for _ in ends)]
        for step in steps
    ]
    path = save(tmp_path_factory.getbasetemp() / "any.csv", header, *rows)

    found = values(wandb_ui_csv.read(path, 0, ()))

    assert found == {(run, metric): {s: s / 4 + at for s in steps} for at, run in enumerate(runs)}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200))
def test_truncation_at_any_byte_loses_at_most_the_row_that_was_cut(tmp_path_factory, end):
    """The rows before it are read, and nothing is read that was not there."""
    rows = [[str(step), str(step + 0.25), str(step + 0.5)] for step in (10, 20, 30, 40)]
    path = save(tmp_path_factory.getbasetemp() / "cut.csv", ["Step", "a - x", "b - x"], *rows)
    whole = path.read_bytes()
    path.write_bytes(whole[:end])

    found = values(wandb_ui_csv.read(path, 0, ()))

    got = {step for series in found.values() for step in series}
    assert all(
        value - step in (0.25, 0.5) for series in found.values() for step, value in series.items()
    )
    assert len(got) >= whole[:end].count(b"\n") - 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=repr)
@pytest.mark.parametrize("closed", [True, False])
def test_lines_end_as_those_of_any_system_do(tmp_path, end, closed):
    """Of a file that ends within its last line the last cell alone is in doubt."""
    path = tmp_path / "a.csv"
    lines = [b"Step,a - x", b"0,1", b'1,"2"', b"2,3"]
    path.write_bytes(end.join(lines) + (end if closed else b""))
    reading = wandb_ui_csv.read(path, 0, ())

    assert values(reading) == {("a", "x"): {0: 1, 1: 2, **({2: 3} if closed else {})}}
    assert [(r.line, r.reason) for r in reading.rejects] == ([] if closed else [(4, CUT)])


def test_a_large_chart_of_an_old_macs_lines_is_recognised(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"".join([b"Step,a - x\r", *(b"%d,1\r" % step for step in range(20_000))]))

    assert source_of(path) is sources.BY_KIND["wandb-ui-csv"]
    assert len(values(wandb_ui_csv.read(path, 0, ()))["a", "x"]) == 20_000
