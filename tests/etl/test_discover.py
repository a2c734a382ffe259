"""Which files a sync looks at."""

from __future__ import annotations

import os

from etl import discover


def names(folder, *paths):
    found = discover.walk(list(paths) or [folder])
    return [str(item.path.relative_to(folder)) for item in found]


def test_a_linked_folder_is_searched_and_a_second_way_to_one_is_not(tmp_path):
    """Clusters link caches to scratch disks; W&B links latest-run to a run beside it."""
    (tmp_path / "logs" / "run-1").mkdir(parents=True)
    (tmp_path / "logs" / "run-1" / "a.jsonl").write_text("{}")
    (tmp_path / "logs" / "latest-run").symlink_to("run-1")
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "b.jsonl").write_text("{}")
    (tmp_path / "logs" / "cache").symlink_to(tmp_path / "scratch")

    assert names(tmp_path, tmp_path / "logs") == ["logs/cache/b.jsonl", "logs/run-1/a.jsonl"]


def test_a_circle_of_links_is_walked_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jsonl").write_text("{}")
    (tmp_path / "a" / "up").symlink_to(tmp_path)

    assert names(tmp_path) == ["a/x.jsonl"]


def test_a_live_database_changes_with_its_journal(tmp_path):
    """SQLite writes beside the file, whose own size and time stay as they were."""
    database, journal = tmp_path / "runs.db", tmp_path / "runs.db-wal"
    database.write_text("1234")
    before = next(item for item in discover.walk([tmp_path]) if item.path == database)
    journal.write_text("56")
    after = next(item for item in discover.walk([tmp_path]) if item.path == database)

    assert (before.size, after.size) == (4, 6)


def test_a_folder_that_cannot_be_listed_is_said_and_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text("{}")
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):  # root may list what others may not
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    failed = []
    found = discover.walk([tmp_path], failed)

    assert [item.path.name for item in found] == ["a.jsonl"]
    assert [problem.filename for problem in failed] == [str(tmp_path / "closed")]
