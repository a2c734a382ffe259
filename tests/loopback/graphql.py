"""The GraphQL operations that wandb 0.31 asks of a server: to sync a run, and to read one back.

Operations are told apart by name. What is answered is what a server of 0.75 answers, as far as the
client looks at it.
"""

from __future__ import annotations

import re

from loopback import artifacts, views
from loopback.backend import storage_id


class UnknownError(Exception):
    """The server has no such operation."""


def answer(backend, url, query, variables):
    """Return the ``data`` of one operation."""
    name = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
    name = name[1] if name else ""
    if name not in OPERATIONS or name in backend.lacking:
        raise UnknownError(name or query[:200])
    with backend.lock:
        return OPERATIONS[name](backend, url, variables)


def _project(entity, name):
    identity = storage_id("Project", entity, name)
    return {
        "id": identity, "internalId": identity, "name": name, "entityName": entity,
        "entity": {"id": storage_id(entity), "name": entity}, "createdAt": "2026-01-01T00:00:00",
        "isBenchmark": False, "tags": [],
    }  # fmt: skip


def _run(run):
    fields = run.fields
    return {
        "id": storage_id("Run", *run.key), "projectId": "1", "name": run.name,
        "displayName": fields.get("displayName") or run.name, "description": None,
        "notes": fields.get("notes"), "tags": fields.get("tags") or [], "state": run.state,
        "config": fields.get("config") or "{}", "summaryMetrics": run.summary,
        "systemMetrics": "{}", "group": fields.get("groupName"), "jobType": fields.get("jobType"),
        "commit": fields.get("commit"), "readOnly": False, "createdAt": run.created_at,
        "heartbeatAt": run.heartbeat_at, "updatedAt": run.heartbeat_at, "sweepName": None,
        "historyLineCount": len(run.history), "eventsLineCount": len(run.events),
        "logLineCount": len(run.output), "historyTail": "[]", "eventsTail": "[]",
        "historyKeys": {"lastStep": max(run.history, default=-1), "keys": {}, "sets": []},
        "user": {"name": "Someone", "username": "someone"}, "wandbConfig": '{"t": 1}',
    }  # fmt: skip


def _viewer(_backend, _url, _variables):
    team = {"id": "1", "name": "team"}
    return {
        "viewer": {
            "id": "VXNlcjox", "entity": "team", "username": "someone", "name": "Someone",
            "email": "someone@example.org", "admin": False, "flags": "{}", "deletedAt": None,
            "defaultEntity": team, "apiKeys": {"edges": []}, "teams": {"edges": [{"node": team}]},
        }
    }  # fmt: skip


def _server_info(_backend, url, _variables):
    version = {"outOfDate": False, "latestVersionString": "0.75.0"}
    return {
        "serverInfo": {
            "cliVersionInfo": {"max_cli_version": "0.99.0"},
            "latestLocalVersionInfo": {**version, "versionOnThisInstanceString": "0.75.0"},
            "features": [], "frontendHost": url, "exposesExplicitlyPlacedArtifacts": False,
        }
    }  # fmt: skip


def _upsert(backend, _url, v):
    """Create or change a run; a client that only knows its storage id names no project."""
    known = next((r for r in backend.runs.values() if storage_id("Run", *r.key) == v["id"]), None)
    entity, project, name = (
        known.key if known else (v.get("entity") or "team", v.get("project"), v.get("name"))
    )
    new = (entity, project, name) not in backend.runs
    names = ("groupName", "displayName", "notes", "config", "jobType", "tags", "commit")
    run = backend.run(project, name, entity, **{key: v.get(key) for key in names})
    if v.get("state"):
        run.state = v["state"]
    bucket = {**_run(run), "project": _project(entity, project)}
    return {"upsertBucket": {"bucket": bucket, "inserted": new}}


def _find(backend, v):
    names = v.get("name") or v.get("run") or v.get("runName")
    return backend.runs.get((v["entity"], v["project"], names))


def _resume(backend, _url, v):
    run = _find(backend, v)
    return {"model": {**_project(v["entity"], v["project"]), "bucket": _run(run) if run else None}}


def _create_files(_backend, url, v):
    place = f"{url}/store/{v['entity']}/{v['project']}/{v['run']}"
    files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in v["files"]]
    return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}


def _one_run(backend, _url, v):
    run = _find(backend, v)
    known = backend.of(v["entity"], v["project"])
    return {"project": {"run": _run(run) if run else None} if known else None}


def _runs(backend, _url, v):
    """One page of a project's runs; a project without runs does not exist."""
    runs = backend.of(v["entity"], v["project"])
    if not runs:
        return {"project": None}
    begin, size = int(v.get("cursor") or 0), int(v.get("perPage") or 50)
    page = runs[begin : begin + size]
    end = begin + len(page)
    edges = [{"node": _run(run), "cursor": str(begin + at + 1)} for at, run in enumerate(page)]
    info = {"endCursor": str(end), "hasNextPage": end < len(runs)}
    project = {**_project(v["entity"], v["project"]), "runCount": len(runs), "readOnly": False}
    return {"project": {**project, "runs": {"edges": edges, "pageInfo": info}}}


def _parquet(backend, url, v):
    run = _find(backend, v)
    exported = run.parquet_steps
    live = [{"_step": step} for step in run.steps[len(exported) :]]
    urls = [f"{url}/parquet/{'/'.join(run.key)}"] if exported else []
    return {"project": {"run": {"parquetHistory": {"parquetUrls": urls, "liveData": live}}}}


def _history_page(backend, _url, v):
    run = _find(backend, v)
    first, last = int(v["minStep"]), int(v["maxStep"])
    steps = [step for step in run.steps if first <= step < last][: int(v["pageSize"])]
    return {"project": {"run": {"history": [run.history[step] for step in steps]}}}


def _full_history(backend, _url, v):
    run = _find(backend, v)
    lines = [run.history[step] for step in run.steps][: v["samples"]]
    events = [run.events[at] for at in sorted(run.events)][: v["samples"]]
    return {"project": {"run": {"history": lines, "events": events}}}


def _files(backend, url, v):
    run = _find(backend, v)
    wanted = v.get("fileNames") or sorted(run.files)
    place = f"{url}/store/{'/'.join(run.key)}"
    nodes = [
        {
            "id": storage_id(name), "name": name, "url": f"{place}/{name}",
            "directUrl": f"{place}/{name}", "sizeBytes": len(run.files[name]), "mimetype": None,
            "updatedAt": run.heartbeat_at, "md5": None,
        }
        for name in wanted if name in run.files
    ]  # fmt: skip
    edges = [{"node": node, "cursor": node["name"]} for node in nodes]
    files = {"edges": edges, "pageInfo": {"endCursor": "", "hasNextPage": False}}
    project = {"internalId": "1"}
    return {"project": {**project, "run": {"fileCount": len(nodes), "files": files}}}


OPERATIONS = {
    "ProbeRunInput": lambda *_: {"RunType": {"fields": []}},  # wandb 0.21 asks for the schema
    "Viewer": _viewer,
    "GetViewer": _viewer,
    "GetDefaultEntity": _viewer,
    "ServerInfo": _server_info,
    "ServerFeaturesQuery": lambda *_: {"serverInfo": {"features": []}},
    "UpsertBucket": _upsert,
    "RunResumeStatus": _resume,
    "CreateRunFiles": _create_files,
    "MarkRunFilesUploaded": lambda *_: {"markRunFilesUploaded": {"success": True}},
    "Runs": _runs,
    "Run": _one_run,
    "RunHistoryKeys": _one_run,
    "RunParquetHistory": _parquet,
    "HistoryPage": _history_page,
    "RunFullHistory": _full_history,
    "RunFiles": _files,
    **artifacts.OPERATIONS,
    **views.OPERATIONS,
}
