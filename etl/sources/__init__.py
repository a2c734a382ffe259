"""One reader for each format. A new format is a module here and an entry in ``ALL``."""

from __future__ import annotations

from etl.sources import (
    foreign_jsonl,
    hf_trainer,
    hooks_jsonl,
    mlflow,
    nanochat_eval_csv,
    nanochat_meta,
    nanochat_report,
    tensorboard,
    trackio,
    wandb_offline,
)
from etl.sources.reading import Source

ALL: tuple[Source, ...] = (
    hooks_jsonl.SOURCE,
    wandb_offline.SOURCE,
    nanochat_meta.SOURCE,
    nanochat_eval_csv.SOURCE,
    nanochat_report.SOURCE,
    tensorboard.SOURCE,
    hf_trainer.SOURCE,
    mlflow.SOURCE,
    trackio.SOURCE,
    foreign_jsonl.SOURCE,
)
BY_KIND = {source.kind: source for source in ALL}
