"""What a reader chooses of the page: filter, colours, pins, playing, saving, and the link to it."""

from __future__ import annotations

import math

import polars as pl
import pytest
from pages import open_page, settle, wait

from reports.gather import gather

# Random views, each written as a fragment and read back: what came back and is not the same.
ROUND_TRIPS = """(amount) => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const upTo = (n) => Math.floor(random() * n);
  const one = (list) => list[upTo(list.length)];
  const some = (list) => list.filter(() => random() < 0.3);
  const atlas = __runatlas;
  const runs = [...atlas.report.runs.name.keys()];
  const keys = Object.keys(atlas.report.columns);
  const charts = atlas.report.charts;
  const digits = (value) => Number(value.toPrecision(4));
  const place = () => ({ x: digits(random() * 3), y: digits(random() - 2), z: digits(random()) });
  const texts = ['', 'a&b=c', 'depth>=4 "two words" # %41 + é', '\\u2028<x>', 'or (not', '=;,/?~'];
  const start = atlas.viewOf('nothing=');
  const wrong = [];
  for (let i = 0; i < amount; i++) {
    const selected = Uint8Array.from(runs, () => upTo(2));
    selected[upTo(runs.length)] = 1;
    const options = Object.fromEntries(charts.map(({ key, options: all }) => [key,
      { ...start.options[key],
        ...Object.fromEntries(some(all).map((o) => [o.key, one(o.choices)[0]])) }]));
    const view = {
      ...start, options, query: one(texts), hidden: new Set(some([0, 1, 2, 3])),
      selected: one([null, selected]), colour: one(['', 'stage', ...keys]),
      scale: one(['', 'cividis', 'diverging']), log: one(['', 'log', 'linear']),
      buckets: Object.fromEntries(some(keys).map((key) =>
        [key, [-2.5, 0, 1e-7 * (1 + upTo(9)), 4e9]])),
      x: one(['step', 'tokens', 'flops', 'time']), smooth: upTo(100) / 100,
      pins: some(runs), baseline: one([-1, ...runs]), at: one([null, 0, 1, digits(random())]),
      zoom: Object.fromEntries(some(charts).map(({ key }) => [key, one([
        { x: [0, 1e12] }, { y: [-1e-9, 0.25] }, { x: [1, 2], y: [3, 4] }])])),
      camera: Object.fromEntries(some(charts).map(({ key }) =>
        [key, { eye: place(), center: place() }])),
      theme: one([null, 'light', 'dark']),
      sort: one([null, { key: one(keys), descending: random() < 0.5 }]),
    };
    const plain = (value) => JSON.stringify(value, (key, part) =>
      part instanceof Set || part instanceof Uint8Array ? [...part].sort()
      : part && typeof part === 'object' && !Array.isArray(part)
        ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part);
    atlas.change(view);
    const text = atlas.fragment();
    const back = { ...start, ...atlas.viewOf(text || 'nothing=') };
    for (const key of Object.keys(view)) {
      const [sent, came] = [plain(view[key]), plain(back[key])];
      if (sent !== came) wrong.push([key, sent, came, text]);
    }
  }
  atlas.change(start);
  return wrong.slice(0, 3);
}"""


@pytest.fixture(scope="module")
def low(browser, mini):
    """The page in a window so low that no scene is drawn in it."""
    context = browser.new_context(viewport={"width": 1200, "height": 200}, offline=True)
    page = open_page(context, mini.page)
    wait(page, "window.__runatlas && __runatlas.interactive")
    yield page
    context.close()


@pytest.fixture
def view(low):
    """The page of *low* in its first view."""
    low.evaluate("location.hash = `first=${performance.now()}`")
    settle(low)
    yield low
    assert low.errors == []


def names(view, query):
    """Return the names of the runs that are left by *query*, and what is wrong with it."""
    view.evaluate("query => __runatlas.change({ query })", query)
    settle(view)
    left = view.evaluate("__runatlas.report.runs.name.filter((_, run) => __runatlas.shown[run])")
    return left, view.text_content("#filter-problem")


def test_any_view_comes_back_from_its_link(view):
    """Two hundred random views: written as a fragment and read back each part is the same."""
    assert view.evaluate(ROUND_TRIPS, 200) == []


def test_of_a_bad_link_the_good_parts_hold(view):
    """Each part is read for itself; what is unknown, half or absurd is left out."""
    good = "q=d8&base=d8-sft&camera.space=1,1,1,0,0,0"
    bad = "colour=nothing&smooth=7&at=x&pins=gone&camera.x=1&zoom.curves=1;2&x=%zz&bounds.lr=3,1&="
    view.evaluate("text => { location.hash = text; }", f"{bad}&{good}")
    wait(view, "__runatlas.state.query === 'd8'", 5)
    state = view.evaluate("({ ...__runatlas.state, hidden: [] })")

    assert state["baseline"] == view.evaluate("__runatlas.report.runs.name.indexOf('d8-sft')")
    assert state["camera"] == {
        "space": {"eye": {"x": 1, "y": 1, "z": 1}, "center": {"x": 0, "y": 0, "z": 0}}
    }
    assert [state[key] for key in ("colour", "at", "pins", "zoom", "buckets")] == [
        *("", None, []),
        *({}, {}),
    ]


def test_a_sent_link_opens_the_view(browser, mini):
    """Filter, hidden stage, colour, theme and sorting stand in their controls from the start."""
    context = browser.new_context(viewport={"width": 1200, "height": 200}, offline=True)
    link = f"{mini.page}#q=depth%3E%3D4&hide=rl&colour=lr&theme=dark&sort=-loss&pins=d4-sft"
    tab = open_page(context, link)
    wait(tab, "window.__runatlas && __runatlas.interactive && __runatlas.idle")
    wait(tab, "document.getElementById('filter').value === 'depth>=4'", 5)
    chip = tab.locator("#stages button", has_text="rl")

    assert chip.get_attribute("aria-pressed") == "false"
    assert tab.input_value("#colour") == "lr"
    assert tab.get_attribute("html", "data-theme") == "dark"
    heading = tab.locator("#runs-table th[data-key='loss']")
    assert heading.get_attribute("aria-sort") == "descending"
    assert "d4-sft" in tab.inner_text("#pinned")
    context.close()


@pytest.mark.parametrize(
    ("query", "same_as"),
    [
        ("depth >= 4 stage == sft", "depth>=4 stage=sft"),
        ("stage=sft or stage=rl", "not (stage!=sft stage!=rl)"),
        ("not name~d4 not name~d2", "not (d4 or d2)"),
        ('"d8-sft"', "name=d8-sft"),
        ("stage=SFT and d8", "d8 stage=sft"),
        ("!stage=sft !d4", "not stage=sft not d4"),
        ('"Learning rate"<0.001', "lr<0.001"),
    ],
)
def test_the_filter_has_one_meaning_however_it_is_written(view, query, same_as):
    """Spaces around operators, ==, and, or, not, brackets and quotation marks."""
    found, said = names(view, query)

    assert found
    assert len(found) < 12
    assert (found, said) == names(view, same_as)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("dept>=4", "no column dept (depth?)"),
        ("depth>x", "depth>x: not a number"),
        ("depth>", "depth> has no value after it"),
        (">=4", ">= has no column before it"),
        ("(d4", "a bracket stays open"),
        ("d4)", "a bracket closes that was not opened"),
        ('"d4', "a quotation mark stays open"),
        ("d4 or", "“or” needs something on both sides"),
        ("and", "“and” needs something on both sides"),
        ("d4 not", "“not” has nothing after it"),
    ],
)
def test_a_filter_that_cannot_be_read_says_why(view, query, problem):
    """The words stand at the box, and the box is marked for a screen reader."""
    _, said = names(view, query)

    assert said == problem
    assert view.get_attribute("#filter", "aria-invalid") == "true"


def test_columns_and_values_are_suggested_and_taken_by_keyboard(view):
    """Down and Enter take a column, then a value; Escape closes the list alone."""
    view.focus("#filter")
    view.keyboard.type("sta")
    view.keyboard.press("ArrowDown")
    view.keyboard.press("Enter")
    assert view.input_value("#filter") == "stage="
    view.keyboard.type("mid")
    view.keyboard.press("ArrowDown")
    view.keyboard.press("Enter")
    settle(view)
    wait(view, "__runatlas.state.query", 10)  # the filter's patience is a timer, late under load

    assert view.input_value("#filter") == "stage=midtraining"
    assert view.is_hidden("#suggestions")
    assert view.evaluate("__runatlas.state.query") == "stage=midtraining"


def test_what_is_typed_while_a_frame_is_late_stays_typed(view):
    """A filter takes effect in the next frame; by then more may have been typed."""
    view.evaluate(
        """() => new Promise((done) => {
          const box = document.getElementById('filter');
          const type = (text) => { box.value = text; box.dispatchEvent(new Event('input')); };
          const more = () => {
            if (__runatlas.state.query !== 'stage=s') return setTimeout(more, 0);
            type('stage=sft');
            return done();
          };
          type('stage=s');
          more();
        })"""
    )
    wait(view, "__runatlas.state.query === 'stage=sft'", 10)

    assert view.input_value("#filter") == "stage=sft"


def test_buckets_of_a_number_are_edited_at_the_legend(view):
    """Bounds make named buckets with their counts; a text that is no bounds changes nothing."""
    view.select_option("#colour", "depth")
    settle(view)
    view.locator("#legend-curves .edit").click()
    box = view.locator(".popup input[type=text]")
    box.fill("3, 6")
    settle(view)
    legend = view.locator("#legend-curves li").all_text_contents()
    depths = view.evaluate("__runatlas.report.columns.depth.values")
    for name, fits in (
        ("below 3", lambda depth: depth < 3),
        ("3 to below 6", lambda depth: 3 <= depth < 6),
        ("6 and above", lambda depth: depth >= 6),
    ):
        amount = sum(1 for depth in depths if depth is not None and fits(depth))
        assert f"{name}{amount}" in legend
    box.fill("6, 3")
    settle(view)

    assert "greater than the one before" in view.inner_text(".popup")
    assert view.evaluate("__runatlas.state.buckets") == {"depth": [3, 6]}
    view.keyboard.press("Escape")


def test_a_baseline_puts_differences_beside_all_that_is_measured(view):
    """In the table, in words of the same digits; its own row and what is missing have none."""
    run = view.evaluate("__runatlas.report.runs.name.indexOf('d8-sft')")
    view.locator(f"#run-{run} [data-action=base]").click()
    settle(view)
    values = view.evaluate("__runatlas.report.columns.accuracy.values")
    place = view.evaluate(
        "[...document.querySelectorAll('#runs-table thead th')]"
        ".findIndex(th => th.dataset.key === 'accuracy')"
    )
    for other, value in enumerate(values):
        told = view.locator(f"#run-{other} > :nth-child({place + 1}) .delta")
        if other == run or not isinstance(value, float | int):
            assert told.count() == 0
            continue
        sign = {"−": -1, "+": 1, "±": 0}[told.text_content()[0]]
        assert sign * float(told.text_content()[1:]) == pytest.approx(
            value - values[run], rel=1e-3, abs=1e-12
        )
    assert "d8-sft" in view.inner_text("#pinned")


def test_what_the_charts_stand_on_and_their_smoothing_are_chosen_in_the_bar(view):
    """Both are parts of the view, and a link sets the controls."""
    view.select_option("#along", "flops")
    view.locator("#smooth").fill("0.2")
    settle(view)
    assert view.evaluate("[__runatlas.state.x, __runatlas.state.smooth]") == ["flops", 0.2]
    view.evaluate("location.hash = 'x=tokens&smooth=0'")
    wait(view, "document.getElementById('along').value === 'tokens'", 5)

    assert view.input_value("#smooth") == "0"


def test_pins_and_the_baseline_are_set_by_keyboard(view):
    """On a row p pins and b makes it the baseline; Escape lets the pins go."""
    view.focus("#run-2 .tick")
    view.keyboard.press("p")
    view.keyboard.press("b")
    view.focus("#run-3 .tick")
    view.keyboard.press("p")
    settle(view)

    assert view.evaluate("[__runatlas.state.pins, __runatlas.state.baseline]") == [[2, 3], 2]
    assert view.locator("#runs-table [aria-selected]").count() == 2
    view.keyboard.press("Escape")
    settle(view)
    assert view.evaluate("__runatlas.state.pins") == []


def test_ticked_runs_are_shown_alone(view):
    """A tick and a shift-click tick all between them; the chip in the bar brings all back."""
    view.locator("#run-1 .tick").click()
    view.locator("#run-4 .tick").click(modifiers=["Shift"])
    assert view.inner_text("#ticked-amount") == "4 runs ticked"
    view.click("#ticked-only")
    settle(view)

    assert view.evaluate("[...__runatlas.shown.keys()].filter(r => __runatlas.shown[r])") == [
        *range(1, 5)
    ]
    view.locator("#pinned button[aria-label*='selected']").click()
    settle(view)
    assert view.evaluate("__runatlas.visible") == 12


def test_the_scrubber_shows_training_up_to_its_step(tab):
    """Half way the lines hold the rows of the first half of all steps, counted on."""
    tab.evaluate("__runatlas.change({ at: 0.5 })")
    settle(tab)
    expected = tab.evaluate(
        """() => {
          const { report, tables } = __runatlas;
          const { offset } = report.runs;
          const last = Math.max(...report.columns.steps.values.map((n, run) => n + offset[run]));
          const t = tables.trajectory0;
          return [...t.run.keys()].filter(i => t.step[i] + offset[t.run[i]] <= last / 2).length;
        }"""
    )
    drawn = tab.evaluate("__runatlas.drawn.trajectory")

    assert 0 < drawn == expected
    assert "step" in tab.inner_text("#at-words")


def test_play_moves_on_until_it_is_stopped(tab):
    """The button and the key p start and stop it; the address gets no part of every frame."""
    tab.click("#play")
    wait(tab, "__runatlas.state.at > 0.01", 30)
    assert tab.get_attribute("#play", "aria-pressed") == "true"
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("p")
    assert tab.get_attribute("#play", "aria-pressed") == "false"
    settle(tab)
    at = tab.evaluate("__runatlas.state.at")
    settle(tab)

    assert tab.evaluate("__runatlas.state.at") == at
    assert tab.errors == []


def test_a_look_from_above_is_a_part_of_the_view(tab):
    """A preset moves the camera and stands in the address; the first view takes it out."""
    tab.click("#chart-trajectory [data-look=top]")
    settle(tab)
    camera = "document.getElementById('plot-trajectory')._fullLayout.scene._scene.getCamera().eye"
    eye = tab.evaluate(camera)

    assert eye["z"] > 5 * math.hypot(eye["x"], eye["y"])
    wait(tab, "location.hash.includes('camera.trajectory=')", 5)
    tab.click("#chart-trajectory [data-look=first]")
    wait(tab, "!location.hash.includes('camera')", 5)


def test_the_surface_invents_no_run(mini):
    """Its rungs stand at the settings of runs, and between two losses that the run logged."""
    (chart,) = [
        c for c in gather(mini.project, "latest", lambda _: None).charts if c.key == "surface"
    ]
    lines = chart.tables["surface"]
    (option,) = chart.options
    for place, (key, _) in enumerate(option.choices):
        settings = dict(lines.select("run", f"y{place}").unique().iter_rows())
        assert len(set(settings.values())) >= 3, key
        for run, step, y, loss in (
            chart.tables[f"surface_rungs{place}"].select("run", "step", "y", "loss").iter_rows()
        ):
            mine = lines.filter(pl.col("run") == run)
            before = mine.filter(pl.col("step") <= step)["loss"][-1]
            after = mine.filter(pl.col("step") >= step)["loss"][0]
            assert y == settings[run]
            assert min(before, after) - 1e-9 <= loss <= max(before, after) + 1e-9
