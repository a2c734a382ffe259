"""Snapshots: named by content alone, written only where something changed, whole after a kill."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import parts, project, snapshot
from etl.errors import UsageError
from etl.parts import digest

ROOT = Path(__file__).resolve().parents[2]


def test_a_snapshot_id_knows_no_path_time_or_order(place, tmp_path):
    """The same logs elsewhere, renamed folder, read one by one and twice: the same id."""
    paths = [place.log(f"r{i}", steps=range(i, 20)) for i in range(4)]
    first = place.sync(place.logs).document["snapshot"]
    other = tmp_path / "elsewhere" / "deep"
    other.mkdir(parents=True)
    copies = [shutil.copy(path, other / path.name) for path in reversed(paths)]
    shutil.rmtree(place.data)
    for copy in copies:
        done = place.sync(copy)
    place.sync(place.logs)

    assert done.document["snapshot"] == first
    assert place.sync().document["snapshot"] == first


def test_a_changed_value_or_name_is_another_snapshot(place):
    place.log("r1")
    first = place.sync(place.logs).document["snapshot"]
    place.log("r2", name="renamed")
    second = place.sync().document["snapshot"]

    assert first != second


def test_a_snapshot_names_the_one_before_it(place):
    """The first names none; a content that returns keeps the manifest that it had."""
    place.log("r1")
    first = place.sync(place.logs).document["snapshot"]
    place.log("r2")
    second = place.sync().document["snapshot"]
    demo = project.locate("demo", place.data)

    assert snapshot.read_manifest(demo, first).previous is None
    assert snapshot.read_manifest(demo, second).previous == first


def test_printed_lines_are_kept_only_where_asked_for_and_redacted(place):
    """The last ones of each run; without secrets; never by default."""
    place.log("r1")
    printed = [f"line {i}" for i in range(29)]
    printed.append("token=hf_abcdefghijklmnopqrstuvwx of /home/ada/x")
    before = place.sync(place.logs)
    demo = project.locate("demo", place.data)
    with duckdb.connect(str(demo.database)) as con:
        rows = [("r1", 0, "hooks-jsonl", at, text) for at, text in enumerate(printed)]
        con.executemany("insert into store.console values (?, ?, ?, ?, null, ?)", rows)
    demo.settings_file.write_text("console_lines = 5\n", encoding="utf-8")
    after = place.sync().document["snapshot"]
    manifest = snapshot.read_manifest(demo, after)
    with closing(snapshot.connect(demo, manifest)) as db:
        rows = db.execute("select text from console order by line").fetchall()

    kept = [text for (text,) in rows]
    assert kept[:4] == [f"line {i}" for i in range(25, 29)]
    assert "hf_abc" not in kept[4]
    assert "ada" not in kept[4]
    assert place.sync().document["snapshot"] == after
    demo.settings_file.write_text("", encoding="utf-8")
    assert place.sync().document["snapshot"] == before.document["snapshot"]


def test_a_baseline_is_a_text(place):
    """It is the id or the name of a run, and stands above the tables."""
    demo = project.locate("demo", place.data)
    demo.folder.mkdir(parents=True, exist_ok=True)
    demo.settings_file.write_text('baseline = "r1"\n[axes]\nloss = "l"\n', encoding="utf-8")
    assert project.settings(demo).baseline == "r1"
    demo.settings_file.write_text("baseline = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match="baseline is not a text"):
        project.settings(demo)


def test_a_run_that_did_not_change_is_not_written_again(place):
    """A snapshot costs what changed: the old run's part keeps its file and its time."""
    place.log("r1")
    one = place.sync(place.logs)
    manifest = snapshot.read_manifest(project.locate("demo", place.data))
    digest = manifest.history["long"][0].digest
    path = one.folder / "parts" / f"{digest}.parquet"
    before = path.stat().st_mtime_ns
    place.log("r2")
    place.sync()

    assert path.stat().st_mtime_ns == before
    manifest = snapshot.read_manifest(project.locate("demo", place.data))
    assert len(manifest.history["long"]) == 2


def test_a_snapshot_carried_elsewhere_reads_like_the_tables(place, tmp_path):
    """Manifest and parts are all that is needed; the views have the tables' columns and rows."""
    place.log("r1")
    place.log("r2", finish=False)
    done = place.sync(place.logs)
    carried = tmp_path / "carried" / "demo"
    for name in ("parts", "snapshots"):
        shutil.copytree(done.folder / name, carried / name)
    (carried / "snapshots" / "latest").unlink()
    there = project.locate("demo", tmp_path / "carried")
    manifest = snapshot.read_manifest(there)

    assert manifest.snapshot == done.document["snapshot"]
    assert manifest.counts == {"runs": 2, "points": 40, "metrics": 2, "quarantined": 0}
    with snapshot.connect(there, manifest) as con:
        for table in ("runs", "segments", "config", "history", "summary", "metrics", "keys"):
            found = con.execute(f"select * from {table} order by all").fetchall()
            assert found == place.rows(f"select * from {table} order by all"), table


def test_no_path_and_no_raw_byte_is_in_a_snapshot(place):
    """A snapshot is sent around: it names files, never folders, and holds no rejected bytes."""
    path = place.log(finish=False)
    with path.open("ab") as file:
        file.write(b"sk-secret-api-key\n")
    done = place.sync(place.logs)
    texts = [path.read_bytes() for path in sorted((done.folder / "snapshots").iterdir())]
    parts = sorted((done.folder / "parts").iterdir())
    texts += [str(pl.read_parquet(part).to_dicts()).encode() for part in parts]

    assert done.code == 3
    for text in texts:
        assert b"sk-secret" not in text
        assert str(place.folder).encode() not in text


COLUMNS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats()),
        st.one_of(st.none(), st.text(max_size=3)),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    ),
    max_size=6,
)
SCHEMA = {"a": pl.Float64, "b": pl.String, "c": pl.Int64}


def key(rows):
    """Rows as what makes them the same or not: any NaN is NaN, missing is not empty."""
    return [
        ("nan" if isinstance(a, float) and math.isnan(a) else repr(a), repr(b), repr(c))
        for a, b, c in rows
    ]


@given(COLUMNS, COLUMNS)
def test_a_content_hash_is_equal_exactly_when_the_content_is(one, two):
    """Also NaN against missing, "" against missing, and the same frame in several chunks."""
    clean = [
        [(a, None if b is None else b.encode("utf-8", "replace").decode(), c) for a, b, c in rows]
        for rows in (one, two)
    ]
    frames = [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in clean]
    digests = [digest(frame) for frame in frames]

    assert (digests[0] == digests[1]) == (key(clean[0]) == key(clean[1]))
    halves = pl.concat([frames[0].head(2), frames[0].slice(2)], rechunk=False)
    assert digest(halves) == digests[0]


def test_a_sync_that_is_killed_at_any_moment_leaves_nothing_that_the_next_does_not_mend(
    place, tmp_path
):
    """SIGKILL at random moments; then one whole sync equals an undisturbed one, to the id."""
    for i in range(12):
        place.log(f"r{i}", steps=range(1500))
    expected = place.sync(place.logs, project="calm").document
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "etl.sync", "--project", "calm", "--data-dir", str(tmp_path / "k"),
        str(place.logs),
    ]  # fmt: skip
    chance = random.Random()
    for _ in range(6):
        child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.3, 1.6))
        child.send_signal(signal.SIGKILL)
        child.wait()
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["snapshot"] == expected["snapshot"]
    assert document["points"] == expected["points"]
    pointer = tmp_path / "k" / "calm" / "snapshots" / "latest"
    assert pointer.read_text().strip() == expected["snapshot"]


VALUES = {
    pl.String(): st.sampled_from(["", "a", "\u00e9"]),
    pl.Float64(): st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5]),
    pl.Int32(): st.integers(-5, 5),
    pl.Boolean(): st.booleans(),
    pl.Datetime("us"): st.datetimes(),
}


@settings(deadline=None)
@given(st.sampled_from(sorted(VALUES, key=str)), st.data())
def test_few_values_are_hashed_as_many_are(kind, data):
    """In Python as in columns, whatever is missing."""
    values = data.draw(st.lists(st.none() | VALUES[kind], max_size=20))
    frame = pl.DataFrame({"x": pl.Series(values, dtype=kind)})
    few = digest(frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_FEW", -1)

        assert digest(frame) == few
