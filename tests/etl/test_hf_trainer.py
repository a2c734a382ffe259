"""Hugging Face trainer states -> points; cut anywhere, the rows before the cut."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import ALL, hf_trainer, places


def state(steps=3, **more):
    rows = [{"epoch": s / 10, "step": s * 10, "loss": 2 - s / 10, "x": "E"} for s in range(steps)]
    return {
        "best_metric": 0.5, "best_model_checkpoint": "/home/someone/out/checkpoint-20",
        "epoch": 3.0, "global_step": 30, "is_world_process_zero": True,
        "log_history": rows, "max_steps": 60, "num_train_epochs": 6, "train_batch_size": 4,
        "total_flos": 1.5e17, "trial_params": {"lr": 0.1}, **more,
    }  # fmt: skip


def read(folder, value):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    data = value if isinstance(value, bytes) else json.dumps(value, indent=2, sort_keys=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return hf_trainer.read(path, 0, ())


def test_a_real_state_gives_exactly_the_rows_and_keys_that_were_measured(fixtures, truths):
    """216 rows, the count of every key, first and last step; no other source claims it."""
    (item,) = [item for item in truths if item["kind"] == "hf_trainer_state"]
    path, truth = fixtures / item["file"], item["truth"]
    (part,) = hf_trainer.read(path, 0, ()).parts
    keys = {key: n for key, n in truth["keys"].items() if key != "step"}

    assert part.facts.rows == truth["log_rows"]
    assert part.facts.keys == keys
    assert (part.facts.first_step, part.facts.last_step) == (0, truth["max_steps"])
    assert part.points.height == sum(keys.values())
    assert part.facts.finished
    claims = [s.kind for s in ALL if s.recognises(path, path.read_bytes()[: 64 * 1024])]
    assert claims == ["hf-trainer"]


def test_what_was_asked_and_what_came_of_it_are_facts_and_no_path_is(tmp_path):
    facts = read(tmp_path / "calm-lora", state()).parts[0].facts

    assert facts.name == "calm-lora"
    assert facts.config == {"num_train_epochs": 6, "trial_params": {"lr": 0.1}}
    assert facts.effective == {"max_steps": 60, "num_train_epochs": 6, "train_batch_size": 4}
    assert facts.summary == {
        "best_metric": 0.5, "epoch": 3.0, "global_step": 30, "total_flos": 1.5e17
    }  # fmt: skip
    assert not facts.finished
    assert "someone" not in facts.dump()


def test_the_checkpoints_of_one_run_are_one_run_and_another_folder_is_another(tmp_path):
    """checkpoint-10 and checkpoint-30 share an id, also in a copy; a twin of other name has its."""
    early = read(tmp_path / "a/lora-1/checkpoint-10", state(1)).parts[0].facts
    late = read(tmp_path / "a/lora-1/checkpoint-30", state(3)).parts[0].facts
    copy = read(tmp_path / "b/lora-1", state(3)).parts[0].facts
    twin = read(tmp_path / "a/lora-2/checkpoint-30", state(3)).parts[0].facts

    assert early.run_id == late.run_id == copy.run_id != twin.run_id
    assert not early.id_known


def test_nan_tokens_are_values_and_bad_rows_are_rejected_alone(tmp_path):
    rows = [
        {"step": 1, "loss": math.nan, "grad_norm": math.inf},
        7,
        {"loss": 1.0},
        {"step": 1.5, "loss": 1.0},
        {"step": 2, "loss": None, "eval_loss": 3},
    ]
    reading = read(tmp_path / "x", state(log_history=rows))
    values = reading.parts[0].points.select("key", "step", "value").rows()

    assert str(values) == "[('grad_norm', 1, inf), ('loss', 1, nan), ('eval_loss', 2, 3.0)]"
    assert len(reading.rejects) == 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_state_cut_anywhere_keeps_each_row_before_the_cut(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    whole = json.dumps(state(20), indent=1, sort_keys=True).encode()
    cut = data.draw(st.integers(0, len(whole) - 1))
    reading = read(folder / "x", whole[:cut])
    begins = [end for end in range(cut) if whole[end : end + 1] == b"}"]
    rows = len([end for end in begins if end < whole.index(b"]")])

    assert len(reading.rejects) == 1
    assert (reading.parts[0].facts.rows if reading.parts else 0) == rows


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/srv/x/outputs/lora-1", "lora-1"),
        ("/home/someone/proj/lightning_logs/version_3", "proj/lightning_logs/version_3"),
        ("/home/someone/train", "train"),
        ("/Users/someone/runs", "runs"),
        ("/tmp/a/tb/train", "a/tb/train"),
        ("/root", "run"),
        ("/", "run"),
    ],
)
def test_a_folder_is_named_up_to_the_first_name_that_tells_and_never_a_home(path, name):
    assert places.telling(Path(path)) == name
