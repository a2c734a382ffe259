"""Which run began from which -> the runs' parents, and what a run took over from them.

nanochat's chat scripts have no depth of their own: it is that of the checkpoint that they load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import duckdb

from etl import tables
from etl.claims import BEFORE, Claim

# What a checkpoint fixes for every training that begins from it.
_INHERITED = ("depth", "model_dim", "n_head", "n_kv_head", "head_dim", "aspect_ratio", "vocab_size")
_GENERATIONS = 8  # a chain of parents is cut there, lest a strange one be a ring


def parents(found: Sequence[Claim], runs: Mapping[str, str]) -> dict[str, str]:
    """Return run id -> the run whose checkpoint it began from, where that can be told.

    What a file says itself stands; else the one run of the stage and tag that it loaded, or of
    several the last that began before it.
    """
    stated = {runs[c.own_id]: runs.get(c.parent, c.parent) for c in found if c.parent}
    # two files of one run may each have taken the other for what it began from
    stated = {run_id: parent for run_id, parent in stated.items() if parent != run_id}
    by_place: dict[tuple[str, str], dict[str, Claim]] = defaultdict(dict)
    for claim in sorted(found, key=lambda claim: (claim.began is None, claim.began or 0.0)):
        if claim.stage and claim.tag:
            by_place[claim.stage, claim.tag].setdefault(runs[claim.own_id], claim)
    result = dict(stated)
    for claim in found:
        run_id = runs[claim.own_id]
        stage, tag, _ = claim.loads
        if run_id in result or not tag or claim.stage not in BEFORE:
            continue
        for before in (stage,) if stage else BEFORE[claim.stage]:
            options = by_place.get((before, tag), {})
            parent = _latest(options, claim)
            if parent is not None and parent != run_id:
                result[run_id] = parent
                break
    return result


def _latest(options: Mapping[str, Claim], child: Claim) -> str | None:
    if len(options) == 1:
        return next(iter(options))
    earlier = [
        (other.began, run_id)
        for run_id, other in options.items()
        if other.began is not None and child.began is not None and other.began <= child.began
    ]
    return max(earlier)[1] if earlier else None


def write(con: duckdb.DuckDBPyConnection, claims: Sequence[Claim], runs: Mapping[str, str]) -> bool:
    """Write parents, and into effective config what they fix, for runs that do not say it.

    Return whether that config is another one now.
    """
    found = parents(claims, runs)
    for run_id, was in tables.rows(con, "select run_id, parent_run_id from store.runs"):
        if found.get(run_id) != was:
            tables.rows(
                con,
                "update store.runs set parent_run_id = ? where run_id = ?",
                *(found.get(run_id), run_id),
            )
    names = ", ".join(f"'{key}'" for key in _INHERITED)
    query = f"select run_id, key, value, number from store.config where key in ({names})"
    known: dict[str, dict[str, tuple[str, float | None]]] = {}
    for run_id, key, value, number in tables.rows(con, query + " order by kind"):
        if value is not None:
            known.setdefault(run_id, {}).setdefault(key, (value, number))
    rows = [
        (run_id, key, value, number)
        for run_id in sorted(found)
        for key, (value, number) in sorted(_taken(run_id, found, known).items())
    ]
    if tables.rows(con, "select * from store.inherited order by run_id, key") == rows:
        return False
    tables.rows(con, "delete from store.inherited")
    names_of = ("run_id", "key", "value", "number")
    tables.add(con, "inherited", [dict(zip(names_of, row, strict=True)) for row in rows])
    return True


def _taken(
    run_id: str,
    found: Mapping[str, str],
    known: Mapping[str, Mapping[str, tuple[str, float | None]]],
) -> dict[str, tuple[str, float | None]]:
    """Return what the nearest ancestors of *run_id* fix and it does not say itself."""
    own = known.get(run_id, {})
    taken: dict[str, tuple[str, float | None]] = {}
    ancestor = found.get(run_id)
    for _ in range(_GENERATIONS):
        if ancestor is None:
            break
        for key, value in known.get(ancestor, {}).items():
            if key not in own:
                taken.setdefault(key, value)
        ancestor = found.get(ancestor)
    return taken
