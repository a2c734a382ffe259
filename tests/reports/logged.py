"""A project whose runs are logged through our hooks and synced: real logs, real snapshots."""

from __future__ import annotations

import json

import hooks
from etl import sync
from etl.project import locate

BENCHMARKS = ("arc_easy_acc", "gsm8k_acc", "humaneval_acc", "mmlu_acc")


class Logged:
    """A project under the data folder *data*."""

    def __init__(self, data, name="tiny"):
        self.data, self.project = data, locate(name, data)

    def log(self, run_id, accuracy=0.25, *, steps=6, **config):
        """Log one whole run."""
        run = hooks.init(
            self.project.name,
            run_id=run_id,
            dir=self.project.inbox[0],
            stage="pretraining",
            config={"depth": 4, "model_dim": 64, "device_batch_size": 8, **config},
            wandb=False,
            telemetry=False,
        )
        for step in range(steps):
            values = {"train/loss": 3.0 - step / 10, "train/mfu": 20.0, "train/tok_per_sec": 1e5}
            run.log(values, step=step)
        last = {name: accuracy + place / 10 for place, name in enumerate(BENCHMARKS)}
        run.log({**last, "val/bpb": 1.5 - accuracy}, step=steps)
        run.finish()

    def sync(self, capsys):
        """Sync, and return the snapshot's id."""
        options = ["--project", self.project.name, "--data-dir", str(self.data), "--json"]

        assert sync.main(options) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])["snapshot"]

    @property
    def outbox(self):
        return self.project.folder / "outbox"
