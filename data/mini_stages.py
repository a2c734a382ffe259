"""One stage of one configuration, read as JSON from stdin -> a logged run and a checkpoint.

Every stage is a process of its own, so that a kill is a kill. What a step trains on follows from
the seed and the step alone, so a resumed process replays exactly the steps that were lost.
"""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own name for it
from mini_config import Job, read_job
from mini_gpt import MiniGPT
from mini_tasks import (
    ASSISTANT_END,
    BOS,
    IGNORE,
    TASKS,
    Question,
    ask,
    dialogue_rows,
    exam,
    exam_rows,
    text_rows,
    text_sides,
)
from torch import Tensor

import hooks

NAN_STEPS = 40  # how long a diverged run goes on, so that its NaNs are in the log


class Stage:
    """A model in training: what one stage does to it, and what is measured meanwhile."""

    def __init__(self, job: Job) -> None:
        self.job, self.config = job, job.config
        torch.manual_seed(self.config.seed)
        self.model = MiniGPT(self.config.shape())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), betas=(0.9, 0.95), weight_decay=self.config.weight_decay
        )
        self.text, self.text_held_out = text_sides()
        self.exams = {task: exam(task, self.config.exam_size) for task in TASKS}
        self.step, self.flops, self.seconds = 0, 0.0, 0.0
        self._load()

    def checkpoint(self, run_id: str) -> Path:
        """Return where the last checkpoint of a run stands."""
        return Path(self.job.work) / f"{run_id}.pt"

    def _load(self) -> None:
        if self.job.resume_step is not None:
            saved = torch.load(self.checkpoint(self.job.run_id), weights_only=True)
            if saved["step"] != self.job.resume_step:
                raise ValueError(f"{self.job.run_id} was saved at step {saved['step']}")
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step, self.flops, self.seconds = saved["step"], saved["flops"], saved["seconds"]
        elif self.job.parent is not None:
            saved = torch.load(self.checkpoint(self.job.parent), weights_only=True)
        else:
            return
        self.model.load_state_dict(saved["model"])

    def save(self) -> None:
        """Write the checkpoint from which step ``self.step`` can be done next."""
        path = self.checkpoint(self.job.run_id)
        saved = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        counts = {"step": self.step, "flops": self.flops, "seconds": self.seconds}
        torch.save({**saved, **counts}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)

    def lr_multiplier(self) -> float:
        """Return the learning rate's multiplier: warm up, hold, go down linearly to 0."""
        total, step = self.config.num_iterations, self.step
        warmup = max(1, round(self.config.warmup_ratio * total))
        warmdown = max(1, round(self.config.warmdown_ratio * total))
        return min(1.0, (step + 1) / warmup, (total - step) / warmdown)

    def batch(self, rng: random.Random) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a supervised step."""
        rows, length = self.config.device_batch_size, self.config.max_seq_len
        # SFT learns answers and rehearses some text: without, val/bpb rose past 8, a uniform guess
        plain = {"pretraining": rows, "midtraining": rows // 2, "sft": rows // 8}[self.job.stage]
        text = text_rows(self.text, rng, plain, length)
        if plain == rows:
            return text
        talk = dialogue_rows(rng, rows - plain, length, answers_only=self.job.stage == "sft")
        return torch.cat([text[0], talk[0]]), torch.cat([text[1], talk[1]])

    def train_step(self) -> dict[str, float]:
        """Do step ``self.step`` and return its metrics."""
        start = time.perf_counter()
        multiplier = self.lr_multiplier()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.config.init_lr_frac * multiplier
        rng = random.Random(f"{self.config.seed} {self.job.stage} {self.step}")
        if self.job.stage == "rl":
            loss, tokens, flops, extra = self.rl_loss(rng)
        else:
            inputs, targets = self.batch(rng)
            loss = self.nats(inputs, targets).sum() / (targets != IGNORE).sum()
            tokens = inputs.numel()
            flops = float(tokens * self.model.flops_per_token(inputs.size(1)))
            extra = {"train/loss": loss.item()}
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        self.optimizer.step()
        seconds = time.perf_counter() - start
        metrics = {
            **self.totals(),
            **extra,
            "train/grad_norm": norm,
            "train/lrm": multiplier,
            "train/dt": seconds,
            "train/tok_per_sec": int(tokens / seconds),
            "train/mfu": 100 * flops / seconds / self.config.peak_flops,
        }
        self.flops += flops
        self.seconds += seconds
        return metrics

    def totals(self) -> dict[str, float]:
        """Return what the run has cost before step ``self.step``; evaluations are not counted."""
        return {"total_training_flops": self.flops, "total_training_time": self.seconds}

    def nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every target, 0 where it is to be ignored."""
        logits = self.model(inputs).flatten(0, 1)
        return F.cross_entropy(
            logits, targets.flatten(), ignore_index=IGNORE, reduction="none"
        ).view(targets.shape)

    def rl_loss(self, rng: random.Random) -> tuple[Tensor, int, float, dict[str, float]]:
        """Return the loss of a REINFORCE step, its tokens, its operations and what is logged of it.

        As nanochat's chat_rl: the advantage is the reward less the mean over the same question's
        samples, there is no trust region, and the sum is divided by the number of sampled tokens.
        """
        samples = self.config.num_samples
        asked = [
            ask(self.config.rl_task, rng, held_out=False)
            for _ in range(self.config.examples_per_step)
        ]
        rows, lengths, right = self.sample(asked, samples, rng.getrandbits(32))
        reward = right.float().view(-1, samples)
        advantage = (reward - reward.mean(dim=1, keepdim=True)).flatten()
        inputs, targets = rows[:, :-1], rows[:, 1:].clone()
        first = len(asked[0].prompt_tokens()) - 1
        position = torch.arange(targets.size(1))
        said = (position >= first) & (position < first + lengths[:, None])
        targets[~said] = IGNORE
        loss = (self.nats(inputs, targets) * advantage[:, None]).sum() / said.sum()
        # sampling went forward, a third of a step's work, once for every token that it added
        sampled = len(rows) * sum(range(first + 1, rows.size(1)))
        flops = self.model.flops_per_token(inputs.size(1)) * (inputs.numel() + sampled / 3)
        extra = {"reward": reward.mean().item(), "sequence_length": lengths.float().mean().item()}
        return loss, inputs.numel(), flops, extra

    @torch.no_grad()
    def sample(
        self, asked: list[Question], samples: int, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows of question and sampled answer, the answers' lengths, and which are right.

        The questions must be equally long, and so must their answers.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.tensor([q.prompt_tokens() for q in asked]).repeat_interleave(samples, dim=0)
        first = rows.size(1)
        answers = torch.tensor([q.answer_tokens() for q in asked]).repeat_interleave(samples, dim=0)
        for _ in range(answers.size(1)):
            chances = F.softmax(self.model(rows)[:, -1], dim=-1)
            rows = torch.cat([rows, torch.multinomial(chances, 1, generator=generator)], dim=1)
        said = rows[:, first:]
        ended = (said == ASSISTANT_END).int()
        lengths = ((ended.cumsum(1) - ended) == 0).sum(1)  # up to and with the first end
        return rows, lengths, (said == answers).all(1)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return what the model can do on held-out text and questions."""
        metrics = {**self.totals(), "val/bpb": self.bits_per_byte()}
        for task, questions in self.exams.items():
            inputs, targets = exam_rows(questions)
            # all of an answer is said greedily if and only if each token is the likeliest after the
            # right ones before it, so one pass over the right answer is exact
            hit = (self.model(inputs).argmax(-1) == targets) | (targets == IGNORE)
            metrics[f"{task}_acc"] = hit.all(1).float().mean().item()
        if self.job.stage == "rl":
            samples = 4
            _, _, right = self.sample(self.exams[self.config.rl_task], samples, self.config.seed)
            tries = right.view(-1, samples)
            for k in range(1, samples + 1):
                metrics[f"pass@{k}"] = tries[:, :k].any(1).float().mean().item()
        return metrics

    def bits_per_byte(self, rows: int = 96) -> float:
        """Return the bits for a byte, a mean over *rows* rows spread over the held-out text."""
        length, text = self.config.max_seq_len, self.text_held_out
        starts = torch.linspace(0, len(text) - length - 1, rows).long()
        cut = torch.stack([text[start : start + length + 1] for start in starts])
        targets = cut[:, 1:].masked_fill(cut[:, 1:] == BOS, IGNORE)
        bytes_ = (targets != IGNORE).sum()
        return float(self.nats(cut[:, :-1], targets).sum() / bytes_ / math.log(2))


def start_run(stage: Stage) -> hooks.Run:
    """Return the run that logs *stage*, its config under nanochat's names."""
    job, config = stage.job, stage.config
    rows, length = config.device_batch_size, config.max_seq_len
    tokens = {} if job.stage == "rl" else {"total_batch_size": rows * length}
    return hooks.init(
        project="nanochat-mini",
        name=job.name,
        stage=job.stage,
        config={**asdict(config), **tokens, "num_params": stage.model.num_params()},
        dir=job.out,
        run_id=job.run_id,
        resume=job.resume_step,
        parent=job.parent,
        wandb="offline" if job.wandb else False,
    )


def train(job: Job) -> int:
    """Train the stage *job* and return the exit code."""
    stage = Stage(job)
    config, last = job.config, job.config.num_iterations
    run = start_run(stage)
    nan_steps = 0
    result: dict[str, Any] = {}
    while True:
        if stage.step % config.eval_every == 0 or stage.step == last:
            result = stage.evaluate()
            run.log(result, step=stage.step)
        if stage.step % config.save_every == 0 or stage.step == last:
            stage.save()
        if stage.step == last:
            break
        if stage.step == job.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        metrics = stage.train_step()
        if stage.step % config.log_every == 0:
            run.log(metrics, step=stage.step)
        stage.step += 1
        nan_steps += not math.isfinite(metrics["train/grad_norm"])
        if nan_steps > NAN_STEPS:
            break
    run.summary.update(result)
    run.finish(exit_code=1 if nan_steps else 0)
    return 1 if nan_steps else 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(train(read_job(sys.stdin.read())))
