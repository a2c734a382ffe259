"""The bar, each chart's choices and the table's headings, as a reader uses them."""

from __future__ import annotations

from pages import data, search, settle, wait


def test_the_filter_leaves_the_runs_that_fit(tab):
    """Comparison, equality, containment and bare words, each in the table and in the charts."""
    search(tab, "depth>=4 stage=sft")
    visible = tab.locator("#runs-table tbody tr:not([hidden]) th bdi").all_text_contents()

    assert sorted(visible) == ["d4-sft", "d8-sft"]
    assert tab.inner_text("#count") == "2 of 12 runs"
    assert tab.evaluate("__runatlas.drawn.space") == 2
    for query, left in (("d8", 4), ("name~rl", 3), ("state!=finished", 2), ("batch<9", 7)):
        tab.fill("#filter", query)
        wait(tab, f"__runatlas.visible === {left}", 5)
    tab.fill("#filter", "nonsense=1")
    wait(tab, "document.getElementById('filter-problem').textContent === 'no column nonsense'", 5)
    tab.fill("#filter", "depth>100")
    wait(tab, "!document.getElementById('no-runs').hidden", 5)


def test_a_stage_can_be_hidden_and_shown(tab):
    """Its chip says which it is, and its runs leave charts and table."""
    chip = tab.locator("#stages button", has_text="rl")
    chip.click()
    settle(tab)

    assert chip.get_attribute("aria-pressed") == "false"
    assert tab.evaluate("__runatlas.visible") == 9
    assert tab.locator("#runs-table tbody tr:not([hidden])").count() == 9
    chip.click()
    settle(tab)
    assert tab.evaluate("__runatlas.visible") == 12


def test_runs_are_coloured_by_what_is_chosen(tab):
    """A number gives a ramp with its ends, a text gives named colours, missing its own."""
    tab.select_option("#colour", "lr")
    settle(tab)
    ramp = set(data(tab, "trajectory")["colour"])

    assert len(ramp) > 4
    assert "learning rate" in tab.inner_text("#legend-trajectory")
    tab.select_option("#colour", "state")
    settle(tab)
    assert "unfinished" in tab.inner_text("#legend-landscape")
    assert len(set(data(tab, "landscape")["colour"])) == 3


def test_bits_and_nats_never_share_an_axis(tab):
    """Choosing another loss changes the axis, the points, the notes and the tray together."""
    tab.check("#chart-trajectory input[value='val/bpb']", force=True)
    settle(tab)
    title = "document.getElementById('plot-trajectory').layout.scene.yaxis.title.text"

    assert "val/bpb (bits/byte)" in tab.evaluate(title)
    assert "points of val/bpb drawn" in tab.inner_text("#chart-trajectory footer")
    assert "train/loss" not in tab.inner_text("#chart-trajectory .tray:not([hidden])")
    tab.check("#chart-trajectory input[value='train/loss']", force=True)
    settle(tab)
    assert "train/loss (nats/token)" in tab.evaluate(title)


def test_steps_and_scale_can_be_changed(tab):
    """Steps go through the parents or are each run's own; the loss axis is log or linear."""
    last = "Math.max(...document.getElementById('plot-trajectory').data[1].x.filter(v => v === v))"

    assert tab.evaluate(last) > 600
    tab.check("#chart-trajectory input[value='own']", force=True)
    tab.check("#chart-trajectory input[value='linear']", force=True)
    settle(tab)
    layout = "document.getElementById('plot-trajectory')._fullLayout.scene.yaxis.type"
    assert tab.evaluate(last) < 400
    assert tab.evaluate(layout) == "linear"
    tab.check("#chart-trajectory input[value='lineage']", force=True)
    tab.check("#chart-trajectory input[value='log']", force=True)
    settle(tab)


def test_the_theme_changes_page_and_charts(tab):
    """The button turns light to dark and back, in the scenes too."""
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    pane = "document.getElementById('plot-space').layout.scene.xaxis.backgroundcolor"
    before = tab.evaluate(paper), tab.evaluate(pane)
    tab.click("#theme")
    settle(tab)
    dark = tab.evaluate(paper), tab.evaluate(pane)
    tab.click("#theme")
    settle(tab)

    assert dark[0] != before[0]
    assert dark[1] != before[1]
    assert (tab.evaluate(paper), tab.evaluate(pane)) == before


def test_the_table_sorts_and_what_is_missing_comes_last(tab):
    """Once up, once down; a run without the value stands at the end either way."""
    heading = tab.locator("#runs-table th[data-key='accuracy'] button")
    firsts = []
    for _ in range(2):
        heading.click()
        settle(tab)
        names = tab.locator("#runs-table tbody th bdi").all_text_contents()
        firsts.append(names[0])

        assert names[-1] == "d4-midtraining"
    assert firsts == ["d2-pretraining", "d8-rl"]
