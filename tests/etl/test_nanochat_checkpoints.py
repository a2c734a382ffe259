"""The folders of checkpoints and of base_eval as nanochat leaves them -> runs, at their steps."""

from __future__ import annotations

import math
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nanochat_files import CORE, MODEL, SFT_CONFIG, base, save, table

from etl.sources import nanochat_eval_csv, nanochat_meta
from etl.sources.reading import HEAD_BYTES


def read(path, source=nanochat_meta):
    reading = source.read(path, 0, ())

    assert source.recognises(path, path.read_bytes()[:HEAD_BYTES])
    assert reading.end == path.stat().st_size
    assert reading.rejects == ()
    (part,) = reading.parts
    return part


def values(part):
    return {(key, step): value for key, step, value, _, _ in part.points.iter_rows()}


@pytest.fixture
def cache(tmp_path):
    """A small ~/.cache/nanochat: base d4 saved twice, sft and rl of it, and a base_eval."""
    folder = tmp_path / "nanochat"
    base(folder / "base_checkpoints/d4", 1000)
    base(folder / "base_checkpoints/d4", 1800, val_bpb=0.85, min_val_bpb=0.85)
    save(
        folder / "chatsft_checkpoints/d4",
        300,
        step=300,
        val_bpb=0.5,
        model_config=MODEL,
        user_config=SFT_CONFIG,
    )
    save(folder / "chatrl_checkpoints/d4", 60, model_config=MODEL)
    save(folder / "chatrl_checkpoints/d4", 466, model_config=MODEL)
    table(folder / "base_eval")
    return folder


def test_all_saves_of_one_training_are_one_run_and_each_gives_its_step(cache):
    """The id is of the folder and the config, so that of every save is the same."""
    first, last = (read(path) for path in sorted(cache.glob("base_checkpoints/d4/*")))

    assert first.facts.run_id == last.facts.run_id == last.facts.segment_id
    assert not first.facts.id_known
    assert values(first)["val/bpb", 1000] == 0.9
    assert values(last)["val/bpb", 1800] == 0.85
    assert values(last)["total_training_time", 1800] == 12.5
    assert values(last)["smooth_train_loss", 1800] == 3.25
    assert values(last)["min_val_bpb", 1800] == 0.85
    assert ("train/loss", 1800) not in values(last)


def test_what_was_asked_for_stands_beside_what_it_became(cache):
    """-1 and None of the config; the model's shape, batch sizes and steps that came of them."""
    facts = read(cache / "base_checkpoints/d4/meta_001800.json").facts

    assert facts.config["total_batch_size"] == facts.config["num_iterations"] == -1
    assert facts.effective["total_batch_size"] == 65536
    assert (facts.effective["depth"], facts.effective["model_dim"]) == (4, 256)
    assert (facts.effective["max_seq_len"], facts.effective["vocab_size"]) == (512, 4096)
    sft = read(cache / "chatsft_checkpoints/d4/meta_000300.json").facts

    assert sft.config["max_seq_len"] is None
    assert sft.effective["max_seq_len"] == 512
    assert sft.effective["num_iterations"] == 300
    assert sft.finished


def test_stage_project_name_and_lineage_come_from_folder_and_config(cache):
    """Without --model-tag the default name of the folder tells what was loaded."""
    known = {
        path.parent.parent.name: read(path).facts for path in sorted(cache.rglob("meta_*.json"))
    }
    pre, sft, rl = (known[f"{name}_checkpoints"] for name in ("base", "chatsft", "chatrl"))

    assert [f.stage for f in (pre, sft, rl)] == ["pretraining", "sft", "rl"]
    assert [f.source_project for f in (pre, sft, rl)] == ["nanochat", "nanochat-sft", "nanochat-rl"]
    assert [f.name for f in (pre, sft, rl)] == [None, "chatty", None]
    assert [f.model_tag for f in (pre, sft, rl)] == ["d4"] * 3
    assert (pre.loads_stage, pre.loads_tag) == (None, None)
    assert (sft.loads_stage, sft.loads_tag, sft.loads_step) == ("pretraining", "d4", 1800)
    assert (rl.loads_stage, rl.loads_tag, rl.loads_step) == ("sft", "d4", None)


def test_metadata_of_rl_has_no_step_but_that_of_its_name(cache):
    """chat_rl saves the model's config alone; both saves are one run."""
    runs = [read(path) for path in sorted(cache.glob("chatrl_checkpoints/d4/*"))]

    assert {run.facts.run_id for run in runs} == {runs[0].facts.run_id}
    assert [run.points.height for run in runs] == [0, 0]
    assert not runs[1].facts.finished


def test_a_folder_that_was_moved_or_watched_otherwise_is_the_same_run(cache, tmp_path):
    """Where the data lies and how often is looked is not what is trained; the depth is."""
    run_id = read(cache / "base_checkpoints/d4/meta_001800.json").facts.run_id
    moved = tmp_path / "elsewhere"
    shutil.move(cache, moved)
    folder = moved / "base_checkpoints/d4"

    assert read(folder / "meta_001800.json").facts.run_id == run_id
    other = base(folder, 1800, eval_every=100, device_batch_size=4)

    assert read(other).facts.run_id == run_id
    assert read(base(folder, 1800, target_param_data_ratio=20)).facts.run_id != run_id


def test_a_resumed_training_goes_on_as_the_same_run_and_says_from_where(cache):
    """resume_from_step is no other training."""
    folder = cache / "base_checkpoints/d4"
    run_id = read(folder / "meta_001000.json").facts.run_id
    resumed = read(base(folder, 1800, resume_from_step=1000)).facts

    assert resumed.run_id == run_id
    assert (resumed.resumed, resumed.resume_step) == (True, 1000)


@pytest.mark.parametrize(
    ("step", "config", "at"),
    [
        (1000, {}, 1000),
        (1100, {"save_every": 100, "num_iterations": 1800}, 1000),
        (1800, {"save_every": 100, "num_iterations": 1800}, 1800),
        (1801, {"save_every": 1000}, 1801),
        (1100, {"save_every": 100}, None),
    ],
)
def test_a_loss_stands_at_the_step_at_which_it_was_measured(tmp_path, step, config, at):
    """A save between two evaluations repeats the last one; where it may be either, no step."""
    part = read(base(tmp_path / "base_checkpoints/d4", step, **config))
    at_steps = [s for key, s in values(part) if key == "val/bpb"]

    assert at_steps == ([] if at is None else [at])
    assert ("val/bpb" in part.facts.summary) == (at is None)


def test_no_evaluation_yet_is_no_value(tmp_path):
    """Infinity is what the loop begins with, and Python writes it into the JSON."""
    path = base(tmp_path / "base_checkpoints/d4", 100, val_bpb=None, min_val_bpb=math.inf)
    part = read(path)

    assert "Infinity" in path.read_text()
    assert part.facts.summary == {}
    assert {key for key, _ in values(part)}.isdisjoint({"val/bpb", "min_val_bpb"})


def test_a_config_keeps_no_home_folder_and_no_key(tmp_path):
    """Forks write paths; people put keys where they do not belong."""
    part = read(
        base(
            tmp_path / "base_checkpoints/d4",
            1000,
            cache="/home/ada/data/cache",
            hf_token="hf_abc",
            max_new_tokens=3,
        )
    )

    assert part.facts.config["cache"] == "~/data/cache"
    assert "hf_token" not in part.facts.config
    assert part.facts.config["max_new_tokens"] == 3


def test_metadata_cut_anywhere_is_rejected_whole(cache):
    """A JSON document has no half; nothing is made up and nothing is raised."""
    path = cache / "base_checkpoints/d4/meta_001800.json"
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        reading = nanochat_meta.read(path, 0, ())

        assert reading.parts == ()
        assert [reject.raw for reject in reading.rejects] == [whole[:end]]


@given(st.binary(max_size=200))
def test_strange_bytes_are_never_an_error(tmp_path_factory, data):
    """Neither asking nor reading raises, whatever a file of that name holds."""
    folder = tmp_path_factory.getbasetemp() / "base_checkpoints" / "d4"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "meta_000001.json"
    path.write_bytes(data)
    nanochat_meta.recognises(path, data)

    assert nanochat_meta.read(path, 0, ()).parts == ()
    nanochat_eval_csv.recognises(path, data)
    nanochat_eval_csv.read(path, 0, ())


def test_a_table_of_base_eval_gives_core_and_every_task_at_the_step_of_its_name(cache):
    """Under keys of their own: base_train's CORE at that step is of fewer problems."""
    part = read(cache / "base_eval/base_model_001800.csv", nanochat_eval_csv)

    assert values(part) == {
        ("base_eval/hellaswag/centered", 1800): 0.02,
        ("base_eval/hellaswag/accuracy", 1800): 0.265,
        ("base_eval/boolq/centered", 1800): -0.3,
        ("base_eval/boolq/accuracy", 1800): 0.481957,
        ("base_eval/core_metric", 1800): 0.0477,
    }
    assert (part.facts.stage, part.facts.source_project) == ("pretraining", "nanochat")
    assert part.facts.model_tag is None


def test_a_table_cut_anywhere_loses_the_row_that_was_cut_and_no_other(tmp_path):
    """What is left of it are values of the whole; the cut row is rejected or was complete."""
    path = table(tmp_path / "base_eval")
    whole = path.read_bytes()
    full = values(read(path, nanochat_eval_csv))
    for end in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:end])
        reading = nanochat_eval_csv.read(path, 0, ())
        found = values(reading.parts[0])
        whole_rows = whole[:end].count(b"\n") - 1

        assert found.items() <= full.items()
        assert len(found) >= 2 * min(whole_rows, len(CORE))
        assert len(reading.rejects) <= 1
