"""Real nanochat runs and the published figures of others, in the charts where they belong."""

from __future__ import annotations

import csv

import pytest

from etl import sync
from etl.project import locate
from reports.gather import gather

REAL = ("nanochat", "nanochat_published_runs.csv", "wandb_runs_table")


@pytest.fixture(scope="module")
def report(fixtures, tmp_path_factory):
    """The report of the real files, before it is a page."""
    data = tmp_path_factory.mktemp("real")
    places = [str(fixtures / name) for name in REAL]
    assert sync.main(["--project", "real", "--data-dir", str(data), *places]) == 0
    return gather(locate("real", data), "latest", lambda _: None)


def rows(report, chart, table):
    """Return the rows of one table of a chart, each with its run."""
    (found,) = (c for c in report.charts if c.key == chart)
    frame = found.tables[table]
    return [row | {"run": report.facts.runs[row["run"]]} for row in frame.to_dicts()]


def test_the_real_speedrun_stands_in_the_charts_of_its_training(report):
    """The d20 of October 2025, of its console log: its losses, speeds, compute and CORE."""
    (run,) = (r for r in report.facts.runs if r.run_id == "z9s7cd4f")
    trajectory = [r for r in rows(report, "trajectory", "trajectory0") if r["run"] is run]
    speeds = [r for r in rows(report, "landscape", "landscape") if r["run"] is run]
    (compute,) = (r for r in rows(report, "scaling", "scaling") if r["run"] is run)

    assert (run.stage, run.name) == ("pretraining", "speedrun")
    assert len(trajectory) > 1000
    assert max(r["accuracy"] for r in trajectory) == pytest.approx(0.2244)  # CORE while it trained
    assert 40 < max(r["mfu"] for r in speeds) < 60
    assert compute["m0"] == pytest.approx(0.8118)
    assert compute["flops"] == pytest.approx(3.92e19, rel=0.01)


def test_the_published_figures_stand_among_the_benchmarks(report, fixtures):
    """Each row with all four of MMLU, ARC-Easy, GSM8K and HumanEval is a marker of its stage."""
    names = [metric.name for metric in report.axes.benchmarks]
    drawn = {
        (row["run"].stage, *(round(row[column], 4) for column in "abcd"))
        for row in rows(report, "benchmarks", "benchmarks")
        if row["d"] is not None
    }
    with (fixtures / "nanochat_published_runs.csv").open(newline="") as file:
        published = list(csv.DictReader(file))
    wanted = {
        (
            stage,
            *(
                float(row[f"{begins}_{task}"])
                for task in ("mmlu", "arc_easy", "gsm8k", "humaneval")
            ),
        )
        for row in published
        for begins, stage in (("mid", "midtraining"), ("sft", "sft"))
        if all(row[f"{begins}_{task}"] for task in ("mmlu", "arc_easy", "gsm8k", "humaneval"))
    }

    assert names == ["mmlu_acc", "arc_easy_acc", "gsm8k_acc", "humaneval_acc"]
    assert len(wanted) > 10
    assert wanted <= drawn
