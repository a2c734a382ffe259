"""W&B run files -> points, of every SDK, cut anywhere, damaged anywhere."""

from __future__ import annotations

import math
import random

import polars as pl
import pytest
import wandb_files
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import wandb_offline


def rows_of(steps, **more):
    return [
        wandb_files.history(
            {"train/loss": 3 - step / 100, "_step": step, "_timestamp": 1.8e9, **more}
        )
        for step in steps
    ]


def read(tmp_path, data):
    path = tmp_path / "run-r1.wandb"
    path.write_bytes(data)
    return wandb_offline.read(path, 0, ())


def only(reading):
    """The one part of a reading."""
    (part,) = reading.parts
    return part


def real_files(fixtures, truths):
    for item in truths:
        if item["kind"] == "wandb_offline" and "truth" in item:
            yield fixtures / item["file"], item["truth"]


def test_every_real_file_gives_exactly_the_rows_and_keys_that_were_measured(fixtures, truths):
    """SDKs from 0.10 to 0.22: history rows, keys, how often each occurs, and the run's id."""
    seen = 0
    for path, truth in real_files(fixtures, truths):
        facts = only(wandb_offline.read(path, 0, ())).facts
        seen += 1

        assert facts.rows == truth["history_rows"], path
        assert set(facts.keys) | set(facts.roles) == set(truth["keys"]), path
        assert all(truth["keys"][key] == count for key, count in facts.keys.items()), path
        assert facts.run_id == truth["run"]["run_id"]
    assert seen >= 8


def test_every_real_file_syncs_into_a_project_whole(place, fixtures, truths):
    """The same through the command line, counted in the tables."""
    files = list(real_files(fixtures, truths))
    done = place.sync(*[path for path, _ in files])

    assert done.document["runs"] == len({truth["run"]["run_id"] for _, truth in files})
    for path, truth in files:
        run_id = truth["run"]["run_id"]
        of_history = "run_id = ? and role <> 'summary'"
        rows = place.rows(f"select key, role, points from keys where {of_history}", run_id)
        points = place.rows("select count(*) from history where run_id = ?", run_id)
        steps = place.rows("select count(distinct step) from history where run_id = ?", run_id)
        assert {key for key, _, _ in rows} == set(truth["keys"]), path
        assert points[0][0] == sum(count for _, _, count in rows)
        assert steps[0][0] == truth["history_rows"]


def test_every_real_file_cut_anywhere_keeps_each_record_before_the_cut(tmp_path, fixtures, truths):
    """A cut copy has the first rows and lines of the whole file, and says what is wrong with it."""
    chance = random.Random(2)
    for path, _ in real_files(fixtures, truths):
        whole = only(wandb_offline.read(path, 0, ()))
        data = path.read_bytes()
        cuts = [0, 3, 7, len(data) - 1, *(chance.randrange(len(data)) for _ in range(8))]
        for cut in cuts:
            reading = read(tmp_path, data[:cut])

            assert reading.rejects, (path, cut)
            for part in reading.parts:
                assert part.facts.rows <= whole.facts.rows
                for key, points in part.points.group_by("key"):
                    expected = whole.points.filter(pl.col("key") == key[0])
                    assert points.equals(expected.head(points.height))
                if part.console is not None:
                    assert part.console.equals(whole.console.head(part.console.height))


@pytest.mark.parametrize("cut", ["nothing", "header", "run", "row", "record", "end"])
def test_a_cut_file_exits_with_3_and_a_reason(place, cut):
    """The command line's view of a cut: everything before it, exit code 3, and why."""
    records = [wandb_files.run(), *rows_of(range(5)), wandb_files.exit_record()]
    data, ends = wandb_files.pack(records)
    at = {
        "nothing": 0, "header": 7, "run": ends[0] - 3, "row": ends[3] - 2, "record": ends[3],
        "end": ends[-1] - 1
    }[cut]  # fmt: skip
    (place.logs / "run-r1.wandb").write_bytes(data[:at])
    done = place.sync(place.logs)

    points = {"nothing": 0, "header": 0, "run": 0, "row": 2, "record": 3, "end": 5}[cut]
    assert (done.code, done.document["points"], done.document["quarantined"]) == (3, points, 1)
    assert done.err.startswith(f"quarantined: {place.logs / 'run-r1.wandb'} at byte ")


def test_a_whole_file_exits_with_0_and_its_run_is_finished(place):
    records = [wandb_files.run(), *rows_of(range(5)), wandb_files.exit_record()]
    (place.logs / "run-r1.wandb").write_bytes(wandb_files.pack(records)[0])
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (0, 5)
    assert place.rows(
        "select state, exit_code, created_at::varchar, ended_at::varchar from runs"
    ) == [("finished", 0, "2027-01-15 08:00:00", "2027-01-15 08:01:00")]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_flipped_byte_costs_at_most_the_rest_of_its_block(tmp_path_factory, data):
    """Damage is found by the checksum, quarantined, and what follows the block is read."""
    records = [wandb_files.run(), *rows_of(range(400), text="x" * 500), wandb_files.exit_record()]
    whole, ends = wandb_files.pack(records)
    at = data.draw(st.integers(ends[0], len(whole) - 1))
    broken = bytearray(whole)
    broken[at] ^= data.draw(st.integers(1, 255))
    reading = read(tmp_path_factory.mktemp("flip"), bytes(broken))

    block = at // wandb_files.BLOCK * wandb_files.BLOCK
    safe = [e for e in ends[1:-1] if e <= max(block, ends[0]) or e > block + 2 * wandb_files.BLOCK]
    padding = whole[at] == 0 and at % wandb_files.BLOCK > wandb_files.BLOCK - 7  # nobody reads it
    assert reading.rejects or padding
    assert only(reading).facts.rows >= len(safe)


@pytest.mark.parametrize("style", ["key", "nested", "both"])
def test_every_way_to_spell_a_key_is_read(tmp_path, style):
    row = {"train/loss": 2.5, "a.b": math.nan, "_step": 3, "text": "hi", "flag": True, "none": None}
    data, _ = wandb_files.pack([wandb_files.run(), wandb_files.history(row, style)])
    points = only(read(tmp_path, data)).points

    found = {key: (value, text) for key, _, value, text, _ in points.rows()}
    assert found["train/loss"] == (2.5, None)
    assert math.isnan(found["a.b"][0])
    assert found["text"] == (None, "hi")
    assert found["flag"] == (1.0, None)
    assert "none" not in found
    assert points["step"].to_list() == [3] * 4


def test_the_scripts_own_step_is_the_step_and_the_log_index_is_not(tmp_path):
    rows = [wandb_files.history({"step": 100 * i, "train/loss": 2.0, "_step": i}) for i in range(3)]
    part = only(read(tmp_path, wandb_files.pack([wandb_files.run(), *rows])[0]))

    assert part.points["step"].to_list() == [0, 100, 200]
    assert part.facts.roles == {"step": "step", "_step": "log index"}


def test_an_unknown_record_kind_is_skipped_and_said(place):
    odd = wandb_files.field(1, 9) + wandb_files.field(77, b"whatever")
    records = [wandb_files.run(), odd, *rows_of(range(3)), wandb_files.exit_record()]
    (place.logs / "run-r1.wandb").write_bytes(wandb_files.pack(records)[0])
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (0, 3)
    assert "1 records of kind 77, which is not known here, were skipped" in done.err


def test_a_file_that_only_ends_in_wandb_is_quarantined(place):
    place.log()
    (place.logs / "model.wandb").write_bytes(b"PK\x03\x04 a zip file, really")
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (3, 20)
    assert "not a W&B run file" in done.err


def test_config_tags_and_project_are_read_and_wandbs_own_entries_are_not(place):
    data, _ = wandb_files.pack(
        [wandb_files.run(project="nanochat-sft", depth=20, opt={"lr": 0.1}, _wandb={"t": 1})]
    )
    (place.logs / "run-r1.wandb").write_bytes(data)
    place.sync(place.logs)

    assert place.rows("select key, value, number from config order by key") == [
        ("depth", "20", 20.0), ("opt.lr", "0.1", 0.1)
    ]  # fmt: skip
    assert place.rows("select name, stage, stage_reason from runs") == [
        ("n", "sft", "source project nanochat-sft")
    ]


@pytest.mark.parametrize("name", ["rl-world", "midnight", "sft", "my-base-run"])
def test_a_stage_is_never_taken_from_a_runs_name(place, name):
    data, _ = wandb_files.pack([wandb_files.run(name=name, project="own")])
    (place.logs / "run-r1.wandb").write_bytes(data)
    place.sync(place.logs)

    assert place.rows("select stage, stage_reason from runs") == [
        ("unknown", "the run says none; source project own and no script imply none")
    ]


def test_a_real_offline_run_of_our_hooks_reads_like_its_jsonl(place, monkeypatch):
    """The wandb client itself writes the file; both sources give the same history values."""
    pytest.importorskip("wandb", reason="wandb writes the file that this test reads")
    import hooks

    monkeypatch.setenv("WANDB_SILENT", "true")
    raw = place.logs / "raw"
    run = hooks.init(
        "demo",
        "d4",
        stage="sft",
        config={"depth": 4},
        dir=raw,
        run_id="rx",
        parent="base",
        wandb="offline",
    )
    for step in range(0, 50, 5):
        run.log({"train/loss": 1 / (step + 3), "nan": math.nan, "text": f"E{step}"}, step=step)
        run.log({"val/bpb": math.pi * step, "big": 2**60}, step=step)
    run.finish()
    wandb_files = sorted(raw.rglob("*.wandb"))

    codes = {
        project: place.sync(*paths, project=project).code
        for project, paths in {"lines": [run.path], "client": wandb_files, "both": [raw]}.items()
    }
    assert codes == {"lines": 0, "client": 0, "both": 0}
    assert len(place.history("lines")) == 50
    assert place.history("client") == place.history("lines") == place.history("both")
    said = "select run_id, name, stage, parent_run_id, state from runs"
    assert place.rows(said, project="client") == place.rows(said, project="lines")
    assert place.rows("select distinct source from history", project="both") == [("hooks-jsonl",)]
    assert place.rows("select * from disagreements", project="both") == []
