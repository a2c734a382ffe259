"""What has no other chart along the steps: which metrics, how exactly, and in the browser."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import snapshots
from hypothesis import given
from hypothesis import strategies as st
from pages import open_page, settle, wait

from etl.points import Points
from reports import build, others
from reports.gather import gather
from reports.thinning import corners, kept_alone

STEPS = range(4_000)
SPIKE = 1_777
REWARDS = [0.1 + step / 1_000 for step in range(120)]


def _rate(step):
    """A schedule of nanochat's: up, level, and down to nothing."""
    return min(1.0, (step + 1) / 40) if step < 3_000 else (4_000 - step) / 1_000


def _project(data):
    """A pretrained run and one of RL, and what they log beside losses and speeds."""
    pre = snapshots.points("d4", "train/loss", STEPS, [2 + math.exp(-s / 900) for s in STEPS])
    pre += snapshots.points("d4", "train/lrm", STEPS, [_rate(s) for s in STEPS])
    norms = [9.0 if s == SPIKE else math.nan if s == 60 else 1 + math.sin(s) / 5 for s in STEPS]
    pre += snapshots.points("d4", "train/grad_norm", STEPS, norms)
    pre += snapshots.points("d4", "mystery", [0, 10, 20], [5.0, 7.0, 6.0])
    pre += snapshots.points("d4", "once", [10], [1.0])
    pre += snapshots.points("d4", "total_training_flops", [0, 3_999], [0.0, 1e15])
    rl = snapshots.points("d4-rl", "reward", range(120), REWARDS)
    runs = [
        snapshots.run_row("d4", pre, stage="pretraining"),
        snapshots.run_row("d4-rl", rl, stage="rl", parent_run_id="d4"),
    ]
    history = [*pre, *rl]
    tables = {"runs": runs, "history": history, "metrics": snapshots.catalog(history)}
    return snapshots.write(data, "p", tables)[0]


def _chart(project):
    report = gather(project, "latest", lambda _: None)
    return next((chart for chart in report.charts if chart.key == "metrics"), None)


def _choices(chart):
    return [choice for choice, _ in chart.options[0].choices]


def test_the_chart_offers_what_no_other_shows_and_quality_first(tmp_path):
    """No loss, no counter that is an axis, and nothing of which there is one point a run."""
    chart = _chart(_project(tmp_path))

    assert _choices(chart) == ["reward", "mystery", "train/grad_norm", "train/lrm"]


def test_a_schedule_is_drawn_by_its_corners_and_a_spike_of_one_step_stays(tmp_path):
    """4,000 steps of it come to a handful of points, and no value is another."""
    tables = _chart(_project(tmp_path)).tables
    rates, norms = tables["logged train/lrm"], tables["logged train/grad_norm"]

    assert rates.height < 10
    drawn = np.interp(STEPS, rates["step"], rates["value"])
    assert drawn == pytest.approx([_rate(step) for step in STEPS], abs=1e-12)
    assert 500 < norms.height < 1_100
    assert (SPIKE, 9.0) in norms.select("step", "value").rows()
    assert norms.filter(norms["step"] > 60)["line"].unique().to_list() == [1]


def test_each_metric_says_how_much_of_it_is_drawn_of_how_many_runs(tmp_path):
    """And which way is better, where that is known."""
    notes = {note.when: note.text for note in _chart(_project(tmp_path)).notes if note.when}

    reward = "120 of 120 points of reward drawn, of 1 of 2 runs. Higher is better."
    assert notes["metric", "reward"] == reward
    assert "1 are NaN or infinite" in notes["metric", "train/grad_norm"]
    assert notes["metric", "train/lrm"].endswith("It is not smoothed.")
    assert notes["metric", "mystery"].endswith("of 1 of 2 runs.")


def test_what_there_is_no_room_for_is_named_with_the_statement_that_gives_it(tmp_path, monkeypatch):
    """The most useful ones have the room."""
    monkeypatch.setattr(others, "MOST_METRICS", 2)
    chart = _chart(_project(tmp_path))

    assert _choices(chart) == ["reward", "mystery"]
    assert "No room for train/grad_norm and train/lrm" in chart.notes[-1].text
    assert "select run_id, step, value from history" in chart.notes[-1].text


def test_a_project_with_nothing_else_has_no_such_chart(tmp_path):
    """An empty card would only be in the way."""
    history = snapshots.points("a", "train/loss", range(5), [1.0] * 5)
    tables = {"runs": [snapshots.run_row("a", history, stage="sft")], "history": history}
    project, _ = snapshots.write(tmp_path, "p", tables | {"metrics": snapshots.catalog(history)})

    assert _chart(project) is None


PIECES = st.lists(
    st.tuples(st.integers(1, 400), st.floats(-8, 8), st.sampled_from([0.0, 0.0, 3.0])),
    min_size=1,
    max_size=6,
)


def _line(pieces):
    """Return the points of straight pieces of so many steps, with a slope and a jump each."""
    values = [0.0]
    for length, slope, jump in pieces:
        values += [values[-1] + jump + slope * step for step in range(1, length + 1)]
    steps = np.arange(len(values))
    return Points(steps, steps * 1.0, np.array(values))


@given(PIECES)
def test_the_corners_of_straight_pieces_give_back_all_that_was_logged(pieces):
    """However many, with jumps between them or none."""
    logged = _line(pieces)
    kept = corners(logged.steps, logged.values)

    size = max(1.0, float(np.abs(logged.values).max()))
    drawn = np.interp(logged.steps, logged.steps[kept], logged.values[kept])
    assert drawn == pytest.approx(logged.values, abs=1e-9 * size)


@given(PIECES, st.integers(8, 40))
def test_no_more_of_a_metric_stays_than_there_is_room_and_its_extremes_do(pieces, room):
    """Whether it has few corners or many."""
    steps, _, values = logged = _line(pieces)
    kept = kept_alone(logged, room)

    assert kept.size <= room
    assert {values.min(), values.max()} <= {*values[np.searchsorted(steps, kept)]}


@pytest.fixture(scope="module")
def flat(tmp_path_factory, playwright, chromium):
    """The page of that project, without WebGL: planes need none."""
    data = tmp_path_factory.mktemp("metrics")
    project = _project(data)
    assert build.main(["--project", "p", "--data-dir", str(data)]) == 0
    options = ["--no-sandbox", "--disable-3d-apis"]
    with playwright.chromium.launch(executable_path=chromium, args=options) as plain:
        context = plain.new_context(offline=True, viewport={"width": 1300, "height": 900})
        path = project.reports / "latest.html"
        yield SimpleNamespace(open=lambda hash_="": open_page(context, f"{path}{hash_}"))


def test_a_reader_chooses_a_metric_and_a_link_has_the_choice(flat):
    """A panel for each stage that measured it; a unit that nobody said is said to be unknown."""
    tab = flat.open("#metrics.metric=mystery&metrics.scale=log")
    tab.locator("#plot-metrics").scroll_into_view_if_needed()
    wait(tab, "__runatlas.drawn.metrics === 3")
    card = tab.locator("#chart-metrics")

    assert card.locator(".panel:visible .panel-title").all_inner_texts() == ["pretraining"]
    assert "mystery (unit not known)" in card.inner_text()
    assert card.locator("input[value='log']").is_checked()
    assert card.get_by_label("Other metrics: Metric").count() == 0  # few stand beside each other
    card.locator("input[value='reward']").check(force=True)
    wait(tab, "__runatlas.drawn.metrics === 120")
    settle(tab)
    assert card.locator(".panel:visible .panel-title").all_inner_texts() == ["rl"]
    assert "120 of 120 points of reward drawn" in card.inner_text()
    assert tab.errors == []


def test_its_card_is_laid_out_as_that_of_the_losses(flat):
    """No rule that is meant for something else of its name moves what is in it."""
    tab = flat.open()
    sides = "([a, b]) => [a, b].map((of) => document.querySelector(of).getBoundingClientRect().x)"
    curves, metrics = tab.evaluate(sides, ["#title-curves", "#title-metrics"])

    assert curves == metrics
    assert tab.errors == []


def test_what_is_played_shows_as_much_of_it_as_of_the_losses(flat):
    """Its steps are those of training, counted on through the parents."""
    tab = flat.open("#metrics.metric=train/lrm")
    tab.locator("#plot-metrics").scroll_into_view_if_needed()
    wait(tab, "__runatlas.drawn.metrics > 0")
    tab.locator("#chart-metrics .rows").click()
    rows = "document.querySelectorAll('#rows-metrics tbody tr').length"
    whole = tab.evaluate(rows)
    tab.evaluate("__runatlas.change({ at: 0.25 })")
    wait(tab, f"{rows} < {whole}")

    assert tab.evaluate(rows) > 1
    assert tab.errors == []
