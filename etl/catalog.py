"""What is known of metrics, source projects and scripts. Data only.

Canonical names are nanochat's own (karpathy/nanochat, master of 2026-07-03). ``direction`` says
which is better; None is a known "neither". A fraction lies in 0..1.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """One canonical metric. Where its unit is not known, not even as none, its direction may be."""

    unit: str | None
    direction: str | None  # min, max or None
    family: str
    description: str
    unit_known: bool = True


_CENTRED = "accuracy, centred: 0 is chance, 1 is all right, and it may be negative"

METRICS: dict[str, Metric] = {
    "train/loss": Metric("nats/token", "min", "loss", "training loss, as the script smooths it"),
    "val/loss": Metric("nats/token", "min", "loss", "validation loss"),
    "val/bpb": Metric("bits/byte", "min", "loss", "validation bits per byte"),
    "train/bpb": Metric("bits/byte", "min", "loss", "bits per byte of training data, evaluated"),
    "base_eval/val_bpb": Metric("bits/byte", "min", "loss", "validation bpb, evaluated anew"),
    "min_val_bpb": Metric("bits/byte", "min", "loss", "least validation bits per byte so far"),
    "smooth_train_loss": Metric(
        "nats/token",
        "min",
        "loss",
        "moving average of the training loss, not corrected for its start",
    ),
    "peak_memory_mib": Metric("MiB", "min", "memory", "peak memory of the accelerator"),
    "train/lrm": Metric("ratio", None, "schedule", "learning rate as a multiple of its base value"),
    "train/dt": Metric("s", "min", "throughput", "wall time of one step"),
    "train/tok_per_sec": Metric("tokens/s", "max", "throughput", "tokens trained on per second"),
    "train/mfu": Metric("%", "max", "efficiency", "model FLOPs utilisation of the stated peak"),
    "train/grad_norm": Metric("norm", None, "optimiser", "norm of the gradient before clipping"),
    "train/epoch": Metric(None, None, "schedule", "place in the training data"),
    "num_tokens": Metric("tokens", None, "compute", "tokens of the step that were trained on"),
    "total_training_flops": Metric("FLOPs", None, "compute", "floating point operations so far"),
    "total_training_time": Metric(
        "s", None, "compute", "training time so far, without evaluations"
    ),
    "efficiency/flops_per_sec": Metric("FLOPs/s", "max", "throughput", "FLOPs per second"),
    "efficiency/mfu_percent": Metric("%", "max", "efficiency", "model FLOPs utilisation"),
    "efficiency/step": Metric("steps", None, "schedule", "the step, once more"),
    "core_metric": Metric("fraction", "max", "aggregate", "DCLM CORE: mean centred accuracy"),
    "base_eval/core_metric": Metric(
        "fraction", "max", "aggregate", "DCLM CORE of all examples, where training takes 500 a task"
    ),
    "chatcore_metric": Metric(
        "fraction", "max", "aggregate", "ChatCORE of five tasks: mean centred accuracy"
    ),
    "chatcore_spellingbee_metric": Metric(
        "fraction", "max", "aggregate", "ChatCORE of six tasks, SpellingBee among them"
    ),
    "chatcore_cat": Metric("fraction", "max", "aggregate", "ChatCORE over the categorical tasks"),
    "mmlu_acc": Metric("fraction", "max", "accuracy", "MMLU"),
    "arc_easy_acc": Metric("fraction", "max", "accuracy", "ARC-Easy"),
    "arc_challenge_acc": Metric("fraction", "max", "accuracy", "ARC-Challenge"),
    "gsm8k_acc": Metric("fraction", "max", "accuracy", "GSM8K"),
    "humaneval_acc": Metric("fraction", "max", "accuracy", "HumanEval"),
    "spellingbee_acc": Metric("fraction", "max", "accuracy", "SpellingBee"),
    "evaluation/mean_accuracy": Metric(
        "fraction",
        "max",
        "aggregate",
        "mean accuracy; the original visualiser left out tasks that scored 0",
    ),
    "reward": Metric("reward", "max", "reward", "mean reward of the samples of one step"),
    "sequence_length": Metric("tokens", None, "reward", "mean length of the samples of one step"),
}

# What random answers score, as nanochat's chat_eval subtracts it: four choices, or free text. An
# aggregate is a mean of accuracies that this was subtracted from, so there chance is 0.
CHANCE: dict[str, float] = {
    "mmlu_acc": 0.25,
    "arc_easy_acc": 0.25,
    "arc_challenge_acc": 0.25,
    "gsm8k_acc": 0.0,
    "humaneval_acc": 0.0,
    "spellingbee_acc": 0.0,
    "core_metric": 0.0,
    "base_eval/core_metric": 0.0,
    "chatcore_metric": 0.0,
    "chatcore_spellingbee_metric": 0.0,
}

# What others commonly log. Their loss may be of any kind, so its unit is not known; and the same
# word may well be a setting of theirs (lr, num_epochs), so a name alone does not make a metric.
COMMON: dict[str, Metric] = {
    "loss": Metric(None, "min", "loss", "loss", unit_known=False),
    "train_loss": Metric(None, "min", "loss", "training loss", unit_known=False),
    "training_loss": Metric(None, "min", "loss", "training loss", unit_known=False),
    "val_loss": Metric(None, "min", "loss", "validation loss", unit_known=False),
    "valid_loss": Metric(None, "min", "loss", "validation loss", unit_known=False),
    "validation_loss": Metric(None, "min", "loss", "validation loss", unit_known=False),
    "eval_loss": Metric(None, "min", "loss", "evaluation loss", unit_known=False),
    "eval/loss": Metric(None, "min", "loss", "evaluation loss", unit_known=False),
    "test_loss": Metric(None, "min", "loss", "test loss", unit_known=False),
    "test/loss": Metric(None, "min", "loss", "test loss", unit_known=False),
    "accuracy": Metric(None, "max", "accuracy", "accuracy", unit_known=False),
    "acc": Metric(None, "max", "accuracy", "accuracy", unit_known=False),
    "epoch": Metric("epochs", None, "schedule", "passes over the training data so far"),
    "num_epochs": Metric("epochs", None, "schedule", "passes over the training data so far"),
    "lr": Metric("rate", None, "schedule", "learning rate"),
    "learning_rate": Metric("rate", None, "schedule", "learning rate"),
    "grad_norm": Metric("norm", None, "optimiser", "norm of the gradient"),
    "total_flos": Metric("FLOPs", None, "compute", "floating point operations so far"),
    "num_input_tokens_seen": Metric("tokens", None, "compute", "tokens trained on so far"),
}

# What a name's beginning and end say of a metric that is not listed.
BEGINNINGS: tuple[tuple[str, str, Metric], ...] = (  # beginning, end, metric
    # the tasks of CORE: of a family of their own, or the 22 would push out every other accuracy
    ("centered_results.", "", Metric("centred accuracy", "max", "core task", _CENTRED)),
    ("base_eval/", "/centered", Metric("centred accuracy", "max", "core task", _CENTRED)),
    ("base_eval/", "", Metric("fraction", "max", "core task", "accuracy of one task of CORE")),
    ("results.", "", Metric("fraction", "max", "core task", "accuracy of one task of CORE")),
    ("chatcore/", "", Metric("fraction", "max", "accuracy", "accuracy of one task of ChatCORE")),
    ("lr-", "", Metric("rate", None, "schedule", "learning rate of an optimiser")),
)

# What a name's ending says of a metric that is not listed.
ENDINGS: tuple[tuple[str, Metric], ...] = (
    ("_acc", Metric("fraction", "max", "accuracy", "accuracy")),
    ("/acc", Metric("fraction", "max", "accuracy", "accuracy")),
    ("/accuracy", Metric("fraction", "max", "accuracy", "accuracy")),
    ("_accuracy", Metric(None, "max", "accuracy", "accuracy", unit_known=False)),
    ("_normalized", Metric("%", "max", "percentage", "accuracy in percent")),
    ("coverage_percent", Metric("%", None, "data", "share of the examples seen so far")),
    ("_time_sec", Metric("s", None, "compute", "wall time")),
    ("_percent", Metric("%", None, "system", "share in percent")),
    ("perplexity", Metric("perplexity", "min", "perplexity", "exponential of the loss")),
    ("/ppl", Metric("perplexity", "min", "perplexity", "exponential of the loss")),
    ("bpb", Metric("bits/byte", "min", "loss", "bits per byte")),
    ("_loss", Metric(None, "min", "loss", "a loss", unit_known=False)),
    ("/loss", Metric(None, "min", "loss", "a loss", unit_known=False)),
    ("/epoch", Metric("epochs", None, "schedule", "passes over the training data so far")),
    ("/learning_rate", Metric("rate", None, "schedule", "learning rate")),
    ("/lr", Metric("rate", None, "schedule", "learning rate")),
    ("/grad_norm", Metric("norm", None, "optimiser", "norm of the gradient")),
    ("samples_per_second", Metric("samples/s", "max", "throughput", "samples per second")),
    ("steps_per_second", Metric("steps/s", "max", "throughput", "steps per second")),
    ("tokens_per_second", Metric("tokens/s", "max", "throughput", "tokens per second")),
    ("_runtime", Metric("s", None, "compute", "wall time")),
    ("/examples_seen", Metric("examples", None, "data", "examples trained on so far")),
    # W&B's system metrics end so, and those of the original visualiser
    (".gpu", Metric("%", None, "system", "time in which the GPU was busy")),
    (".memory", Metric("%", None, "system", "memory, or time in which it was accessed")),
    (".memoryAllocated", Metric("%", None, "system", "memory that is taken")),
    (".cpu", Metric("%", None, "system", "time in which the processor was busy")),
    (".disk", Metric("%", None, "system", "disk that is taken")),
    (".temp", Metric("°C", None, "system", "temperature")),
    ("Percent", Metric("%", None, "system", "share in percent")),
    (".percent", Metric("%", None, "system", "share in percent")),
    ("Watts", Metric("W", None, "system", "electrical power, or what it is limited to")),
    (".smClock", Metric("MHz", None, "system", "clock of the GPU's processors")),
    (".memoryClock", Metric("MHz", None, "system", "clock of the GPU's memory")),
    ("correctedMemoryErrors", Metric("errors", None, "system", "memory errors in the GPU's life")),
    ("PeakBytes", Metric("bytes", None, "system", "most bytes since the last measurement")),
    (".allocRetries", Metric("times", None, "system", "allocations that had to free the cache")),
    (".ooms", Metric("times", None, "system", "allocations that failed for want of memory")),
    (".oomKills", Metric("times", None, "system", "processes killed for want of memory")),
    ("Slowdown", Metric("0 or 1", None, "system", "whether this held back the GPU's clocks")),
    (".swPowerCap", Metric("0 or 1", None, "system", "whether this held back the GPU's clocks")),
    (".syncBoost", Metric("0 or 1", None, "system", "whether this held back the GPU's clocks")),
    (".threads", Metric("threads", None, "system", "threads of the process")),
    ("usageGB", Metric("GB", None, "system", "disk that is taken")),
    ("Bytes", Metric("bytes", None, "system", "bytes")),
    ("availableMB", Metric("MB", None, "system", "memory that is free")),
    ("rssMB", Metric("MB", None, "system", "memory of the process")),
    ("_gb", Metric("GB", None, "system", "memory")),
    ("_mib", Metric("MiB", None, "system", "memory")),
)

# pass@1, pass@2, ...
PASS_AT = Metric("fraction", "max", "pass", "share of tasks solved by one of k samples")

NANOCHAT = ("nanochat", "nanochat-mid", "nanochat-sft", "nanochat-rl")


class Alias(NamedTuple):
    """Another spelling of a metric: in which source projects, and between which days (UTC).

    ``until`` is the first day on which it is none any more. Outside of these it keeps its own name.
    """

    metric: str
    projects: tuple[str, ...] = NANOCHAT
    since: str | None = None
    until: str | None = None


_OLD_SFT = "2026-01-31"  # 1ddaad1; later SFT code logs train/loss, and train_loss is someone's own
_CORE_TASKS = (
    *("agi_eval_lsat_ar", "arc_challenge", "arc_easy", "bigbench_cs_algorithms"),
    *("bigbench_dyck_languages", "bigbench_language_identification", "bigbench_operators"),
    *("bigbench_qa_wikidata", "bigbench_repeat_copy_logic", "boolq", "commonsense_qa", "copa"),
    *("coqa", "hellaswag", "hellaswag_zeroshot", "jeopardy", "lambada_openai", "openbook_qa"),
    *("piqa", "squad", "winograd", "winogrande"),
)

# Spellings of nanochat's own family of projects. Elsewhere the same word may be another
# measurement (a smoothed loss, a percentage), so there it keeps its own name.
NANOCHAT_ALIASES: dict[str, Alias] = {
    "train_loss": Alias("train/loss", until=_OLD_SFT),
    "val_loss": Alias("val/loss", until=_OLD_SFT),
    "train_lrm": Alias("train/lrm"),
    "lrm": Alias("train/lrm"),  # RL still says so
    "mfu": Alias("train/mfu"),  # printed, in pretraining before 2026-02-10
    "bf16_mfu": Alias("train/mfu", since="2026-02-10"),
    "efficiency/step_time_sec": Alias("train/dt"),
    "efficiency/tokens_per_sec": Alias("train/tok_per_sec"),
    "efficiency/mfu_percent": Alias("train/mfu"),
    "efficiency/total_flops": Alias("total_training_flops"),
    "efficiency/total_training_time_sec": Alias("total_training_time"),
    "chatcore/MMLU": Alias("mmlu_acc"),
    "chatcore/ARC-Easy": Alias("arc_easy_acc"),
    "chatcore/ARC-Challenge": Alias("arc_challenge_acc"),
    "chatcore/GSM8K": Alias("gsm8k_acc"),
    "chatcore/HumanEval": Alias("humaneval_acc"),
    "chatcore/SpellingBee": Alias("spellingbee_acc"),
    # the original visualiser's hooks logged CORE's tasks bare
    **{task: Alias(f"centered_results.{task}", ("nanochat",)) for task in _CORE_TASKS},
}

# Keys whose metric depends on whether the run measures another one too, under one of these keys.
BESIDE: dict[str, tuple[tuple[str, ...], str]] = {
    "chatcore_metric": (
        ("chatcore/SpellingBee", "spellingbee_acc"),
        "chatcore_spellingbee_metric",
    ),
}

# Config keys as nanochat called them before -> as it calls them now, with the same meaning.
CONFIG_ALIASES: dict[str, Alias] = {
    "step": Alias("model_step", ("nanochat-mid", "nanochat-sft", "nanochat-rl"), None, "2026-01-04")
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
