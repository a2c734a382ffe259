"""The main job from end to end: the bundled sample, both commands, and the page in a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from pages import open_page, wait

import hooks

ROOT = Path(__file__).resolve().parents[2]
EVALUATED = """
    with marks as (
        select run_id, step from history where metric in (select metric from four)
        group by run_id, step having count(*) = 4
    )
"""


def run(module, *arguments):
    """Run one of our commands and return (exit code, the object in its last line)."""
    command = [sys.executable, "-m", module, *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    data = tmp_path_factory.mktemp("sample")
    place = ("--project", "nanochat-mini", "--data-dir", data)
    first = run("etl.sync", *place, ROOT / "data" / "sample")
    second = run("etl.sync", *place)
    built = run("reports.build", *place)
    con = duckdb.connect(str(data / "nanochat-mini" / "runs.duckdb"), read_only=True)
    con.execute(
        "create temp table four as select metric from metrics where family = 'accuracy'"
        " order by runs desc, points desc, metric limit 4"
    ).fetchall()
    with con:
        yield SimpleNamespace(first=first, second=second, built=built, con=con)


def test_a_second_sync_of_the_sample_finds_nothing_new(sample):
    assert sample.first[0] == sample.second[0] == 3  # the killed run's .wandb has no end
    assert sample.second[1] == {**sample.first[1], "new_points": 0}
    assert sample.first[1]["points"] == sample.first[1]["new_points"] > 50_000


def test_the_report_says_what_it_was_built_from(sample):
    code, document = sample.built

    assert code == 0
    assert document["snapshot"] == sample.first[1]["snapshot"]
    assert document["charts"] == 11
    assert Path(document["path"]).stat().st_size == document["bytes"] < 1_500_000


def test_the_sample_opens_offline_with_as_many_points_as_its_tables_hold(sample, browser):
    """No request but the file, no error, four drawn scenes, counted against the DuckDB file."""
    context = browser.new_context(viewport={"width": 1300, "height": 8000}, offline=True)
    tab = open_page(context, sample.built[1]["path"])
    wait(tab, "__runatlas.ready", 120)
    drawn = tab.evaluate("__runatlas.drawn")
    asked, errors = tab.asked, tab.errors
    context.close()

    def count(query):
        return sample.con.execute(EVALUATED + query).fetchall()[0][0]

    before = "exists (select 1 from marks m where m.run_id = h.run_id and m.step <= h.step)"
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [
        f"file://{sample.built[1]['path']}"
    ]
    assert errors == []
    assert {
        chart: drawn[chart] for chart in ("trajectory", "space", "landscape", "benchmarks")
    } == {
        "trajectory": count(
            "select count(*) from history h where metric = 'train/loss' and isfinite(value)"
            f" and {before}"
        ),
        "space": count("select count(*) from runs"),
        "landscape": count(
            "select count(*) from history h join history s using (run_id, step)"
            " where h.metric = 'train/mfu' and s.metric = 'train/tok_per_sec'"
            f" and isfinite(h.value) and isfinite(s.value) and {before}"
        ),
        "benchmarks": count("select count(*) from marks"),
    }


def test_a_project_of_nanochats_pretraining_alone_has_points_in_every_chart_but_benchmarks(
    tmp_path,
):
    """CORE stands for accuracy, and the width follows from the config, without any settings."""
    config = {
        "depth": 4,
        "aspect_ratio": 64,
        "head_dim": 128,
        "device_batch_size": 8,
        "matrix_lr": 0.02,
    }
    log = hooks.init("nanochat", "d4", config=config, dir=tmp_path / "logs", wandb=False)
    for step in range(10):
        log.log({"train/loss": 3.0, "train/mfu": 40.0, "train/tok_per_sec": 1e5}, step=step)
        log.log({"core_metric": step / 10}, step=step)
    log.finish()
    place = ("--project", "nanochat", "--data-dir", tmp_path / "data")
    assert run("etl.sync", *place, tmp_path / "logs")[0] == 0
    _, document = run("reports.build", *place)

    drawn = {chart: counts["drawn"] for chart, counts in document["points"].items()}
    assert drawn == {
        "trajectory": 10,
        "curves": 10,
        "metrics": 10,
        "space": 1,
        "parallel": 0,
        "landscape": 10,
        "performance": 10,
        "benchmarks": 0,
        "evaluations": 1,
        "scaling": 0,
    }


def test_of_many_metrics_one_is_chosen_from_a_list(sample, browser):
    """Every value of the one chosen is one that was logged, and its extremes are among them."""
    context = browser.new_context(viewport={"width": 1300, "height": 900}, offline=True)
    tab = open_page(context, sample.built[1]["path"])
    tab.get_by_label("Other metrics: Metric").select_option("train/grad_norm")
    tab.locator("#plot-metrics").scroll_into_view_if_needed()
    wait(tab, "__runatlas.drawn.metrics > 1000")
    drawn = tab.evaluate(
        "__runatlas.planes.get('metrics').flatMap(({ series }) => series.flatMap((one) =>"
        " one.pieces.flatMap(({ from, to }) => [...one.ys.slice(from, to)])))"
    )
    address = tab.evaluate("location.hash")
    context.close()
    logged = sample.con.execute(
        "select distinct value::float::double from history where metric = 'train/grad_norm'"
        " and isfinite(value)"
    ).fetchall()
    values = {value for (value,) in logged}

    assert {*drawn} <= values
    assert {min(values), max(values)} <= {*drawn}
    assert "metrics.metric=train/grad_norm" in address


def test_a_run_pinned_in_the_table_is_bold_in_a_chart_that_was_out_of_view(sample, browser):
    """The table and the trajectory are never on one small screen together."""
    context = browser.new_context(viewport={"width": 1300, "height": 800}, offline=True)
    tab = open_page(context, sample.built[1]["path"])
    wait(tab, "__runatlas.drawn.trajectory", 120)
    # to the middle, away from the bar that stays on top
    tab.evaluate(
        "document.getElementById('run-5').scrollIntoView({ block: 'center', behavior: 'instant' })"
    )
    tab.locator("#runs-table tbody tr").nth(5).click(position={"x": 400, "y": 8})
    wait(tab, "__runatlas.state.pins.length === 1")
    tab.mouse.move(1, 1)  # a run that is pointed at would be bold instead
    wait(tab, "__runatlas.state.highlight === -1")
    tab.locator("#plot-trajectory").scroll_into_view_if_needed()
    bold = (
        "document.getElementById('plot-trajectory').data"
        ".some((t, i, all) => i > 0 && t.x.length > 0 && t.line && t.line.width >= 6)"
    )
    wait(tab, bold, 30)
    context.close()
