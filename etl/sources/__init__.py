"""One reader for each format. A new format is a module here and an entry in ``ALL``."""

from __future__ import annotations

from etl.sources import (
    foreign_jsonl,
    hf_trainer,
    hooks_jsonl,
    mlflow,
    modded_nanogpt_log,
    nanochat_console,
    nanochat_eval_csv,
    nanochat_meta,
    nanochat_report,
    tensorboard,
    trackio,
    wandb_history_dump,
    wandb_offline,
    wandb_parquet,
    wandb_run_json,
    wandb_runs_table,
    wandb_sidecars,
    wandb_ui_csv,
)
from etl.sources.reading import Source

ALL: tuple[Source, ...] = (
    hooks_jsonl.SOURCE,
    wandb_offline.SOURCE,
    wandb_parquet.SOURCE,
    wandb_run_json.SOURCE,
    nanochat_console.SOURCE,
    modded_nanogpt_log.SOURCE,
    wandb_sidecars.SOURCE,
    nanochat_meta.SOURCE,
    nanochat_eval_csv.SOURCE,
    nanochat_report.SOURCE,
    wandb_ui_csv.SOURCE,
    wandb_history_dump.SOURCE,
    wandb_runs_table.SOURCE,
    tensorboard.SOURCE,
    hf_trainer.SOURCE,
    mlflow.SOURCE,
    trackio.SOURCE,
    foreign_jsonl.SOURCE,
)
BY_KIND = {source.kind: source for source in ALL}


def readers(step_key: str | None) -> tuple[Source, ...]:
    """Return all sources, of which that of other programs' JSONL takes *step_key* for the step."""
    if not step_key:
        return ALL
    told = foreign_jsonl.with_step_key(step_key)
    return tuple(told if source is foreign_jsonl.SOURCE else source for source in ALL)
