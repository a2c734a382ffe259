"""What changed since another snapshot, and the index pages over all of them."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
from pathlib import Path

import pytest
import snapshots
from pages import open_page, wait

from reports import build

FLOOR = {"d12": 1.0, "d20": 0.8, "d26": 0.7}


def run(run_id, last, **more):
    """Return history, config and row of a run whose val/bpb comes down to a floor by *last*."""
    steps = range(0, last + 1, 10)
    unrest = [0.004 * (-1) ** at for at in range(len(steps))]
    values = [FLOOR[run_id] + 2 / (1 + s) + u for s, u in zip(steps, unrest, strict=True)]
    logged = snapshots.points(run_id, "val/bpb", steps, values)
    logged += snapshots.points(run_id, "total_training_flops", steps, [1e12 * s for s in steps])
    config = snapshots.config(run_id, {"depth": int(run_id[1:]), "lr": more.pop("lr", 0.02)})
    return logged, config, snapshots.run_row(run_id, logged, stage="pretraining", **more)


def write(data, name, runs, previous=None):
    logged, configs, rows = zip(*runs, strict=True)
    history = [*itertools.chain(*logged)]
    tables = {"history": history, "config": [*itertools.chain(*configs)], "runs": rows}
    return snapshots.write(
        data, name, tables | {"metrics": snapshots.catalog(history)}, previous=previous
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A project's two snapshots, built one after the other; another project has one."""
    data = tmp_path_factory.mktemp("pair")
    early = [run("d12", 200, lr=snapshots.HOSTILE), run("d20", 120, state="unfinished")]
    late = [run("d12", 200, lr="calm"), run("d20", 200), run("d26", 200, name=snapshots.HOSTILE)]
    project, before = write(data, "pair", early)
    assert build.main(["--data-dir", str(data)]) == 0
    _, after = write(data, "pair", late, previous=before)
    write(data, "alone", early)
    assert build.main(["--data-dir", str(data)]) == 0
    return data, project, before, after


def section(path):
    """Return the words of the section as they are read."""
    found = re.search(r'<section class="changed.*?</section>', path.read_text("utf-8"), re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def test_the_headline_says_the_most_in_one_sentence(pair):
    """How many runs are new and changed, what became of one, and the best value with its noise."""
    _, project, before, _ = pair
    words = section(project.reports / "latest.html")

    assert f"What changed since snapshot {before}" in words
    assert "1 new run and 2 changed, d20 (pretraining) now finished;" in words
    told = re.search(r"improved the best pretraining val/bpb by (\S+) bits/byte, beyond", words)
    # d20 stood at step 120 and d26 is at step 200, both in a trough of their unrest
    assert float(told[1]) == pytest.approx(0.8 + 2 / 111 - 0.7 - 2 / 191, abs=0.005)


def test_the_details_name_runs_settings_values_and_compute(pair):
    """What a reader would ask next, each with before and now."""
    _, project, _, _ = pair
    words = section(project.reports / "latest.html")

    assert "d20 pretraining unfinished → finished · +16 points · last step 120 → 200" in words
    assert "as d20, but depth 26" in words or "as d12, but depth 26" in words
    assert "lr requested" in words
    assert snapshots.HOSTILE.split("\u2028")[0].strip() in words
    assert "best val/bpb" in words
    assert "Compute to" in words
    assert re.search(r"\d\.\d\d× ", words.replace("×", "× "))


def test_a_first_snapshot_says_so_in_one_line(pair):
    _, project, before, _ = pair

    assert "the project’s first snapshot" in section(project.reports / f"{before}.html")


def test_a_previous_snapshot_that_was_not_carried_along_is_named(pair, tmp_path):
    """The page is built all the same, and says what is missing."""
    _, project, before, _ = pair
    copy = tmp_path / "pair"
    shutil.copytree(project.folder, copy, ignore=shutil.ignore_patterns("reports"))
    (copy / "snapshots" / f"{before}.json").unlink()

    assert build.main(["--data-dir", str(tmp_path)]) == 0
    assert f"The previous snapshot, {before}, is not here" in section(
        copy / "reports" / "latest.html"
    )


def test_another_comparison_is_another_page(pair, tmp_path, capsys):
    """It leaves the usual pages alone, and an id that is not there is a usage error."""
    data, _, before, after = pair
    options = ["--project", "pair", "--data-dir", str(data), "--out", str(tmp_path)]
    asked = [*options, "--snapshot", before, "--against", after[:8], "--json"]

    assert build.main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.keys() >= {"project", "snapshot", "path", "bytes", "charts"}
    assert document["snapshot"] == before
    assert document["path"] == str(tmp_path / f"{before}-against-{after}.html")
    assert "1 gone" in section(Path(document["path"]))
    assert not (tmp_path / "latest.html").exists()
    assert build.main([*options, "--against", "feed"]) == 2


def test_the_index_of_a_project_has_a_row_for_each_snapshot(pair):
    """The current one first, with what it holds, what changed, and the trend of the best value."""
    _, project, before, after = pair
    page = (project.reports / "index.html").read_text("utf-8")
    facts = json.loads((project.reports / "index.json").read_text("utf-8"))
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2], re.DOTALL)

    assert [item["snapshot"] for item in facts["snapshots"]] == [after, before]
    assert [item["runs"] for item in facts["snapshots"]] == [3, 2]
    best = [item["best"]["value"] for item in facts["snapshots"]]
    assert best == [pytest.approx(0.7 + 2 / 191 - 0.004), pytest.approx(0.8 + 2 / 111 - 0.004)]
    assert [f'href="{one}.html"' in row for one, row in zip((after, before), rows, strict=True)]
    assert "improved the best pretraining val/bpb" in rows[0]
    assert "first snapshot" in rows[1]
    assert '<polyline points="4' in page


def test_every_link_of_the_index_pages_leads_to_a_file(pair):
    """All of them relative, so that the folder can be carried anywhere."""
    data, project, _, _ = pair
    pages = [data / "index.html", project.reports / "index.html"]
    for page in pages:
        links = re.findall(r'href="([^"]+)"', page.read_text("utf-8"))

        assert links
        for link in links:
            assert (page.parent / link).is_file()
            assert not link.startswith(("/", "http", "file"))


def test_a_build_of_one_project_keeps_the_others_in_the_index(pair):
    data, _, _, _ = pair

    assert build.main(["--data-dir", str(data), "--project", "alone"]) == 0
    page = (data / "index.html").read_text("utf-8")
    assert page.index(">alone<") < page.index(">pair<")


def test_the_index_opens_from_disk_and_leads_to_the_report(pair, browser):
    """No script, no request but the pages themselves, no error; names are text."""
    data, project, _, after = pair
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    tab = open_page(context, data / "index.html", script=False)

    assert tab.locator("script, img").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert "default-src 'none'; script-src 'none'" in tab.content().replace("&#39;", "'")
    tab.get_by_role("link", name="2 snapshots").click()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.get_by_role("link", name=after).click()
    wait(tab, "window.__runatlas && __runatlas.interactive")
    assert tab.locator("#changed .headline").inner_text().startswith("1 new run")
    tab.locator("#changed summary").click()
    assert tab.locator("#changed .news").is_visible()
    assert tab.errors == []
    assert [url for url in tab.asked if not url.startswith("blob:")] == [
        f"file://{path}"
        for path in (
            data / "index.html",
            project.reports / "index.html",
            project.reports / f"{after}.html",
        )
    ]
    context.close()
