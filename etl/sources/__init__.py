"""One reader for each format. A new format is a module here, with ``recognises`` and ``read``.

The table below is all that is known of a source before there is a file for it: its module is
imported when a file may be its own (all of them: 0.34 CPU s, those of JSONL alone: 0.05).
"""

from __future__ import annotations

import dataclasses
import importlib
from functools import partial
from pathlib import Path

from etl.sources.facts import Facts
from etl.sources.reading import STEP_KEYS, Reading, Source

# Logs of these names are of the sources that say so, and of no other.
_JSONL, _WANDB = (".jsonl", ".ndjson"), (".wandb",)
_TAKEN = (*_JSONL, *_WANDB)


def _recognises(module: str, suffixes: tuple[str, ...], path: Path, head: bytes) -> bool:
    suffix = path.suffix.lower()
    if suffix not in suffixes if suffixes else suffix in _TAKEN:
        return False
    return bool(importlib.import_module(f"etl.sources.{module}").recognises(path, head))


def _read(module: str, path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    found: Reading = importlib.import_module(f"etl.sources.{module}").read(path, start, known)
    return found


def _source(
    kind: str,
    precedence: int,
    module: str,
    suffixes: tuple[str, ...] = (),
    *,
    grows: bool = False,
    processes: bool = False,
) -> Source:
    recognises = partial(_recognises, module, suffixes)
    read = partial(_read, module)
    return Source(kind, precedence, recognises, read, grows=grows, processes=processes)


# In the order in which they are asked whether a file is theirs.
ALL: tuple[Source, ...] = (
    _source("hooks-jsonl", 60, "hooks_jsonl", _JSONL, grows=True, processes=True),
    _source("wandb-offline", 50, "wandb_offline", _WANDB, grows=True, processes=True),
    _source("wandb-parquet", 45, "wandb_parquet"),
    _source("wandb-export-run", 45, "wandb_run_json"),
    _source("nanochat-console", 30, "nanochat_console", grows=True),
    _source("modded-nanogpt-log", 30, "modded_nanogpt_log"),
    _source("wandb-files", 25, "wandb_sidecars"),
    _source("nanochat-checkpoint", 28, "nanochat_meta"),
    _source("nanochat-base-eval", 27, "nanochat_eval_csv"),
    _source("nanochat-report", 20, "nanochat_report"),
    _source("wandb-ui-csv", 40, "wandb_ui_csv"),
    _source("wandb-history", 42, "wandb_history_dump"),
    _source("wandb-runs-table", 40, "wandb_runs_table"),
    _source("tensorboard", 35, "tensorboard", grows=True),
    _source("hf-trainer", 35, "hf_trainer"),
    _source("mlflow", 35, "mlflow"),
    _source("trackio", 35, "trackio"),
    _source("jsonl", 55, "foreign_jsonl", _JSONL, grows=True),
)
BY_KIND = {source.kind: source for source in ALL}
FOREIGN = "jsonl"  # other programs' logs, whose step a person may have to name


def readers(step_key: str | None) -> tuple[Source, ...]:
    """Return all sources; in other programs' JSONL *step_key* is the step where a row has it.

    It may be a path: ``trainer.global_step``. A file without such a key is read as ever.
    """
    if not step_key:
        return ALL
    module = importlib.import_module("etl.sources.foreign_jsonl")
    keys = (step_key, *STEP_KEYS)
    told = dataclasses.replace(
        BY_KIND[FOREIGN],
        recognises=partial(module.recognises, step_keys=keys),
        read=partial(module.read, step_keys=keys),
    )
    return tuple(told if source.kind == FOREIGN else source for source in ALL)
