"""The page in a real browser, offline."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
import snapshots
from pages import WHERE, colours, data, open_page, said, search, wait

CHARTS = ("trajectory", "space", "landscape", "benchmarks")

# The accuracy at a step, found the slow way: the last evaluation at or before it.
ACCURACY = """
with marks as (
  select run_id, step, avg(value) as accuracy from history where metric like '%\\_acc' escape '\\'
  group by run_id, step having count(*) = 4
),
logged as (select run_id, step, value from history where metric = ?)
select l.run_id, l.step, l.value, (
  select m.accuracy from marks m where m.run_id = l.run_id and m.step <= l.step
  order by m.step desc limit 1
) as accuracy
from logged l order by l.run_id, l.step
"""


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened, mini):
    """It opens from disk with the network off: one request, its own; no error on the console."""
    real = [url for url in opened.asked if not url.startswith(("data:", "blob:"))]

    assert real == [f"file://{mini.page}"]
    assert opened.errors == []


def test_the_scenes_draw_as_many_points_as_the_snapshot_says(opened, sql):
    """Each count is found again in the snapshot with SQL of its own."""
    logged = sql(ACCURACY, "train/loss")
    fast = {row[:2] for row in sql(ACCURACY, "train/mfu") if row[3] is not None}
    speed = {row[:2] for row in sql(ACCURACY, "train/tok_per_sec") if row[3] is not None}
    # three of the four benchmarks are axes; only the size may be missing
    axes = sql(
        "select count(*) from (select run_id, step from history where metric in"
        " ('copy_acc', 'parity_acc', 'sort_acc') group by all having count(*) = 3)"
    )
    placed = sql(
        "select count(*) from runs where run_id in"
        " (select run_id from config where key = 'device_batch_size')"
    )

    drawn = opened.evaluate("__runatlas.drawn")
    assert {chart: drawn[chart] for chart in CHARTS} == {
        "trajectory": sum(1 for row in logged if row[3] is not None and row[2] == row[2]),
        "landscape": len(fast & speed),
        "benchmarks": axes[0][0],
        "space": placed[0][0],
    }


@pytest.mark.parametrize("chart", CHARTS)
def test_every_canvas_shows_something(opened, chart):
    """A scene is drawn with many colours, and no message stands in its place."""
    picture = opened.evaluate(
        "key => Plotly.toImage(document.getElementById('plot-' + key),"
        " {format: 'png', width: 500, height: 360})",
        chart,
    )

    assert colours(base64.b64decode(picture.split(",")[1])) > 40
    assert "WebGL is not supported" not in opened.inner_text(f"#plot-{chart}")


def test_a_line_never_joins_two_runs(opened):
    """Between the vertices of two runs, or around a gap of one, there is a vertex that is none."""
    lines = opened.evaluate(
        """() => {
          const t = __runatlas.tables.trajectory0;
          return [Array.from(t.run), Array.from(t.line)];
        }"""
    )
    runs, pieces = lines
    drawn = data(opened, "trajectory")["x"]
    expected = []
    for i, piece in enumerate(pieces):
        if i and piece != pieces[i - 1]:
            expected.append(None)
        expected.append(runs[i])

    assert [x is None for x in drawn] == [run is None for run in expected]
    for before, after in pairwise(expected):
        assert before is None or after is None or before == after


def test_a_line_shows_what_was_logged(opened, sql):
    """Loss and accuracy of a run's vertices are the snapshot's, at its own counted-on steps."""
    run = opened.evaluate("__runatlas.report.runs.name.indexOf('d4-sft')")
    rows = [row for row in sql(ACCURACY, "train/loss") if row[0] == "d4-sft"]
    expected = [(step, loss, accuracy) for _, step, loss, accuracy in rows if accuracy is not None]
    got = opened.evaluate(
        """run => {
          const t = __runatlas.tables.trajectory0;
          const rows = [...t.run.keys()].filter(i => t.run[i] === run);
          return rows.map(i => [t.step[i], t.loss[i], t.accuracy[i]]);
        }""",
        run,
    )

    assert [tuple(row) for row in got] == [pytest.approx(row) for row in expected]


def test_nan_ends_a_line_and_the_run_says_where_it_diverged(opened):
    """NaN is a value: nothing is drawn from there on, and hover, label and table say so."""
    run = opened.evaluate("__runatlas.report.runs.name.indexOf('d8-midtraining')")
    steps = opened.evaluate(
        """run => { const t = __runatlas.tables.trajectory0;
          return [...t.run.keys()].filter(i => t.run[i] === run).map(i => t.step[i]); }""",
        run,
    )
    texts = said(opened, "trajectory")
    labels = opened.locator("#chart-trajectory .labels bdi:visible").all_text_contents()

    assert max(steps) == 98
    assert "diverged" in opened.inner_text(f"#run-{run}")
    assert "d8-midtraining, diverged at 100" in labels
    assert any("diverged at step 100 (train/loss)" in text for text in texts)


def test_what_is_missing_is_in_the_tray_and_what_is_zero_is_drawn(opened):
    """A run without accuracy is named with its reason; a true 0.0 stands in the chart."""
    tray = opened.text_content("#chart-trajectory .tray:not([hidden])")
    marks = data(opened, "benchmarks")

    assert "no accuracy" in tray
    assert "d4-midtraining" in tray
    assert "no train/loss" in tray
    assert 0.0 in marks["y"]


def test_a_missing_fourth_benchmark_is_small_open_and_said(opened):
    """Size 0 never stands for a value that is not there."""
    marks = data(opened, "benchmarks")
    texts = said(opened, "benchmarks")
    (missing,) = [i for i, text in enumerate(texts) if "not measured" in text]

    assert marks["symbol"][missing] == "diamond-open"
    assert marks["size"][missing] == min(marks["size"]) > 0


def test_a_run_that_says_no_shape_has_its_parents_and_says_so(opened):
    """Only what a checkpoint fixes is inherited; a batch size never is."""
    texts = said(opened, "space")

    assert any("model_dim  128 (from d4-midtraining)" in text for text in texts)
    assert "no device_batch_size in config" in opened.text_content("#chart-space .tray")


def test_runs_of_one_configuration_do_not_hide_each_other(opened):
    """No two markers of the hyperparameter space have the same place."""
    marks = data(opened, "space")
    places = list(zip(marks["x"], marks["y"], marks["z"], strict=True))

    assert len(set(places)) == len(places) == 11


def test_the_mouse_over_a_marker_shows_its_numbers_and_marks_its_row(tab, sql):
    """A real pointer, a real hover: the words are the snapshot's, and a click pins the run."""
    run = tab.evaluate("__runatlas.report.runs.name.indexOf('d8-rl')")
    point = tab.evaluate("run => __runatlas.tables.space.run.indexOf(run)", run)
    tab.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    x, y = tab.evaluate(WHERE, ["space", 1, point])
    tab.mouse.move(x - 40, y - 40)
    tab.mouse.move(x, y, steps=8)
    wait(tab, "document.querySelector('.tip:not([hidden])')", 10)
    words = " ".join(tab.locator(".tip:not([hidden]) p *").all_text_contents())
    words += tab.inner_text(".tip:not([hidden])")
    best = sql(
        "select max(accuracy) from (select avg(value) as accuracy from history"
        " where run_id = 'd8-rl' and metric like '%acc' group by step having count(*) = 4)"
    )[0][0]

    for part in ("d8-rl", "rl · finished", "device_batch_size 32", "learning_rate 0.00015"):
        assert part in words
    assert f"best mean accuracy {best:.4f}" in words
    wait(tab, f"document.getElementById('run-{run}').classList.contains('marked')", 5)
    tab.mouse.click(x, y)
    wait(tab, "document.getElementById('pinned').textContent.includes('d8-rl')", 5)
    assert tab.evaluate("__runatlas.state.pins") == [run]


def test_the_pointer_finds_what_is_there_when_the_camera_has_moved_without_it(tab):
    """What stood at a place before is not what is pointed at, and what stands there now is."""
    tab.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    looks = []
    for look in ("top", "first"):
        tab.mouse.move(1, 1)
        where = f"({WHERE})(['space', 1, 3])[0]"
        tab.evaluate(f"() => {{ window.stood = {where}; }}")
        tab.locator(f"#chart-space [data-look={look}]").dispatch_event("click")
        wait(tab, f"{where} !== window.stood", 10)  # plotly turns it in a frame of its own
        wait(tab, "__runatlas.idle && !document.querySelector('.tip:not([hidden])')", 10)
        x, y = tab.evaluate(WHERE, ["space", 1, 3])
        tab.mouse.move(x - 40, y - 40)
        tab.mouse.move(x, y, steps=8)
        wait(tab, "document.querySelector('.tip:not([hidden])')", 10)
        run = tab.evaluate("__runatlas.tables.space.run[3]")
        wait(tab, f"__runatlas.state.highlight === {run}", 10)
        looks.append((round(x), round(y)))
    tab.mouse.move(1, 1)

    assert looks[0] != looks[1]


def test_a_filter_may_take_away_what_the_pointer_is_over(tab):
    """The scene goes on without it, and has it again when the filter is gone."""
    tab.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    x, y = tab.evaluate(WHERE, ["space", 1, 3])
    tab.mouse.move(x - 40, y - 40)
    tab.mouse.move(x, y, steps=8)
    wait(tab, "document.querySelector('.tip:not([hidden])')", 10)
    search(tab, "depth>100")
    gone = tab.evaluate("__runatlas.drawn.space")
    search(tab, "")
    tab.mouse.move(1, 1)

    assert gone == 0
    assert tab.evaluate("__runatlas.drawn.space") == 11
    assert tab.errors == []


def test_the_hover_of_a_known_step_reads_as_logged(opened, sql):
    """Step, loss, accuracy and the evaluation's own step, with units, for one point."""
    (loss,) = sql(
        "select value from history"
        " where run_id = 'd4-pretraining' and metric = 'train/loss' and step = 130"
    )[0]
    accuracy = next(
        row[3] for row in sql(ACCURACY, "train/loss") if row[:2] == ("d4-pretraining", 130)
    )
    texts = said(opened, "trajectory")
    (text,) = [t for t in texts if "d4-pretraining" in t and "\nstep  130" in t]

    assert f"train/loss  {float(f'{loss:.5g}'):g} nats/token" in text
    assert f"mean accuracy  {accuracy:.4f}" in text
    assert "evaluated at step  120" in text


def test_a_hostile_name_comes_out_exactly_and_nothing_runs(opened):
    """Tags, line separators, right-to-left marks, templates: text everywhere, code nowhere."""
    name = opened.evaluate("__runatlas.report.runs.name.find(n => n.includes('onerror'))")
    row = opened.locator("#runs-table tbody th bdi", has_text="onerror")

    assert name == snapshots.HOSTILE
    assert row.text_content() == snapshots.HOSTILE
    assert opened.locator("img").count() == 0
    assert opened.errors == []


def test_a_phone_has_no_sideways_scroll(browser, mini):
    """At 360 and 390 pixels only the tables scroll, within themselves."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    tab = open_page(context, mini.page)
    wait(tab, "window.__runatlas && __runatlas.interactive")
    tab.locator("#plot-trajectory").scroll_into_view_if_needed()
    wait(tab, "__runatlas.drawn.trajectory")
    widths = [tab.evaluate("document.documentElement.scrollWidth")]
    tab.set_viewport_size({"width": 360, "height": 800})
    widths.append(tab.evaluate("document.documentElement.scrollWidth"))
    context.close()

    assert widths == [390, 360]


def test_without_webgl_the_page_says_so_and_keeps_its_tables(playwright, chromium, mini):
    """No scene, no error: a notice, and sorting and filtering as ever."""
    options = ["--no-sandbox", "--disable-3d-apis"]
    with playwright.chromium.launch(executable_path=chromium, args=options) as plain:
        tab = open_page(plain.new_context(offline=True), mini.page)
        wait(tab, "window.__runatlas && __runatlas.ready", 20)

        assert tab.evaluate("__runatlas.webgl") is False
        assert tab.is_visible(".notice.webgl")
        scenes = tab.evaluate("__runatlas.report.charts.filter(c => c.kind === 'scene').length")
        assert tab.locator(".poster.wide").count() == scenes == 5
        assert tab.is_visible("#chart-trajectory .poster.wide")
        search(tab, "stage=rl")
        assert tab.locator("#runs-table tbody tr:not([hidden])").count() == 3
        assert tab.errors == []


def test_without_javascript_the_numbers_are_there(browser, mini):
    """The tables came with the page, and a notice says why there are no charts."""
    context = browser.new_context(java_script_enabled=False, offline=True)
    tab = open_page(context, mini.page, script=False)

    assert tab.locator("#runs-table tbody tr").count() == 12
    assert "JavaScript is off" in tab.inner_text("body")
    assert tab.locator(".tray").count() > 3
    context.close()
