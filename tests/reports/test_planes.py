"""The charts in two dimensions in a real browser: drawn, pointed at, zoomed and brushed."""

from __future__ import annotations

import math
from datetime import timedelta
from types import SimpleNamespace

import pytest
import snapshots
from pages import open_page, wait

from reports import build

STEPS = range(0, 404, 4)
MARKS = range(0, 401, 40)
SIZES = (4, 6, 8, 10, 12, 14)
GAP = range(120, 200)  # where the sft run's loss is NaN
WHERE = """([chart, key, run, row]) => {
  const panels = __runatlas.planes.get(chart);
  const panel = panels.find((one) => one.spec.key === key);
  const one = panel.series.find(({ trace }) => trace.role === 'data');
  const piece = one.pieces.find((piece) => piece.run === run);
  const frame = panel.field.getBoundingClientRect();
  const at = piece.from + row;
  return [frame.left + panel.scales.x.to(one.xs[at]), frame.top + panel.scales.y.to(one.ys[at])];
}"""
PANEL = "__runatlas.planes.get('curves').find((one) => one.spec.key === {!r})"


def _pretraining(place, depth):
    """Return a run whose least val/bpb is an exact power of its FLOPs; the last counts none."""
    name = f"d{depth}"
    flops = [1e15 * (place + 1) ** 3 * step for step in STEPS]
    least = 3.0 * (flops[-1] / 1e18) ** -0.1
    rows = snapshots.points(name, "train/loss", STEPS, [2 + 4 * math.exp(-s / 90) for s in STEPS])
    rows += snapshots.points(name, "train/tok_per_sec", STEPS, [1e5 + s for s in STEPS])
    rows += snapshots.points(name, "val/bpb", MARKS, [least + 1 - s / 400 for s in MARKS])
    if place < len(SIZES) - 1:
        rows += snapshots.points(name, "total_training_flops", STEPS, flops)
    return rows


def _sft():
    """Return a run with a hole in its loss, and one loss of nothing."""
    steps = range(0, 304, 4)
    loss = [math.nan if s in GAP else 0.0 if s == 40 else 1.5 - s / 400 for s in steps]
    rows = snapshots.points("d4-sft", "train/loss", steps, loss)
    rows += snapshots.points("d4-sft", "mmlu_acc", [300], [0.31])
    return rows + snapshots.points("d4-sft", "gsm8k_acc", [300], [0.04])


def _telemetry():
    """Return ten measurements of three GPUs, of which the median is what the page draws."""
    return [
        {
            "run_id": "d4",
            "metric": f"system.gpu.{gpu}.gpu",
            "ts": snapshots.START + timedelta(seconds=10 * tick),
            "value": float(busy),
            "segment": 0,
            "source": "hooks",
        }
        for tick in range(10)
        for gpu, busy in enumerate((5, 80 + tick, 99))
    ]


@pytest.fixture(scope="module")
def flat(tmp_path_factory, playwright, chromium):
    """The page of an invented project, without WebGL: planes need none."""
    history, runs, configs = [], [], []
    for place, depth in enumerate(SIZES):
        own = _pretraining(place, depth)
        history += own
        runs.append(snapshots.run_row(f"d{depth}", own, stage="pretraining"))
        configs += snapshots.config(f"d{depth}", {"depth": depth, "matrix_lr": 0.02 / depth})
    history += (own := _sft())
    runs.append(snapshots.run_row("d4-sft", own, stage="sft", parent_run_id="d4"))
    configs += snapshots.config("d4-sft", {"depth": 4, "matrix_lr": 0.001})
    data = tmp_path_factory.mktemp("planes")
    tables = {"runs": runs, "config": configs, "history": history, "telemetry": _telemetry()}
    project, _ = snapshots.write(data, "p", tables | {"metrics": snapshots.catalog(history)})
    assert build.main(["--project", "p", "--data-dir", str(data)]) == 0
    options = ["--no-sandbox", "--disable-3d-apis"]
    with playwright.chromium.launch(executable_path=chromium, args=options) as plain:
        tab = open_page(
            plain.new_context(offline=True, viewport={"width": 1300, "height": 900}),
            project.reports / "latest.html",
        )
        wait(tab, "window.__runatlas && __runatlas.ready")
        yield SimpleNamespace(tab=tab, history=history)
        assert tab.errors == []


@pytest.fixture
def page(flat):
    """The page, put back to its first view afterwards."""
    yield flat.tab
    flat.tab.mouse.move(2, 2)
    flat.tab.evaluate("__runatlas.change({ x: 'step', zoom: {}, pins: [], selected: null })")
    settled(flat.tab)


def settled(tab):
    """Wait until all listeners have heard of the last change."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
    wait(tab, "__runatlas.idle")


def see(tab, chart):
    """Scroll to the chart and wait until it is drawn."""
    tab.locator(f"#plot-{chart}").scroll_into_view_if_needed()
    wait(tab, f"__runatlas.drawn[{chart!r}] !== undefined")
    settled(tab)


def place(tab, chart, panel, name, row):
    """Return where on the screen a run's row is drawn."""
    see(tab, chart)
    run = tab.evaluate("name => __runatlas.report.runs.name.indexOf(name)", name)
    return tab.evaluate(WHERE, [chart, panel, run, row])


def drag(tab, start, end):
    """Drag with the mouse from one place to another."""
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*[(a + b) / 2 for a, b in zip(start, end, strict=True)])
    tab.mouse.move(*end)
    tab.mouse.up()
    settled(tab)


def test_the_points_drawn_are_those_of_the_snapshot(page, flat):
    """Each finite loss above 0, and no other; each stage in a panel of its own."""
    see(page, "curves")
    loss = [row for row in flat.history if row["metric"] == "train/loss"]
    drawable = [row for row in loss if math.isfinite(row["value"]) and row["value"] > 0]
    panels = page.locator("#plot-curves .panel:visible .panel-title").all_inner_texts()
    values = page.evaluate(
        f"(() => {{ const [one] = {PANEL.format('sft')}.series; const [piece] = one.pieces;"
        " return Array.from(one.ys.slice(piece.from, piece.to)); })()"
    )
    expected = [row["value"] for row in loss if row["run_id"] == "d4-sft"]

    assert page.evaluate("__runatlas.drawn.curves") == len(drawable)
    assert panels == ["pretraining", "sft"]
    assert values == pytest.approx([v for v in expected[: len(values)] if math.isfinite(v)])


def test_a_log_axis_says_what_it_leaves_out(page):
    """A loss of 0 has no place on it, and on a linear one it has."""
    see(page, "curves")

    assert "1 point of 0 or less left out" in page.inner_text("#says-curves")
    page.check("#chart-curves input[value='linear']", force=True)
    settled(page)
    assert "left out" not in page.inner_text("#says-curves")
    page.check("#chart-curves input[value='log']", force=True)


@pytest.mark.parametrize("chart", ["curves", "parallel"])
@pytest.mark.parametrize("below", [100, 2_000])
def test_what_changed_while_a_chart_was_out_of_view_is_drawn_when_it_is_seen(page, chart, below):
    """A little below the view, where it was prepared before, and far away."""
    see(page, chart)
    before = page.evaluate(f"__runatlas.drawn[{chart!r}]")
    try:
        page.evaluate(
            "([chart, below]) => scrollBy(0, document.getElementById(`plot-${chart}`)"
            ".getBoundingClientRect().top - innerHeight - below)",
            [chart, below],
        )
        settled(page)
        page.evaluate("__runatlas.change({ query: 'stage=pretrain' })")
        settled(page)
        page.locator(f"#plot-{chart}").scroll_into_view_if_needed()
        wait(page, f"__runatlas.drawn[{chart!r}] < {before}")
    finally:
        page.evaluate("__runatlas.change({ query: '' })")


def test_a_hole_in_a_line_stays_a_hole(page):
    """No pixel is drawn between the last value before the NaN and the first after it."""
    see(page, "curves")
    inked = page.evaluate(
        f"""(() => {{
          const panel = {PANEL.format("sft")};
          const ratio = panel.base.width / panel.box.width;
          const pen = panel.base.getContext('2d');
          return [60, 160, 260].map((step) => {{
            const at = Math.round(panel.scales.x.to(step) * ratio);
            return pen.getImageData(at, 0, 1, panel.base.height).data.some((v) => v > 0);
          }});
        }})()"""
    )

    assert inked == [True, False, True]


def test_pointing_at_a_line_lights_its_run_everywhere(page):
    """A tip has name, value and unit; the table and the other charts light up; a click pins."""
    x, y = place(page, "curves", "sft", "d4-sft", 2)
    page.mouse.move(x + 3, y - 30)
    page.mouse.move(x, y, steps=3)
    settled(page)
    run = page.evaluate("__runatlas.report.runs.name.indexOf('d4-sft')")
    said = page.inner_text(".tip:visible")

    assert "d4-sft" in said
    assert "1.48 nats/token" in said
    assert page.evaluate("__runatlas.state.highlight") == run
    assert page.locator(f"#run-{run}.marked").count() == 1
    assert page.evaluate(f"{PANEL.format('sft')}.root.classList.contains('lit')")
    page.mouse.click(x, y)
    settled(page)
    assert page.evaluate("__runatlas.state.pins") == [run]
    see(page, "parallel")
    assert page.evaluate("document.querySelector('.lines-of').classList.contains('lit')")


def test_dragging_zooms_and_a_double_click_shows_all_again(page):
    """A level drag zooms along x alone; the view is a part of the link."""
    see(page, "curves")
    before = page.evaluate(f"{PANEL.format('pretraining')}.scales.x.range")
    start = place(page, "curves", "pretraining", "d8", 25)
    end = place(page, "curves", "pretraining", "d8", 75)
    drag(page, start, (end[0], start[1] + 4))
    low, high = page.evaluate(f"{PANEL.format('pretraining')}.scales.x.range")

    assert (low, high) == (pytest.approx(100, abs=2), pytest.approx(300, abs=2))
    assert "all that was logged" in page.inner_text("#says-curves")
    wait(page, "location.hash.includes('zoom.curves/pretraining=')")
    page.mouse.dblclick(*end)
    settled(page)
    assert page.evaluate(f"{PANEL.format('pretraining')}.scales.x.range") == before
    assert page.evaluate("__runatlas.state.pins") == []


def test_a_run_without_what_stands_on_x_is_left_out_and_named(page):
    """Of six runs one has not counted its FLOPs."""
    see(page, "curves")
    page.evaluate("__runatlas.change({ x: 'flops' })")
    settled(page)
    titles = page.locator("#plot-curves .panel:visible .axis-title").all_text_contents()

    assert titles[0] == "training compute (FLOPs)"
    assert "d14" in page.inner_text("#says-curves")
    assert page.evaluate(f"{PANEL.format('pretraining')}.found.runs.size") == 5


def test_the_arrow_keys_read_a_chart_out(page):
    """A cursor goes along a run and to the next one; what it stands on is announced."""
    see(page, "curves")
    page.locator("#plot-curves .field-of").first.focus()
    page.keyboard.press("ArrowRight")
    first = page.text_content(".spoken")
    page.keyboard.press("ArrowRight")
    second = page.text_content(".spoken")
    page.keyboard.press("+")
    settled(page)

    assert "train/loss" in first
    assert "nats/token" in first
    assert first != second
    assert page.evaluate("'curves/pretraining' in __runatlas.state.zoom")
    page.keyboard.press("Escape")
    settled(page)
    assert page.evaluate("Object.keys(__runatlas.state.zoom).length") == 0


def test_a_brush_filters_the_whole_page(page):
    """Dragging along the depth keeps the runs that pass there; a click keeps all again."""
    see(page, "parallel")
    strip = page.locator(".axis", has_text="depth").locator(".axis-strip").bounding_box()
    x, top, height = strip["x"] + strip["width"] / 2, strip["y"], strip["height"]
    drag(page, (x, top + 1), (x, top + height * 0.45))
    kept = page.locator("#runs-table tbody tr:not([hidden]) th bdi").all_text_contents()

    assert sorted(kept) == ["d10", "d12", "d14"]
    assert page.evaluate("__runatlas.drawn.parallel") == 3
    assert "3 runs kept" in page.inner_text("#says-parallel")
    wait(page, "location.hash.includes('zoom.parallel/depth=')")
    page.mouse.click(x, top + height * 0.8)
    settled(page)
    assert page.evaluate("__runatlas.visible") == 7


def test_an_axis_can_be_moved(page):
    """With its name, by the keys or by dragging; a link has the order too."""
    see(page, "parallel")
    names = ".axis-name"
    first, second = page.locator(names).all_inner_texts()[:2]
    page.locator(names).first.focus()
    page.keyboard.press("ArrowRight")
    settled(page)

    assert page.locator(names).all_inner_texts()[:2] == [second, first]
    page.evaluate("location.hash = '#parallel.order=depth,lr'")
    wait(page, f"document.querySelector({names!r}).textContent === {first!r}")


def test_the_machine_is_drawn_along_the_clock(page):
    """Of several GPUs the median."""
    see(page, "performance")
    page.check("#chart-performance input[value='gpu.busy']", force=True)
    settled(page)
    panel = "__runatlas.planes.get('performance')[0]"

    assert page.evaluate(f"Array.from({panel}.series[0].ys)") == [80 + tick for tick in range(10)]
    assert page.evaluate(f"Array.from({panel}.series[0].xs)") == [10 * tick for tick in range(10)]
    assert "GPU busy (%)" in page.inner_text("#plot-performance")
    page.locator("#plot-performance .field-of").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert "after" in page.text_content(".spoken")
    assert "step" not in page.text_content(".spoken")
    page.check("#chart-performance input[value='train/tok_per_sec']", force=True)


def test_what_guessing_scores_stands_beside_what_was_scored(page):
    """The published level of each benchmark, in its panel."""
    see(page, "evaluations")
    panels = page.locator("#plot-evaluations .panel")

    assert "random 0.25" in panels.filter(has_text="MMLU").text_content()
    assert "random 0" in panels.filter(has_text="GSM8K").text_content()


def test_a_power_law_is_told_where_the_runs_show_one(page):
    """Five runs on one line give its exponent; the run without FLOPs is in the tray."""
    see(page, "scaling")
    said = page.inner_text("#chart-scaling footer")

    assert "val/bpb falls as FLOPs^(-0.100 ± 0.000) over the 5 runs" in said
    assert page.evaluate("__runatlas.drawn.scaling") == 5
    assert "d14" in page.text_content("#chart-scaling .tray")


@pytest.mark.parametrize("width", [1300, 390])
def test_what_is_drawn_later_moves_nothing_below_it(browser, mini, width):
    """Charts have their room before they come near the view, so that a link leads where it says."""
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    tab = open_page(context, mini.page)
    wait(tab, "__runatlas.interactive")
    heights = """() => Object.fromEntries([...document.querySelectorAll('.card.plane')]
      .map((card) => [card.id, card.querySelector('.plane-frame').clientHeight]))"""
    before = tab.evaluate(heights)
    for key in before:
        tab.locator(f"#{key} .plane-frame").scroll_into_view_if_needed()
        wait(tab, f"__runatlas.drawn['{key.removeprefix('chart-')}'] !== undefined")
    after = tab.evaluate(heights)
    context.close()

    assert len(before) >= 4
    moved = {key: (before[key], after[key]) for key in before}
    assert all(abs(after - before) < 30 for before, after in moved.values()), moved
