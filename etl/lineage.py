"""Which run began from which -> the runs' parents, and what a run took over from them.

nanochat's chat scripts have no depth of their own: it is that of the checkpoint that they load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from etl import identity, tables
from etl.identity import Claim

# What a checkpoint fixes for every training that begins from it.
_INHERITED = ("depth", "model_dim", "n_head", "n_kv_head", "head_dim", "aspect_ratio", "vocab_size")
_GENERATIONS = 8  # a chain of parents is cut there, lest a strange one be a ring


def write(con: duckdb.DuckDBPyConnection, claims: Sequence[Claim], runs: Mapping[str, str]) -> None:
    """Write parents, and into effective config what they fix, for runs that do not say it."""
    parents = identity.parents(claims, runs)
    for run_id, was in tables.rows(con, "select run_id, parent_run_id from store.runs"):
        if parents.get(run_id) != was:
            tables.rows(
                con,
                "update store.runs set parent_run_id = ? where run_id = ?",
                *(parents.get(run_id), run_id),
            )
    tables.rows(con, "delete from store.inherited")
    names = ", ".join(f"'{key}'" for key in _INHERITED)
    query = f"select run_id, key, value, number from store.config where key in ({names})"
    known: dict[str, dict[str, tuple[str, float | None]]] = {}
    for run_id, key, value, number in tables.rows(con, query + " order by kind"):
        if value is not None:
            known.setdefault(run_id, {}).setdefault(key, (value, number))
    for run_id in sorted(parents):
        taken = _taken(run_id, parents, known)
        for key, (value, number) in sorted(taken.items()):
            tables.rows(
                con,
                "insert into store.inherited values (?, ?, ?, ?)",
                *(run_id, key, value, number),
            )


def _taken(
    run_id: str,
    parents: Mapping[str, str],
    known: Mapping[str, Mapping[str, tuple[str, float | None]]],
) -> dict[str, tuple[str, float | None]]:
    """Return what the nearest ancestors of *run_id* fix and it does not say itself."""
    own = known.get(run_id, {})
    taken: dict[str, tuple[str, float | None]] = {}
    ancestor = parents.get(run_id)
    for _ in range(_GENERATIONS):
        if ancestor is None:
            break
        for key, value in known.get(ancestor, {}).items():
            if key not in own:
                taken.setdefault(key, value)
        ancestor = parents.get(ancestor)
    return taken
