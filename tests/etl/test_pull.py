"""A W&B server's runs come back whole, once, and only what changed of them again."""

from __future__ import annotations

import hashlib
import json
import math

import polars as pl
import pytest
from loopback.client import Client
from loopback.server import serving

from etl.sources import wandb_offline, wandb_parquet

RUN = "team/nanochat/d4run"


@pytest.fixture(scope="module")
def synced(tmp_path_factory):
    """A server to which one real offline run was synced, and that run's file."""
    with serving() as server:
        folder = tmp_path_factory.mktemp("training")
        path = Client(folder, server).sync()
        yield server, path
        assert not server.unknown


@pytest.fixture
def client(tmp_path):
    with serving() as server:
        yield Client(tmp_path, server)
        assert not server.unknown


def comparable(value):
    """Return a value as text; in JSON 1 and 1.0 are one number, and Parquet knows the latter."""
    structured = isinstance(value, str) and value[:1] in ("[", "{")
    return json.dumps(json.loads(value, parse_int=float)) if structured else str(value)


def points_of(parts):
    """Every value as (key, step, value), steps as the training script counts them."""
    columns = ("key", "step", "value", "text")
    rows = [row for part in parts for row in part.points.select(columns).iter_rows()]
    return sorted(
        (key, step, comparable(text if value is None else value)) for key, step, value, text in rows
    )


def pulled_points(folder):
    """What the reader of exports has of a pulled run."""
    files = sorted(folder.glob("history*.parquet"))
    return points_of(part for path in files for part in wandb_parquet.read(path, 0, ()).parts)


def logged_points(path):
    return points_of(wandb_offline.read(path, 0, ()).parts)


@pytest.mark.parametrize(
    ("state", "exported"), [("finished", None), ("finished", 4), ("running", 0)]
)
def test_a_synced_run_comes_back_as_its_own_file_has_it(synced, tmp_path, state, exported):
    """Every value at every step, whether the server has it as Parquet, in part, or live."""
    server, path = synced
    run = server.backend.runs["team", "nanochat", "d4run"]
    run.state, run.exported = state, exported
    client = Client(tmp_path, server)
    done = client.pull()

    assert (done.code, done.document["failed"]) == (0, []), done.err
    points, logged = pulled_points(client.to / RUN), logged_points(path)

    assert points == logged
    assert ("train/loss", 30, "nan") in points
    assert done.document["rows"] == client.manifest[RUN]["rows"] == len(run.history)


def test_what_a_run_is_comes_with_it_and_where_it_ran_does_not(synced, tmp_path):
    """Config, summary, labels, console output and system metrics; no host, user, path or argv."""
    server, path = synced
    run = server.backend.runs["team", "nanochat", "d4run"]
    run.state, run.exported = "finished", None
    client = Client(tmp_path, server)
    client.pull()
    said = client.run(RUN)
    facts = wandb_offline.read(path, 0, ()).parts[0].facts

    assert said["config"] == facts.config
    assert said["summary"]["train/epoch"] == "50 pq: 1 rg: 2"
    assert said["tags"] == ["a", "b"]
    labels = ("name", "notes", "group", "job_type", "state")
    assert [said[label] for label in labels] == ["d4", "the first", "speedrun", "base_train",
                                                 "finished"]  # fmt: skip
    assert "step 40" in (client.to / RUN / "output.log").read_text(encoding="utf-8")
    events = pl.read_parquet(client.to / RUN / "events.parquet")
    assert events.height == len(run.events)
    text = (client.to / RUN / "run.json").read_text(encoding="utf-8")
    for word in ("someone", "host", "email", "argv", "/"):
        assert word not in text.replace("train/", "").replace("val/", "").lower(), word


def test_the_manifest_has_the_hash_size_and_rows_of_every_file(client):
    """A folder that was carried can be checked against it, byte by byte."""
    client.server.backend.run("nanochat", "r1").log({"loss": 1.0}, {"loss": 2.0}).state = "finished"
    client.pull()

    files = client.manifest["team/nanochat/r1"]["files"]
    folder = client.to / "team/nanochat/r1"
    assert set(files) == {path.name for path in folder.iterdir()} == {"run.json", "history.parquet"}
    for name, said in files.items():
        data = (folder / name).read_bytes()
        assert said["bytes"] == len(data)
        assert said["blake2b"] == hashlib.blake2b(data, digest_size=32).hexdigest()
    assert files["history.parquet"]["rows"] == 2


def test_a_second_pull_changes_nothing_and_a_later_one_fetches_what_grew(client):
    """Unchanged runs cost their line in the list; no file is touched, not even the manifest."""
    backend = client.server.backend
    backend.run("nanochat", "old").log({"loss": 1.0}).state = "finished"
    backend.run("nanochat-sft", "live").log({"loss": 1.0})
    client.pull()
    before = client.stamps()
    client.server.requests.clear()
    again = client.pull()

    assert (again.code, again.document["pulled"], again.document["unchanged"]) == (0, 0, 2)
    assert client.stamps() == before
    assert set(client.server.requests) == {"Viewer", "GetDefaultEntity", "Runs"}

    backend.run("nanochat-sft", "live").log({"loss": 0.5}, {"loss": math.nan})
    grown = client.pull()

    assert (grown.document["pulled"], grown.document["rows"]) == (1, 4)
    frame = pl.read_parquet(client.to / "team/nanochat-sft/live/history.parquet")
    assert repr(frame["loss"].to_list()) == "[1.0, 0.5, nan]"


def test_labels_that_people_change_are_brought_up_to_date_without_the_history(client):
    """A tag or a note that is added to a finished run changes its run.json alone."""
    run = client.server.backend.run("nanochat", "r1").log({"loss": 1.0}, {"loss": 0.5})
    run.state = "finished"
    client.pull()
    history = client.to / "team/nanochat/r1/history.parquet"
    before = history.stat().st_mtime_ns
    run.fields |= {"tags": ["best"], "displayName": "renamed"}
    done = client.pull()

    assert done.document["unchanged"] == 1
    said = client.run("team/nanochat/r1")
    assert (said["tags"], said["name"], said["export"]["rows"]) == (["best"], "renamed", 2)
    assert history.stat().st_mtime_ns == before


def test_a_run_that_was_deleted_on_the_server_stays_and_is_marked(client):
    """The folder may be the last place that has it."""
    backend = client.server.backend
    for name in ("kept", "deleted"):
        backend.run("nanochat", name).log({"loss": 1.0}).state = "finished"
    client.pull()
    del backend.runs["team", "nanochat", "deleted"]
    client.pull()

    assert (client.to / "team/nanochat/deleted/history.parquet").exists()
    assert client.manifest["team/nanochat/deleted"]["gone_since"]
    assert "gone_since" not in client.manifest["team/nanochat/kept"]


def test_named_source_projects_are_pulled_and_one_that_is_not_there_is_said(client):
    """Only what was asked for; what exists comes, what does not makes exit code 3."""
    backend = client.server.backend
    for project in ("nanochat", "other"):
        backend.run(project, "r1").log({"loss": 1.0}).state = "finished"
    done = client.pull("--source-project", "other", "--source-project", "typo")

    assert (done.code, done.document["runs"]) == (3, 1)
    assert [item["run"] for item in done.document["failed"]] == ["team/typo"]
    assert set(client.manifest) == {"team/other/r1"}


def test_a_run_without_history_is_kept_as_what_it_is(client):
    """It has a config; that nothing was logged is a fact about it too."""
    client.server.backend.run(
        "nanochat", "empty", config='{"depth": {"value": 4}}'
    ).state = "crashed"
    done = client.pull()

    assert (done.code, done.document["rows"]) == (0, 0)
    said = client.run("team/nanochat/empty")
    assert (said["config"], said["state"], said["export"]["verified"]) == (
        {"depth": 4}, "crashed", True,
    )  # fmt: skip
