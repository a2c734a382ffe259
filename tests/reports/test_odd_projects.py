"""Projects that nobody would draw on purpose, logged with our hooks, synced, built and opened."""

from __future__ import annotations

import math

import pytest
from pages import open_page, wait

import hooks
from etl import sync
from reports import build

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=2">',
    "line\u2028separator\u2029and \u202eright to left\u202c",
    "{{7*7}} {% raw %} %{x} ${window.pwned=3}",
    "nul\x00and bell\x07",
    "🦙" * 40,
    "x" * 10_000,
    "__proto__",
)


@pytest.fixture
def page_of(tmp_path, browser):
    """Make what *log* logs into a page, open it as a phone would, and pass every chart."""
    contexts = []

    def opened(log):
        log(tmp_path / "p" / "raw")
        places = ["--project", "p", "--data-dir", str(tmp_path)]
        assert sync.main(places) == 0
        assert build.main(places) == 0
        context = browser.new_context(viewport={"width": 390, "height": 12_000}, offline=True)
        contexts.append(context)
        tab = open_page(context, tmp_path / "p" / "reports" / "latest.html")
        wait(tab, "window.__runatlas && __runatlas.ready && __runatlas.idle", 90)
        return tab

    yield opened
    for context in contexts:
        context.close()


def run_of(folder, name, rows, **more):
    """Log *rows*, a dict by step, as one finished run."""
    run = hooks.init("p", name, dir=folder, wandb=False, telemetry=False, **more)
    for step, row in rows.items():
        run.log(row, step=step)
    run.finish()


def calm(tab):
    """Nothing was asked for or complained about, nothing ran, sticks out or is undefined."""
    text = tab.inner_text("body")
    wide = tab.evaluate("document.documentElement.scrollWidth")

    assert len(tab.asked) == 1
    assert tab.errors == []
    assert tab.evaluate("window.pwned") is None
    assert tab.evaluate("__runatlas.errors") == []
    assert wide <= 390
    assert "undefined" not in text
    assert "[object" not in text
    return text


def test_names_and_settings_of_an_attacker_are_text(page_of):
    """Tags, separators, templates, 10,000 characters, 2,000 keys: shown as they are, and inert."""

    def log(folder):
        for place, name in enumerate(HOSTILE):
            config = {f"key {i} {name[:40]}": name for i in range(250)} | {"depth": place}
            rows = {s: {"train/loss": 3 / (s + 1), name[:200]: s} for s in range(4)}
            run_of(folder, name, rows, config=config, run_id=f"r{place}", stage="pretraining")

    tab = page_of(log)
    names = tab.evaluate("__runatlas.report.runs.name")
    shown = tab.locator("#runs-table tbody th bdi").all_text_contents()

    calm(tab)
    assert tab.locator("img").count() == 0
    assert sorted(names) == sorted(HOSTILE)
    for name in HOSTILE:
        # HTML has no NUL: the parser drops it, and the page's JSON keeps it
        begins = name.replace("\x00", "")[:60]
        assert any(text.startswith(begins) for text in shown), begins


def test_the_largest_and_the_smallest_numbers_are_drawn(page_of):
    """Steps to 1e12 and values from 1e-300 to 1e300 keep their place; NaN and infinity are said."""
    values = [1e300, 1.0, 1e-300, math.nan, math.inf, -1e300]

    def log(folder):
        steps = [0, 1, 10**6, 10**9, 10**11, 10**12]
        run_of(
            folder,
            "far",
            {s: {"train/loss": v, "mmlu_acc": 0.5} for s, v in zip(steps, values, strict=True)},
            stage="pretraining",
            run_id="far",
            config={"depth": 1e300, "model_dim": 1e-300, "device_batch_size": 10**18},
        )
        run_of(
            folder,
            "nothing but NaN",
            {s: {"train/loss": math.nan, "mmlu_acc": math.nan} for s in range(5)},
            stage="pretraining",
            run_id="nan",
        )

    tab = page_of(log)

    calm(tab)
    steps, losses = tab.evaluate(
        "[[...__runatlas.tables.history.step], [...__runatlas.tables.history['train/loss']]"
        ".filter(Number.isFinite)]"
    )
    assert max(steps) == 1e12
    assert {1e300, 1e-300, -1e300} <= set(losses)


def test_a_project_of_one_point_says_what_it_has(page_of):
    """One run, one point, no accuracy, no config: a page that reads well, and no empty promise."""
    tab = page_of(lambda folder: run_of(folder, "alone", {0: {"train/loss": 2.5}}, run_id="one"))
    text = calm(tab)

    assert "1 run" in text
    assert tab.locator("#runs-table tbody tr").count() == 1
    assert "2.5" in tab.inner_text("#runs-table")


def test_a_metric_or_a_setting_that_is_called_as_the_page_calls_its_own_is_another(page_of):
    """A logged `accuracy` is not the mean that the page draws, nor `steps` of config the last."""

    def log(folder):
        four = {f"{task}_acc": 0.4 for task in ("mmlu", "arc_easy", "gsm8k", "humaneval")}
        for run in range(2):
            rows = {s: {"train/loss": 3 / (s + 1), "accuracy": 0.9, **four} for s in range(4)}
            run_of(folder, f"r{run}", rows, config={"steps": 70 + run, "depth": 4 + run})

    tab = page_of(log)
    calm(tab)
    columns = tab.evaluate(
        "Object.fromEntries(['accuracy', 'logged:accuracy', 'steps', 'config:steps', 'depth']"
        ".map((key) => [key, __runatlas.report.columns[key].values]))"
    )
    panels = tab.locator("#plot-evaluations .panel-title").all_inner_texts()

    assert columns == {
        "accuracy": [0.4, 0.4],
        "logged:accuracy": [0.9, 0.9],
        "steps": [3, 3],
        "config:steps": [70, 71],
        "depth": [4, 5],
    }
    assert "config:depth" not in tab.evaluate("Object.keys(__runatlas.report.columns)")
    assert len(panels) == 5


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString"])
def test_a_link_that_names_what_every_object_has_leaves_the_page_whole(browser, mini, name):
    """No column is called so; the filter says it."""
    context = browser.new_context(viewport={"width": 1200, "height": 400}, offline=True)
    tab = open_page(context, f"{mini.page}#colour={name}&sort={name}&bounds.{name}=1,2&q={name}=1")
    wait(tab, "__runatlas.interactive && __runatlas.idle")
    wait(tab, f"document.getElementById('filter-problem').textContent === 'no column {name}'", 5)

    assert tab.errors == []
    context.close()
