"""One reader for each format. A new format is a module here and an entry in ``ALL``."""

from __future__ import annotations

from etl.sources import (
    foreign_jsonl,
    hooks_jsonl,
    modded_nanogpt_log,
    nanochat_console,
    wandb_offline,
)
from etl.sources.reading import Source

ALL: tuple[Source, ...] = (
    hooks_jsonl.SOURCE,
    wandb_offline.SOURCE,
    foreign_jsonl.SOURCE,
    nanochat_console.SOURCE,
    modded_nanogpt_log.SOURCE,
)
BY_KIND = {source.kind: source for source in ALL}
