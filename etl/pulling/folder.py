"""Pulled runs -> an export folder: whole files, whose hashes and counts stand beside them.

    <to>/manifest.json                                  written last: every file, its hash and rows
    <to>/<entity>/<source project>/<run id>/run.json    what the run is; ``export``: its files here
                                            history.parquet, or history-0001.parquet and on
                                            events.parquet, output.log
    <to>/.pulling/                                      what a pull has begun; gone when it ends

A run's ``export`` is taken out of run.json before its files change and put back after: a pull that
is killed at any moment leaves each run as it was, or marked as one to fetch again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.errors import UsageError
from etl.whole_file import replace_text, written

FORMAT = 1
MANIFEST, RUN, STAGING, LOCK = "manifest.json", "run.json", ".pulling", ".pull.lock"
_DATA = ("history*.parquet", "events.parquet", "output.log")


@dataclass(frozen=True, slots=True)
class Kept:
    """What run.json says of a run's files: ``export`` is None unless they are all whole."""

    document: dict[str, Any]
    export: dict[str, Any] | None

    @property
    def rows(self) -> int:
        """Rows of history in the files."""
        return self.export["rows"] if self.export else 0


def place(root: Path, entity: str, project: str, run_id: str) -> Path:
    """Return the folder of a run.

    Raises:
        ValueError: a name that the server gave is none for a folder, as ``..`` is.
    """
    for name in (entity, project, run_id):
        if not name or name.startswith(".") or any(c in name for c in "/\\\0") or len(name) > 200:
            raise ValueError(f"{name!r} is no name for a folder")
    return root / entity / project / run_id


def read(folder: Path) -> Kept | None:
    """Return what is kept of a run, or None."""
    try:
        document = json.loads((folder / RUN).read_text(encoding="utf-8"))
        export = document.get("export")
        files = export["files"] if export else {}
        whole = all((folder / n).stat().st_size == f["bytes"] for n, f in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Kept(document, export if whole else None)


def commit(
    folder: Path, staged: Mapping[str, tuple[Path, int | None]], about: Mapping[str, Any],
    export: Mapping[str, Any],
) -> None:  # fmt: skip
    """Make *staged* (name -> file, rows) the files of a run, and *about* what run.json says."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}
    for name, (path, rows) in sorted(staged.items()):
        files[name] = {"bytes": path.stat().st_size, "blake2b": _hash(path)}
        files[name] |= {} if rows is None else {"rows": rows}
    if (folder / RUN).exists():
        _write(folder / RUN, {**about, "export": None})
    for name, (path, _) in sorted(staged.items()):
        os.replace(path, folder / name)
    for pattern in _DATA:
        for path in folder.glob(pattern):
            if path.name not in staged:
                path.unlink()
    _write(folder / RUN, {**about, "export": {**export, "files": files}})


def describe(folder: Path, about: Mapping[str, Any], export: Mapping[str, Any]) -> None:
    """Change what run.json says of a run whose files stay."""
    _write(folder / RUN, {**about, "export": export})


def staging(root: Path) -> Path:
    """Return an empty folder for what a pull has begun; the caller holds the lock."""
    folder = root / STAGING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def stage_text(path: Path, data: bytes) -> Path:
    """Write *data* to *path*, on the disk when this returns."""
    with written(path) as file:
        file.write(data)
    return path


def manifest(root: Path) -> dict[str, Any]:
    """Return the folder's manifest, empty if it has none.

    Raises:
        UsageError: there is one, and it is not readable.
    """
    try:
        document = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        if document["format"] == FORMAT and isinstance(document["runs"], list):
            return dict(document)
        problem = f"it is of format {document['format']}"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise UsageError(
        f"not a manifest that this version reads: {problem}",
        where=str(root / MANIFEST),
        done="nothing was changed",
        fix=f"name another folder with --to, or remove {root / MANIFEST} to have it made anew",
    )


def write_manifest(
    root: Path, base_url: str, now: str, listed: Mapping[tuple[str, str], Iterable[str]]
) -> bool:
    """Write what the folder holds, unless its manifest says just that; return whether it changed.

    *listed* names the runs that the server has of each (entity, project) that was looked at: a run
    that is here and no more there is kept and marked ``gone_since``.
    """
    before = manifest(root)
    gone = {run["path"]: run.get("gone_since") for run in before.get("runs", ())}
    runs = []
    for path in sorted(root.glob(f"*/*/*/{RUN}")):
        names = path.parent.relative_to(root).parts
        there = listed.get((names[0], names[1]))
        since = gone.get("/".join(names))
        if there is not None:
            since = None if names[2] in set(there) else since or now
        runs.append(_entry(path, names, since))
    changed = before.get("runs") != runs or before.get("base_url") != base_url
    if changed:
        top = {"format": FORMAT, "base_url": base_url, "pulled_at": now, "runs": runs}
        _write(root / MANIFEST, top)
    return changed


def _entry(path: Path, names: tuple[str, ...], gone_since: str | None) -> dict[str, Any]:
    """Return what the manifest says of one run."""
    kept = read(path.parent)
    export: dict[str, Any] = {"files": {}, "verified": False}
    export |= (kept.export if kept else None) or {}
    own: dict[str, Any] = {RUN: {"bytes": path.stat().st_size, "blake2b": _hash(path)}}
    files = own | export.pop("files")
    more = {"gone_since": gone_since} if gone_since else {}
    return {"path": "/".join(names), **export, **more, "files": files}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(_strict(document), indent=1, sort_keys=True, allow_nan=False)
    replace_text(path, text.encode("utf-8", "replace").decode() + "\n")


def _strict(value: Any) -> Any:
    """Return *value* with non-finite numbers as texts: "NaN", "Infinity", "-Infinity"."""
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
