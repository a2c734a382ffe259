"""A board on a W&B server without Weave shows a snapshot, holds all of it, and tells no more."""

from __future__ import annotations

import json
import math
import os
import socket
import sys

import pytest
from loopback.server import serving
from pages import unpacked
from publishing import KEY, Publisher

from reports import publish, theme
from reports.boards import package
from reports.boards.wandb_runs import run_name

pytest.importorskip("wandb", reason="the wandb client is not installed")

PROJECT = ("team", "mini-reports")


@pytest.fixture(scope="module")
def published(tmp_path_factory, outbox):
    """A server to which the package was published once, and how that went."""
    with serving() as server:
        publisher = Publisher(tmp_path_factory.mktemp("published"), outbox, server)
        done = publisher.publish()

        assert done.code == 0, done.err
        assert not server.unknown

        (folder,) = (
            path for path in publisher.outbox.iterdir() if (path / "manifest.json").exists()
        )
        publisher.package = package.opened(folder)
        publisher.server, publisher.done = server, done
        yield publisher


@pytest.fixture
def backend(published):
    return published.server.backend


def boards(backend):
    return [run for run in backend.of(*PROJECT) if run.fields["jobType"] == "board"]


def contents(backend, name="snapshot"):
    """Every version of an artifact: its aliases, and its files by name."""
    found = []
    for artifact in backend.artifacts.values():
        if artifact.collection == name and artifact.state == "COMMITTED":
            names = json.loads(backend.uploads[artifact.manifest])["contents"]
            files = {file: backend.uploads[artifact.path(file)] for file in names}
            found.append((sorted(artifact.aliases), files))
    return found


def media(run, key):
    """The file that a run shows under *key*."""
    return run.files[json.loads(run.summary)[key]["path"]]


def test_a_snapshots_run_shows_its_page_charts_and_table(published, backend):
    """The page is the page byte for byte, each chart its figure, each run a row of the table."""
    one, (run,) = published.package, boards(backend)

    assert (run.name, run.state) == (one.snapshot, "finished")
    assert media(run, "report") == one.read("report.html")
    for chart in one.board().charts:
        figure = json.loads(one.read(chart.figure))
        figure["layout"] = {name: part for name, part in figure["layout"].items() if part != []}
        assert json.loads(media(run, f"charts/{chart.key}")) == figure
    table = json.loads(media(run, "runs"))
    names = [row[table["columns"].index("run")] for row in table["data"]]
    assert names == [row["name"] for row in one.runs()]


def test_nan_and_missing_stay_apart_in_the_table(published, backend):
    """A loss that diverged is NaN, what was not measured is null, and neither is 0."""
    one, (run,) = published.package, boards(backend)
    table = json.loads(media(run, "runs"))
    label = next(column.label for column in one.board().columns if column.key == "loss")
    at = next(n for n, title in enumerate(table["columns"]) if title.startswith(label))
    losses = dict(
        zip((row["id"] for row in one.runs()), (row[at] for row in table["data"]), strict=True)
    )

    for row in one.runs():
        if "loss" not in row:
            assert losses[row["id"]] is None
        elif row["loss"] == "NaN":
            assert math.isnan(losses[row["id"]])
    assert any(row.get("loss") == "NaN" for row in one.runs())


def test_the_artifact_is_the_whole_package_under_the_snapshots_name(published, backend):
    """Every file, equal to its own: report, charts, Parquet, manifest; nothing else."""
    one = published.package
    ((aliases, files),) = contents(backend)

    assert aliases == sorted(["latest", one.snapshot])
    assert files == {name: one.read(name) for name in (*one.files, "manifest.json")}
    assert any(name.endswith(".parquet") for name in files)


def test_each_run_of_the_snapshot_is_a_run_with_settings_and_results(published, backend):
    """Stage as job type, results in the summary, its state; a NaN is no obstacle."""
    for row in published.package.runs():
        run = backend.runs[*PROJECT, run_name(row["id"])]
        results, config = json.loads(run.summary), json.loads(run.fields["config"])

        assert run.fields["jobType"] == row["stage"]
        assert run.state == ("finished" if row["state"] == "finished" else "failed")
        assert config["id"]["value"] == row["id"]
        if "accuracy" in row:
            assert results["accuracy"] == pytest.approx(row["accuracy"])


def test_a_workspace_and_a_report_have_3d_panels_and_the_colours_of_the_stages(published, backend):
    """Scatter panels with three axes, parallel coordinates, the media; each run in its colour."""
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is not installed")
    colours = theme.STAGE_COLOURS["light"]
    views = {view["type"]: view["spec"] for view in backend.views.values()}

    assert sorted(views) == ["project-view", "runs"]
    for spec in views.values():
        panels = list(found(json.loads(spec), "viewType"))
        kinds = [panel["viewType"] for panel in panels]
        assert kinds.count("Scatter Plot") >= 2
        assert {"Parallel Coordinates Plot", "Media Browser"} <= set(kinds)
        scatters = [panel["config"] for panel in panels if panel["viewType"] == "Scatter Plot"]
        assert all(config["xAxis"] and config["yAxis"] and config["zAxis"] for config in scatters)
        (media,) = (panel["config"] for panel in panels if panel["viewType"] == "Media Browser")
        assert {"report", "charts/trajectory"} <= set(media["mediaKeys"])
        for row in published.package.runs():
            assert f'"{run_name(row["id"])}":"{colours[theme.stage_index(row["stage"])]}"' in spec


def found(document, key):
    """Every object within *document* that has *key*."""
    if isinstance(document, dict):
        if key in document:
            yield document
        document = list(document.values())
    for item in document if isinstance(document, list) else ():
        yield from found(item, key)


def test_what_is_sent_tells_nothing_of_the_machine_or_the_person(published, backend):
    """No key, host, user, e-mail, argv, working folder, home or list of packages in any byte."""
    sent = [json.dumps(run.fields) + run.summary for run in backend.runs.values()]
    sent += [json.dumps(artifact.fields) for artifact in backend.artifacts.values()]
    # packed, a page of a megabyte has any three letters somewhere
    uploads = map(unpacked, backend.uploads.values())
    whole = "\n".join(sent).encode() + b"\n".join(uploads)
    private = [
        KEY,
        published.folder,
        os.getcwd(),
        sys.executable,
        socket.gethostname() + '"',
        "--outbox",
    ]

    for word in map(str, private):
        assert word.encode() not in whole, word
    for run in backend.runs.values():
        assert not {"requirements.txt", "wandb-metadata.json", "output.log"} & set(run.files)
        assert not run.events


def test_nothing_is_left_on_the_machine_that_published(published):
    """Neither where it was started nor at home: no run folder, no cache, no staged file."""
    assert sorted(path.name for path in published.folder.rglob("*") if path.is_file()) == sorted(
        path.name for path in published.outbox.rglob("*") if path.is_file()
    )


def test_publishing_again_adds_no_version_no_run_and_no_view(published, backend):
    """Whether the record of it was kept or lost; the server is asked, and has it."""
    before = (sorted(backend.runs), sorted(backend.artifacts), sorted(backend.views))
    uploads = dict(backend.uploads)
    recorded = published.publish()
    published.forget()
    lost = published.publish()

    assert (recorded.code, recorded.board["pushed"]) == (0, [])
    assert (lost.code, len(lost.board["pushed"])) == (0, 1)
    assert (sorted(backend.runs), sorted(backend.artifacts), sorted(backend.views)) == before
    assert backend.uploads == uploads


def test_a_file_that_the_server_changed_is_noticed(published, backend):
    """What is read back comes from the server and not from the client's own cache."""
    from reports.boards import server as servers
    from reports.boards.wandb_board import WandbBoard

    (artifact,) = (a for a in backend.artifacts.values() if a.collection == "snapshot")
    path = artifact.path("runs.jsonl")
    whole = backend.uploads[path]
    board = WandbBoard(servers.configured(published.environment))
    with published.told():
        board.reach(10.0)
        try:
            receipt = board.push(published.package)
            backend.uploads[path] = whole[:-1] + b" "

            assert board.read_back(receipt, published.package) == ["runs.jsonl (other bytes)"]
        finally:
            backend.uploads[path] = whole
            board.close()


def test_the_next_snapshot_is_the_next_version_of_one_board(tmp_path, logged, capsys, monkeypatch):
    """``latest`` moves on, the views are the same two, and runs that are as they were stay so.

    What a shell says of the trainings that it starts is nothing to a board.
    """
    for name, value in {"MODE": "offline", "RUN_ID": "mine", "RESUME": "must"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        command = ["--project", "tiny", "--data-dir", str(logged.data), "--to", "wandb", "--now"]

        assert publish.main(command) == 0
        logged.log("d12", 0.6, depth=12)
        second = logged.sync(capsys)
        server.requests.clear()

        assert publish.main(command) == 0
        assert [aliases for aliases, _ in contents(server.backend)] == [
            [logged.first],
            sorted(["latest", second]),
        ]
        names = {run.name for run in server.backend.of("team", "tiny-reports")}
        assert names == {"d4", "d8", "d12", logged.first, second}
        assert len(server.backend.views) == 2
        assert server.requests.count("CreateRunFiles") == 2  # the new run, and the board's
        assert not server.unknown
