"""One run of a project -> where all that is known of it came from, in words and numbers."""

from __future__ import annotations

from typing import Any

import duckdb

from etl import claims, identity, ledger, tables
from etl.errors import NoDataError, UsageError
from etl.project import Project, Settings, command

_EXAMPLES = 3


def explain(project: Project, settings: Settings, wanted: str) -> dict[str, Any]:
    """Return a run's files, segments, sources and disagreements; nothing is read or changed.

    *wanted* is a run's id, its beginning, or its name.

    Raises:
        NoDataError: the project has no tables yet.
        UsageError: no run, or more than one, is called that.
        LockedError: another process writes the tables.
    """
    if not project.database.exists():
        raise NoDataError(
            f"project {project.name} has no tables yet",
            where=str(project.folder),
            fix=command("etl.sync", project, "PATH"),
        )
    with tables.opened_to_read(project.database) as con:
        run_id = _run(con, project, wanted)
        held = ledger.holdings(con)
        return {
            "run_id": run_id,
            **_one(con, "select * exclude (run_id) from runs where run_id = ?", run_id),
            "files": _files(con, held, run_id, settings),
            "segments": _all(
                con, "select * exclude (run_id) from segments where run_id = ? order by 1", run_id
            ),
            "sources": _all(
                con,
                "select source, count(*) as points, count(distinct metric) as metrics"
                " from history where run_id = ? group by source order by source",
                run_id,
            ),
            "disagreements": _disagreements(con, run_id),
        }


def _run(con: duckdb.DuckDBPyConnection, project: Project, wanted: str) -> str:
    query = "select run_id, name from runs order by run_id"
    runs = tables.rows(con, query)
    for matches in (
        [run for run, _ in runs if run == wanted],
        [run for run, name in runs if name == wanted],
        [run for run, _ in runs if run.startswith(wanted)],
    ):
        if len(matches) == 1:
            return str(matches[0])
        if matches:
            what = f"more than one run is called {wanted!r}: {', '.join(matches[:8])}"
            raise UsageError(what, done="nothing was changed", fix="name one by its id")
    known = ", ".join(f"{run} ({name})" if name != run else run for run, name in runs[:8])
    raise UsageError(
        f"no run of project {project.name} is called {wanted!r}",
        done=f"it has {len(runs)}: {known}",
        fix=command("etl.sync", project, "--explain ID"),
    )


def _files(
    con: duckdb.DuckDBPyConnection, held: list[ledger.Holding], run_id: str, settings: Settings
) -> list[dict[str, Any]]:
    by_id = {claim.own_id: claim for claim in claims.claims(held, settings)}
    own_ids = sorted({item.facts.run_id for item in held if item.run_id == run_id})
    status = dict(tables.rows(con, "select path, status from ledger"))
    files = []
    for item in held:
        if item.run_id != run_id:
            continue
        own = by_id[item.facts.run_id]
        others = [by_id[other] for other in own_ids if other != own.own_id]
        files.append(
            {
                "path": item.path,
                "kind": item.kind,
                "status": status.get(item.path),
                "points": sum(item.facts.keys.values()),
                "steps": [item.facts.first_step, item.facts.last_step],
                "because": "it names the run" if own.known else identity.reason(own, others),
            }
        )
    return files


def _disagreements(con: duckdb.DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    query = """
        select metric, source, other, points, largest from disagreements
        where run_id = ? order by points desc, metric, source, other
    """
    found = _all(con, query, run_id)
    query = """
        select step, value as kept, other_value as other from store.differing
        where run_id = ? and metric = ? and source = ? and other = ?
        order by step limit ?
    """
    for item in found:
        pair = (item["metric"], item["source"], item["other"])
        item["examples"] = _all(con, query, run_id, *pair, _EXAMPLES)
    return found


def _all(con: duckdb.DuckDBPyConnection, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = con.execute(query, list(values))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _one(con: duckdb.DuckDBPyConnection, query: str, *values: Any) -> dict[str, Any]:
    return _all(con, query, *values)[0]


def text(found: dict[str, Any]) -> str:
    """Return what ``explain`` found as lines for a person."""
    lines = [
        f"run {found['run_id']} ({found['name']})",
        f"  stage {found['stage']}: {found['stage_reason']}",
        f"  state {found['state']}, {found['points']:,} points, steps"
        f" {found['first_step']} to {found['last_step']}"
        + (f", era {found['era']}" if found["era"] else ""),
    ]
    if found["parent_run_id"]:
        lines.append(f"  began from run {found['parent_run_id']}")
    lines.append("files")
    for file in found["files"]:
        lines.append(f"  {file['path']}")
        lines.append(
            f"    {file['kind']}, {file['status']}, {file['points']:,} points; {file['because']}"
        )
    lines.append("segments")
    for segment in found["segments"]:
        until = segment["abandoned_from"]
        replayed = f", replayed from step {until} on by a later one" if until is not None else ""
        lines.append(
            f"  {segment['segment']} (rank {segment['rank']}): steps {segment['first_step']} to"
            f" {segment['last_step']}, {segment['points']:,} points kept, {segment['state']}"
            f"{replayed}"
        )
    lines.append("where the points are from, the most trusted source first where several have one")
    lines += [
        f"  {item['source']}: {item['points']:,} points of {item['metrics']} metrics"
        for item in found["sources"]
    ]
    lines.append("disagreements" if found["disagreements"] else "no source contradicts another")
    for item in found["disagreements"]:
        largest = item["largest"]
        by = f", by up to {largest:.2g} of the value" if largest is not None else ""
        lines.append(
            f"  {item['metric']}: {item['other']} differs from {item['source']}, which is kept,"
            f" at {item['points']:,} steps{by}"
        )
        lines += [
            f"    step {at['step']}: {at['kept']} kept, {at['other']} not"
            for at in item["examples"]
        ]
    return "\n".join(lines) + "\n"
