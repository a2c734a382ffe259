"""Boards on a real Weave trace server, read back with the plain weave client."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trace_servers
from logged import BENCHMARKS, Logged
from trace_servers import KEY, TraceServer

from reports import publish
from reports.boards.package import opened

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of weave's own imports


@pytest.fixture
def server(weave_servers):
    """The first of the two servers."""
    return weave_servers[0]


@pytest.fixture
def logged(tmp_path, capsys, no_servers, request):
    """A project of two runs, all its own: SQLite's server keeps equal rows for one project only."""
    name = re.sub(r"[^a-z]+", "-", request.node.name)[5:40].strip("-")
    project = Logged(tmp_path / "data", name)
    project.log(f"d4-{name}", 0.25)
    project.log(f"d8-{name}", 0.5, depth=8)
    project.first = project.sync(capsys)
    return project


@contextmanager
def pointed_at(server, monkeypatch):
    """Point the clients of this process at *server*, and no key but its own."""
    with monkeypatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield


def publish_json(capsys, *arguments):
    """Run publish with --json and return its code, its documents and what it said."""
    capsys.readouterr()  # what weave.init printed
    code = publish.main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


@contextmanager
def plain_client(server, monkeypatch, project):
    """Give the weave module as a person has it after ``weave.init``."""
    import weave

    with pointed_at(server, monkeypatch):
        yield weave.init(f"local/{project}-reports")
        weave.finish()


def held(server, monkeypatch, logged):
    """Count what the server holds: versions of our objects, and calls by op and whether ended."""
    with plain_client(server, monkeypatch, logged.project.name) as client:
        asked = {"project_id": client.project_id}
        objects = Counter(entry.object_id for entry in client.server.objs_query(asked).objs)
        calls = Counter(
            (call.op_name.split("/")[-1].split(":")[0], call.ended_at is not None)
            for call in client.server.calls_query_stream(asked)
        )
    name = logged.project.name
    ours = {key.removeprefix(name): n for key, n in objects.items() if key.startswith(name)}
    return ours, calls


def whole(runs, snapshots=1):
    """What a server holds of a project when nothing is missing and nothing is there twice."""
    scores = len(BENCHMARKS) + 1  # and bits per byte
    objects = {"-board": snapshots, "-runs": snapshots, "-boards": 1, "-leaderboard": 1}
    calls = {
        ("build_board", True): snapshots,
        ("Evaluation.evaluate", True): runs,
        ("Evaluation.predict_and_score", True): runs * scores,
        ("Model.predict", True): runs * scores,
        ("Evaluation.summarize", True): runs,
    }
    return {**objects, "-benchmarks": 1, "-benchmarks-evaluation": 1}, calls


def push(logged, capsys, *options):
    """Publish to Weave at once."""
    arguments = ["--data-dir", logged.data, "--to", "weave", "--now", *options]
    code, (document,), said = publish_json(capsys, *arguments)
    return code, document, said


def test_a_board_comes_back_byte_for_byte(logged, server, monkeypatch, capsys):
    """Through the plain client: page, charts, runs, description, alias, tag, view, leaderboard."""
    with pointed_at(server, monkeypatch):
        code, document, said = push(logged, capsys)
    package = opened(Path(document["package"]))
    (pushed,) = document["boards"][0]["pushed"]
    name = logged.project.name

    assert code == 0, said
    assert pushed["left_out"] == []
    assert KEY not in said + json.dumps(document)
    with plain_client(server, monkeypatch, name) as client:
        import weave
        from weave.flow import leaderboard

        for version in ("latest", logged.first, pushed["version"]):
            board = weave.ref(f"{name}-board:{version}").get()
            assert board.snapshot == logged.first
        charts = package.board().charts
        assert board.report.data == package.read("report.html")
        assert board.report.mimetype == "text/html"
        assert {key: content.data for key, content in board.charts.items()} == {
            chart.key: package.read(chart.figure) for chart in charts
        }
        assert [dict(row) for row in board.runs.rows] == package.runs()
        assert board.description == package.board().description
        assert weave.get_tags(weave.ref(f"{name}-board:latest")) == [logged.first]
        (call,) = (call for call in client.get_calls() if "build_board" in call.op_name)
        assert "report" in call.summary["weave"]["views"]
        spec = weave.ref(f"{name}-leaderboard:latest").get()
        place = [column.scorer_name for column in spec.columns].index("arc_easy_acc")
        ranked = leaderboard.get_leaderboard_results(spec, client)
        scores = sorted(result.column_scores[place].scores[0].value for result in ranked)
        assert [column.scorer_name for column in spec.columns if column.should_minimize] == ["bpb"]
    assert scores == [0.25, 0.5]
    assert held(server, monkeypatch, logged) == whole(runs=2)


@pytest.mark.slow
def test_on_clickhouse_it_is_the_same_and_a_name_that_is_taken_is_said(
    logged, tmp_path, monkeypatch, capsys
):
    """The store of the hosted service; it gives a name to one type alone."""
    trace_servers.required(trace_servers.CLICKHOUSE)
    server = TraceServer(tmp_path, "--clickhouse", venv=trace_servers.CLICKHOUSE).start().wait()
    name = logged.project.name
    try:
        with pointed_at(server, monkeypatch):
            code, document, said = push(logged, capsys)
            assert code == 0, said
            assert document["boards"][0]["pushed"][0]["left_out"] == []
            shutil.rmtree(logged.outbox / "pushed")
            push(logged, capsys)
            assert held(server, monkeypatch, logged) == whole(runs=2)
            other = Logged(logged.data, "other")
            other.log("d4-other")
            other.sync(capsys)
            with plain_client(server, monkeypatch, "other") as client:
                import weave

                weave.publish({"mine": 1}, name="other-runs").uri()
                client.flush()
            code, _, said = push(other, capsys, "--project", "other")
    finally:
        server.kill()
    assert code == 3
    assert "a name of the board is taken there by something else" in said
    assert name not in said


@pytest.mark.slow
def test_what_a_server_has_is_not_made_twice(logged, server, monkeypatch, capsys, tmp_path):
    """Nor when what was recorded is lost, nor from another folder; a new snapshot is a version."""
    with pointed_at(server, monkeypatch):
        push(logged, capsys)
        shutil.rmtree(logged.outbox / "pushed")
        lose_a_prediction(server, logged)
        push(logged, capsys)
        assert held(server, monkeypatch, logged) == whole(runs=2)
        logged.log("d12-made-twice", 0.6, depth=12)
        second = logged.sync(capsys)
        with monkeypatch.context() as offline:
            offline.delenv("WANDB_BASE_URL")
            offline.delenv("WANDB_API_KEY")
            offline.delenv("WF_TRACE_SERVER_URL")
            assert publish_json(capsys, "--data-dir", logged.data)[0] == 0
        carried = shutil.copytree(logged.outbox, tmp_path / "stick")
        code, (document,), said = publish_json(capsys, "--outbox", carried, "--to", "weave")
        assert code == 0, said
        assert [one["snapshot"] for one in document["boards"][0]["pushed"]] == [second]
        code, (document,), said = publish_json(capsys, "--outbox", carried, "--to", "weave")
        assert (code, document["boards"][0]["pushed"]) == (0, [])
    assert held(server, monkeypatch, logged) == whole(runs=3, snapshots=2)
    with plain_client(server, monkeypatch, logged.project.name):
        import weave

        board = weave.ref(f"{logged.project.name}-board:latest").get()
        assert (board.snapshot, board.previous) == (second, logged.first)
        assert "1 new run" in board.description


def lose_a_prediction(server, logged):
    """Leave the server as a push does that is killed when it has sent an evaluation's end first."""
    project = base64.b64encode(f"local/{logged.project.name}-reports".encode()).decode()
    with closing(sqlite3.connect(server.path, timeout=30)) as db:
        (one, *_), *_ = db.execute(
            "select id from calls where project_id = ? and op_name like '%predict_and_score%'",
            [project],
        ).fetchall()
        db.execute("delete from calls where id = ? or parent_id = ?", [one, one])
        db.commit()


@pytest.mark.slow
def test_two_servers_each_have_the_board(logged, weave_servers, monkeypatch, capsys):
    """The client's own cache knows no servers, and is on unless it is turned off."""
    for server in weave_servers:
        with pointed_at(server, monkeypatch):
            monkeypatch.setenv("WEAVE_USE_SERVER_CACHE", "true")
            code, document, said = push(logged, capsys)
        assert code == 0, said
        assert document["boards"][0]["where"] == server.url
        assert len(document["boards"][0]["pushed"]) == 1
        assert held(server, monkeypatch, logged) == whole(runs=2)


@pytest.mark.slow
def test_a_server_that_dies_meanwhile_has_the_rest_when_it_is_back(
    logged, weave_servers, monkeypatch, capsys
):
    """Killed when it has taken the first call; nothing is said to be published before it has."""
    server = weave_servers[1]
    with pointed_at(server, monkeypatch):
        command = [sys.executable, "-m", "reports.publish", "--data-dir", logged.data, "--now"]
        with subprocess.Popen(
            [*map(str, command), "--to", "weave"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "WEAVE_RETRY_MAX_ATTEMPTS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_for_object(server, logged)
            server.kill()
            out, err = process.communicate(timeout=120)
        server.start().wait()
        assert process.returncode == 3
        assert "published" not in out
        assert "reports.publish" in err
        code, _, said = push(logged, capsys)
    assert code == 0, said
    assert held(server, monkeypatch, logged) == whole(runs=2)


def test_a_publish_speaks_to_its_servers_and_to_nobody_else(logged, server, monkeypatch, tmp_path):
    """Every address that the process resolves or connects to is watched; its client has others."""
    watch = (
        "import sys\n"
        "seen = open(sys.argv.pop(1), 'a', buffering=1)\n"
        "def hook(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname'):\n"
        "        seen.write(repr(arguments[-1:] if event == 'socket.connect' else arguments[:2]))\n"
        "        seen.write('\\n')\n"
        "sys.addaudithook(hook)\n"
        "from reports import publish\n"
        "sys.exit(publish.main())\n"
    )
    seen = tmp_path / "seen"
    options = ["--data-dir", logged.data, "--to", "weave", "--now"]
    with pointed_at(server, monkeypatch):
        monkeypatch.delenv("WANDB_ERROR_REPORTING")
        done = subprocess.run(
            [sys.executable, "-c", watch, *map(str, [seen, *options])],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    addresses = set(seen.read_text().splitlines())

    assert done.returncode == 0, done.stderr
    assert addresses
    assert [a for a in addresses if "127.0.0.1" not in a or str(server.port) not in a] == []


def wait_for_object(server, logged):
    """Wait until the server's file holds the first object of the project."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with closing(sqlite3.connect(server.path, timeout=5)) as db:
            query = "select count(*) from objects where object_id = ?"
            ((count,),) = db.execute(query, [f"{logged.project.name}-runs"]).fetchall()
        if count:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was pushed within 60 s")


@pytest.mark.slow
def test_a_publish_that_is_killed_at_any_moment_is_finished_by_the_next(
    logged, server, monkeypatch, capsys
):
    """SIGKILL at random moments after it has begun to send; then everything is there once."""
    moments = random.Random(6)
    with pointed_at(server, monkeypatch):
        publish_json(capsys, "--data-dir", logged.data, "--to", "weave")
        for _ in range(3):
            with subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "reports.publish",
                    "--data-dir",
                    logged.data,
                    "--to",
                    "weave",
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                wait_for_object(server, logged)
                time.sleep(moments.uniform(0, 3))
                process.send_signal(signal.SIGKILL)
        code, _, said = push(logged, capsys)
    assert code == 0, said
    assert held(server, monkeypatch, logged) == whole(runs=2)


@pytest.mark.slow
def test_a_server_without_tags_and_one_without_weave_are_told_apart(
    logged, tmp_path, monkeypatch, capsys
):
    """What the first lacks is left out and said; the second is no place for this board."""
    trace_servers.required()
    old = TraceServer(tmp_path, "--without", "labels").start().wait()
    try:
        with pointed_at(old, monkeypatch):
            code, document, said = push(logged, capsys)
            assert code == 0, said
            (pushed,) = document["boards"][0]["pushed"]
            assert pushed["left_out"] == ["this server has no tags", "this server has no aliases"]
            monkeypatch.setenv("WF_TRACE_SERVER_URL", f"{old.url}/traces")
            code, document, said = push(logged, capsys)
    finally:
        old.kill()
    assert code == 3
    assert "there is no Weave at that address" in said
    assert "--to wandb" in said


def test_the_original_s_functions_are_ops_where_weave_is_on(logged, server, monkeypatch):
    """The app is a call whose children are the four plots."""
    from reports import weave_training_visualizer as face

    name = logged.project.name
    with plain_client(server, monkeypatch, name) as client:
        app = face.create_complete_visualization_app(name, str(logged.data))
        client.flush()
        calls = {call.op_name.split("/")[-1].split(":")[0]: call for call in client.get_calls()}

        parent = calls.pop("create_complete_visualization_app")
        assert len(calls) == len(app)
        assert {call.parent_id for call in calls.values()} == {parent.id}
        assert {call.inputs["project_name"] for call in calls.values()} == {name}
