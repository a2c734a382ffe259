"""Processes that talk to the server on the loopback: a training run, ``wandb sync``, a pull."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from etl import pull

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "local-key-that-must-be-nowhere-0123456789abcdef"

# Shaped as nanochat logs: rows of training, of validation and of CORE, and values that are odd.
TRAINING = """
    import math, wandb

    run = wandb.init(
        project="nanochat", entity="team", id="d4run", name="d4", group="speedrun", tags=["b", "a"],
        notes="the first", job_type="base_train", mode="offline",
        config={"depth": 4, "run": "d4", "betas": [0.8, 0.95], "optimizer": {"value": 1, "lr": 2}},
        settings=wandb.Settings(x_stats_sampling_interval=0.1),
    )
    for step in range(0, 60, 10):
        loss = math.nan if step == 30 else 3 - step / 100
        run.log({
            "step": step, "train/loss": loss, "train/mfu": math.inf if step == 40 else 40.25,
            "train/epoch": f"{step} pq: 1 rg: 2", "total_training_flops": 2**60 + step,
            "done": step == 50,
        })
        print("step", step)
        if step % 20 == 0:
            run.log({"step": step, "val/bpb": 1 + step / 1000})
    run.log({"step": 60, "centered_results": {"arc": 0.25, "deep": {"er": -1}}, "mixed": "text"})
    run.log({"step": 70, "mixed": 1.5, "hist": wandb.Histogram([1, 2, 3]), "list": [1, "x", None]})
    run.finish()
"""


@dataclass
class Done:
    """How a pull ended."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out.splitlines()[-1])


class Client:
    """A home and a folder of exports of its own, and one server to talk to."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.to = folder / "exports"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WANDB_")},
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT),
            "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": server.url,
            "WANDB_ERROR_REPORTING": "false",
        }
        (folder / "home").mkdir()

    def sync(self, script=TRAINING):
        """Run *script* offline, sync what it logged to the server, return its ``.wandb`` file."""
        options = {"cwd": self.folder, "env": self.environment, "capture_output": True}
        program = [sys.executable, "-c", textwrap.dedent(script)]
        subprocess.run(program, check=True, **options)
        (path,) = self.folder.glob("wandb/offline-run-*/*.wandb")
        sync = [sys.executable, "-m", "wandb", "sync", str(path.parent)]
        subprocess.run(sync, check=True, **options)
        return path

    def command(self, *options, project="nanochat"):
        module = [sys.executable, "-m", "etl.pull", "--project", project, "--entity", "team"]
        return [*module, "--to", str(self.to), "--json", *options]

    def pull(self, *options, project="nanochat", **environment):
        """Pull in this process, which has the client loaded: 0.5 s against 2.5 s."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment | environment)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = pull.main(self.command(*options, project=project)[3:])
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Done(code, out.getvalue(), err.getvalue())

    def pull_apart(self, *options, **environment):
        """Pull in a process of its own."""
        done = subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def manifest(self):
        """The manifest's runs by their path."""
        document = json.loads((self.to / "manifest.json").read_text(encoding="utf-8"))
        return {run["path"]: run for run in document["runs"]}

    def run(self, path):
        return json.loads((self.to / path / "run.json").read_text(encoding="utf-8"))

    def stamps(self):
        """Every file of the folder with its time of change."""
        files = [path for path in self.to.rglob("*") if path.is_file() and path.suffix != ".lock"]
        return {path: path.stat().st_mtime_ns for path in files}
