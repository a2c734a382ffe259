"""A whole ~/.cache/nanochat synced -> one run for each stage, whichever files tell of it."""

from __future__ import annotations

import json

import pytest
from nanochat_files import BASE_CONFIG, MODEL, SFT_CONFIG, base, in_pieces, save, table, whole

import hooks


@pytest.fixture
def cache(tmp_path):
    """What base_train, base_eval, chat_sft and chat_rl left, and their report in pieces."""
    folder = tmp_path / "nanochat"
    base(folder / "base_checkpoints/d4", 1000)
    base(folder / "base_checkpoints/d4", 1840, val_bpb=1.10124, min_val_bpb=1.09998)
    sft = {"step": 300, "val_bpb": 0.5, "model_config": MODEL, "user_config": SFT_CONFIG}
    save(folder / "chatsft_checkpoints/d4", 300, **sft)
    save(folder / "chatrl_checkpoints/d4", 466, model_config=MODEL)
    (folder / "base_checkpoints/d4/model_001840.pt").write_bytes(b"PK\x03\x04weights")
    table(folder / "base_eval", "base_model_001840.csv")
    in_pieces(folder / "report")
    return folder


def stages(place):
    query = "select stage, run_id, parent_run_id, points from runs"
    return {stage: rest for stage, *rest in place.rows(query)}


def test_a_run_that_only_its_folder_tells_of_is_one_run_for_each_stage(place, cache):
    """run=dummy: no W&B, no console log; lineage, resolved config and every value are there."""
    done = place.sync(cache)
    found = stages(place)

    assert done.code == 0
    assert done.document["runs"] == 3
    assert set(found) == {"pretraining", "sft", "rl"}
    assert found["sft"][1] == found["pretraining"][0]
    assert found["rl"][1] == found["sft"][0]
    at_end = {
        metric: value
        for (run_id, metric, step), value in place.history().items()
        if run_id == found["pretraining"][0] and step == 1840
    }

    assert float(at_end["val/bpb"]) == 1.10124
    assert float(at_end["core_metric"]) == 0.05
    assert float(at_end["base_eval/core_metric"]) == 0.0477
    assert float(at_end["base_eval/boolq/accuracy"]) == 0.481957
    config = dict(place.rows("select key, value from config where kind = 'effective'"))

    assert json.loads(config["total_batch_size"]) == 65536
    assert json.loads(config["num_params"]) == 36_700_290


def test_reading_the_report_in_pieces_or_whole_gives_the_same_points(place, cache):
    """report.md holds nothing that the section files do not."""
    before = place.sync(cache).document["points"]
    whole(cache / "report")

    assert place.sync(cache).document["points"] == before


def test_a_logged_run_takes_in_what_its_folder_knows_beyond_the_log(place, cache):
    """The log's own id and values stand; checkpoints, evaluation and report are of that run."""
    run = hooks.init(
        "demo", run_id="r1", dir=place.logs, stage="pretraining", wandb=False, config=BASE_CONFIG
    )
    for step in (0, 250, 500, 750, 1000):
        run.log({"val/bpb": 1.9 - step / 1000}, step=step)
    run.log({"val/bpb": 1.10124, "core_metric": 0.05003}, step=1840)
    run.finish()
    done = place.sync(place.logs, cache)
    history = place.history()

    assert done.document["runs"] == 3
    assert stages(place)["pretraining"][0] == "r1"
    assert float(history["r1", "core_metric", 1840]) == 0.05003
    assert float(history["r1", "base_eval/core_metric", 1840]) == 0.0477
    assert float(history["r1", "smooth_train_loss", 1000]) == 3.25
