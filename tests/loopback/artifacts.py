"""The GraphQL operations of artifacts: versions by content, aliases, files that are given back.

As on a W&B server a version is its collection and its digest: the same content logged again is the
version that is there, and an alias is at one version of a collection.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from loopback.backend import now, storage_id


@dataclass
class Artifact:
    """One version of a collection, committed or still being sent."""

    entity: str
    project: str
    collection: str
    kind: str
    digest: str
    version: int
    aliases: list
    fields: dict
    state: str = "PENDING"
    created_at: str = field(default_factory=now)

    @property
    def key(self):
        return self.entity, self.project, self.collection

    @property
    def id(self):
        return storage_id("Artifact", *self.key, self.digest)

    @property
    def manifest(self):
        return f"/store/manifests/{self.id}"

    def path(self, name):
        return f"/store/artifacts/{self.id}/{name}"


def _collection(backend, key):
    return [artifact for artifact in backend.artifacts.values() if artifact.key == key]


def _create(backend, _url, v):
    asked = v["input"]
    key = asked["entityName"], asked["projectName"], asked["artifactCollectionName"]
    aliases = [item["alias"] for item in asked.get("aliases") or ()]
    versions = _collection(backend, key)
    found = next((each for each in versions if each.digest == asked["digest"]), None)
    if found is None:
        found = Artifact(
            *key, asked["artifactTypeName"], asked["digest"], len(versions), aliases, asked
        )
        backend.artifacts[found.id] = found
    if found.state == "COMMITTED":
        _take_aliases(backend, found, aliases)
    latest = max((each for each in versions if "latest" in each.aliases), default=None,
                 key=lambda each: each.version)  # fmt: skip
    sequence = {"latestArtifact": {"id": latest.id} if latest else None}
    node = {"id": found.id, "state": found.state, "artifactSequence": sequence}
    return {"createArtifact": {"artifact": node}}


def _take_aliases(backend, artifact, aliases):
    for each in _collection(backend, artifact.key):
        each.aliases = [alias for alias in each.aliases if alias not in aliases]
    artifact.aliases += aliases


def _create_manifest(backend, url, v):
    artifact = backend.artifacts[v["artifactID"]]
    upload = {"uploadUrl": url + artifact.manifest, "uploadHeaders": []}
    manifest = {"id": storage_id("Manifest", v["artifactID"]), "file": {"id": "1", **upload}}
    return {"createArtifactManifest": {"artifactManifest": manifest}}


def _create_files(backend, url, v):
    asked = v.get("artifactFiles") or v["input"]["artifactFiles"]
    nodes = [
        {
            "storagePath": file["name"], "uploadHeaders": [], "uploadMultipartUrls": None,
            "uploadUrl": url + backend.artifacts[file["artifactID"]].path(file["name"]),
            "artifact": {"id": file["artifactID"]},
        }
        for file in asked
    ]  # fmt: skip
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


def _commit(backend, _url, v):
    artifact = backend.artifacts[v["artifactID"]]
    artifact.state = "COMMITTED"
    _take_aliases(backend, artifact, list(artifact.aliases))
    return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}


def _type(backend, _url, v):
    found = _named(backend, v["entity"], v["project"], v["name"])
    if found is None:
        return {"project": {"artifact": None}}
    return {"project": {"artifact": {"artifactType": {"name": found.kind}}}}


def _named(backend, entity, project, name):
    """Return the committed version that is called NAME:ALIAS or NAME:vN."""
    collection, _, alias = name.partition(":")
    return next(
        (
            each for each in _collection(backend, (entity, project, collection))
            if each.state == "COMMITTED" and alias in (f"v{each.version}", *each.aliases)
        ),
        None,
    )  # fmt: skip


def _membership(backend, _url, v):
    found = _named(backend, v["entity"], v["project"], v["name"])
    return {"project": {"artifactCollectionMembership": _member(found) if found else None}}


def _member(artifact):
    project = {
        "id": storage_id("Project", *artifact.key[:2]), "internalId": "1",
        "name": artifact.project, "entity": {"name": artifact.entity},
    }  # fmt: skip
    source = {"name": artifact.collection, "project": project}
    collection = {"__typename": "ArtifactSequence", **source}
    aliases = [
        {
            "__typename": "ArtifactAlias",
            "id": alias,
            "alias": alias,
            "artifactCollection": collection,
        }
        for alias in artifact.aliases
    ]
    node = {
        "__typename": "Artifact", "id": artifact.id, "artifactSequence": collection,
        "versionIndex": artifact.version, "artifactType": {"name": artifact.kind},
        "description": artifact.fields.get("description"),
        "metadata": artifact.fields.get("metadata"), "ttlDurationSeconds": -1,
        "ttlIsInherited": True, "tags": [], "historyStep": None, "state": artifact.state,
        "size": 1, "digest": artifact.digest, "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": "", "fileCount": 1, "createdAt": artifact.created_at, "updatedAt": None,
        "aliases": aliases,
    }  # fmt: skip
    return {
        "__typename": "ArtifactCollectionMembership", "id": artifact.id, "aliases": aliases,
        "versionIndex": artifact.version, "createdAt": artifact.created_at,
        "artifactCollection": collection, "artifact": node,
    }  # fmt: skip


def _by_id(backend, _url, v):
    return {"artifact": _member(backend.artifacts[v["id"]])["artifact"]}


def _fetch_manifest(backend, url, v):
    artifact = backend.artifacts[v.get("id") or v["artifact_id"]]
    manifest = {"currentManifest": {"file": {"directUrl": url + artifact.manifest}}}
    return {"artifact": manifest}


def _file_urls(backend, url, v):
    found = _named(backend, v["entity"], v["project"], f"{v['collection']}:{v['alias']}")
    names = json.loads(backend.uploads[found.manifest])["contents"]
    nodes = [{"name": name, "directUrl": url + found.path(name)} for name in sorted(names)]
    edges = [{"node": node} for node in nodes]
    files = {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": edges}
    collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
    return {"project": {"artifactCollection": collection}}


OPERATIONS = {
    "CreateArtifact": _create,
    "CreateArtifactManifest": _create_manifest,
    "CreateArtifactFiles": _create_files,
    "CommitArtifact": _commit,
    "ArtifactType": _type,
    "ArtifactMembershipByName": _membership,
    "ArtifactByID": _by_id,
    "FetchArtifactManifest": _fetch_manifest,
    "ArtifactManifest": _fetch_manifest,
    "GetArtifactMembershipFileUrls": _file_urls,
}
