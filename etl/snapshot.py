"""Tables -> an immutable snapshot: a manifest over Parquet parts that are named by their content.

A run's history is up to two parts, of wide and of long rows, as ``layout`` says; the part ``slots``
says for all runs which metric stands where.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from etl import layout, schema
from etl.errors import NoDataError, UsageError
from etl.parts import Part, is_whole, parts_in
from etl.project import Project, command
from etl.whole_file import replace_text

FORMAT = 2
HISTORY = ("wide", "long")  # the kinds of a run's parts
POINTER = "latest"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is made of.

    The identity is of the parts alone: neither ``created_at`` nor ``inputs``, what was read, nor
    ``previous``, the snapshot that was current when this one was first taken, are part of it.
    """

    snapshot: str
    project: str
    created_at: str
    counts: Mapping[str, int]
    sources: Mapping[str, int]  # points by source
    tables: tuple[Part, ...]
    history: Mapping[str, tuple[Part, ...]]  # by kind
    inputs: tuple[Mapping[str, Any], ...]
    versions: Mapping[str, str]
    previous: str | None = None  # None for a project's first, and where nobody noted it

    @property
    def parts(self) -> list[Part]:
        """All parts."""
        return [*self.tables, *(part for kind in HISTORY for part in self.history[kind])]


def identify(
    project: str, tables: tuple[Part, ...], history: Mapping[str, tuple[Part, ...]]
) -> str:
    """Return the snapshot id: a hash of the project's name and of all its parts."""
    kinds = {"table": tables, **history}
    parts = [f"{kind}:{p.key}:{p.digest}" for kind, some in kinds.items() for p in some]
    content = "\n".join([f"runatlas {FORMAT} {project}", *sorted(parts)])
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def write_manifest(project: Project, manifest: Manifest) -> Path:
    """Write the manifest, unless that snapshot is there already, and return its path."""
    path = project.snapshots / f"{manifest.snapshot}.json"
    if not path.exists() or not path.stat().st_size:
        document = {
            "format": FORMAT,
            "snapshot": manifest.snapshot,
            "project": manifest.project,
            "created_at": manifest.created_at,
            "counts": dict(manifest.counts),
            "sources": dict(manifest.sources),
            "tables": [[p.key, p.digest, p.rows] for p in manifest.tables],
            "history": {
                kind: [[p.key, p.digest, p.rows] for p in manifest.history[kind]]
                for kind in HISTORY
            },
            "inputs": [dict(item) for item in manifest.inputs],
            "versions": dict(manifest.versions),
            "previous": manifest.previous,
        }
        replace_text(path, json.dumps(document, indent=1, sort_keys=True) + "\n")
    return path


def point_to(project: Project, snapshot: str) -> None:
    """Make *snapshot* the latest one."""
    path = project.snapshots / POINTER
    if not path.exists() or path.read_text(encoding="utf-8").strip() != snapshot:
        replace_text(path, snapshot + "\n")


def read_manifest(project: Project, snapshot: str = POINTER) -> Manifest:
    """Return the manifest of *snapshot*: an id, its unique beginning, or ``latest``.

    Raises:
        NoDataError: the project has no snapshot.
        UsageError: it has no such snapshot, or one of a format that is not known here.
    """
    known = sorted(project.snapshots.glob("*.json"))
    if not known:
        raise NoDataError(
            f"project {project.name} has no snapshot",
            where=str(project.folder),
            fix=command("etl.sync", project, "PATH"),
        )
    wanted = snapshot
    if snapshot == POINTER:
        try:
            wanted = (project.snapshots / POINTER).read_text(encoding="utf-8").strip()
        except FileNotFoundError:  # carried here without its pointer
            wanted = max((_document(path)["created_at"], path.stem) for path in known)[1]
    found = [path for path in known if path.stem.startswith(wanted)]
    if len(found) != 1:
        raise UsageError(
            f"project {project.name} has {'no' if not found else 'more than one'} such snapshot",
            where=f"{project.snapshots}/{wanted}",
            done=f"it has {len(known)}: {', '.join(path.stem for path in known[:8])}",
            fix="name one of these with --snapshot, or 'latest'",
        )
    document = _document(found[0])
    return Manifest(
        snapshot=document["snapshot"],
        project=document["project"],
        created_at=document["created_at"],
        counts=document["counts"],
        sources=document["sources"],
        tables=tuple(Part(*part) for part in document["tables"]),
        history={
            kind: tuple(Part(*part) for part in document["history"][kind]) for kind in HISTORY
        },
        inputs=tuple(document["inputs"]),
        versions=document["versions"],
        previous=document.get("previous"),
    )


def _document(path: Path) -> dict[str, Any]:
    fix = "sync with this version of runatlas, or remove the file"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        form = document["format"]
    except (ValueError, KeyError, TypeError):
        raise UsageError("not a snapshot manifest", where=str(path), fix=fix) from None
    if form != FORMAT:
        raise UsageError(f"a manifest of format {form}, not {FORMAT}", where=str(path), fix=fix)
    return document


def require(project: Project, manifest: Manifest) -> None:
    """Raise UsageError unless every part of the snapshot is there."""
    there = parts_in(project.parts)
    missing = [part.digest for part in manifest.parts if part.digest not in there]
    if missing:
        raise UsageError(
            f"{len(missing)} parts of snapshot {manifest.snapshot} are not there",
            where=str(project.parts),
            done="nothing was changed",
            fix="copy the project's parts/ folder along with the manifest",
        )


def require_whole(project: Project, parts: Iterable[Part]) -> None:
    """Raise UsageError unless each of *parts*, which are there, has its end."""
    files = (project.parts / f"{part.digest}.parquet" for part in parts)
    cut = [file for file in files if not is_whole(file)]
    if not cut:
        return
    more = f", and {len(cut) - 1} more" if len(cut) > 1 else ""
    done, again = "nothing was changed", "copy it again from where the snapshot was made"
    if project.database.exists():
        named = " ".join(shlex.quote(str(file)) for file in cut[:8])
        again = f"rm {named} && {command('etl.sync', project)}"
        done += "; a sync writes anew what is removed"
    raise UsageError(
        f"a damaged part: no whole Parquet file{more}",
        where=str(cut[0]),
        done=done,
        fix=again,
    )


def connect(project: Project, manifest: Manifest) -> duckdb.DuckDBPyConnection:
    """Return an in-memory database with the snapshot's tables as views, named as in ``schema``.

    Raises:
        UsageError: a part of the snapshot is not there, or not whole.
    """
    require(project, manifest)
    require_whole(project, manifest.parts)
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'").fetchall()
    groups: dict[str, list[str]] = {name: [] for name in (*schema.TABLES, *layout.PARTS)}
    for part in manifest.tables:
        groups.setdefault(part.key, []).append(part.digest)
    for kind in HISTORY:
        groups[kind] = [part.digest for part in manifest.history[kind]]
    del groups["history"]
    for name, digests in groups.items():
        paths = [project.parts / f"{digest}.parquet" for digest in digests]
        connection.execute(_view(name, paths)).fetchall()
    query = layout.view("slots", "wide", "long", "s.run_id = w.run_id and s.place = w.place")
    connection.execute(f"create view history as {query}").fetchall()
    return connection


def _view(name: str, paths: list[Path]) -> str:
    if not paths:
        kinds = {**schema.TABLES, **layout.PARTS}[name]
        columns = ", ".join(f"null::{kind} as {column}" for column, kind in kinds.items())
        return f"create view {name} as select {columns} where false"
    quoted = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    return f"create view {name} as select * from read_parquet([{quoted}])"
