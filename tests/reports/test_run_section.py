"""The section of one run in a real browser: from every link, with whatever a run is called."""

from __future__ import annotations

import pytest
import snapshots
from pages import open_page, wait

from reports import build

LONG = "x" * 10_000
RTL = "\u202e evil \u2067 right to left"
NASTY = {
    "</script><script>alert(1)</script>": "</script><img src=x onerror=alert(2)>",
    "quotes'\"`": "\u2028\u2029 '\"`",
    "rtl": RTL,
    "long": LONG,
    "__proto__": "{{7*7}} %{x}",
    **{f"key.{i:02}": i for i in range(30)},
}


@pytest.fixture(scope="module")
def sheet(tmp_path_factory, browser):
    """A project of a parent, its child and a run with hostile name and config; its page, open."""
    data = tmp_path_factory.mktemp("sections")
    history = [
        *snapshots.points("base", "val/bpb", range(0, 100, 10), [1.0 - i / 100 for i in range(10)]),
        *snapshots.points(
            "base", "train/loss", range(3), [2.0, float("nan"), 1.5], "wandb-offline"
        ),
        *snapshots.points("<b>tuned", "val/bpb", range(0, 20, 10), [0.8, 0.7]),
    ]
    about = {"stage": "pretraining", "tags": '["one", "</script>"]', "notes": "two\nlines " + RTL}
    about |= {"group_name": "sweep", "script": "train.py", "exit_code": 0}
    runs = [
        snapshots.run_row("base", history, name=snapshots.HOSTILE, **about),
        snapshots.run_row("<b>tuned", history, name=LONG, stage="sft", parent_run_id="base"),
    ]
    config = [
        *snapshots.config("base", NASTY),
        {"run_id": "base", "key": "key.07", "value": "8", "number": 8.0, "kind": "effective"},
    ]
    segment = {"run_id": "base", "rank": 0, "state": "unfinished", "points": 5}
    segments = [
        {**segment, "segment": 0, "first_step": 0, "last_step": 60, "abandoned_from": 50},
        {**segment, "segment": 1, "first_step": 50, "last_step": 90, "resume_step": 50}
        | {"state": "finished", "exit_code": 0, "versions": '{"git": "abc123", "torch": "2.9"}'},
    ]
    measured = {"run_id": "base", "segment": 0, "source": "hooks"}
    telemetry = [
        {**measured, "metric": f"system.gpu.{gpu}.temp", "ts": snapshots.START, "value": 50.0 + gpu}
        for gpu in range(4)
    ]
    differing = {"run_id": "base", "metric": "val/bpb", "source": "hooks", "other": "wandb-csv"}
    project, _ = snapshots.write(
        data,
        "sections",
        {
            "runs": runs, "config": config, "history": history, "segments": segments,
            "console": [{"run_id": "base", "segment": 1, "source": "hooks", "line": 9,
                         "text": "</pre><b>Traceback</b>"}],
            "telemetry": telemetry, "metrics": snapshots.catalog(history),
            "disagreements": [{**differing, "points": 2, "largest": 0.25}],
        },
    )  # fmt: skip
    assert build.main(["--data-dir", str(data)]) == 0
    context = browser.new_context(viewport={"width": 1300, "height": 900}, offline=True)
    tab = open_page(context, project.reports / "latest.html")
    wait(tab, "window.__runatlas && __runatlas.interactive")
    yield tab
    assert tab.errors == []
    assert [url for url in tab.asked if not url.startswith("blob:")] == [tab.asked[0]]
    context.close()


def close(tab):
    if tab.evaluate("document.getElementById('sheet').open"):
        tab.click("#sheet .close")
    wait(tab, "__runatlas.state.open === -1 && !location.hash.startsWith('#run')", 10)


def opened(tab, run):
    """Open the section of *run* from the runs table, and return its text."""
    close(tab)
    tab.locator(f"#run-{run} th a").click()
    wait(tab, "document.getElementById('sheet').open")
    return tab.inner_text("#sheet")


def test_a_name_leads_to_all_that_is_known_of_the_run(sheet):
    """Labels, lineage, results, both configs, segments, environment, machine and sources."""
    text = opened(sheet, 0)

    for part in ("Lineage", "Results", "Config", "Segments", "Environment", "Machine", "Console"):
        assert f"\n{part}\n" in text
    for word in ("sweep", "train.py", "two\nlines", "abc123", "replaced from step 50", "wandb-csv"):
        assert word in text
    rows = sheet.locator("#sheet table[aria-label='Results'] tbody tr").all_inner_texts()
    bpb = next(row.split() for row in rows if row.startswith("val/bpb"))
    assert bpb == ["val/bpb", "bits/byte", "0.91", "0.91", "1", "90", "10", "hooks"]
    setting = sheet.locator("#sheet table[aria-label='Config'] tr", has_text="key.07")
    assert setting.inner_text().split() == ["key.07", "7", "8"]
    gpu = sheet.locator("#sheet table[aria-label='Machine'] tbody tr").inner_text().split()
    assert gpu == ["system.gpu.*.temp", "°C", "50", "51.5", "53", "4"]


def test_names_and_settings_are_text_whatever_they_hold(sheet):
    """They come back as they are, clipped where they are too long, and nothing of them runs."""
    opened(sheet, 0)
    shown = dict(
        sheet.evaluate(
            "[...document.querySelectorAll('#sheet table[aria-label=Config] tbody tr')]"
            ".map(row => [row.cells[0].textContent, row.cells[1].textContent])"
        )
    )

    assert sheet.text_content("#sheet-title") == snapshots.HOSTILE
    for key, value in NASTY.items():
        if key != "long":
            assert shown[key] == str(value)
    assert shown["long"] == LONG[:2_000] + "… (10,000 characters)"
    assert sheet.locator("#sheet .tag").all_text_contents() == ["one", "</script>"]
    assert sheet.locator("#sheet img, #sheet script").count() == 0
    assert sheet.text_content("#sheet pre") == "</pre><b>Traceback</b>"
    assert "console_lines = 40" in opened(sheet, 1)
    assert len(sheet.text_content("#sheet-title")) < 400


def test_parent_and_child_lead_to_each_other(sheet):
    """By their links, in the sheet itself; the focus goes back to where it came from."""
    opened(sheet, 1)
    sheet.locator("#sheet .kin a").click()
    wait(sheet, "__runatlas.state.open === 0")
    wait(sheet, "document.getElementById('sheet-title').textContent.startsWith('</script>')")
    sheet.locator("#sheet .kin a").click()
    wait(sheet, "__runatlas.state.open === 1")
    sheet.keyboard.press("Escape")
    wait(sheet, "!document.getElementById('sheet').open")

    assert sheet.evaluate("document.activeElement.closest('tr').id") == "run-1"


def test_a_run_is_pinned_and_made_the_baseline_from_its_section(sheet):
    """Where a narrow screen has no room for the tools in the table; each button undoes itself."""
    opened(sheet, 1)
    for does, undoes, is_on in (
        ("Pin", "Unpin", "__runatlas.state.pins.includes(1)"),
        ("Make it the baseline", "Baseline no longer", "__runatlas.state.baseline === 1"),
    ):
        for name, wanted in ((does, True), (undoes, False)):
            sheet.locator("#sheet .actions").get_by_text(name, exact=True).click()
            assert sheet.evaluate(is_on) == wanted


def test_a_setting_is_found_among_many(sheet):
    """The search keeps the rows that hold what was typed."""
    opened(sheet, 0)
    sheet.fill("#sheet input[type=search]", "key.1")
    left = sheet.locator("#sheet table[aria-label='Config'] tbody tr:not([hidden]) th")

    assert left.all_text_contents() == [f"key.1{i}" for i in range(10)]


@pytest.mark.parametrize("fragment", ["#run-1", "#run-%3Cb%3Etuned", "#run=%3Cb%3Etuned"])
def test_an_address_opens_the_section_of_a_run(sheet, fragment):
    """By its place on the page, by its id, and as a part of the view."""
    close(sheet)
    sheet.evaluate(f"location.hash = {fragment!r}")
    wait(sheet, "document.getElementById('sheet').open && __runatlas.state.open === 1")


def test_a_printed_page_has_no_open_section(sheet):
    opened(sheet, 0)
    sheet.emulate_media(media="print")
    visible = sheet.is_visible("#sheet")
    sheet.emulate_media(media="screen")

    assert not visible
