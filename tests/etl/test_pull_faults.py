"""What can go wrong on the way from a W&B server, and what a pull makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime

import polars as pl
import pytest
from loopback.client import KEY, Client
from loopback.server import serving

from etl import lock, pull
from etl.pulling import folder


@pytest.fixture
def client(tmp_path):
    with serving() as server:
        yield Client(tmp_path, server)


def rows(count):
    return [{"loss": 1 / (at + 1)} for at in range(count)]


def finished(client, *names, count=20):
    for name in names:
        client.server.backend.run("nanochat", name).log(*rows(count)).state = "finished"


def test_fewer_rows_than_the_server_counts_are_kept_and_not_called_whole(client):
    """A stale replica: what came is kept, marked, exit code 3; the next pull tries again."""
    finished(client, "good", "stale")
    run = client.server.backend.run("nanochat", "stale")
    run.hidden = 5
    done = client.pull()

    assert done.code == 3
    (failed,) = done.document["failed"]
    assert failed["run"] == "team/nanochat/stale"
    assert "rows: 15 came, the server counts 20" in failed["reason"]
    assert "15 came" in done.err
    entry = client.manifest["team/nanochat/stale"]
    assert (entry["verified"], entry["rows"]) == (False, 15)
    assert client.manifest["team/nanochat/good"]["verified"]

    run.hidden = 0
    healed = client.pull()

    assert (healed.code, healed.document["pulled"], healed.document["unchanged"]) == (0, 1, 1)
    assert client.manifest["team/nanochat/stale"]["verified"]


def test_rows_that_are_here_are_not_given_up_for_fewer(client):
    """A server that lost rows, or a replica that lags, takes none away from the folder."""
    finished(client, "r1")
    client.pull()
    run = client.server.backend.run("nanochat", "r1").log({"loss": 0.0})
    run.hidden = 10
    done = client.pull()

    assert (done.code, done.document["rows"]) == (3, 20)
    assert pl.read_parquet(client.to / "team/nanochat/r1/history.parquet").height == 20


def test_a_server_that_limits_its_rate_is_waited_for(client):
    """429 with Retry-After, at the login and later: the pull takes longer and is whole."""
    finished(client, "r1")
    client.server.backend.rate_limited = 3
    done = client.pull()

    assert (done.code, done.document["rows"]) == (0, 20), done.err
    assert client.server.backend.rate_limited == 0


def test_a_pull_that_is_killed_goes_on_where_it_was(client):
    """SIGKILL between runs: what is there is whole, the next pull fetches the others alone."""
    finished(client, "r1", "r2", "r3")
    client.server.backend.slow_sec = 1.0
    process = subprocess.Popen(
        client.command(), cwd=client.folder, env=client.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    first = client.to / "team/nanochat/r1/run.json"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    assert not (client.to / "manifest.json").exists()
    client.server.backend.slow_sec = 0
    client.server.requests.clear()
    done = client.pull()

    assert (done.code, done.document["pulled"], done.document["unchanged"]) == (0, 2, 1)
    assert client.server.requests.count("parquet") == 2
    assert not (client.to / ".pulling").exists()
    assert all(run["verified"] and run["rows"] == 20 for run in client.manifest.values())


@pytest.mark.parametrize("stop", range(6))
def test_files_that_were_not_all_put_in_place_are_no_whole_run(tmp_path, monkeypatch, stop):
    """A kill between any two steps: the old run as it was, the new one, or one to fetch again."""

    def commit(names):
        staged = {name: (tmp_path / f"staged-{name}", 1) for name in names}
        for path, _ in staged.values():
            path.write_text(f"{path} of {names}", encoding="utf-8")
        folder.commit(tmp_path / "run", staged, {"id": "r"}, {"rows": len(names)})

    def replace(source, target, real=os.replace):
        if len(steps) == stop:
            raise KeyboardInterrupt
        steps.append(target)
        real(source, target)

    commit(["history.parquet"])
    steps = []
    monkeypatch.setattr(os, "replace", replace)
    with contextlib.suppress(KeyboardInterrupt):
        commit(["history-0001.parquet", "history-0002.parquet"])
    kept = folder.read(tmp_path / "run")

    assert kept.rows == {0: 1, 4: 2, 5: 2}.get(stop, 0)


def test_a_file_that_was_cut_or_lost_is_fetched_again(client):
    """What run.json says of the files has to be true of them."""
    finished(client, "r1", "r2")
    client.pull()
    path = client.to / "team/nanochat/r1/history.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    (client.to / "team/nanochat/r2/history.parquet").unlink()
    done = client.pull()

    assert (done.code, done.document["pulled"]) == (0, 2)
    assert pl.read_parquet(path).height == 20


def test_a_host_that_never_answers_is_reported_in_time(client):
    """A black hole takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        began = time.monotonic()
        done = client.pull_apart("--base-url", f"http://127.0.0.1:{hole.getsockname()[1]}",
                           "--timeout", "2")  # fmt: skip

    assert time.monotonic() - began < 15
    assert done.code == 3
    assert "no answer within 2 s" in done.err
    assert "Traceback" not in done.err
    assert not client.to.exists()


@pytest.mark.slow
def test_a_server_that_stops_answering_in_the_middle_ends_the_pull(client):
    """Not one long wait for each of its runs; what came before is kept and in the manifest."""
    finished(client, "r1", "r2", "r3")
    client.pull()
    finished(client, "r2", "r3", count=5)
    client.server.backend.mute = "Run"
    done = client.pull("--timeout", "1")

    assert (done.code, done.document["unchanged"]) == (3, 1)
    assert done.document["failed"][0]["run"] == "team/nanochat/r2"
    assert client.manifest["team/nanochat/r2"]["rows"] == 20


def test_the_key_is_in_no_file_and_in_no_output(client):
    """Every byte that a pull leaves and prints, of one that works and of ones that fail."""
    finished(client, "r1")
    done = [client.pull_apart("--debug")]
    client.server.backend.refusing = True
    done.append(client.pull_apart("--debug"))
    done.append(
        client.pull_apart(
            "--timeout", "1", WANDB_BASE_URL=f"http://me:{KEY}@127.0.0.1:1", NO_PROXY="*"
        )
    )

    assert [each.code for each in done[:2]] == [0, 2]
    assert done[2].code in (2, 3)
    for each in done:
        assert KEY not in each.out + each.err
        assert "Traceback" not in each.err
    for path in client.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_without_a_key_or_the_client_the_error_names_what_to_do(client):
    """Exit code 2: nothing that trying again would mend."""
    finished(client, "r1")
    no_key = client.pull(WANDB_API_KEY="")
    (client.folder / "absent").mkdir()
    (client.folder / "absent" / "wandb.py").write_text("raise ImportError", encoding="utf-8")
    path = f"{client.folder / 'absent'}:{client.environment['PYTHONPATH']}"
    no_client = client.pull_apart(PYTHONPATH=path)

    assert (no_key.code, no_client.code) == (2, 2)
    assert "wandb login" in no_key.err
    assert 'pip install "runatlas[wandb]"' in no_client.err
    assert not client.to.exists()


def test_no_project_makes_exit_code_4_and_no_folder(client):
    done = client.pull()

    assert done.code == 4
    assert "no runs, or no project that this key may see" in done.err
    assert not client.to.exists()


def test_two_pulls_do_not_write_one_folder_at_once(client):
    finished(client, "r1")
    with lock.held(client.to / ".pull.lock", "it", datetime.now(UTC)):
        done = client.pull()

    assert done.code == 75
    assert "another pull holds" in done.err


def test_a_folder_keeps_to_the_server_that_it_is_of(client):
    """Two servers may have an entity, project and run of one name, and other runs behind it."""
    finished(client, "r1")
    client.pull()
    with serving() as other:
        other.backend.run("nanochat", "r1").log(*rows(3)).state = "finished"
        done = client.pull("--base-url", other.url)

    assert done.code == 2
    assert client.server.url in done.err
    assert client.manifest["team/nanochat/r1"]["rows"] == 20


def test_a_run_id_that_leads_out_of_the_folder_is_refused(client):
    """The names of folders are the server's words, and it is not trusted with that."""
    finished(client, "../../../evil", "good")
    done = client.pull()

    assert (done.code, done.document["pulled"]) == (3, 1)
    assert "is no name for a folder" in done.document["failed"][0]["reason"]
    assert not list(client.folder.rglob("*evil*"))


def test_a_server_that_refuses_connections_is_told_at_once(tmp_path, capsys, monkeypatch):
    """Nothing listens there: said before the client, which would try for 16 s, is loaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://someone:secret@127.0.0.1:{free.getsockname()[1]}"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    places = ["--project", "p", "--entity", "e", "--data-dir", str(tmp_path), "--json"]
    began = time.monotonic()

    assert pull.main([*places, "--base-url", url]) == 3
    assert time.monotonic() - began < 5

    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == "no answer: Connection refused"
    assert "secret" not in out + err
    assert not (tmp_path / "p" / "exports").exists()
