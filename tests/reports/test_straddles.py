"""Runs on both sides of a change of meaning, on one chart: the page says so, and draws them."""

from __future__ import annotations

import re

import pytest
import snapshots
from pages import open_page, wait

from etl.eras import RELEASE
from reports.gather import gather
from reports.page import render
from reports.straddles import straddles

OLD, NEW = "2026-02-10 bf16_mfu", "2026-03-04 ClimbMix"
STEPS = range(0, 60, 10)


def built(folder, eras, stage="pretraining"):
    """Return the report of a project with a run of each era: its bits per byte, CORE and speed."""
    history, runs = [], []
    for place, era in enumerate(eras):
        name = f"d{place + 10}"
        values = {
            "val/bpb": [1.0 - step / 100 - place / 50 for step in STEPS],
            "core_metric": [step / 200 for step in STEPS],
            "train/mfu": [40.0 + place + step / 100 for step in STEPS],
            "train/tok_per_sec": [1e5 + step for step in STEPS],
        }
        own = [
            point
            for metric, of in values.items()
            for point in snapshots.points(name, metric, STEPS, of)
        ]
        history += own
        runs.append(snapshots.run_row(name, own, stage=stage, era=era, state="finished"))
    metrics = snapshots.catalog(history)
    project, _ = snapshots.write(
        folder, "eras", {"runs": runs, "history": history, "metrics": metrics}
    )
    return gather(project, "latest", lambda text: None)


def said(report):
    """Return what is said under each chart: (chart, commit, metrics, before, since)."""
    return [
        (
            chart.key,
            straddle.change.commit,
            list(straddle.metrics),
            [run.name for run in straddle.before],
            [run.name for run in straddle.since],
        )
        for chart in report.charts
        for _, found in straddles(report, chart)
        for straddle in found
    ]


def test_a_chart_names_the_change_and_the_runs_on_either_side_of_it(tmp_path):
    """ClimbMix touches bits per byte, which only the trajectory and the loss show."""
    report = built(tmp_path, [OLD, NEW, OLD])

    assert said(report) == [
        (chart, "324e69c", ["val/bpb"], ["d10", "d12"], ["d11"])
        for chart in ("trajectory", "curves")
    ]


def test_every_chart_speaks_of_its_own_metrics(tmp_path):
    """MFU and tokens per second changed their meaning earlier, and stand in two charts."""
    report = built(tmp_path, [RELEASE, OLD])

    assert sorted(line[:3] for line in said(report)) == [
        ("landscape", "2955650", ["train/mfu"]),
        ("landscape", "a9de4b1", ["train/tok_per_sec"]),
        ("performance", "2955650", ["train/mfu"]),
        ("performance", "a9de4b1", ["train/tok_per_sec"]),
    ]


@pytest.mark.parametrize(
    ("eras", "stage"),
    [([NEW, NEW], "pretraining"), ([OLD, None], "pretraining"), ([OLD, NEW], "rl")],
)
def test_nothing_is_said_of_runs_that_compare_or_whose_era_is_not_known(tmp_path, eras, stage):
    report = built(tmp_path, eras, stage)

    assert said(report) == []
    assert b'class="straddle"' not in render(report)


def test_the_page_says_it_in_words_and_the_runs_table_has_the_eras(tmp_path):
    """Which runs, which change, and when; and all of them are drawn."""
    report = built(tmp_path, [OLD, NEW])
    page = render(report).decode()
    text = re.sub(r"<[^>]+>", "", re.search(r'<p class="straddle".*?</p>', page)[0])

    assert text == (
        "val/bpb does not compare across 2026-03-04: the dataset is ClimbMix; before, FineWeb-EDU"
        " (nanochat 324e69c). Before: d10. Since: d11."
    )
    assert report.charts[0].counts["drawn"] == 2 * len(STEPS)
    assert re.findall(r"<td>\s*<bdi>(2026-[^<]+)", page) == [OLD, NEW]


def test_a_table_of_runs_without_an_era_has_no_empty_column_for_it(tmp_path):
    report = built(tmp_path, [None, None])

    assert "era" not in report.results.shown


def test_in_the_browser_the_sentence_stands_under_the_chart(tmp_path, browser):
    """And leads to the sections of the runs that it names."""
    report = built(tmp_path, [OLD, NEW])
    page = tmp_path / "page.html"
    page.write_bytes(render(report))
    context = browser.new_context(offline=True, color_scheme="dark")
    tab = open_page(context, page)
    sentence = tab.locator("#chart-trajectory .straddle")

    assert sentence.is_visible()
    assert "2026-03-04" in sentence.inner_text()
    sentence.get_by_role("link", name="d11").click()
    wait(tab, "document.getElementById('sheet').open")
    assert tab.inner_text("#sheet-title") == "d11"
    assert tab.errors == []
    context.close()
