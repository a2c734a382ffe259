"""What permissions, disks, signals, pipes and moved folders may do: cost themselves alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from etl import sync

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_that_cannot_be_read_now_keeps_its_points_and_is_tried_again(place, monkeypatch):
    """A permission that comes back; root may read anything, so the EACCES is raised by hand."""
    path = place.log("r1")
    place.log("r2")
    first = place.sync(place.logs).document
    from etl.sources import hooks_jsonl

    real = hooks_jsonl.jsonl.read
    os.utime(path)

    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(hooks_jsonl.jsonl, "read", refused)
    broken = place.sync()
    monkeypatch.setattr(hooks_jsonl.jsonl, "read", real)
    again = place.sync()

    assert (broken.code, broken.document["points"]) == (3, 40)
    assert f"{path} at byte {path.stat().st_size}: cannot be read now" in broken.err
    assert again.code == 0
    assert again.document["snapshot"] == first["snapshot"]


@pytest.mark.slow
def test_a_disk_without_room_stops_the_sync_whole_and_the_next_one_goes_on(place, tmp_path):
    """RLIMIT_FSIZE stands for a full disk: real failing writes, at several sizes."""
    for number in range(3):
        place.log(f"r{number}", steps=range(4000))
    expected = place.sync(place.logs, project="calm").document["snapshot"]
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY));"
        "from etl.sync import main; sys.exit(main(sys.argv[2:]))"
    )
    arguments = ["--project", "calm", "--data-dir", str(tmp_path / "full"), str(place.logs)]
    for limit in (100, 20_000, 300_000):
        command = [sys.executable, "-c", code, str(limit), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
    whole = subprocess.run(
        [sys.executable, "-m", "etl.sync", *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["snapshot"] == expected
    assert list((tmp_path / "full").rglob("*.tmp")) == []


@pytest.mark.slow
def test_a_person_who_stops_a_sync_changes_nothing(place, tmp_path):
    """Ctrl-C at several moments: exit code 130, and the next sync is whole."""
    for number in range(6):
        place.log(f"r{number}", steps=range(3000))
    expected = place.sync(place.logs, project="calm").document["snapshot"]
    arguments = ["--project", "calm", "--data-dir", str(tmp_path / "stopped"), str(place.logs)]
    command = [sys.executable, "-m", "etl.sync", *arguments]
    for wait in (0.7, 0.9, 1.1, 1.3):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(wait)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
        assert b"a bug in runatlas" not in err
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert json.loads(done.stdout)["snapshot"] == expected


def test_a_pipe_named_like_a_log_is_not_waited_for(place):
    os.mkfifo(place.logs / "x.jsonl")
    place.log()

    assert place.sync(place.logs).document["points"] == 20


def test_a_quarantined_file_that_was_moved_away_leaves_the_quarantine(place):
    place.log()
    (place.logs / "bad.wandb").write_bytes(b"no")
    assert place.sync(place.logs).code == 3
    (place.logs / "bad.wandb").unlink()

    assert place.sync().code == 0


def test_strict_on_nothing_but_bad_files_leaves_no_project_that_looks_empty(place):
    (place.logs / "bad.wandb").write_bytes(b"no")
    strict = place.sync(place.logs, options=["--strict"])

    assert strict.code == 3
    assert place.sync().code == 4


def test_a_log_whose_last_line_lacks_only_its_newline_is_whole(place):
    path = place.logs / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}')
    done = place.sync(place.logs)
    assert (done.code, done.document["points"]) == (0, 2)

    with path.open("a") as file:
        file.write('\n{"step": 3, "loss": 0.5}')
    done = place.sync()
    assert (done.code, done.document["points"], done.document["new_points"]) == (0, 3, 1)


def test_the_same_folder_named_in_two_ways_is_read_once(place, monkeypatch):
    place.log()
    monkeypatch.chdir(place.folder)
    place.sync("logs")
    done = place.sync(place.logs / ".." / "logs")

    assert len(done.document["sources"]) == 1


def test_an_empty_parts_file_is_written_again(place):
    """What a loss of power can leave."""
    place.log()
    first = place.sync(place.logs)
    for path in (first.folder / "parts").iterdir():
        path.write_bytes(b"")
    done = place.sync()

    assert done.document == {**first.document, "new_points": 0}
    assert all(path.stat().st_size for path in (done.folder / "parts").iterdir())


def test_a_project_folder_that_is_moved_is_read_on_there(place):
    path = place.log(folder=place.data / "demo" / "raw", finish=False)
    first = place.sync().document
    moved = place.folder / "moved"
    shutil.move(place.data, moved)
    place.data = moved
    again = place.sync().document

    assert {**again, "sources": 0} == {**first, "sources": 0, "new_points": 0}
    assert path.name in again["sources"][0]["path"]


def test_closed_output_is_no_error(place):
    """The result that nobody could read is in the tables."""
    place.log()
    command = [sys.executable, "-m", "etl.sync", "--project", "demo", "--data-dir", str(place.data)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, str(place.logs)], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False
        )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_commit_without_room_is_no_bug(place, capsys):
    """DuckDB has an error of its own for it, of a transaction."""
    words = 'Failed to commit: Could not write file "x.wal": No space left on device'

    def full(*_, **__):
        raise duckdb.TransactionException(words)

    place.log()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.freeze, "take", full)
        done = place.sync(place.logs)

    assert done.code == 2
    assert done.document == {
        "error": words,
        "where": str(place.data / "demo"),
        "done": "the tables were not changed",
        "fix": "make room or permission there, and run this again",
        "code": 2,
    }
    assert place.sync(place.logs).code == 0
