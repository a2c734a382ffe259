"""What is known of metrics, source projects and scripts. Data only.

Canonical names are nanochat's own (karpathy/nanochat, master of 2026-07-03). ``direction`` says
which is better; None is a known "neither". A fraction lies in 0..1.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """One canonical metric."""

    unit: str | None
    direction: str | None  # min, max or None
    family: str
    description: str


METRICS: dict[str, Metric] = {
    "train/loss": Metric("nats/token", "min", "loss", "training loss, as the script smooths it"),
    "val/loss": Metric("nats/token", "min", "loss", "validation loss"),
    "val/bpb": Metric("bits/byte", "min", "loss", "validation bits per byte"),
    "train/lrm": Metric("ratio", None, "schedule", "learning rate as a multiple of its base value"),
    "train/dt": Metric("s", "min", "throughput", "wall time of one step"),
    "train/tok_per_sec": Metric("tokens/s", "max", "throughput", "tokens trained on per second"),
    "train/mfu": Metric("%", "max", "efficiency", "model FLOPs utilisation of the stated peak"),
    "train/grad_norm": Metric("norm", None, "optimiser", "norm of the gradient before clipping"),
    "train/epoch": Metric(None, None, "schedule", "place in the training data"),
    "total_training_flops": Metric("FLOPs", None, "compute", "floating point operations so far"),
    "total_training_time": Metric(
        "s", None, "compute", "training time so far, without evaluations"
    ),
    "core_metric": Metric("fraction", "max", "aggregate", "DCLM CORE: mean centred accuracy"),
    "chatcore_metric": Metric("fraction", "max", "aggregate", "ChatCORE: mean centred accuracy"),
    "chatcore_spellingbee_metric": Metric(
        "fraction", "max", "aggregate", "ChatCORE with SpellingBee among its tasks"
    ),
    "chatcore_cat": Metric("fraction", "max", "aggregate", "ChatCORE over the categorical tasks"),
    "mmlu_acc": Metric("fraction", "max", "accuracy", "MMLU"),
    "arc_easy_acc": Metric("fraction", "max", "accuracy", "ARC-Easy"),
    "arc_challenge_acc": Metric("fraction", "max", "accuracy", "ARC-Challenge"),
    "gsm8k_acc": Metric("fraction", "max", "accuracy", "GSM8K"),
    "humaneval_acc": Metric("fraction", "max", "accuracy", "HumanEval"),
    "spellingbee_acc": Metric("fraction", "max", "accuracy", "SpellingBee"),
    "train/bpb": Metric("bits/byte", "min", "loss", "bits per byte of training data, evaluated"),
    "reward": Metric("reward", "max", "reward", "mean reward of the samples of one step"),
    "sequence_length": Metric("tokens", None, "reward", "mean length of the samples of one step"),
}

# What a name's ending says of a metric that is not listed.
ENDINGS: tuple[tuple[str, Metric], ...] = (
    ("_acc", Metric("fraction", "max", "accuracy", "accuracy")),
    ("/acc", Metric("fraction", "max", "accuracy", "accuracy")),
    ("/accuracy", Metric("fraction", "max", "accuracy", "accuracy")),
)

# pass@1, pass@2, ...
PASS_AT = Metric("fraction", "max", "pass", "share of tasks solved by one of k samples")

# Spellings of nanochat's own family of projects. Elsewhere the same word may be another
# measurement (a smoothed loss, a percentage), so there it keeps its own name.
NANOCHAT_ALIASES: dict[str, str] = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "train_lrm": "train/lrm",
    "lrm": "train/lrm",
    "efficiency/step_time_sec": "train/dt",
    "efficiency/tokens_per_sec": "train/tok_per_sec",
    "efficiency/mfu_percent": "train/mfu",
    "efficiency/total_flops": "total_training_flops",
    "efficiency/total_training_time_sec": "total_training_time",
    "chatcore/MMLU": "mmlu_acc",
    "chatcore/ARC-Easy": "arc_easy_acc",
    "chatcore/ARC-Challenge": "arc_challenge_acc",
    "chatcore/GSM8K": "gsm8k_acc",
    "chatcore/HumanEval": "humaneval_acc",
}

PROJECT_STAGES: dict[str, str] = {
    "nanochat": "pretraining",
    "nanochat-mid": "midtraining",
    "nanochat-sft": "sft",
    "nanochat-rl": "rl",
}

SCRIPT_STAGES: dict[str, str] = {
    "base_train": "pretraining",
    "mid_train": "midtraining",
    "chat_sft": "sft",
    "chat_rl": "rl",
    "tok_train": "tokenizer",
    "tok_eval": "eval",
    "base_eval": "eval",
    "base_loss": "eval",
    "chat_eval": "eval",
}

# Other words for a stage that a run may use of itself.
STAGE_WORDS: dict[str, str] = {
    "base": "pretraining",
    "pretrain": "pretraining",
    "mid": "midtraining",
    "midtrain": "midtraining",
    "finetuning": "sft",
    "tok": "tokenizer",
}
