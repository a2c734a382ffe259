"""The GraphQL operations of views: workspaces and W&B reports are both rows of one table."""

from __future__ import annotations

from loopback.backend import now, storage_id

USER = {"username": "someone", "photoUrl": None, "email": None, "id": "1", "name": "Someone"}


def _upsert(backend, _url, v):
    """Make a view, or change the one whose id is given."""
    identity = v.get("id") or storage_id("View", str(len(backend.views)))
    inserted = identity not in backend.views
    known = backend.views.setdefault(identity, {"createdAt": now()})
    known |= {key: value for key, value in v.items() if value is not None}
    known |= {"id": identity, "updatedAt": now()}
    return {"upsertView": {"view": _view(known), "inserted": inserted}}


def _view(view):
    names = ("id", "type", "name", "displayName", "description", "spec", "createdAt", "updatedAt")
    project = {"id": "1", "name": view["projectName"], "entityName": view["entityName"]}
    return {**{name: view.get(name) for name in names}, "project": project, "user": USER}


def _all(backend, v, project):
    """The views of a project that have the type, and the name, if one is asked for."""
    place = v.get("entity") or v["entityName"], project
    found = [
        {"node": _view(view), "cursor": "1"}
        for view in backend.views.values()
        if (view["entityName"], view["projectName"]) == place
        and view["type"] == v.get("viewType", "runs")
        and v.get("viewName") in (None, view["name"])
    ]
    return {"project": {"allViews": {"edges": found, "pageInfo": {"hasNextPage": False}}}}


def _project_id(_backend, _url, v):
    identity = storage_id("Project", v["entityName"], v["projectName"])
    return {"project": {"id": identity, "internalId": identity}}


def _projects(backend, _url, v):
    """The projects of an entity: those that have runs."""
    names = sorted({run.project for run in backend.runs.values() if run.entity == v["entity"]})
    edges = [
        {
            "node": {
                "__typename": "Project",
                "id": storage_id("Project", v["entity"], name),
                "name": name,
                "entityName": v["entity"],
                "createdAt": now(),
                "isBenchmark": False,
                "user": None,
            }
        }
        for name in names
    ]
    info = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
    return {"models": {"pageInfo": info, "edges": edges}}


OPERATIONS = {
    "upsertView": _upsert,
    "UpsertView2": _upsert,
    "View": lambda backend, _url, v: _all(backend, v, v["name"]),
    "ProjectViews": lambda backend, _url, v: _all(backend, v, v["project"]),
    "ProjectInternalId": _project_id,
    "GetProjects": _projects,
}
