"""Real trainers of other people, with our callbacks in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HF = """
import sys, torch
from transformers import Trainer, TrainingArguments
from hooks.callbacks import HFCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(2, 1)
    def forward(self, x, labels):
        out = self.line(x).squeeze(-1)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}

out, logs, steps, resume, die = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
torch.manual_seed(0)
data = [{"x": torch.randn(2), "labels": torch.tensor(1.0)} for _ in range(32)]
callback = HFCallback("p", "tiny", stage="sft", dir=logs, wandb=False)
trainer = Trainer(
    model=Model(), train_dataset=data, eval_dataset=data[:8], callbacks=[callback],
    args=TrainingArguments(
        output_dir=out, max_steps=steps, per_device_train_batch_size=4, logging_steps=2,
        eval_strategy="steps", eval_steps=4, save_steps=4, report_to=[], use_cpu=True,
        disable_tqdm=True, hub_token="hf_secret", learning_rate=0.1,
    ),
)
trainer.train(resume_from_checkpoint=bool(resume))
print(trainer.evaluate()["eval_loss"])
if die:
    raise RuntimeError("after the training")
"""

LIGHTNING = """
import importlib, sys, torch
package = sys.argv[1]
L = importlib.import_module(package)
from hooks.callbacks import LightningLogger

class Module(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        loss = self.line(batch).square().mean()
        self.log("train/loss", loss)
        return loss
    def validation_step(self, batch, index):
        self.log("val/loss", self.line(batch).square().mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

out, logs, steps, resume = sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
torch.manual_seed(0)
data = torch.utils.data.DataLoader(torch.randn(32, 2), batch_size=4)
trainer = L.Trainer(
    accelerator="cpu", max_steps=steps, log_every_n_steps=2, enable_progress_bar=False,
    val_check_interval=4, default_root_dir=out,
    logger=LightningLogger("p", "tiny", run_id="lit", dir=logs, wandb=False),
    enable_model_summary=False,
)
trainer.fit(Module(), data, data, ckpt_path=resume if resume != "no" else None)
trainer.save_checkpoint(out + "/last.ckpt")
trainer.validate(verbose=False, dataloaders=data, model=trainer.lightning_module)
"""


def run(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def logs(folder):
    """Return the lines of each file of *folder*, the oldest first."""
    files = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in files]


def rows(lines, metric):
    return {line["step"]: line[metric] for line in lines if metric in line}


@pytest.mark.slow
def test_a_hugging_face_training_is_logged_and_goes_on_from_its_checkpoint(tmp_path):
    """What Trainer logs stands at its global_step; the checkpoint's run is gone on with."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    raw = tmp_path / "raw"
    first = run(HF, tmp_path / "out", raw, 6, 0, 0)
    assert first.returncode == 0, first.stderr
    last = max(int(path.name.split("-")[1]) for path in (tmp_path / "out").glob("checkpoint-*"))
    second = run(HF, tmp_path / "out", raw, 10, 1, 1)
    assert "after the training" in second.stderr

    one, two = logs(raw)
    assert sorted(rows(one, "loss")) == [2, 4, 6]
    assert sorted(rows(one, "eval_loss")) == [4, 6]  # at 6: evaluate() after the training
    assert rows(one, "eval_loss")[6] == pytest.approx(float(first.stdout.split()[-1]))
    head, finish = one[0], one[-1]
    assert (head["name"], head["stage"], head["resumed"]) == ("tiny", "sft", False)
    assert head["config"]["learning_rate"] == 0.1
    assert "hf_secret" not in json.dumps(head)
    assert (
        "train_runtime" in next(line for line in one if line.get("_kind") == "summary")["summary"]
    )
    assert (finish["_kind"], finish["exit_code"], finish["dropped"]) == ("finish", 0, 0)
    assert (two[0]["run_id"], two[0]["resume_step"]) == (head["run_id"], last)
    assert min(rows(two, "loss")) == last + 2
    assert two[-1]["exit_code"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])
def test_a_lightning_training_is_logged_and_goes_on_from_its_checkpoint(tmp_path, package):
    """Both Lightnings take the logger; what was resumed says from which step."""
    pytest.importorskip(package)
    raw = tmp_path / "raw"
    first = run(LIGHTNING, package, tmp_path, raw, 6, "no")
    assert first.returncode == 0, first.stderr
    second = run(LIGHTNING, package, tmp_path, raw, 12, tmp_path / "last.ckpt")
    assert second.returncode == 0, second.stderr

    one, two = logs(raw)
    assert sorted(rows(one, "train/loss")) == [1, 3, 5]
    assert rows(one, "val/loss")
    assert one[0]["config"] == {"lr": 0.1}
    assert one[-1]["exit_code"] == 0
    assert (two[0]["run_id"], two[0]["resumed"], two[0]["resume_step"]) == ("lit", True, 6)
    assert sorted(rows(two, "train/loss")) == [7, 9, 11]


def test_the_callbacks_import_nothing_until_they_are_asked_for():
    """A script without Transformers or Lightning pays nothing, and is told what is missing."""
    code = """
import sys, hooks.callbacks
assert not {"transformers", "lightning", "pytorch_lightning", "torch"} & set(sys.modules)
try:
    hooks.callbacks.LightningLogger
except ModuleNotFoundError as problem:
    print(problem)
try:
    hooks.callbacks.Other
except AttributeError as problem:
    print(problem)
"""
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "neither lightning nor pytorch_lightning is installed",
        "module 'hooks.callbacks' has no attribute 'Other'",
    ]
