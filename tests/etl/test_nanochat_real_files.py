"""Real checkpoints, tables and reports of nanochat's users, counted against what they hold."""

from __future__ import annotations

import csv
import json

import pytest

from etl.sources import nanochat_eval_csv, nanochat_meta, nanochat_report
from etl.sources.reading import HEAD_BYTES


def head_of(path):
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def read(path, source):
    reading = source.read(path, 0, ())

    assert source.recognises(path, head_of(path))
    assert reading.rejects == ()
    return reading.parts


def values(part):
    return {(key, step): value for key, step, value, _, _ in part.points.iter_rows()}


def test_every_real_checkpoint_is_read_and_versions_of_one_file_are_one_run(fixtures):
    """Twelve files of five runs; a path that became relative makes no other run."""
    found = {}
    for path in sorted((fixtures / "nanochat").rglob("meta_*.json")):
        (part,) = read(path, nanochat_meta)
        meta = json.loads(path.read_text())
        found.setdefault(part.facts.run_id, []).append(path)

        assert values(part)["val/bpb", meta["step"]] == meta["val_bpb"]
        assert part.facts.model_tag == path.parent.name
        assert part.facts.effective["depth"] == meta["model_config"]["n_layer"]
        assert part.facts.name == meta["user_config"]["run"]
        assert "/home/" not in part.facts.dump()
        if part.facts.stage == "sft":
            assert (part.facts.loads_tag, part.facts.loads_step) == ("picochat-ctx-s1", 5000)
            assert part.facts.effective["num_iterations"] == meta["step"]
    assert sorted(len(files) for files in found.values()) == [1, 1, 2, 4, 4]


def test_every_real_table_is_read_whole_and_one_of_no_known_step_has_no_history(fixtures):
    """Tables that a person renamed: their values are the run's, of no step."""
    seen = 0
    for path in sorted((fixtures / "nanochat").rglob("*.csv")):
        if not nanochat_eval_csv.recognises(path, head_of(path)):
            continue
        seen += 1
        (part,) = read(path, nanochat_eval_csv)
        rows = list(csv.reader(path.open(), skipinitialspace=True))[1:]

        assert part.points.height == 0
        assert len(part.facts.summary) == 2 * len(rows) - 1
        assert part.facts.summary["base_eval/core_metric"] == float(rows[-1][2])
        assert part.facts.name == path.stem
    assert seen == 4


def test_what_is_not_nanochats_own_is_left_to_others(fixtures):
    """Launch records, results of other programs, benchmarks and logs in JSON."""
    strange = (
        "*launch_record*.json",
        "smoke_test*.json",
        "train_step_bench.csv",
        "results.csv",
        "v4_smoke_result.md",
        "*.log",
    )
    paths = [path for name in strange for path in sorted((fixtures / "nanochat").rglob(name))]

    assert len(paths) == 9
    for path in paths:
        head = head_of(path)

        assert not nanochat_meta.recognises(path, head)
        assert not nanochat_eval_csv.recognises(path, head)
        assert not nanochat_report.recognises(path, head)


COLUMNS = {
    "min_val_bpb": ("pretraining", "min_val_bpb"),
    "val_bpb": ("pretraining", "base_eval/val_bpb"),
    "core_estimate": ("pretraining", "core_metric"),
    "core": ("pretraining", "base_eval/core_metric"),
    "mfu_pct": ("pretraining", "train/mfu"),
    "peak_mem_mib": ("pretraining", "peak_memory_mib"),
    "iterations": ("pretraining", "num_iterations"),
    "n_params": ("pretraining", "num_params"),
    "train_tokens": ("pretraining", "tokens_trained"),
    "world_size": ("pretraining", "ddp_world_size"),
}
TASKS = {
    "arc_easy": "arc_easy_acc",
    "arc_challenge": "arc_challenge_acc",
    "mmlu": "mmlu_acc",
    "gsm8k": "gsm8k_acc",
    "humaneval": "humaneval_acc",
    "spellingbee": "spellingbee_acc",
}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("jhinpan+nanochat/report.v2_c2840f2.md", "report.md"),
        ("royam0820+nanochat-speedrun-001/report.md", "report.md"),
        ("rehaanahmad2013+nanochat/report_initial.md", "report_initial.md"),
        ("karpathy+nanochat/report", "report/*.md"),
    ],
)
def test_real_reports_hold_what_was_counted_of_them(fixtures, name, published):
    """Reports of October, November and December 2025 against a table made of them by hand."""
    path = fixtures / "nanochat" / name
    files = sorted(path.glob("*.md")) if path.is_dir() else [path]
    found = {}
    for file in files:
        for part in read(file, nanochat_report):
            place = found.setdefault(part.facts.stage, {})
            place |= part.facts.effective | part.facts.summary
            place |= {key: value for (key, _), value in values(part).items()}
    with (fixtures / "nanochat_published_runs.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    source = name.split("/")[0].replace("+", "/"), published
    (expected,) = (
        row
        for row in rows
        if (row["source_repo"], row["source_path"]) == source and row["mid_arc_easy"]
    )
    for column, (stage, key) in COLUMNS.items():
        if float(expected[column]):
            assert found[stage][key] == float(expected[column]), column
        else:
            assert key not in found[stage], column  # 0.00 of what was not measured
    for prefix, stage in (("mid", "midtraining"), ("sft", "sft")):
        bee = expected[f"{prefix}_spellingbee"]
        tasks = {**TASKS, "chatcore": "chatcore_spellingbee_metric" if bee else "chatcore_metric"}
        for column, key in tasks.items():
            text = expected[f"{prefix}_{column}"]

            assert found[stage].get(key) == (float(text) if text else None), (prefix, column)
