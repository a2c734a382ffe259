"""Which metrics are the axes, who descends from whom, and the figures made of it."""

from __future__ import annotations

import math
from contextlib import closing

import pytest
import snapshots

from etl import snapshot
from etl.errors import UsageError
from reports import axes, lineage
from reports.axes import Metric
from reports.figure import figure
from reports.gather import gather


def catalog(**families):
    """Return a catalog of metrics by name: (family, runs, points)."""
    return {
        name: Metric(name, None, "max", family, known=True, runs=runs, points=points)
        for name, (family, runs, points) in families.items()
    }


def test_the_known_four_benchmarks_are_taken_where_the_runs_have_them():
    """Whatever else is covered better."""
    known = dict.fromkeys(axes.BENCHMARKS, ("accuracy", 1, 1))
    found = axes.benchmarks(catalog(**known, other_acc=("accuracy", 9, 99)), {})

    assert tuple(metric.name for metric in found) == axes.BENCHMARKS


def test_else_the_best_covered_four_are_taken_and_no_aggregate():
    """By runs, then points, then name."""
    found = axes.benchmarks(
        catalog(
            core_metric=("accuracy", 9, 99),
            mmlu_acc=("accuracy", 1, 1),
            b=("accuracy", 3, 5),
            a=("accuracy", 3, 5),
            c=("accuracy", 3, 6),
            d=("accuracy", 4, 1),
            e=("loss", 9, 99),
        ),
        {},
    )

    assert [metric.name for metric in found] == ["d", "c", "a", "b"]


def test_project_toml_names_the_axes_and_what_it_cannot_have_is_said():
    """A metric that no run measured is a note, not an error and not a silence."""
    known = catalog(x=("accuracy", 1, 1), y=("accuracy", 2, 2))
    wanted = {"accuracy": "x", "loss": "nothing"}

    assert axes.accuracy(known, wanted, (), len).metrics == ("x",)
    assert axes.accuracy(known, {}, (), len).metrics == ("y",)
    assert axes.unmet(known, wanted) == (
        "project.toml names nothing as loss, which no run in this snapshot measured",
    )


@pytest.mark.parametrize("benchmarks", ["mmlu_acc", ["a", "b"], ["a", "b", "c", 4]])
def test_axes_of_another_kind_are_refused(benchmarks):
    """The message says what to write."""
    with pytest.raises(UsageError, match=r"\[axes\] benchmarks"):
        axes.benchmarks({}, {"benchmarks": benchmarks})


def test_a_batch_size_is_the_key_that_most_runs_have():
    """And the first of the list among equals."""
    assert axes.config_keys({"device_batch_size": 3, "total_batch_size": 4})["batch"] == (
        "total_batch_size"
    )
    assert axes.config_keys({"device_batch_size": 4, "total_batch_size": 4})["batch"] == (
        "device_batch_size"
    )
    assert "depth" not in axes.config_keys({})


def test_steps_are_counted_on_through_the_parents():
    """An offset is the parent's offset and its last step, generation after generation."""
    nodes = lineage.trace({"c": "b", "b": "a", "a": None}, {"a": 100, "b": 30, "c": 5})

    assert [nodes[run].offset for run in "abc"] == [0, 100, 130]
    assert [nodes[run].generation for run in "abc"] == [0, 1, 2]
    assert {node.root for node in nodes.values()} == {"a"}


@pytest.mark.parametrize("parents", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "gone"}])
def test_a_circle_or_a_lost_parent_does_no_harm(parents):
    """Everyone has a root and an offset, and nothing runs for ever."""
    nodes = lineage.trace(parents, dict.fromkeys(parents, 7))

    assert nodes.keys() == parents.keys()
    assert len(lineage.ancestors("a", parents)) <= 1


def test_names_sort_as_people_count():
    """d2 before d10."""
    assert sorted(["d10", "d2", "d1x"], key=lineage.natural) == ["d1x", "d2", "d10"]


def test_every_still_is_a_figure_that_plotly_knows(mini):
    """The same specification, filled in with numpy, passes plotly's own schema."""
    go = pytest.importorskip("plotly.graph_objects")
    report = gather(mini.project, "latest", lambda text: None)
    for chart in report.charts:
        made = figure(report, chart, "dark", 1400, 820)
        go.Figure(made)

        assert _points(chart, made["data"]) == chart.counts["drawn"], chart.key


def _points(chart, traces):
    """Return how many points of *chart* stand in a still, or in parallel coordinates runs."""
    if chart.kind == "parallel":
        return sum(trace["mode"] == "lines" for trace in traces)
    if chart.kind == "plane":  # a smoothed line lies over what was logged, a frontier is no data
        data = [t for t in traces if t.get("opacity") == 0.3 or t["mode"] == "markers"]
        return sum(map(math.isfinite, (y for t in data for y in t["y"] if y is not None)))
    wanted = [t["role"] for t in chart.traces if not t.get("only")]
    data = [t for t, role in zip(traces, wanted, strict=False) if role == "data"]
    return sum(map(math.isfinite, (z for t in data for z in t["z"])))


def test_a_project_with_nothing_to_draw_still_has_a_page(tmp_path):
    """One run, one point, no accuracy: every chart says why it is empty."""
    history = snapshots.points("only", "train/loss", [0], [2.0])
    tables = {
        "runs": [snapshots.run_row("only", history, stage="unknown")],
        "history": history,
        "metrics": snapshots.catalog(history),
    }
    project, _ = snapshots.write(tmp_path, "p", tables)
    with closing(snapshot.connect(project, snapshot.read_manifest(project))):
        report = gather(project, "latest", lambda text: None)

    drawn = {chart.key: chart.counts["drawn"] for chart in report.charts if chart.counts["drawn"]}
    assert drawn == {"curves": 1}
    assert all(chart.absent for chart in report.charts if chart.key != "curves")


def test_accuracy_is_core_where_no_line_of_a_loss_has_the_benchmarks():
    """A console log of a pretraining beside the last values of its chat stages."""
    names = (*axes.BENCHMARKS, "core_metric")
    known = {
        name: axes.Metric(
            name, "fraction", "max", "aggregate" if name == "core_metric" else "accuracy",
            known=True, runs=1, points=9,
        )
        for name in names
    }  # fmt: skip
    four = tuple(known[name] for name in axes.BENCHMARKS)

    chosen = axes.accuracy(known, {}, four, lambda metrics: metrics == ("core_metric",))
    assert chosen.metrics == ("core_metric",)
    chosen = axes.accuracy(known, {}, four, lambda metrics: len(metrics) == 4)
    assert chosen.metrics == axes.BENCHMARKS
