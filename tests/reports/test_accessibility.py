"""The page under axe: in both themes, at a desk and on a phone, with what opens open."""

from __future__ import annotations

import itertools

import pytest
from pages import open_page, settle, wait

SIZES = {"light": (1300, 8000), "dark": (390, 12_000)}


def violations(tab):
    """Return what axe finds, by rule, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(tab).response["violations"]
    return {
        rule["id"]: [node["html"][:200] for node in rule["nodes"][:3]]
        for rule in found
        if rule["impact"] in ("minor", "moderate", "serious", "critical")
    }


@pytest.mark.parametrize("scheme", SIZES)
def test_axe_finds_nothing_to_complain_about(browser, mini, scheme):
    """Contrast, names, roles, headings, landmarks; with a run's section and every tray open."""
    width, height = SIZES[scheme]
    context = browser.new_context(
        viewport={"width": width, "height": height}, offline=True, color_scheme=scheme
    )
    tab = open_page(context, mini.page)
    wait(tab, "window.__runatlas && __runatlas.ready", 90)
    shut = violations(tab)
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    tab.evaluate("location.hash = 'run-1'")
    settle(tab)
    opened = violations(tab)
    context.close()

    assert shut == {}
    assert opened == {}


def test_headings_go_down_one_step_at_a_time(opened):
    """Who hears the page can find the way by its headings: one h1, and no level is skipped."""
    levels = opened.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(h => Number(h.tagName[1]))"
    )

    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_chart_says_in_words_what_it_shows(opened):
    """A chart that nobody can see has its summary as its label."""
    charts = opened.evaluate("__runatlas.report.charts.map(chart => chart.key)")
    for key in charts:
        words = opened.evaluate(
            f"(document.querySelector('#plot-{key}').getAttribute('aria-label')"
            f" || document.querySelector('#chart-{key} [aria-label]')?.getAttribute('aria-label'))"
        )
        assert len(words.split()) > 6, key
