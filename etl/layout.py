"""How history is stored: rows of up to eight metrics with one step, and the view that names them.

A *block* holds up to SLOTS metrics of one run, segment and source that were logged at the same
steps; ``slots`` says which metric stands in which of its columns. Text, and metrics of few points,
are rows of ``long``. Measured on 84M points (200 runs x 20k steps x 21 keys, two cores) against one
long sorted table: loading 0.24 CPU s per 4.4M points against 1.1; one trajectory 10 ms against 4,
downsampled loss of all runs 65 ms against 323, last and best of all metrics 1.2 s against 0.8.
Eight columns, because NULLs in unused ones cost nearly as much as numbers (0.055 s for ten) and
most of a run's metrics come in fives; two branches a view, because planning 32 took 20 ms.
Standard library only.
"""

from __future__ import annotations

from etl import schema

SLOTS = 8
_BRANCH = 4  # slots of one branch of the view
VALUES = tuple(f"v{slot}" for slot in range(SLOTS))

# Doubles that are measured hardly compress (32 MB against 38), and trying costs 0.07 s of 0.3.
_PLAIN = "DOUBLE USING COMPRESSION uncompressed"

TABLES: dict[str, dict[str, str]] = {
    "wide": {
        "block": "BIGINT",
        "step": "BIGINT",
        "ts": "TIMESTAMP",
        **dict.fromkeys(VALUES, _PLAIN),
    },
    "slots": {
        "run_id": "VARCHAR",
        "place": "INTEGER",  # of the block among those of its run
        "slot": "INTEGER",
        "metric": "VARCHAR",
        "segment": "INTEGER",
        "source": "VARCHAR",
        "points": "BIGINT",
        "block": "BIGINT",
    },
    "long": schema.TABLES["history"],
}
# Of a snapshot, where a block is known by its run and its place.
PARTS: dict[str, dict[str, str]] = {
    "wide": {
        "run_id": "VARCHAR",
        "place": "INTEGER",
        "step": "BIGINT",
        "ts": "TIMESTAMP",
        **dict.fromkeys(VALUES, "DOUBLE"),
    },
    "slots": {name: kind for name, kind in TABLES["slots"].items() if name != "block"},
    "long": TABLES["long"],
}


def view(slots: str, wide: str, long: str, on: str) -> str:
    """Return the query that gives ``history``; *on* joins s, the slots, with w, the wide rows."""
    branches = []
    for first in range(0, SLOTS, _BRANCH):
        *some, last = range(first, first + _BRANCH)
        value = " ".join(f"when {slot} then w.v{slot}" for slot in some)
        branches.append(
            f"select s.run_id, s.metric, w.step, case s.slot {value} else w.v{last} end as value,"
            f" null::varchar as text, w.ts, s.segment, s.source from {wide} w join {slots} s"
            f" on {on} where s.slot between {first} and {last}"
        )
    branches.append(f"select {', '.join(TABLES['long'])} from {long}")
    return " union all ".join(branches)
