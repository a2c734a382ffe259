"""What is asked of a run <-> JSON, the way it reaches the process that trains it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mini_gpt import Shape


@dataclass(frozen=True, slots=True)
class Config:
    """What is asked of a run, under nanochat's names; all of it is logged."""

    depth: int
    model_dim: int
    n_head: int
    max_seq_len: int
    device_batch_size: int
    learning_rate: float
    init_lr_frac: float
    weight_decay: float
    num_iterations: int
    eval_every: int
    save_every: int
    log_every: int
    seed: int
    vocab_size: int
    source: str
    exam_size: int
    peak_flops: float
    mfu_peak: str = "measured CPU matmul peak"
    warmup_ratio: float = 0.03
    warmdown_ratio: float = 0.5
    examples_per_step: int = 16  # RL: questions in a step
    num_samples: int = 8  # RL: answers sampled to each question
    rl_task: str = "add"

    def shape(self) -> Shape:
        """Return the size of the model."""
        return Shape(self.vocab_size, self.depth, self.model_dim, self.n_head, self.max_seq_len)


@dataclass(frozen=True, slots=True)
class Job:
    """One process: a stage of a configuration, from its start or from a step that was saved."""

    run_id: str
    name: str
    stage: str
    config: Config
    out: str
    work: str
    wandb: bool
    parent: str | None = None
    resume_step: int | None = None
    kill_at: int | None = None


def read_job(text: str) -> Job:
    """Return the job that *text*, a JSON object, describes."""
    fields = json.loads(text)
    return Job(**{**fields, "config": Config(**fields["config"])})
