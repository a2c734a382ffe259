"""A list of configurations -> data/sample: a miniature GPT really trained, logged by hooks and W&B.

To make the committed sample again, from the root of the repository (half an hour on two cores)::

    pip install torch wandb && python data/train_sample.py --jobs 2

Each configuration goes through pretraining, midtraining, SFT and RL, each a process of one thread.
One of them is killed with SIGKILL on the way and resumed from its last checkpoint; one more, with
an absurd learning rate, diverges to NaN. Seeds are fixed: two trainings on one machine gave every
loss, accuracy and reward alike to the last bit; times are the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from mini_config import Config, Job
from mini_gpt import measure_peak_flops
from mini_tasks import VOCAB_SIZE

HERE = Path(__file__).resolve().parent
STAGES = {"pretraining": "pre", "midtraining": "mid", "sft": "sft", "rl": "rl"}
LR_FRACTIONS = {"pretraining": 1.0, "midtraining": 0.7, "sft": 0.7, "rl": 0.07}
SOURCE = "python {}.{}.{} language reference (pydoc_data.topics), generated puzzles".format(
    *sys.version_info
)
# nothing of this machine or its user belongs into a .wandb file that is committed
WANDB_ENV = {
    "WANDB_HOST": "sample",
    "WANDB_CONSOLE": "off",
    "WANDB_SILENT": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_SYMLINK": "false",
    "WANDB__DISABLE_META": "true",
    "WANDB__DISABLE_STATS": "true",
    "WANDB__DISABLE_MACHINE_INFO": "true",
    "WANDB__SAVE_REQUIREMENTS": "false",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A configuration: what differs between the runs, and what is done to one of its stages."""

    depth: int
    model_dim: int
    n_head: int
    device_batch_size: int
    learning_rate: float
    kill_at: int | None = None  # pretraining step at which the process kills itself
    diverges: bool = False

    @property
    def short(self) -> str:
        """The prefix of its run ids."""
        return f"d{self.depth}w{self.model_dim}"

    @property
    def name(self) -> str:
        """The name that all of its runs have, as in nanochat's speedrun."""
        rate = f"{self.learning_rate:.0e}".replace("e-0", "e-").replace("e+0", "e")
        return f"d{self.depth}-w{self.model_dim}-b{self.device_batch_size}-lr{rate}"


@dataclass(frozen=True, slots=True)
class Size:
    """How long the stages are and how often they log, evaluate and save."""

    steps: dict[str, int]
    log_every: dict[str, int]
    evals: int
    save_every: int
    max_seq_len: int
    exam_size: int


FULL = Size(
    steps={"pretraining": 600, "midtraining": 450, "sft": 900, "rl": 240},
    log_every={"pretraining": 3, "midtraining": 3, "sft": 4, "rl": 1},
    evals=10,
    save_every=100,
    max_seq_len=128,
    exam_size=128,
)
QUICK = Size(
    steps={"pretraining": 24, "midtraining": 12, "sft": 12, "rl": 6},
    log_every={"pretraining": 1, "midtraining": 1, "sft": 1, "rl": 1},
    evals=3,
    save_every=8,
    max_seq_len=64,
    exam_size=32,
)
FULL_RECIPES = [  # the longest first, so that two jobs end together
    Recipe(4, 128, 4, 16, 2e-3),
    Recipe(4, 160, 5, 8, 3e-3),
    Recipe(6, 96, 3, 8, 1e-3),
    Recipe(2, 96, 3, 32, 5e-4),
    Recipe(3, 96, 3, 16, 4e-3, kill_at=264),
    Recipe(2, 64, 2, 16, 5e-3),
    Recipe(1, 128, 4, 8, 3e-3),
    Recipe(1, 48, 2, 16, 1e-2),
    Recipe(2, 80, 4, 16, 3e1, diverges=True),
]
QUICK_RECIPES = [
    Recipe(2, 32, 2, 8, 5e-3, kill_at=13),
    Recipe(1, 32, 2, 8, 1e-2),
    Recipe(1, 48, 2, 8, 1e2, diverges=True),
]


def jobs(recipe: Recipe, size: Size, args: argparse.Namespace, peak_flops: float) -> Iterator[Job]:
    """Yield the processes of *recipe*, each of which needs the one before it."""
    parent = None
    for stage, suffix in STAGES.items():
        config = Config(
            depth=recipe.depth,
            model_dim=recipe.model_dim,
            n_head=recipe.n_head,
            max_seq_len=size.max_seq_len,
            device_batch_size=recipe.device_batch_size,
            learning_rate=recipe.learning_rate,
            init_lr_frac=LR_FRACTIONS[stage],
            weight_decay=0.1,
            num_iterations=size.steps[stage],
            eval_every=size.steps[stage] // size.evals,
            save_every=size.save_every,
            log_every=1 if recipe.diverges else size.log_every[stage],
            seed=1337,
            vocab_size=VOCAB_SIZE,
            source=SOURCE,
            exam_size=size.exam_size,
            peak_flops=peak_flops,
        )
        run_id = f"{recipe.short}-{suffix}"
        job = Job(
            run_id=run_id,
            name=recipe.name,
            stage=stage,
            config=config,
            out=str(args.out / "raw"),
            work=str(args.work),
            wandb=not args.no_wandb,
            parent=parent,
        )
        if recipe.kill_at is not None and stage == "pretraining":
            yield replace(job, kill_at=recipe.kill_at)
            saved = recipe.kill_at - recipe.kill_at % size.save_every
            yield replace(job, resume_step=saved)
        else:
            yield job
        if recipe.diverges:
            return
        parent = run_id


def run_job(job: Job) -> int:
    """Run *job* in a process of its own and return its exit status."""
    root = str(HERE.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(HERE / "mini_stages.py")],
        input=json.dumps(asdict(job)),
        text=True,
        env={**os.environ, **WANDB_ENV, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    return done.returncode


def run_recipe(recipe: Recipe, size: Size, args: argparse.Namespace, peak_flops: float) -> bool:
    """Run all of *recipe*; return whether every process ended as it should."""
    for job in jobs(recipe, size, args, peak_flops):
        if args.stage and job.stage not in args.stage:
            continue
        if job.resume_step is None:
            remove_run(args.out / "raw", job.run_id)
        start = time.monotonic()
        status = run_job(job)
        prune_wandb(args.out / "raw" / "wandb", job.run_id)
        print(f"{job.run_id:12} {job.name:20} exit {status:3} {time.monotonic() - start:6.1f} s")
        sys.stdout.flush()
        if status != (-9 if job.kill_at is not None else 1 if recipe.diverges else 0):
            return False
    return True


def remove_run(raw: Path, run_id: str) -> None:
    """Remove what an earlier run of this script logged for *run_id*."""
    for file in raw.glob(f"{run_id}.*.jsonl"):
        file.unlink()
    for folder in (raw / "wandb").glob(f"offline-run-*-{run_id}"):
        shutil.rmtree(folder)


def prune_wandb(folder: Path, run_id: str) -> None:
    """Leave nothing of a run in W&B's *folder* but ``.wandb``: the rest says where it was made."""
    for path in sorted(folder.glob(f"offline-run-*-{run_id}/**/*"), reverse=True):
        if path.is_symlink() or (path.is_file() and path.suffix != ".wandb"):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--out", type=Path, default=HERE / "sample", help="where raw/ is written (data/sample)")
    add("--quick", action="store_true", help="two tiny configurations, a minute at most: for tests")
    add("--jobs", type=int, default=1, help="processes at a time, of one thread each (1)")
    add("--no-wandb", action="store_true", help="write the hooks' files only")
    add("--only", nargs="+", metavar="NAME", help="these configurations, as d4w128")
    add("--stage", nargs="+", choices=STAGES, help="these stages; others must be in --work")
    add("--peak-flops", type=float, help="an earlier measurement, for runs to stand beside its own")
    add("--work", type=Path, help="keep checkpoints here (else: a folder removed at the end)")
    return parser.parse_args()


def main() -> int:
    """Train what the command line asks for; return 1 where a run did not end as it should."""
    args = arguments()
    size, recipes = (QUICK, QUICK_RECIPES) if args.quick else (FULL, FULL_RECIPES)
    if args.only:
        recipes = [r for r in recipes if {r.short, r.name} & set(args.only)]
    if not recipes:
        print(f"error: no configuration is called {' or '.join(args.only)}", file=sys.stderr)
        return 2
    args.out = args.out.resolve()
    torch.set_num_threads(1)
    peak_flops = args.peak_flops or measure_peak_flops()
    print(f"measured CPU matmul peak: {peak_flops / 1e9:.1f} GFLOP/s on one thread")
    with tempfile.TemporaryDirectory(prefix="nanochat-mini-") as scratch:
        args.work = args.work or Path(scratch)
        args.work.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(args.jobs) as pool:
            ended = list(pool.map(lambda r: run_recipe(r, size, args, peak_flops), recipes))
    return 0 if all(ended) else 1


if __name__ == "__main__":
    sys.exit(main())
