"""A finger on a phone: a tap says what is there, a second one pins it, one beside it ends it."""

from __future__ import annotations

import pytest
from pages import WHERE, open_page, settle, wait

LINE = """([chart, run]) => {
  const panel = __runatlas.planes.get(chart)[0];
  const one = panel.series.find(({ trace }) => trace.role === 'data');
  const piece = one.pieces.find((piece) => piece.run === run);
  const frame = panel.field.getBoundingClientRect();
  const at = piece.from + 1;
  return [frame.left + panel.scales.x.to(one.xs[at]), frame.top + panel.scales.y.to(one.ys[at])];
}"""
TIP = "document.querySelector('.tip:not([hidden])')"


@pytest.fixture(scope="module")
def opened(browser, mini):
    """The page on a phone."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, offline=True
    )
    tab = open_page(context, mini.page)
    yield tab
    assert tab.errors == []
    context.close()


@pytest.fixture
def phone(opened):
    """Give the page as nobody has touched it yet: after a tap, the next one would be a second."""
    yield opened
    opened.touchscreen.tap(1, 1)
    opened.evaluate("__runatlas.change({ pins: [], highlight: -1 })")
    settle(opened)


def in_scene(tab):
    """Return where a run's marker is drawn, and the run."""
    wait(tab, "document.getElementById('plot-space').classList.contains('drawn')")
    settle(tab)
    return tab.evaluate(WHERE, ["space", 1, 3]), tab.evaluate("__runatlas.tables.space.run[3]")


def in_plane(tab):
    """Return where a run's second row is drawn, and the run."""
    wait(tab, "__runatlas.drawn.curves")
    settle(tab)
    run = tab.evaluate(
        "__runatlas.planes.get('curves')[0].series.find((one) => one.trace.role === 'data')"
        ".pieces[0].run"
    )
    return tab.evaluate(LINE, ["curves", run]), run


@pytest.mark.parametrize(("chart", "place"), [("space", in_scene), ("curves", in_plane)])
def test_a_tap_says_what_is_there_and_a_second_one_pins_it(phone, chart, place):
    """What was said stays, as nothing is over it; a tap on no chart takes it away."""
    phone.locator(f"#plot-{chart}").scroll_into_view_if_needed()
    (x, y), run = place(phone)
    name = phone.evaluate("run => __runatlas.report.runs.name[run]", run)
    phone.touchscreen.tap(x, y)
    wait(phone, TIP, 10)
    settle(phone)

    assert name in phone.inner_text(".tip:visible")
    assert phone.evaluate("__runatlas.state.highlight") == run
    assert phone.evaluate("__runatlas.state.pins") == []

    phone.touchscreen.tap(x, y)
    wait(phone, "__runatlas.state.pins.length", 10)

    assert phone.evaluate("__runatlas.state.pins") == [run]
    assert name in phone.inner_text(".tip:visible")

    phone.locator(f"#chart-{chart} h3").tap()
    wait(phone, f"!{TIP} && __runatlas.state.highlight < 0", 10)


def test_a_tap_leaves_the_view_as_it_was(phone):
    """A scene is not turned by it, so nothing of a camera comes into the address."""
    phone.locator("#plot-space").scroll_into_view_if_needed()
    (x, y), _ = in_scene(phone)
    phone.touchscreen.tap(x, y)
    settle(phone)

    assert phone.evaluate("__runatlas.state.camera.space") is None
