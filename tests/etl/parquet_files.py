"""W&B's history Parquet: written as a test wants it, read by its source."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_parquet


def write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def read(path):
    assert source_of(path) is sources.BY_KIND["wandb-parquet"]

    reading = wandb_parquet.read(path, 0, ())

    return reading.parts[0], reading


def values(part):
    """What a part holds: key -> [(step, value or text)]."""
    found = {}
    for key, step, value, text, _ in part.points.iter_rows():
        found.setdefault(key, []).append((step, text if value is None else value))
    return found
