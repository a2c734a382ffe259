"""Each chart as a table: what is drawn, as numbers, for those who read them."""

from __future__ import annotations

import pytest
from pages import open_page, search, settle, wait

AMOUNT = r"""key => [...document.querySelectorAll(`#rows-${key} caption`)]
  .map((one) => Number(one.textContent.match(/[\d,]+ rows?/)[0].replace(/\D/g, '')))
  .reduce((a, b) => a + b, 0)"""
CELLS = """key => [...document.querySelectorAll(`#rows-${key} tbody tr`)]
  .map((row) => [...row.cells].map((cell) => cell.textContent))"""
HEADS = "key => [...document.querySelectorAll(`#rows-${key} thead th`)].map((h) => h.textContent)"


def _open(tab, chart):
    tab.click(f"#chart-{chart} .rows")
    assert tab.get_attribute(f"#chart-{chart} .rows", "aria-expanded") == "true"


def _close(tab, chart):
    tab.click(f"#chart-{chart} .rows")
    assert tab.locator(f"#rows-{chart}").is_hidden()


@pytest.mark.parametrize(
    "chart", ["trajectory", "curves", "space", "landscape", "performance", "benchmarks"]
)
def test_a_charts_table_has_a_row_for_each_point_that_is_drawn(tab, chart):
    """No point less, and none that the chart leaves out."""
    _open(tab, chart)

    assert tab.evaluate(AMOUNT, chart) == tab.evaluate("key => __runatlas.drawn[key]", chart)
    _close(tab, chart)


def test_the_numbers_are_those_of_the_snapshot_with_their_units(tab, sql):
    """What a row says of a run's first loss is what was logged."""
    _open(tab, "trajectory")
    heads = tab.evaluate(HEADS, "trajectory")
    cells = tab.evaluate(CELLS, "trajectory")
    _close(tab, "trajectory")

    at = heads.index("train/lossnats/token")
    logged = {
        (run, step): value
        for run, step, value in sql(
            "select name, step, value from history join runs using (run_id)"
            " where metric = 'train/loss'"
        )
    }
    assert len(cells) > 20
    for row in cells:
        told = float(row[at].replace(",", ""))
        assert told == pytest.approx(logged[row[0], int(row[2].replace(",", ""))], rel=1e-4)


def test_an_open_table_follows_the_filter(tab):
    """It shows the runs that the chart shows."""
    _open(tab, "curves")
    search(tab, "stage=sft")

    assert {row[1] for row in tab.evaluate(CELLS, "curves")} == {"sft"}
    search(tab, "")
    _close(tab, "curves")


def test_an_open_table_is_of_where_the_playing_stopped(tab):
    """It waits while training plays, and then says what the chart shows."""
    _open(tab, "trajectory")
    whole = tab.evaluate(AMOUNT, "trajectory")
    tab.click("#play")
    wait(tab, "__runatlas.state.at > 0.1")
    tab.click("#play")
    settle(tab)

    rows = tab.evaluate(AMOUNT, "trajectory")
    assert 0 < rows < whole
    assert rows == tab.evaluate("__runatlas.drawn.trajectory")
    _close(tab, "trajectory")


def test_without_webgl_the_scenes_have_their_tables(playwright, chromium, mini):
    """Where nothing can be turned, the numbers are the more wanted."""
    running = playwright.chromium.launch(
        executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]
    )
    tab = open_page(running, mini.page)
    wait(tab, "__runatlas.ready")

    _open(tab, "space")
    assert len(tab.evaluate(CELLS, "space")) > 3
    running.close()
