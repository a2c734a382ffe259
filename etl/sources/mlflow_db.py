"""An MLflow database (SQLite) -> facts and points of every run in it.

Only the tables of runs are read; others of the same file hold secrets and users.
Schema: mlflow/store/tracking/dbmodels/models.py.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import mlflow_facts, sqlite_file
from etl.sources.facts import Facts
from etl.sources.frames import POINTS
from etl.sources.reading import Part, Reading, Reject

_TABLES = ("metrics", "runs", "params", "tags", "experiments")
_WANTED = {"metrics": {"run_uuid", "key", "value", "timestamp"}, "runs": {"run_uuid", "status"}}


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a database with MLflow's tables of runs."""
    if not head.startswith(sqlite_file.MAGIC):
        return False
    found = sqlite_file.columns(path, _TABLES)
    return all(found.get(table, set()) >= names for table, names in _WANTED.items())


def read(path: Path) -> Reading:
    """Return a part for each run of the database."""
    size = path.stat().st_size
    try:
        with sqlite_file.opened(path) as con:
            columns = sqlite_file.tables(con, _TABLES)
            points = _points(con, columns["metrics"])
            runs = _runs(con, columns)
    except (*sqlite_file.DAMAGED, KeyError, OverflowError) as problem:
        return Reading((), (Reject(0, f"a database that cannot be read: {problem}", b""),), 0)
    by_run = points.partition_by("run_uuid", as_dict=True, include_key=False)
    parts = []
    for run_id, facts in sorted(runs.items()):
        own = by_run.get((run_id,), pl.DataFrame(schema=POINTS))
        parts.append(Part(facts.counted(own.height, own, {}), own))
    return Reading(tuple(parts), (), size)


def _points(con: sqlite3.Connection, columns: set[str]) -> pl.DataFrame:
    """Return the points of all runs, with ``run_uuid``, in the order in which they were logged."""
    step = "step" if "step" in columns else "0"  # old databases have neither
    is_nan = "is_nan" if "is_nan" in columns else "0"
    query = (
        "select cast(run_uuid as text), cast(key as text), cast("
        f"{step} as integer), cast(value as real), cast({is_nan} as integer),"
        " cast(timestamp as real) / 1000 from metrics"
        " order by run_uuid, key, timestamp, step, value"
    )
    schema = {"run_uuid": pl.String, "key": pl.String, "step": pl.Int64, "value": pl.Float64}
    schema |= {"is_nan": pl.Int64, "ts": pl.Float64}
    rows = pl.DataFrame(con.execute(query).fetchall(), schema=schema, orient="row")
    # a database of MLflow holds no infinity: it stands as the greatest number that there is
    value, most = pl.col("value"), sys.float_info.max
    number = (
        pl.when(pl.col("is_nan") != 0)
        .then(float("nan"))
        .when(value.abs() >= most)
        .then(value.sign() * float("inf"))
        .otherwise(value)
    )
    found = rows.with_columns(value=number, text=pl.lit(None, pl.String))
    return found.select("run_uuid", *POINTS)


def _runs(con: sqlite3.Connection, columns: dict[str, set[str]]) -> dict[str, Facts]:
    experiments: dict[Any, str] = {}
    if "experiments" in columns:
        experiments = dict(con.execute("select experiment_id, name from experiments"))
    stated = ("name", "status", "start_time", "end_time", "lifecycle_stage", "experiment_id")
    known = [name for name in stated if name in columns["runs"]]
    runs: dict[str, Facts] = {}
    records = con.execute(
        f"select cast(run_uuid as text), {', '.join(known)} from runs order by run_uuid"
    )
    for run_id, *values in records.fetchall():
        record = dict(zip(known, values, strict=True))
        facts = mlflow_facts.bare(run_id, experiments.get(record.get("experiment_id")))
        runs[run_id] = mlflow_facts.with_state(facts, record)
    for table, change in (("tags", mlflow_facts.with_tag), ("params", mlflow_facts.with_param)):
        if table in columns:
            names = "cast(run_uuid as text), cast(key as text), value"
            query = f"select {names} from {table} order by 1, 2"
            for run_id, key, value in con.execute(query).fetchall():
                if run_id in runs and value is not None:
                    runs[run_id] = change(runs[run_id], key, str(value))
    return runs
