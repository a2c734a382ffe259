"""What nanochat changed since its release, by date -> a run's era, and what breaks between two.

The same key may measure something else before and after a change: comparisons across it are
flagged, never refused. A run's code is dated by its start, or as older where its config has keys
that later code dropped: forks go on with old code. A change counts from the day of its commit on.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from etl import catalog


class Change(NamedTuple):
    """One change: what it is called, whom it concerns, which metrics and config keys it touches.

    ``comparable`` says whether values of these metrics mean the same before and after. ``drops``
    are config keys that no code since then has, and so show that a run's code is older.
    """

    date: str
    commit: str
    name: str
    stages: tuple[str, ...]
    what: str
    metrics: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    comparable: bool = True
    drops: tuple[str, ...] = ()

    @property
    def era(self) -> str:
        """The label of the time that begins with this change."""
        return f"{self.date} {self.name}"

    def since(self, stage: str | None, era: str | None) -> bool | None:
        """Whether a run of *stage* and *era* has this change; None if it has nothing to do with it.

        An era is placed by its date, so that labels of other versions of this table serve too.
        """
        if era is None or stage not in self.stages:
            return None
        return era[:10] >= self.date


RELEASE = "2025-10-13 release"  # what runs from before the first change are called

# karpathy/nanochat, from its release to master of 2026-07-03
CHANGES: tuple[Change, ...] = (
    Change(
        "2025-10-15",
        "b8076dd",
        "mid schedule",
        ("midtraining",),
        "the learning rate of midtraining is ramped down; before, it was ramped up by mistake",
        metrics=("train/lrm",),
    ),
    Change(
        "2025-10-26",
        "a9de4b1",
        "tokens per second",
        ("pretraining", "midtraining"),
        "tokens per second count every accumulation step; before, they were too few by the number"
        " of these",
        metrics=("train/tok_per_sec",),
        comparable=False,
    ),
    Change(
        "2025-11-05",
        "c6b7ab7",
        "grad_norm logged",
        ("pretraining",),
        "the norm of the gradient is logged",
        metrics=("train/grad_norm",),
    ),
    Change(
        "2025-11-13",
        "c6abcdf",
        "resume",
        ("pretraining",),
        "a run can be resumed, as a new W&B run that replays steps and goes on counting its time",
        metrics=("total_training_time",),
        config=("resume_from_step", "save_every"),
    ),
    Change(
        "2026-01-04",
        "088726a, eb7bbc1",
        "argparse",
        ("pretraining", "midtraining", "sft", "rl"),
        "config comes from argparse, with the keys whose default is None; step to load is called"
        " model_step (from 2025-12-27 on)",
        config=("model_step", "model_tag"),
    ),
    Change(
        "2026-01-08",
        "061f83c",
        "grad_norm gone",
        ("pretraining",),
        "the norm of the gradient is no longer logged",
        metrics=("train/grad_norm",),
        config=("grad_clip",),
    ),
    Change(
        "2026-01-13",
        "43c29dd",
        "epoch logged",
        ("pretraining",),
        "the place in the training data is logged",
        metrics=("train/epoch",),
    ),
    Change(
        "2026-01-17",
        "2955650",
        "mfu by GPU",
        ("pretraining", "midtraining"),
        "MFU is of the real GPU's peak, and 0 where that is not known; before, of an H100's"
        " (989 TFLOPS) on every machine",
        metrics=("train/mfu",),
        comparable=False,
    ),
    Change(
        "2026-01-31",
        "1ddaad1",
        "new SFT",
        ("sft",),
        "SFT is rewritten and takes in midtraining, which ends; its loss is smoothed over steps,"
        " before it was that of one micro-batch of other data, and bits per byte replace val_loss",
        metrics=("train/loss", "val/loss", "num_tokens"),
        comparable=False,
        drops=(
            *("source", "num_epochs", "max_iterations", "target_examples_per_step"),
            *("eval_steps", "eval_metrics_every"),
        ),
    ),
    Change(
        "2026-02-10",
        "2f09686",
        "bf16_mfu",
        ("pretraining",),
        "the console says bf16_mfu for mfu",
        metrics=("train/mfu",),
    ),
    Change(
        "2026-02-16",
        "788dade",
        "ChatCORE",
        ("sft",),
        "SFT measures ChatCORE and its tasks as it trains",
        metrics=(
            *("chatcore_metric", "chatcore_spellingbee_metric", "chatcore_cat", "mmlu_acc"),
            *("arc_easy_acc", "arc_challenge_acc", "gsm8k_acc", "humaneval_acc"),
            "spellingbee_acc",
        ),
        config=("chatcore_every", "chatcore_max_cat", "chatcore_max_sample"),
    ),
    Change(
        "2026-03-04",
        "324e69c",
        "ClimbMix",
        ("pretraining",),
        "the dataset is ClimbMix; before, FineWeb-EDU",
        metrics=("val/bpb", "train/bpb", "train/loss"),
        comparable=False,
    ),
    Change(
        "2026-03-09",
        "6ed7d1d",
        "warmup_steps",
        ("pretraining",),
        "config has warmup_steps instead of warmup_ratio and adam_beta1, adam_beta2",
        config=("warmup_steps", "warmup_ratio", "adam_beta1", "adam_beta2"),
        drops=("warmup_ratio", "adam_beta1", "adam_beta2"),
    ),
    Change(
        "2026-07-02",
        "f10bd75",
        "no reports",
        ("pretraining", "sft", "rl", "tokenizer", "eval"),
        "runs leave no report.md any more",
    ),
    Change(
        "2026-07-03",
        "2ce972a",
        "token_bytes",
        ("pretraining", "sft", "eval"),
        "bits per byte read about 0.05% higher, as the bytes of tokens are counted right",
        metrics=("val/bpb", "train/bpb"),
        comparable=False,
    ),
)


def code_day(started_at: float | None, stage: str | None, config: Collection[str]) -> str | None:
    """Return the day (UTC) from which a run's code is, as far as its start and *config* tell.

    Where *config* has keys that a change dropped it is the last day before that change.
    """
    if started_at is None or not 0 <= started_at < 2**33:
        return None
    day = datetime.fromtimestamp(started_at, UTC).date().isoformat()
    older = [c.date for c in CHANGES if stage in c.stages and not set(config).isdisjoint(c.drops)]
    return min([day, *(_before(date) for date in older)])


def _before(date: str) -> str:
    ordinal = datetime.fromisoformat(date).toordinal() - 1
    return datetime.fromordinal(ordinal).date().isoformat()


def era_of(
    started_at: float | None,
    source_project: str | None,
    stage: str | None,
    script: str | None = None,
    config: Collection[str] = (),
) -> str | None:
    """Return the era of a run of nanochat's: the latest change to its stage before its code.

    None where the run is not nanochat's, as its project or else its script tells, or its start is
    not known.
    """
    ours = source_project in catalog.PROJECT_STAGES
    ours = ours or (source_project is None and script in catalog.SCRIPT_STAGES)
    day = code_day(started_at, stage, config)
    if not ours or day is None or day < RELEASE[:10]:
        return None
    eras = [change.era for change in CHANGES if stage in change.stages and change.date <= day]
    return eras[-1] if eras else RELEASE


def changes_between(stage: str, era_a: str, era_b: str) -> tuple[Change, ...]:
    """Return the changes to runs of *stage* that one era has and the other has not, by date."""
    return tuple(c for c in CHANGES if bool(c.since(stage, era_a)) != bool(c.since(stage, era_b)))


def breaks(metric: str, stage: str, era_a: str, era_b: str) -> tuple[Change, ...]:
    """Return the changes for which values of *metric* do not compare between two eras."""
    between = changes_between(stage, era_a, era_b)
    return tuple(c for c in between if metric in c.metrics and not c.comparable)


def breaking(metric: str) -> tuple[Change, ...]:
    """Return the changes across which values of *metric* do not compare, whatever the stage."""
    return tuple(change for change in CHANGES if metric in change.metrics and not change.comparable)


def comparable(metric: str, stage: str | None, era_a: str | None, era_b: str | None) -> bool:
    """Whether *metric* means the same in runs of *stage* of both eras, as far as is known."""
    if stage is None or era_a is None or era_b is None:
        return True
    between = changes_between(stage, era_a, era_b)
    return all(change.comparable or metric not in change.metrics for change in between)
