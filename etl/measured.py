"""Which metrics the runs of a project have, as history or only in a summary -> their catalog."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from etl import naming, tables
from etl.describe import Row

_REPORTED = (
    "select distinct metric from store.summary where rule = 'reported' and value is not null"
)


def names_stand(
    con: duckdb.DuckDBPyConnection, run_id: str, keys: Sequence[Row], summary: Sequence[Row]
) -> bool:
    """Whether the *keys* and the numbers of the *summary* of a run are named as those stored."""
    now = {(row["key"], row["metric"]) for row in keys}
    query = "select key, metric from store.keys where run_id = ?"
    if now != set(tables.rows(con, query, run_id)):
        return False
    told = {
        (row["metric"],)
        for row in summary
        if row["rule"] == "reported" and row["value"] is not None
    }
    return told == set(tables.rows(con, f"{_REPORTED} and run_id = ?", run_id))


def write(con: duckdb.DuckDBPyConnection) -> None:
    """Write what is known of every metric that any run has."""
    query = f"""
        select m.metric,
            to_json(list_sort(list(distinct k.key) filter (k.key <> m.metric)))::varchar
        from (select metric from store.measured union {_REPORTED}) m
        left join store.keys k on k.metric = m.metric
        group by m.metric order by m.metric
    """
    found = tables.rows(con, query)
    tables.renew_view(con, "metrics")
    tables.rows(con, "delete from store.metrics")
    tables.add(con, "metrics", [_metric_row(*row) for row in found])


def _metric_row(metric: str, aliases: str | None) -> Row:
    known = naming.describe(metric)
    return {
        "metric": metric,
        "unit": known.unit if known else None,
        "direction": known.direction if known else None,
        "family": known.family if known else None,
        "known": known is not None and known.unit_known,
        "description": known.description if known else None,
        "aliases": aliases,
    }
