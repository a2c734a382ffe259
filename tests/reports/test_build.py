"""The command line: what it writes, what it says, how it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys

import pytest
import snapshots

import hooks
from etl import sync
from reports import assets, build


def build_json(capsys, *arguments):
    """Run the build with --json and return its code and documents."""
    code = build.main([*map(str, arguments), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_result_is_one_json_object_for_each_project(tmp_path, capsys):
    """Without --project every project that has a snapshot is built."""
    ids = {name: snapshots.mini(tmp_path, name)[1] for name in ("b", "a")}
    code, documents = build_json(capsys, "--data-dir", tmp_path)

    assert code == 0
    assert [document["project"] for document in documents] == ["a", "b"]
    for document in documents:
        path = tmp_path / document["project"] / "reports" / f"{document['snapshot']}.html"
        assert document["snapshot"] == ids[document["project"]]
        assert document["path"] == str(path)
        assert document["bytes"] == path.stat().st_size
        assert document["charts"] == 11
        assert path.read_bytes() == path.with_name("latest.html").read_bytes()


def test_with_nothing_new_it_says_so_and_changes_nothing(mini, capsys):
    """Files keep their bytes and their times."""
    files = sorted(mini.project.reports.iterdir())
    before = [(file, file.stat().st_mtime_ns) for file in files]

    assert build.main(["--data-dir", str(mini.data)]) == 0
    assert "nothing new" in capsys.readouterr().out
    assert [(file, file.stat().st_mtime_ns) for file in files] == before


def test_the_same_snapshot_gives_the_same_bytes_anywhere(mini, tmp_path, capsys):
    """Also from a copy of the manifest and the parts under another path."""
    copy = tmp_path / "elsewhere" / "mini"
    copy.mkdir(parents=True)
    shutil.copytree(mini.project.snapshots, copy / "snapshots")
    shutil.copytree(mini.project.parts, copy / "parts")
    out = tmp_path / "out"
    code, _ = build_json(capsys, "--project", "mini", "--data-dir", copy.parent, "--out", out)

    assert code == 0
    assert (out / f"{mini.snapshot}.html").read_bytes() == mini.page.read_bytes()
    assert not (copy / "reports").exists()


def test_a_snapshot_can_be_named_by_its_beginning_and_leaves_latest_alone(mini, tmp_path, capsys):
    """latest.html is what the latest snapshot says."""
    options = ["--project", "mini", "--data-dir", mini.data, "--out", tmp_path]
    code, (document,) = build_json(capsys, *options, "--snapshot", mini.snapshot[:6])

    assert code == 0
    assert document["snapshot"] == mini.snapshot
    assert not (tmp_path / "latest.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--project", "nobody"], 4, ["nobody", "mini", "python -m etl.sync --project nobody"]),
        (["--project", "mini", "--snapshot", "ffff"], 2, ["ffff", "--snapshot"]),
        (["--project", "../mini"], 2, ["no project name"]),
        (["--data-dir", "/nowhere/at/all"], 4, ["no project has a snapshot", "etl.sync"]),
    ],
)
def test_an_error_says_what_and_what_helps(mini, capsys, arguments, code, words):
    """With its exit code, on stderr, and without a traceback."""
    given = ["--data-dir", str(mini.data), *arguments]

    assert build.main(given) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err


def test_an_axis_that_project_toml_misnames_is_a_usage_error(tmp_path, capsys):
    """And one that no run measured is said on the page and on stderr."""
    project, _ = snapshots.mini(tmp_path)
    project.settings_file.write_text("[axes]\nbenchmarks = 'mmlu'\n", encoding="utf-8")

    assert build.main(["--data-dir", str(tmp_path)]) == 2
    project.settings_file.write_text("[axes]\naccuracy = 'mmlu_acc'\n", encoding="utf-8")
    assert build.main(["--data-dir", str(tmp_path)]) == 0
    assert "names mmlu_acc as accuracy" in capsys.readouterr().err
    html = (project.reports / "latest.html").read_text(encoding="utf-8")
    assert "names mmlu_acc as accuracy" in html


def test_a_place_that_cannot_be_written_is_a_usage_error(mini, tmp_path, capsys):
    """A file stands where the folder would be."""
    place = tmp_path / "file"
    place.write_text("", encoding="utf-8")
    options = ["--project", "mini", "--data-dir", str(mini.data), "--out", str(place)]

    assert build.main(options) == 2
    assert "fix:" in capsys.readouterr().err


def test_a_bug_is_one_line_and_with_debug_a_traceback(mini, capsys, monkeypatch):
    """Exit code 1 means: ours."""
    monkeypatch.setattr(build, "gather", lambda *_: 1 / 0)

    assert build.main(["--data-dir", str(mini.data)]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert build.main(["--data-dir", str(mini.data), "--debug"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_without_kaleido_there_is_a_page_and_a_word_about_the_stills(
    mini, tmp_path, capsys, monkeypatch
):
    """The build succeeds and says what to install."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: name != "kaleido" and real(name, *more)
    )
    monkeypatch.setattr(
        "reports.images.importlib.util.find_spec", lambda name: None if name == "kaleido" else 1
    )
    options = ["--project", "mini", "--data-dir", str(mini.data), "--out", str(tmp_path), "--png"]

    assert build.main(options) == 0
    assert "runatlas[png]" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_the_page_allows_only_its_own_scripts_and_styles(mini):
    """The policy names hashes, no origin, no eval and no inline script."""
    html = mini.page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)

    assert policy.replace("&#39;", "'").startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert policy.count("unsafe-inline") == 1  # style attributes, which plotly needs
    assert "http" not in policy


def test_a_vendored_script_that_was_changed_is_refused(monkeypatch):
    """What stands in every page is what was reviewed."""
    monkeypatch.setattr(assets, "PLOTLY_SHA256", "0" * 64)
    assets.plotly_script.cache_clear()
    with pytest.raises(ValueError, match="vendored"):
        assets.plotly_script()
    assets.plotly_script.cache_clear()


@pytest.mark.parametrize("writable", [True, False])
def test_templates_are_compiled_once_where_that_can_be_kept(tmp_path, monkeypatch, writable):
    """A second build reads them compiled; one that cannot be written to does without."""
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "one.html.j2").write_text("{{ 2 | number }}")
    if not writable:
        (folder / "__pycache__").symlink_to(tmp_path / "gone")
    monkeypatch.setattr(assets, "templates", lambda: folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    texts = {assets.environment().get_template("one.html.j2").render() for _ in range(2)}

    assert texts == {"2"}
    assert len(list(folder.glob("__pycache__/*.pyc"))) == writable


def test_a_project_of_reported_values_alone_shows_them_and_where_they_are_from(tmp_path, fixtures):
    """W&B's table of runs has no history: columns, scaling and sources are of its summaries."""
    places = ["--project", "p", "--data-dir", str(tmp_path)]

    assert sync.main([*places, str(fixtures / "wandb_runs_table")]) == 0
    assert build.main(places) == 0

    page = (tmp_path / "p" / "reports" / "latest.html").read_text()

    assert "<dt>Read from</dt><dd>wandb-runs-table</dd>" in page
    assert "lowest val/bpb" in page
    assert "best CORE" in page
    assert "All 33 metrics" in page
    assert "No run has both a loss and its FLOPs" not in page


def synced(folder, *words):
    """A project of one run, logged by our hooks; return what names it on a command line."""
    run = hooks.init("p", "a", dir=folder / "p" / "raw", wandb=False, telemetry=False)
    for step in range(5):
        run.log({"train/loss": 3.0 - step}, step=step)
    run.finish()
    places = ["--project", "p", "--data-dir", str(folder)]

    assert sync.main(places) == 0

    return [*places, *words]


def test_a_damaged_part_is_named_with_the_command_that_cures_it(tmp_path, capsys):
    """A part cut short ends the build with 2; removed, the next sync writes it anew."""
    places = synced(tmp_path)
    for part in sorted((tmp_path / "p" / "parts").iterdir()):
        os.truncate(part, 100)
        capsys.readouterr()

        assert build.main(places) == 2
        told = capsys.readouterr().err
        assert f"{part}: a damaged part" in told
        assert f"rm {part} && python -m etl.sync --project p --data-dir {tmp_path}" in told

        part.unlink()
        assert sync.main(places) == 0
        assert build.main(places) == 0


def test_names_in_project_toml_that_nothing_has_are_said(tmp_path, capsys):
    """A baseline and a stage: one line each, and the page is built all the same."""
    places = synced(tmp_path)
    settings = 'baseline = "nobody"\n[stages]\n"nanochat" = "pretrainig"\n'
    (tmp_path / "p" / "project.toml").write_text(settings)
    capsys.readouterr()

    assert build.main(places) == 0
    told = capsys.readouterr().err
    assert "names nobody as baseline, which no run in this snapshot is called" in told
    assert "names pretrainig as the stage of nanochat, which is no stage; the stages are" in told


def test_an_error_is_a_json_object_too_and_its_fix_names_the_data_folder(tmp_path, capsys):
    """The keys are those of every command's errors."""
    code, (document,) = build_json(capsys, "--project", "nope", "--data-dir", tmp_path)

    assert code == document["code"] == 4
    assert set(document) == {"error", "where", "done", "fix", "code"}
    assert document["fix"] == f"python -m etl.sync --project nope PATH --data-dir {tmp_path}"


def test_runs_of_which_nothing_is_known_are_told_in_words(tmp_path, capsys):
    """Neither a stage nor an end: no list of the word unknown."""
    log = tmp_path / "other.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    places = ["--project", "p", "--data-dir", str(tmp_path / "data")]

    assert sync.main([*places, str(log)]) == 0
    assert build.main(places) == 0

    page = (tmp_path / "data" / "p" / "reports" / "latest.html").read_text()
    assert "1 run of unknown stage. No source says how it ended." in page
