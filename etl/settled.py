"""Whether a sync has anything to do, before all that it would take to do it is imported.

Polars, numpy and the readers take 0.4 s to import; a sync with nothing new does without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from etl import catalog, eras, ledger, tables
from etl.discover import Found
from etl.project import Project, Settings

# Of what is made of the same files. Where another one is noted, every run is made anew.
_REVISION = 2


@dataclass(slots=True)
class Outcome:
    """What an ingest did. ``files`` are the ledger's entries for every file that was looked at.

    ``same`` are the tables of which it can tell that their rows are as they were.
    """

    files: list[ledger.Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    new_points: int = 0
    changed: bool = False
    same: frozenset[str] = frozenset()


def settled(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    settings: Settings,
    step_key: str | None,
    found: Sequence[Found],
    *,
    known: Mapping[str, ledger.Entry],
) -> Outcome | None:
    """Return what there is to say of *found* if all of it is read, by the rules that hold now.

    *known* is what the ledger says of every file.
    """
    ((before, key),) = tables.rows(con, "select rules, step_key from store.meta")
    if before != rules(settings) or step_key not in (None, key):
        return None
    entries = map(known.get, ledger.labels(project, [file.name for file in found]))
    same = [e for e, f in zip(entries, found, strict=True) if e is not None and e.unchanged(f)]
    return Outcome(files=same) if len(same) == len(found) else None


def rules(settings: Settings) -> str:
    """Return a hash of all that decides what is made of the same files."""
    parts = (
        _REVISION,
        catalog.METRICS,
        catalog.COMMON,
        catalog.ENDINGS,
        catalog.BEGINNINGS,
        catalog.BESIDE,
        catalog.CONFIG_ALIASES,
        eras.CHANGES,
        eras.RELEASE,
        catalog.NANOCHAT_ALIASES,
        catalog.PROJECT_STAGES,
        catalog.SCRIPT_STAGES,
        catalog.STAGE_WORDS,
        sorted(settings.aliases.items()),
        sorted(settings.stages.items()),
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
