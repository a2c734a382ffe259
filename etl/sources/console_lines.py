"""The lines that nanochat's scripts print (October 2025 to September 2026), as patterns. Data only.

A line is looked up by its first word. Keys are nanochat's canonical metrics; the values keep the
digits that were printed, in the metrics' units (seconds, fractions).
"""

from __future__ import annotations

import re
from typing import NamedTuple

N = r"([\d,]+)"  # 524,288
X = r"(-?(?:[\d.,]+(?:e[+-]?\d+)?|nan|inf))"  # 3.49e+09


class Field(NamedTuple):
    """A ``name: value`` of a training line: its metric, its unit's ending, what makes it ours."""

    key: str
    ending: str = ""
    scale: float = 1.0


# step 00100/05000 (2.00%) | loss: 3.2 | lrm: 1.00 | dt: 124.30ms | ... | total time: 0.21m
TRAIN = re.compile(r"step (\d+)(?:/(\d+))?(?: \([\d.]+%\))?$")
TRAIN_FIELDS: dict[str, Field | None] = {
    "loss": Field("train/loss"),
    "grad norm": Field("train/grad_norm"),  # November 2025 to January 2026
    "lrm": Field("train/lrm"),
    "dt": Field("train/dt", "ms", 1e-3),
    "tok/sec": Field("train/tok_per_sec"),
    "mfu": Field("train/mfu"),
    "bf16_mfu": Field("train/mfu"),  # since February 2026
    "epoch": Field("train/epoch"),
    "total time": Field("total_training_time", "m", 60.0),
    "eta": None,  # a guess
}
# a training line is whole with its last field's unit; ``eta`` comes last where it comes
WHOLE_TRAIN = re.compile(
    r"step \d+ \([\d.]+%\) \|.* \| total time: \d+\.\d\dm|step .* \| eta: [\d.]+m"
)

# Step 00250 | Validation bpb: 0.9, Step 3/467 | Average reward: 0.1 | Average sequence length: 90
STEP = re.compile(r"Step (\d+)(?:/(\d+))? \| (.+)")
STEP_FIELDS: dict[str, str] = {
    "Validation bpb": "val/bpb",
    "Validation loss": "val/loss",
    "CORE metric": "core_metric",
    "ChatCORE": "chatcore_metric",
    "ChatCORE_cat": "chatcore_cat",
    "Training loss": "train/loss",  # SFT until January 2026
    "lrm": "train/lrm",
    "num_tokens": "num_tokens",
    "Average reward": "reward",
    "Average sequence length": "sequence_length",
}
STEP_NAMES = re.compile(r"Pass@\d+|\w+_acc")  # these are keys themselves, in lower case
NOISE = "| Example step "  # RL prints a loss for each pass
# What shows which script's training loop a "Step" line is of.
STEP_SCRIPTS = {"train/loss": "chat_sft", "reward": "chat_rl"}

TASKS: dict[str, str] = {
    "ARC-Easy": "arc_easy_acc",
    "ARC-Challenge": "arc_challenge_acc",
    "MMLU": "mmlu_acc",
    "GSM8K": "gsm8k_acc",
    "HumanEval": "humaneval_acc",
    "SpellingBee": "spellingbee_acc",
}
TASK = re.compile(r"([\w-]+)( accuracy)?: ([\d.]+)%")

# Evaluating: hellaswag (10-shot, type: multiple_choice)... accuracy: 0.4 | centered: 0.2 | time: 1s
EVALUATING = re.compile(r"Evaluating: (\w+) \(\d+-shot, type: \w+\)\.\.\. ?(.*)")
ACCURACY = re.compile(rf"accuracy: {X} \| centered: {X} \| time: ")
CSV_ROW = re.compile(rf"(\w+) *, {X} *, {X} *")
RESULTS: tuple[tuple[str, re.Pattern[str], str, str], ...] = (
    # first word, pattern, key, script
    ("train", re.compile(rf"train bpb: {X}"), "train/bpb", "base_loss"),
    ("val", re.compile(rf"val bpb: {X}"), "val/bpb", "base_loss"),
    ("CORE", re.compile(rf"CORE(?: metric: | *, +, ){X} *"), "core_metric", "base_eval"),
    ("ChatCORE", re.compile(rf"ChatCORE metric: {X}"), "chatcore_metric", "chat_eval"),
)


class Setup(NamedTuple):
    """A line that tells of the run: what it states goes *into* config, effective or summary."""

    word: str
    pattern: re.Pattern[str]
    into: str
    names: tuple[str, ...]
    script: str | None = None


def _setup(pattern: str, names: str, into: str = "effective", script: str | None = None) -> Setup:
    return Setup(pattern.split(" ", 1)[0], re.compile(pattern), into, tuple(names.split()), script)


SETUP: tuple[Setup, ...] = (
    _setup(rf"Vocab size: {N}", "vocab_size"),
    _setup(r"num_layers: (\d+)", "depth", script="base_train"),
    _setup(r"model_dim: (\d+)", "model_dim"),
    _setup(r"num_heads: (\d+)", "num_heads"),
    _setup(r"num_kv_heads: (\d+)", "num_kv_heads"),
    _setup(rf"Tokens / micro-batch / rank: {N} x {N} = ", "device_batch_size max_seq_len"),
    _setup(
        rf"Total batch size {N} => gradient accumulation steps: {N}",
        "total_batch_size grad_accum_steps",
    ),
    _setup(rf"Auto-computed optimal batch size: {N} tokens", "total_batch_size"),
    _setup(r"Auto device batch size: (\d+)", "device_batch_size"),
    _setup(rf"Number of parameters: {N}", "num_params", script="base_train"),
    _setup(rf"Estimated FLOPs per token: {X}", "num_flops_per_token", script="base_train"),
    _setup(rf"Calculated number of iterations[^:]*(?::param ratio)?: {N}", "num_iterations"),
    _setup(rf"Using user-provided number of iterations: {N}", "num_iterations"),
    _setup(rf"Total number of training tokens: {N}", "total_tokens"),
    _setup(rf"Tokens : (?:Scaling )?[Pp]arams ratio: {X}", "param_data_ratio"),
    _setup(rf"Total training FLOPs estimate: {X}", "total_training_flops"),
    _setup(rf"Scaling weight decay from {X} to {X} for depth", "_ weight_decay"),
    _setup(rf"Scaling LRs by {X} for batch size", "batch_lr_scale"),
    _setup(r"Distributed world size: (\d+)", "ddp_world_size"),
    _setup(r"Autodetected device type: (\w+)", "device_type"),
    _setup(rf"GPU: (.+) \| Peak FLOPS \(BF16\): {X}", "gpu gpu_peak_flops"),
    _setup(r"COMPUTE_DTYPE: (?:torch\.)?(\w+)", "compute_dtype"),
    _setup(rf"Training mixture: {N} rows", "train_rows", script="chat_sft"),
    _setup(r"Target examples per step: (\d+)", "target_examples_per_step", script="chat_sft"),
    _setup(r"Device batch size: (\d+)", "device_batch_size"),
    _setup(r"=> Setting grad accum steps: (\d+)", "grad_accum_steps"),
    _setup(
        rf"Finetuning (\S+): batch {N} tokens = {N} x {N} x {N} ranks x {N}",
        "model_tag total_batch_size device_batch_size max_seq_len ddp_world_size grad_accum_steps",
        script="chat_train",
    ),
    _setup(rf"SFT data: {N} rows x {N} tokens; {N} steps of", "train_rows _ num_iterations"),
    _setup(r"Calculated number of steps: (\d+)", "num_iterations", script="chat_rl"),
    _setup(r"Total sequences per step: (\d+)", "sequences_per_step", script="chat_rl"),
    _setup(rf"max_chars: {N}", "max_chars", "config", "tok_train"),
    _setup(rf"doc_cap: {N}", "doc_cap", "config"),
    _setup(rf"vocab_size: {N}", "vocab_size", "config"),
    _setup(rf"Training time: {X}s", "train_time", "summary"),
    _setup(rf"Peak memory usage: {X}MiB", "peak_memory_mib", "summary"),
    _setup(rf"Minimum validation bpb: {X}", "min_val_bpb", "summary"),
)

OVERRIDING = re.compile(r"Overriding: (\w+) = (.*)")
INHERITED = re.compile(r"(?:Inherited|Using|NOTE:) (?:--)?([\w-]+)=(\S+)(?: from| overrides|$)")
PARAMS = re.compile(rf"(?=.{{24}}: )(\w+) *: {N}")  # a row of "Parameter counts:"
MODEL = re.compile(r'"(\w+)": "?([\w.]+)"?,?')  # a row of "Model config:"
BUILDING = re.compile(r"Building model with config: (\{.*\})")
# What GPTConfig calls what the scripts' own lines call otherwise.
MODEL_NAMES: dict[str, str] = {
    "n_layer": "depth",
    "n_embd": "model_dim",
    "n_head": "num_heads",
    "n_kv_head": "num_kv_heads",
    "sequence_len": "max_seq_len",
    "vocab_size": "vocab_size",
    "window_pattern": "window_pattern",
}

TRAINING_TIME = re.compile(rf"Total training time: {X}m")
LOADING = re.compile(r"Loading model from (\S+) with step (\d+)")
SAVED = re.compile(r"Saved \w+ (?:file |checkpoint |parameters )?to:? (\S+)")
RESUMING = re.compile(r"Resuming optimization from step (\d+)")
MODEL_STEP = re.compile(r"(?:Evaluating m|M)odel: .*\(step (\d+)\)")
WANDB_FOLDER = re.compile(r"(?:^|[\\/])(?:offline-)?run-(\d{8}_\d{6})-([a-z0-9]+)$")
WANDB_URL = re.compile(r"View (?:project|run(?: .+)?) at:? \S+?//[^/\s]+/[^/\s]+/([^/\s]+)")
WANDB_NAME = re.compile(r"wandb: Syncing run (.+)")
WANDB_VERSION = re.compile(r"wandb: Tracking run with wandb version (\S+)")
FAILED = re.compile(r"scripts[./](\w+?)(?:\.py)? FAILED")
EXIT_CODE = re.compile(r"exitcode +: (-?\d+) \(pid")
SCRIPT_FILE = re.compile(r'File ".*[\\/]scripts[\\/](\w+)\.py", line \d+, in <module>')
RAISED = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .*)?")
BANNER = "░░███░░███  ░░░░░███ ░░███░░███  ███░░███ ███░░███ ░███░░███  ░░░░░███ ░░░███░"

# The folder of a checkpoint -> the stage that wrote it. The second of each pair is of 2026.
CHECKPOINTS: dict[str, str] = {
    "base_checkpoints": "pretraining",
    "base": "pretraining",
    "mid_checkpoints": "midtraining",
    "chatsft_checkpoints": "sft",
    "sft": "sft",
    "chat": "sft",
    "chatrl_checkpoints": "rl",
    "rl": "rl",
    "mid": "midtraining",
}
# Training scripts -> their stage and W&B project.
TRAINING: dict[str, tuple[str, str | None]] = {
    "tok_train": ("tokenizer", None),
    "base_train": ("pretraining", "nanochat"),
    "mid_train": ("midtraining", "nanochat-mid"),
    "chat_sft": ("sft", "nanochat-sft"),
    "chat_train": ("sft", "nanochat-sft"),
    "chat_rl": ("rl", "nanochat-rl"),
}
PROJECT_SCRIPTS: dict[str, str] = {
    "nanochat": "base_train",
    "nanochat-mid": "mid_train",
    "nanochat-sft": "chat_sft",
    "nanochat-rl": "chat_rl",
}
# What an evaluation looks at where it does not say which checkpoint it loaded.
EVALUATED: dict[str, tuple[str, ...]] = {
    "base_loss": ("pretraining",),
    "base_eval": ("pretraining",),
    "chat_eval": ("midtraining", "sft", "rl"),
    "base_inference": ("pretraining",),
    "infer_bench": ("pretraining", "midtraining", "sft"),
}

# The first lines of a process: with one of these another begins.
OPENERS: dict[str, re.Pattern[str]] = {
    "Overriding:": OVERRIDING,
    "Distributed": re.compile(r"Distributed world size: "),
    "Autodetected": re.compile(r"Autodetected device type: "),
    "argv": re.compile(r"argv script="),
    "max_chars:": re.compile(r"max_chars: "),
    "Loading": LOADING,
    "Resuming": RESUMING,
    "COMPUTE_DTYPE:": re.compile(r"COMPUTE_DTYPE: "),
    "Reset": re.compile(r"Reset report and wrote header to "),
    "wandb:": re.compile(r"wandb: (?:Currently logged in|Tracking run with|W&B syncing is)"),
    "Vocab": re.compile(r"Vocab size: "),
    "Calculated": re.compile(r"Calculated number of steps: "),
    "Target": re.compile(r"Target examples per step: "),
}
