"""One run of a server -> its files, staged, and whether they hold all that the server counts."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from etl.pulling import columns, folder
from etl.pulling.connect import AnswerError
from etl.pulling.server import Server
from etl.whole_file import written

# Rows held at once; about 100 MB of them. More go to files of their own.
CHUNK_ROWS = 50_000
_CONSOLE, _METADATA = "output.log", "wandb-metadata.json"
# What of the machine is a fact about the run. Host, user, e-mail, argv and paths are not taken.
_MACHINE = ("python", "os", "gpu", "gpu_count", "cpu_count", "cudaVersion")


@dataclass(frozen=True, slots=True)
class Counts:
    """How much history the server says a run has; None where it does not say."""

    rows: int | None
    last_step: int | None


@dataclass(slots=True)
class History:
    """Staged files of history, and what is in them."""

    files: list[tuple[Path, int]] = field(default_factory=list)
    rows: int = 0
    last_step: int = -1

    def add(self, frame: pl.DataFrame, path: Path) -> None:
        """Stage *frame* as *path*."""
        if frame.height:
            with written(path) as file:
                frame.write_parquet(file, compression="zstd")
            self.files.append((path, frame.height))
            self.rows += frame.height
            self.last_step = max(self.last_step, frame[columns.STEP].max())  # type: ignore[type-var, assignment]

    def lacks(self, before: Counts, after: Counts) -> str | None:
        """Return in what it differs from the server's counts, which may move while it is read."""
        if before.rows is None and before.last_step is None:
            return "the server states no count to check the history against"
        for what, have, least, most in (
            ("rows", self.rows, before.rows, after.rows),
            ("last step", self.last_step, before.last_step, after.last_step),
        ):
            if least is not None and not least <= have <= max(least, most or 0):
                return f"{what}: {have:,} came, the server counts {max(least, most or 0):,}"
        return None

    def named(self) -> dict[str, tuple[Path, int | None]]:
        """Return the staged files under the names that they get in the run's folder."""
        if len(self.files) == 1:
            return {"history.parquet": self.files[0]}
        return {f"history-{at:04}.parquet": file for at, file in enumerate(self.files, 1)}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A run's history, its other files by name, and what could not be had of it."""

    history: History
    others: dict[str, tuple[Path, int | None]]
    problem: str | None
    lacks: str | None  # of the problem, that of the history


def run(server: Server, found: Any, staging: Path) -> Fetched:
    """Fetch *found* (the client's Run) into *staging*, which is emptied first.

    Raises:
        AnswerError: what the run is or its history could not be had.
        ValueError: what came is no history.
    """
    shutil.rmtree(staging)
    staging.mkdir()
    server.details(found)
    before = counts(found)
    history = None
    if found.state != "running":  # a running one has rows that are not exported yet
        history = _exported(server, found, staging, before)
    if history is None:
        history = _scanned(server, found, staging, before)
    lacks = history.lacks(before, before)
    if lacks:
        server.details(found)
        lacks = history.lacks(before, counts(found))
    problems = [lacks] if lacks else []
    others: dict[str, tuple[Path, int | None]] = {}
    for what, take in (("system metrics", _events), ("console output", _files)):
        try:
            others |= take(server, found, staging)
        except AnswerError as problem:
            problems.append(f"its {what}: {problem}")
    return Fetched(history, others, "; ".join(problems) or None, lacks)


def about(found: Any, staging: Path | None) -> dict[str, Any]:
    """Return what run.json says of a run whose details are loaded."""
    config = {key: value for key, value in found.config.items() if key != "_wandb"}
    summary = {key: value for key, value in found.summary_metrics.items() if key != "_wandb"}
    document = {
        "id": found.id,
        "name": found.name,
        "entity": found.entity,
        "project": found.project,
        "state": found.state,
        "config": config,
        "summary": summary,
        **labels(found),
        "created_at": getattr(found, "created_at", None),
        "heartbeat_at": getattr(found, "heartbeat_at", None),
        "commit": getattr(found, "commit", None),
    }
    return document | (_metadata(staging / _METADATA) if staging else {})


def labels(found: Any) -> dict[str, Any]:
    """Return what people may change of a run at any time, as the list of runs has it."""
    return {
        "name": found.name,
        "tags": sorted(getattr(found, "tags", None) or ()),
        "notes": getattr(found, "notes", None),
        "group": getattr(found, "group", None),
        "job_type": getattr(found, "job_type", None),
    }


def state(found: Any) -> dict[str, Any]:
    """Return what shows that a run has not changed since it was fetched."""
    return {
        "state": found.state,
        "heartbeat_at": getattr(found, "heartbeat_at", None),
        "history_line_count": getattr(found, "history_line_count", None),
    }


def counts(found: Any) -> Counts:
    """Return what the server counts of a run whose details are loaded."""
    keys = getattr(found, "history_keys", None)
    last = keys.get("lastStep") if isinstance(keys, dict) else None
    return Counts(
        _whole(getattr(found, "history_line_count", None)),
        _whole(last),
    )


def _exported(server: Server, found: Any, staging: Path, wanted: Counts) -> History | None:
    """Fetch the history as Parquet, which is much faster than rows; None unless all of it came."""
    try:
        paths = server.exports(found, staging / "exports")
        if not paths:
            return None
        frames = [frame for frame in map(columns.of_export, paths) if frame.height]
    except (AnswerError, ValueError):
        return None
    history = History()
    for frame in sorted(frames, key=lambda frame: frame[columns.STEP][0]):
        history.add(frame, staging / f"exported-{len(history.files):04}")
    return None if history.lacks(wanted, wanted) else history


def _scanned(server: Server, found: Any, staging: Path, wanted: Counts) -> History:
    """Fetch the history row by row: what is exported and what is still live."""
    history = History()
    if not wanted.rows and (wanted.last_step is None or wanted.last_step < 0):
        return history
    last = wanted.last_step if wanted.last_step is not None else wanted.rows or 0
    pages = server.history(found, wanted.rows or 0, last)
    for rows in _chunks(pages):
        history.add(columns.of_rows(rows), staging / f"scanned-{len(history.files):04}")
    return history


def _chunks(pages: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in chunks, each step once.

    Of a run that is exported in part the client gives the exported rows of a page, and then all
    of that page as live ones (measured, 0.31).
    """
    held: dict[int, dict[str, Any]] = {}
    given = -1
    for page in pages:
        for row in page:
            step = _whole(row.get(columns.STEP))
            if step is None:
                raise ValueError("the server gave a row without its _step")
            if step > given:
                held[step] = row
        if len(held) >= CHUNK_ROWS:
            given = max(held)
            yield [held[step] for step in sorted(held)]
            held = {}
    if held:
        yield [held[step] for step in sorted(held)]


def _events(server: Server, found: Any, staging: Path) -> dict[str, tuple[Path, int | None]]:
    """Stage the system metrics, of which W&B gives a sample if they are many."""
    rows = [{k: v for k, v in row.items() if k != "_wandb"} for row in server.events(found)]
    frame = columns.of_rows(rows)
    if not frame.height or not frame.width:
        return {}
    path = staging / "events"
    with written(path) as file:
        frame.write_parquet(file, compression="zstd")
    return {"events.parquet": (path, frame.height)}


def _files(server: Server, found: Any, staging: Path) -> dict[str, tuple[Path, int | None]]:
    """Stage the console output; fetch the metadata, which ``about`` reads."""
    paths = server.files(found, [_CONSOLE, _METADATA], staging)
    log = staging / _CONSOLE
    if log not in paths:
        return {}
    return {_CONSOLE: (folder.stage_text(log, log.read_bytes()), None)}


def _metadata(path: Path) -> dict[str, Any]:
    """Return what wandb-metadata.json says of the run, without whose machine it was."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(said, Mapping):
        return {}
    machine = {name: said[name] for name in _MACHINE if isinstance(said.get(name), (str, int))}
    script = str(said.get("program") or "").removeprefix("-m ").strip()
    # "-m scripts.base_train", "/home/someone/nanochat/scripts/base_train.py", "<python with ...>"
    name = re.split(r"[/\\]", script)[-1]
    return {"script": None if name.startswith("<") else name or None, "machine": machine}


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None
