"""nanochat's report, whole or in its section files -> runs by stage, their metrics and lineage."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from nanochat_files import BASE, CHAT, EVALUATION, HEADER, SFT, in_pieces, whole, write

from etl.sources import nanochat_report
from etl.sources.reading import HEAD_BYTES


def seconds(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def read(path):
    reading = nanochat_report.read(path, 0, ())

    assert nanochat_report.recognises(path, path.read_bytes()[:HEAD_BYTES])
    assert reading.end == path.stat().st_size
    return reading


def by_stage(reading):
    assert reading.rejects == ()
    return {part.facts.stage: part for part in reading.parts}


def values(part):
    return {(key, step): value for key, step, value, _, _ in part.points.iter_rows()}


def test_a_report_gives_a_run_for_each_stage_in_their_lineage(tmp_path):
    """The ids are ours; that of the stage before is the parent."""
    runs = by_stage(read(whole(tmp_path)))
    base, sft, rl = (runs[stage].facts for stage in ("pretraining", "sft", "rl"))

    assert (base.parent_run_id, sft.parent_run_id, rl.parent_run_id) == (
        None,
        base.run_id,
        sft.run_id,
    )
    assert [f.source_project for f in (base, sft, rl)] == [
        "nanochat",
        "nanochat-sft",
        "nanochat-rl",
    ]
    assert [f.name for f in (base, sft, rl)] == [None, "chatty", "chatty"]
    assert [f.model_tag for f in (base, sft, rl)] == ["d4"] * 3
    assert [f.loads_stage for f in (base, sft, rl)] == [None, "pretraining", "sft"]
    assert not any(f.id_known for f in (base, sft, rl))
    assert base.ended_at == seconds("2026-02-20 10:00:00")


def test_the_last_values_of_training_stand_at_its_last_step(tmp_path):
    """In canonical units; what base_eval measured anew hides nothing and is not hidden."""
    part = by_stage(read(whole(tmp_path)))["pretraining"]
    found = values(part)

    assert found["val/bpb", 1840] == 1.1012
    assert found["base_eval/val_bpb", 1840] == 1.1015
    assert found["core_metric", 1840] == 0.05
    assert found["base_eval/core_metric", 1840] == 0.0477
    assert found["base_eval/boolq/centered", 1840] == -0.3
    assert found["train/bpb", 1840] == 1.09
    assert found["total_training_flops", 1840] == 1.5e16
    assert found["min_val_bpb", 1840] == 1.1
    assert part.facts.summary == {
        "train/mfu": 40.25,
        "peak_memory_mib": 9000.5,
        "total_training_time": 150.0,  # to 0.6 s: too coarse to stand beside a value of history
    }
    texts = dict(part.points.filter(part.points["text"].is_not_null())["key", "text"].rows())

    assert texts == {
        "sample/0": "<|bos|>The capital of France is\n- Paris: a city\nof many words",
        "unconditioned/0": "<|bos|>Once",
    }


def test_what_was_asked_for_stands_beside_what_it_became(tmp_path):
    """Arguments as Python values; what the script worked out of them; the machine it ran on."""
    facts = by_stage(read(whole(tmp_path)))["pretraining"].facts

    assert facts.config == {
        "run": "dummy",
        "device_type": None,
        "depth": 4,
        "num_iterations": -1,
        "total_batch_size": -1,
        "eval_tokens": 10_485_760,
        "embedding_lr": 0.3,
        "fp8": False,
        "model_tag": None,
    }
    assert facts.effective == {
        "num_params": 36_700_290,
        "num_flops_per_token": 1.23e8,
        "num_iterations": 1840,
        "tokens_trained": 120_586_240,
        "param_data_ratio": 12.0,
        "ddp_world_size": 8,
    }
    assert facts.versions["git_commit"] == "abc1234"
    assert facts.versions["git_dirty"] == "true"
    assert facts.versions["gpus"] == "1x NVIDIA H100 80GB HBM3"


def test_chatcore_is_another_metric_where_spelling_bee_is_among_its_tasks(tmp_path):
    """The task is nearly always solved and lifts the mean from 0.09 to 0.23."""
    with_bee = by_stage(read(whole(tmp_path)))["sft"]
    text = re.sub(r"- SpellingBee.*\n", "", CHAT)
    without = by_stage(read(write(tmp_path / "old", SFT + "\n" + text)))["sft"]

    assert values(with_bee)["chatcore_spellingbee_metric", 300] == 0.23
    assert values(with_bee)["spellingbee_acc", 300] == 0.97
    assert ("chatcore_metric", 300) not in values(with_bee)
    assert values(without)["chatcore_metric", 300] == 0.23
    assert values(without)["arc_easy_acc", 300] == 0.4


def test_an_evaluation_of_no_known_step_is_of_the_whole_run(tmp_path):
    """chat_rl does not write how many steps it took."""
    part = by_stage(read(whole(tmp_path)))["rl"]

    assert part.points.height == 0
    assert part.facts.summary == {"gsm8k_acc": 0.09}


def test_section_files_are_the_runs_of_the_report_assembled_of_them(tmp_path):
    """The same ids, lineage and points, before report.md is there and beside it."""
    report = by_stage(read(whole(tmp_path / "assembled")))
    points, facts = {}, {}
    for path in in_pieces(tmp_path / "report"):
        for stage, part in by_stage(read(path)).items():
            points.setdefault(stage, {}).update(values(part))
            facts.setdefault(stage, []).append(part.facts)
    assert set(points) == set(report)
    for stage, part in report.items():
        assert points[stage] == values(part)
        for fact in facts[stage]:
            assert fact.run_id == part.facts.run_id
            assert fact.parent_run_id == part.facts.parent_run_id
            assert fact.versions == part.facts.versions
    assert nanochat_report.read(tmp_path / "report" / "header.md", 0, ()).parts == ()


def test_an_evaluation_left_from_an_earlier_training_is_of_another_run(tmp_path):
    """base_train wrote its section anew, base_eval has not yet."""
    paths = in_pieces(tmp_path)
    paths[0].write_text(BASE.replace("10:00:00", "20:00:00"))
    training, stale = (by_stage(read(path))["pretraining"].facts for path in paths[:2])

    assert training.run_id != stale.run_id
    assert stale.parent_run_id is None
    assert stale.config == {}


def test_a_model_from_elsewhere_is_no_run_of_nanochats(tmp_path):
    """base_eval --hf-path writes the same section."""
    text = EVALUATION.replace("base_model (step 1840)", "openai-community/gpt2")
    runs = by_stage(read(write(tmp_path, HEADER + BASE + "\n" + text)))

    assert runs["eval"].facts.name == "openai-community/gpt2"
    assert runs["eval"].facts.summary["core_metric"] == 0.0477
    assert ("base_eval/core_metric", 1840) not in values(runs["pretraining"])


def test_a_report_cut_anywhere_makes_no_value_up(tmp_path):
    """Half a number is no number; the cut line is rejected or it was complete."""
    path = whole(tmp_path)
    data = path.read_bytes()
    full = {stage: values(part) for stage, part in by_stage(read(path)).items()}
    for end in range(len(HEADER) + len(BASE), len(data), 11):
        path.write_bytes(data[:end])
        reading = nanochat_report.read(path, 0, ())

        assert len(reading.rejects) <= 1
        for part in reading.parts:
            assert values(part).items() <= full[part.facts.stage].items()


def test_a_damaged_entry_is_rejected_with_its_place_and_the_rest_is_kept(tmp_path):
    """Line and byte of each, as a person would look for it."""
    text = (
        SFT.replace("iterations: 300", "iterations: 3#0") + "\n" + CHAT.replace(": 0.31", " 0.31")
    )
    reading = read(write(tmp_path, text))

    assert [(reject.line, reject.reason) for reject in reading.rejects] == [
        (8, "'Number of iterations' is no number"),
        (21, "an entry of a report without a value"),
    ]
    assert all(text.encode()[r.at_byte :].startswith(r.raw) for r in reading.rejects)
    assert reading.parts[0].facts.summary["gsm8k_acc"] == 0.04


@given(st.binary(max_size=300))
def test_strange_bytes_are_never_an_error(tmp_path_factory, data):
    """Whatever follows the first lines of a section."""
    path = tmp_path_factory.getbasetemp() / "chat-sft.md"
    path.write_bytes(b"## Chat SFT\ntimestamp: 2026-02-20 11:00:00\n\n" + data)

    assert nanochat_report.recognises(path, path.read_bytes())
    assert len(nanochat_report.read(path, 0, ()).parts) == 1
    nanochat_report.recognises(path, data)
