"""The outbox without a server: what is in a package, what is said, how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etl import snapshot
from etl.project import Project
from reports import publish
from reports.boards import server as servers
from reports.boards.package import opened

ROOT = Path(__file__).resolve().parent.parent.parent


def publish_json(capsys, *arguments):
    """Run publish with --json and return its code, its documents and what it said."""
    code = publish.main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def contents(folder):
    """Every file under *folder* with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_without_a_server_the_package_is_written_and_the_next_step_is_said(logged, capsys):
    """Offline is the normal case: exit code 0."""
    assert publish.main(["--project", "tiny", "--data-dir", str(logged.data)]) == 0
    said = capsys.readouterr().out
    assert str(logged.outbox / logged.first) in said
    assert "wandb login" in said
    assert f"python -m reports.publish --project tiny --data-dir {logged.data}" in said


def test_a_package_holds_the_report_the_charts_the_runs_and_the_snapshot(logged, capsys):
    """Each file is named in the manifest with its hash; the snapshot opens from the package."""
    code, (document,), _ = publish_json(capsys, "--data-dir", logged.data)
    folder = Path(document["package"])
    package, found = opened(folder), contents(folder)

    assert code == 0
    assert document["written"]
    assert found["report.html"].startswith(b"<!doctype html>")
    assert set(found) == {*package.files, "manifest.json"}
    for name, (digest, size) in package.files.items():
        assert hashlib.sha256(found[name]).hexdigest() == digest
        assert len(found[name]) == size
    rows = {row["id"]: row for row in package.runs()}
    assert rows["d8"]["mmlu_acc"] == 0.8
    assert rows["d8"]["depth"] == 8
    for chart in package.board().charts:
        drawn = json.loads(package.read(chart.figure))
        assert drawn["data"], chart.key
        assert set(drawn) == {"data", "layout"}
    carried = Project("tiny", folder / "data" / "tiny")
    manifest = snapshot.read_manifest(carried, logged.first)
    with snapshot.connect(carried, manifest) as db:
        ((points,),) = db.execute("select count(*) from history").fetchall()
    assert points == manifest.counts["points"]


def test_the_same_snapshot_gives_the_same_bytes_anywhere(logged, tmp_path, capsys):
    """Also from a copy of the manifest and the parts under another path."""
    copy = tmp_path / "elsewhere" / "tiny"
    for name in ("snapshots", "parts"):
        shutil.copytree(logged.project.folder / name, copy / name)
    packages = [
        Path(publish_json(capsys, "--data-dir", data)[1][0]["package"])
        for data in (logged.data, copy.parent)
    ]

    assert contents(packages[0]) == contents(packages[1])


def test_a_package_names_no_key_no_host_and_no_path(logged, capsys, monkeypatch):
    """Searched in every file of it, the Parquet files too."""
    monkeypatch.setenv("WANDB_API_KEY", "5ec4e7" * 7)
    monkeypatch.setenv("WANDB_BASE_URL", "http://user:pa55word@127.0.0.1:9")
    _, (document,), _ = publish_json(capsys, "--data-dir", logged.data)
    secrets = ["5ec4e7" * 7, "pa55word", "127.0.0.1:9", str(logged.data)]
    if len(socket.gethostname()) > 6:  # a shorter name's letters are everywhere
        secrets.append(socket.gethostname())

    for name, content in contents(logged.outbox).items():
        if not name.endswith("publish.lock"):
            for secret in secrets:
                assert secret.encode() not in content, (name, secret)
    assert document["boards"][0]["where"] == "http://127.0.0.1:9/traces"


def test_a_second_snapshot_says_what_changed_since_the_first(logged, capsys):
    """In the description of its board; the first package keeps its bytes."""
    publish_json(capsys, "--data-dir", logged.data)
    before = contents(logged.outbox / logged.first)
    logged.log("d12", 0.6, depth=12)
    logged.sync(capsys)
    _, (document,), _ = publish_json(capsys, "--data-dir", logged.data)
    package = opened(Path(document["package"]))

    assert package.previous == logged.first
    assert "1 new run" in package.board().description
    assert f"`{logged.first}`" in package.board().description
    assert contents(logged.outbox / logged.first) == before


def test_with_nothing_new_it_says_so_and_changes_nothing(logged, capsys):
    """Without --project every project is published; files keep their bytes and times."""
    publish_json(capsys, "--data-dir", logged.data)
    files = [path for path in logged.outbox.rglob("*") if path.name != "publish.lock"]
    before = [(path, path.stat().st_mtime_ns) for path in files]

    assert publish.main(["--data-dir", str(logged.data)]) == 0
    assert "nothing new" in capsys.readouterr().out
    assert [(path, path.stat().st_mtime_ns) for path in files] == before


def test_a_hostile_run_name_stays_text_in_the_description(mini, tmp_path, capsys, no_servers):
    """Markdown shows it as it is written."""
    copy = tmp_path / "mini"
    for name in ("snapshots", "parts"):
        shutil.copytree(mini.project.folder / name, copy / name)
    _, (document,), _ = publish_json(capsys, "--data-dir", tmp_path)
    package = opened(Path(document["package"]))

    assert not re.search(r"(?<!\\)[<>]", package.board().description)
    assert "NaN" in {row.get("loss") for row in package.runs()}


@pytest.mark.parametrize("now", [False, True])
def test_what_cannot_be_reached_waits(logged, capsys, monkeypatch, now):
    """Exit code 0, and with --now 3; where it will go and the command are said."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "5ec4e7" * 7)
    options = ["--project", "tiny", "--to", "weave", "--data-dir", logged.data]
    code, (document,), said = publish_json(capsys, *options, *(["--now"] if now else []))

    assert code == (3 if now else 0)
    assert document["boards"][0]["waiting"] == [{"project": "tiny", "snapshot": logged.first}]
    assert "http://127.0.0.1:9/traces" in said
    assert f"python -m reports.publish --project tiny --to weave --data-dir {logged.data}" in said
    assert "Traceback" not in said
    assert "5ec4e7" not in said


def test_a_black_hole_is_reported_and_not_waited_for(logged, capsys, monkeypatch):
    """A server that takes the connection and never answers."""
    monkeypatch.setattr(servers, "TIMEOUT_SEC", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{hole.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "5ec4e7" * 7)
        code, _, said = publish_json(capsys, "--to", "weave", "--now", "--data-dir", logged.data)

    assert code == 3
    assert "no answer within 0.5 s" in said


def test_two_answers_are_waited_for_within_fifteen_seconds():
    """The trace server's and the W&B server's, by our own clock and not by a client's 91 s."""
    assert 2 * servers.TIMEOUT_SEC <= 15


def test_without_a_key_it_says_how_to_get_one(logged, capsys, monkeypatch):
    """Nothing is asked of the server."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    code, _, said = publish_json(capsys, "--to", "weave", "--data-dir", logged.data)

    assert code == 0
    assert "wandb login --host http://127.0.0.1:9" in said


def test_the_key_of_netrc_is_found_for_its_host_alone(monkeypatch, tmp_path, no_servers):
    """As ``wandb login`` writes it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine wandb.example.org\n login user\n password 5ec4e7\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("WANDB_BASE_URL", "https://Wandb.Example.org/")

    assert servers.configured().key == "5ec4e7"
    assert servers.configured().trace_url == "https://wandb.example.org/traces"
    assert "5ec4e7" not in repr(servers.configured())
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.example.org")
    assert servers.configured().key is None


@pytest.mark.parametrize("harm", ["changed", "gone", "no manifest", "leads out"])
def test_a_damaged_package_is_refused_with_the_fix(logged, tmp_path, capsys, harm):
    """From a carried outbox it is not pushed: exit code 3. At home it is written anew."""
    publish_json(capsys, "--data-dir", logged.data)
    carried = tmp_path / "stick"
    shutil.copytree(logged.outbox, carried)
    package = carried / logged.first
    whole = contents(package)
    manifest = package / "manifest.json"
    if harm == "changed":
        (package / "report.html").write_bytes(whole["report.html"][:-1] + b" ")
    elif harm == "gone":
        (package / "runs.jsonl").unlink()
    elif harm == "no manifest":
        manifest.write_bytes(whole["manifest.json"][:100])
    else:
        manifest.write_bytes(whole["manifest.json"].replace(b"board.json", b"../../../x"))
    code, _, said = publish_json(capsys, "--outbox", carried)

    assert code == 3
    assert "damaged" in said
    assert "fix: carry it again" in said
    shutil.rmtree(logged.outbox)
    shutil.copytree(carried, logged.outbox)
    assert publish_json(capsys, "--data-dir", logged.data)[1][0]["written"]
    assert contents(logged.outbox / logged.first) == whole


def test_an_outbox_that_is_none_is_no_data(logged, capsys):
    """Exit code 4, nothing is written into it, and no folder of it is called a damaged package."""
    before = contents(logged.project.folder)

    assert publish.main(["--outbox", str(logged.project.folder)]) == 4
    said = capsys.readouterr().err
    assert "name the outbox folder itself" in said
    assert "damaged" not in said
    assert contents(logged.project.folder) == before


def test_one_process_at_a_time_publishes_a_project(logged, capsys):
    """The second says who holds it: exit code 75."""
    code = (
        "import sys, time; from datetime import datetime, UTC; from pathlib import Path;"
        "from reports.boards.outbox import Outbox\n"
        "with Outbox(Path(sys.argv[1])).held(datetime.now(UTC)): print('held', flush=True);"
        " time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(logged.outbox)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        try:
            assert publish.main(["--data-dir", str(logged.data)]) == 75
        finally:
            holder.kill()
    assert f"pid {holder.pid}" in capsys.readouterr().err


def test_a_publish_that_is_killed_leaves_a_whole_package_or_none(logged, capsys):
    """SIGKILL at moments across the writing; what stands under its name is whole each time."""
    command = [sys.executable, "-m", "reports.publish", "--data-dir", str(logged.data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    whole, took = contents(logged.outbox / logged.first), time.monotonic() - started
    for part in range(4):
        shutil.rmtree(logged.outbox, ignore_errors=True)  # an early kill leaves none
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(took * (0.7 + 0.08 * part))
            process.send_signal(signal.SIGKILL)
        if (logged.outbox / logged.first).exists():
            opened(logged.outbox / logged.first).verify()
    assert publish_json(capsys, "--data-dir", logged.data)[0] == 0
    assert contents(logged.outbox / logged.first) == whole
    assert not [path for path in logged.outbox.iterdir() if path.name.endswith(".tmp")]
