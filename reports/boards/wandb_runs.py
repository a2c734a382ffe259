"""The rows of a package's runs table -> a W&B run each: settings and results, without history.

They are what the panels of a W&B view show, on a server that never saw the trainings themselves. A
run whose row did not change since the last snapshot is not sent again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etl.pulling.connect import AnswerError
from reports.boards import wandb_media
from reports.boards.package import Package
from reports.boards.wandb_session import WandbSession

MOST_RUNS = 1000  # more are in the table of runs alone
_AT_ONCE = 8  # measured: 12 runs a second against 4 one after the other
_DIGEST = "row_digest"
_LONGEST_ID = 60


def run_name(run_id: str) -> str:
    """Return the id on W&B of our run *run_id*; two never have the same."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", run_id)[:_LONGEST_ID]
    return (
        plain if plain == run_id else f"{plain}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    )


def push_runs(session: WandbSession, place: str, package: Package) -> list[str]:
    """Push every run that is not there as it is now; return what is left out, as sentences."""
    rows = package.runs()
    waiting = _waiting(session, place, rows[:MOST_RUNS])
    groups = {column.key: column.group for column in package.board().columns}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda row: _push(session, place, row, groups), waiting))
    if len(rows) > MOST_RUNS:
        return [f"{MOST_RUNS:,} of {len(rows):,} runs have a page; the table has all of them"]
    return []


def missing_runs(session: WandbSession, place: str, package: Package) -> list[str]:
    """Return, as one sentence, how many runs the server does not have as they are."""
    rows = package.runs()[:MOST_RUNS]
    lacking = len(_waiting(session, place, rows))
    return [f"{lacking:,} of {len(rows):,} runs"] if lacking else []


def _waiting(session: WandbSession, place: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    there = _digests(session, place)
    return [row for row in rows if there.get(run_name(row["id"])) != _digest(row)]


def _digests(session: WandbSession, place: str) -> dict[str, str]:
    """Return the digests of the rows that the server's runs were made of, by their ids there."""

    def asked() -> dict[str, str]:
        # lazy runs would be asked for one by one, each for its config
        runs = session.api.runs(place, per_page=200, lazy=False)
        return {run.id: run.config.get(_DIGEST, "") for run in runs if run.state != "running"}

    try:
        return session.ask(asked)
    except AnswerError as problem:
        if "could not find project" in str(problem).lower():
            return {}
        raise


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:16]


def _push(
    session: WandbSession, place: str, row: Mapping[str, Any], groups: Mapping[str, str]
) -> None:
    import wandb  # noqa: PLC0415  of the extra

    entity, project = place.split("/")
    values = {key: wandb_media.value(value) for key, value in row.items()}
    results = {key: value for key, value in values.items() if groups.get(key) == "result"}
    config = {key: value for key, value in values.items() if key not in results}
    with wandb.init(
        entity=entity,
        project=project,
        id=run_name(row["id"]),
        name=str(row.get("name") or row["id"]),
        job_type=row["stage"],
        config=config | {_DIGEST: _digest(row)},
        settings=session.settings(session.patience(0)),
    ) as run:
        run.summary.update(results)
        run.finish(exit_code=0 if row.get("state") == "finished" else 1)
