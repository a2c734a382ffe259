"""Scripts that log as nanochat's do: the same keys, cadence, projects and dummy; no training."""

from __future__ import annotations

COMMON = '''
import os

class DummyWandb:
    """Takes what a W&B run takes."""
    def __init__(self):
        pass
    def log(self, *args, **kwargs):
        pass
    def finish(self):
        pass

def print0(text=""):
    if int(os.environ.get("RANK", 0)) == 0:
        print(text)
'''

HEAD = """
import argparse
import math
import os
import wandb
from nanochat.common import DummyWandb, print0

parser = argparse.ArgumentParser()
parser.add_argument("--run", type=str, default="dummy")
parser.add_argument("--depth", type=int, default=4)
parser.add_argument("--model-tag", type=str, default=None)
parser.add_argument("--total-batch-size", type=int, default=-1)
parser.add_argument("--matrix-lr", type=float, default=0.02)
args = parser.parse_args()
user_config = vars(args).copy()
rank = int(os.environ.get("RANK", 0))
use_dummy_wandb = args.run == "dummy" or rank != 0
"""

BASE = (
    HEAD
    + """
wandb_run = DummyWandb() if use_dummy_wandb else wandb.init(
    project="nanochat", name=args.run, config=user_config)
last = 4000
tasks = ["hellaswag_zeroshot", "jeopardy", "bigbench_qa_wikidata", "arc_easy", "boolq"]
for step in range(last + 1):
    flops, elapsed = step * 1.5e12, step * 0.124
    if step % 250 == 0:
        bpb = 3.2 * math.exp(-step / 900) + 0.81
        print0(f"Step {step:05d} | Validation bpb: {bpb:.6f}")
        wandb_run.log({"step": step, "total_training_flops": flops,
                       "total_training_time": elapsed, "val/bpb": bpb})
    if step and step % 2000 == 0:
        results = {task: step / 40000 - place / 10 for place, task in enumerate(tasks)}
        core = sum(results.values()) / len(results)
        print0(f"Step {step:05d} | CORE metric: {core:.4f}")
        wandb_run.log({"step": step, "total_training_flops": flops, "core_metric": core,
                       "centered_results": results})
    loss = 11.0 / (1 + step / 50) + 2 if step != 1300 else float("nan")
    print0(f"step {step:05d}/{last:05d} ({100 * step / last:.2f}%) | loss: {loss:.6f}")
    if step % 100 == 0:
        wandb_run.log({"step": step, "total_training_flops": flops,
                       "total_training_time": elapsed, "train/loss": loss, "train/lrm": 1.0,
                       "train/dt": 0.124, "train/tok_per_sec": 4212000,
                       "train/mfu": 40.2 if step else float("inf"),
                       "train/epoch": f"{step // 3000} pq: {step // 100} rg: 1"})
wandb_run.finish()
"""
)

SFT = (
    HEAD
    + """
wandb_run = DummyWandb() if use_dummy_wandb else wandb.init(
    project="nanochat-sft", name=args.run, config=user_config)
step = 0
while step < 600:
    last = step == 599
    if last or step % 200 == 0:
        wandb_run.log({"step": step, "total_training_flops": step * 2e11,
                       "total_training_time": step / 3, "val/bpb": 0.5 + 1 / (step + 7)})
        if step:
            wandb_run.log({"step": step, "total_training_flops": step * 2e11,
                           "chatcore_metric": step / 3000, "chatcore_cat": -step / 9000,
                           "chatcore/ARC-Easy": 0.4, "chatcore/MMLU": 0.31,
                           "chatcore/GSM8K": 0.0})
    step += 1
    if step % 10 == 0:
        wandb_run.log({"step": step, "total_training_flops": (step - 1) * 2e11,
                       "total_training_time": step / 3, "train/loss": 1 / step,
                       "train/lrm": 1 - step / 600, "train/dt": 0.3,
                       "train/tok_per_sec": 100000, "train/mfu": 30.0, "train/epoch": 1})
wandb_run.finish()
"""
)

RL = (
    HEAD
    + """
wandb_run = DummyWandb() if use_dummy_wandb else wandb.init(
    project="nanochat-rl", name=args.run, config=user_config)
for step in range(130):
    if step % 60 == 0:
        wandb_run.log({"step": step, **{f"pass@{k}": k / 10 + step / 1000 for k in range(1, 9)}})
    wandb_run.log({"step": step, "reward": step / 130, "sequence_length": 200 + 1 / (step + 3)})
    wandb_run.log({"step": step, "lrm": 1 - step / 130})
wandb_run.finish()
"""
)

STAGES = {"base_train": "pretraining", "chat_sft": "sft", "chat_rl": "rl"}


def write(folder):
    """Write the scripts into *folder*, which is then nanochat's for all that they know."""
    texts = {
        "nanochat/__init__.py": "",
        "nanochat/common.py": COMMON,
        "scripts/__init__.py": "",
        "scripts/base_train.py": BASE,
        "scripts/chat_sft.py": SFT,
        "scripts/chat_rl.py": RL,
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
