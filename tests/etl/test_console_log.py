"""nanochat's console logs, of every era: which runs are in one, and what each of them says."""

from __future__ import annotations

import math

import console_logs as logs

from etl.sources import nanochat_console
from etl.sources.reading import HEAD_BYTES


def read(folder, lines, name="train.log", end="\n"):
    path = folder / name
    path.write_bytes(logs.text(lines, end))
    reading = nanochat_console.read(path, 0, ())

    assert nanochat_console.recognises(path, path.read_bytes()[:HEAD_BYTES])
    assert [part.facts.run_id for part in reading.parts] == sorted(
        part.facts.run_id for part in reading.parts
    )

    return reading


def by_script(reading):
    return {part.facts.script: part for part in reading.parts}


def values(part, key):
    rows = part.points.filter(part.points["key"] == key)
    return dict(zip(rows["step"], rows["value"], strict=True))


def test_every_training_of_a_speedrun_is_a_run_of_its_own_stage(tmp_path):
    """A log of 2025 holds five trainings; each has its stage, its project, its beginning."""
    parts = by_script(read(tmp_path, logs.speedrun(), "speedrun.log"))
    stages = {script: part.facts.stage for script, part in parts.items()}
    began = {
        script: (part.facts.loads_stage, part.facts.loads_tag, part.facts.loads_step)
        for script, part in parts.items()
    }

    assert stages == {
        "tok_train": "tokenizer",
        "base_train": "pretraining",
        "mid_train": "midtraining",
        "chat_sft": "sft",
        "chat_rl": "rl",
    }
    assert began["mid_train"] == ("pretraining", "d4", 3)
    assert began["chat_sft"] == ("midtraining", "d4", 2)
    assert began["chat_rl"] == ("sft", "d4", 2)
    assert parts["chat_rl"].facts.source_project == "nanochat-rl"
    assert {part.facts.finished for part in parts.values()} == {True}
    assert {part.facts.name for part in parts.values()} == {"speedrun"}
    assert parts["base_train"].facts.model_tag == "d4"
    assert sum(part.console.height for part in parts.values()) == len(logs.speedrun())


def test_values_have_the_units_of_their_metrics(tmp_path):
    """Milliseconds become seconds, minutes seconds, percentages fractions; commas go."""
    parts = by_script(read(tmp_path, logs.speedrun()))
    base, mid = parts["base_train"], parts["mid_train"]

    assert values(base, "train/dt") == {0: 0.48939, 1: 0.49039, 2: 0.49139}
    assert values(base, "total_training_time")[2] == 12.6
    assert values(base, "train/tok_per_sec")[0] == 1071306
    assert values(mid, "arc_easy_acc") == {2: 0.3876}
    assert base.facts.summary["total_training_time"] == 10485.0
    assert base.facts.config == {"depth": 4, "run": "speedrun"}
    assert base.facts.effective["num_iterations"] == 3
    assert base.facts.effective["device_batch_size"] == 2
    assert base.facts.effective["num_flops_per_token"] == 1.447035e08


def test_an_evaluation_is_of_the_run_that_it_evaluated(tmp_path):
    """base_loss, base_eval and chat_eval add points to their runs, at the checkpoint's step."""
    parts = by_script(read(tmp_path, logs.speedrun()))
    base = parts["base_train"]

    assert values(base, "train/bpb") == {3: 0.8147}
    assert values(base, "base_eval/val_bpb") == {3: 0.8119}
    assert values(base, "base_eval/core_metric") == {3: 0.220037}  # of all examples, not 500
    assert values(base, "base_eval/copa/centered") == {3: 0.32}
    assert values(base, "centered_results.boolq") == {3: -0.2737}  # while it trained
    assert values(parts["mid_train"], "chatcore_metric") == {}  # not printed then


def test_standard_output_alone_tells_the_same(tmp_path):
    """Without the loggers' lines what is evaluated is the training that came before."""
    lines = [line for line in logs.speedrun() if " - nanochat." not in line]
    told, all_told = (by_script(read(tmp_path, some)) for some in (lines, logs.speedrun()))

    assert told.keys() == all_told.keys()
    for script, part in told.items():
        assert part.points.equals(all_told[script].points), script


def test_chatcore_with_spelling_is_another_metric(tmp_path):
    """Its mean is over other tasks, so the two have names of their own."""
    parts = by_script(read(tmp_path, logs.speedrun()))
    without = by_script(read(tmp_path, [*logs.mid_2025(), *logs.chat_eval("mid_checkpoints", 2)]))

    assert values(parts["chat_sft"], "chatcore_spellingbee_metric") == {2: 0.2511}
    assert values(parts["chat_sft"], "chatcore_metric") == {}
    assert values(parts["chat_sft"], "spellingbee_acc") == {2: 0.4376}
    assert values(without["mid_train"], "chatcore_metric") == {2: 0.2511}


def test_the_first_sft_and_rl_are_read(tmp_path):
    """Their lines are of other forms: no spaces before a bar, several values behind a comma."""
    parts = by_script(read(tmp_path, logs.speedrun()))
    sft, rl = parts["chat_sft"], parts["chat_rl"]

    assert values(sft, "train/loss")[0] == 1.25
    assert math.isnan(values(sft, "train/loss")[1])
    assert values(sft, "num_tokens") == {0: 10240, 1: 9001}
    assert values(sft, "val/loss") == {0: 1.5, 2: 1.1}
    assert ("gsm8k_acc", 2, 0.05) in sft.points.select("key", "step", "value").rows()
    assert values(rl, "reward") == {0: 0.0625, 1: 0.125}
    assert values(rl, "sequence_length") == {0: 151.2, 1: 149.0}
    assert values(rl, "pass@2") == {0: 0.09}


def test_sft_of_2026_is_read_through_key_presses(tmp_path):
    """What a person types lands in the log; nan and inf are values."""
    (part,) = read(tmp_path, logs.sft_2026()).parts
    loss = values(part, "train/loss")

    assert part.facts.script == "chat_sft"
    assert part.facts.effective["total_batch_size"] == 128
    assert (loss[1], math.isnan(loss[2]), loss[3]) == (5.471677, True, math.inf)
    assert values(part, "arc_easy_acc") == {3: 0.3876}
    assert values(part, "chatcore_metric") == {3: 0.25}
    assert values(part, "chatcore_cat") == {3: 0.3}
    assert not part.facts.finished
    assert part.console["text"][4].startswith("step 00002")


def test_base_of_2026_is_read(tmp_path):
    """bf16_mfu is train/mfu, the place in the data is text, eta is a guess and no metric."""
    (part,) = read(tmp_path, logs.base_2026()).parts
    keys = set(part.points["key"])

    assert part.facts.effective["num_params"] == 286261730
    assert part.facts.effective["depth"] == 12
    assert part.facts.model_tag == "d12"
    assert values(part, "train/mfu") == {10: 40.2, 11: 40.2}
    assert values(part, "train/grad_norm") == {11: 0.5}
    assert "0 pq: 3 rg: 1" in part.points["text"].to_list()
    assert not any("eta" in key for key in keys)


def test_records_of_2026_are_read(tmp_path):
    """Asked for and resolved settings, points and summary come from ``tag k=v`` lines."""
    folder = tmp_path / "experiments" / "wide" / "d12"
    folder.mkdir(parents=True)
    (part,) = read(folder, logs.records_base(), "base_train.log").parts
    facts = part.facts

    assert facts.name == "wide_d12"
    assert facts.config["fp8"] is True
    assert facts.config["model_tag"] is None
    assert facts.config["data"] == "data"  # of a path only its end
    assert "s3cret" not in facts.dump()
    assert facts.effective["num_params"] == 286261730
    assert facts.summary["total_training_time"] == 38.2
    assert facts.finished
    assert values(part, "val/bpb") == {0: 3.25, 2: 0.8213}
    assert values(part, "total_training_flops") == {0: 0.0, 2: 5e17}
    assert values(part, "core_metric") == {2: 0.21}


def test_a_log_of_an_evaluation_alone_says_which_checkpoint_it_was(tmp_path):
    """Its run is found by what it loaded; its values are at that step."""
    (part,) = read(tmp_path, logs.records_eval(), "chat_eval.log").parts
    facts = part.facts

    assert (facts.stage, facts.script) == ("eval", "chat_eval")
    assert (facts.loads_stage, facts.loads_tag, facts.loads_step) == ("sft", "d12", 485)
    assert values(part, "arc_easy_acc") == {485: 0.387626}
    assert values(part, "chatcore_metric") == {485: 0.1234}


def test_a_job_that_was_started_again_is_a_segment(tmp_path):
    """The same run, from the step on that it resumed from, whatever was printed after it."""
    again = logs.base_2025(range(2, 4), 4, ["Resuming optimization from step 2"])
    reading = read(tmp_path, [*logs.base_2025(range(4), 4), *again, *logs.base_end(4)])
    segments = sorted((part.facts for part in reading.parts), key=lambda fact: fact.resumed)

    assert len({fact.run_id for fact in segments}) == 1
    assert len({fact.segment_id for fact in segments}) == 2
    assert [(f.resumed, f.resume_step) for f in segments] == [(False, None), (True, 2)]


def test_steps_that_go_back_are_a_segment_even_unannounced(tmp_path):
    """A log of standard output alone does not say that the job was started again."""
    steps = [line for line in logs.base_2025(range(4), 5) if line.startswith("step")]
    reading = read(tmp_path, [*steps, *steps[2:], steps[-1]])

    assert len({part.facts.run_id for part in reading.parts}) == 1
    assert sorted(part.facts.resume_step or 0 for part in reading.parts) == [0, 2]
    assert reading.rejects == ()


def test_two_processes_that_write_by_turns_are_told(tmp_path):
    """Steps that are of another process are quarantined, never mixed into one run."""
    steps = [line for line in logs.base_2025(range(9), 9) if line.startswith("step")]
    reading = read(tmp_path, [*steps[:6], steps[1], steps[6], steps[2], steps[7], steps[3]])
    told = [reject.reason for reject in reading.rejects]

    assert len(reading.parts) == 2
    assert len(told) == 2
    assert "two processes" in told[0]


def test_another_training_is_another_run(tmp_path):
    """A finished one is not gone on with, nor is one of another depth."""
    one = [*logs.base_2025(), *logs.base_end()]
    deeper = [line.replace("num_layers: 4", "num_layers: 8") for line in logs.base_2025()]

    assert len({p.facts.run_id for p in read(tmp_path, one * 2).parts}) == 2
    assert len({p.facts.run_id for p in read(tmp_path, logs.base_2025() + deeper).parts}) == 2

    slower = ["Overriding: matrix_lr = 0.01", *logs.base_2025()[2:]]
    faster = ["Overriding: matrix_lr = 0.02", *logs.base_2025()[2:]]

    assert len({p.facts.run_id for p in read(tmp_path, slower + faster).parts}) == 2
    assert len({p.facts.run_id for p in read(tmp_path, slower + slower).parts}) == 1


def test_wandb_tells_the_id_and_torchrun_the_exit_code(tmp_path):
    """A run that W&B knows has W&B's id; one that died in its set-up is a failed run."""
    lines = [
        *logs.mid_2025()[:3],
        "\x1b[34mwandb\x1b[0m: Run data is saved locally in /x/wandb/run-20251015_055555-5ddloayz",
        "wandb: Syncing run speedrun",
        "wandb: 🚀 View run at https://wandb.ai/someone/nanochat-mid/runs/5ddloayz",
        "[rank1]: OSError: no space",
        "scripts.mid_train FAILED",
        "  exitcode  : 1 (pid: 1547599)",
    ]
    (part,) = read(tmp_path, lines, end="\r\n").parts
    facts = part.facts

    assert (facts.run_id, facts.id_known) == ("5ddloayz", True)
    assert (facts.finished, facts.exit_code) == (True, 1)
    assert (facts.source_project, facts.stage) == ("nanochat-mid", "midtraining")
    assert "someone" not in facts.dump()


def test_a_line_that_was_cut_or_mixed_is_quarantined(tmp_path):
    """What is whole in it is kept; what is not, is kept with the reason."""
    good = logs.base_2025(range(3), 9)
    bad = good[-1].replace("loss: 7.090355", "loss: 7.0step 00")
    reading = read(tmp_path, [*good, bad.replace("step 00002", "step 00003"), good[-1][:22]])

    assert [reject.line for reject in reading.rejects] == [len(good) + 1]
    assert "'loss' is no number" in reading.rejects[0].reason
    assert set(values(reading.parts[0], "train/lrm")) == {0, 1, 2, 3}
