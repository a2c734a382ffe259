"""The runs of a server's projects -> an export folder: what changed, checked, one after another."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from etl.errors import NoDataError, UsageError
from etl.pulling import fetch, folder
from etl.pulling.connect import AnswerError, address
from etl.pulling.server import Server

Say = Callable[[str], None]


class _GoneError(Exception):
    """The server stopped answering."""


@dataclass(slots=True)
class Outcome:
    """What a pull came to. ``failed`` are (run or project, reason); the runs are those listed."""

    base_url: str
    runs: int = 0
    rows: int = 0
    pulled: int = 0
    unchanged: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


class Pull:
    """One pull of *entity*'s projects into *root*, whose lock the caller holds."""

    def __init__(self, server: Server, root: Path, entity: str, *, now: datetime, say: Say) -> None:
        self.server, self.root, self.entity = server, root, entity
        self.now, self.say = now.isoformat(timespec="seconds"), say
        self.outcome = Outcome(address(server.api))
        self.listed: dict[tuple[str, str], list[str]] = {}
        self.staging = root

    def run(self, projects: Sequence[str], *, required: bool) -> Outcome:
        """Bring the folder up to date with *projects*; if *required*, each has to exist.

        Raises:
            NoDataError: the server has none of the projects, or no runs in them.
            UsageError: the folder holds what another server gave.
        """
        self._same_server()
        self.staging = folder.staging(self.root)
        try:
            found = self._list(projects, required=required)
            for at, run in enumerate(found, 1):
                self._one(run, f"{at}/{len(found)}")
        except _GoneError:
            reason = "the server stopped answering: what came after this was not looked at"
            self._failed(self.outcome.failed[-1][0], reason)
        finally:
            # also of a pull that ends early: it is true of the folder as it is
            shutil.rmtree(self.staging, ignore_errors=True)
            if any(self.listed.values()) or folder.manifest(self.root):
                folder.write_manifest(self.root, self.outcome.base_url, self.now, self.listed)
        if not self.outcome.runs and not self.outcome.failed:
            raise NoDataError(
                f"no runs, or no project that this key may see: {', '.join(projects)}",
                where=f"{self.outcome.base_url}/{self.entity}",
                done="nothing was changed",
                fix="check --entity and --source-project against the address of the project's page",
            )
        return self.outcome

    def _same_server(self) -> None:
        other = folder.manifest(self.root).get("base_url", self.outcome.base_url)
        if other != self.outcome.base_url:
            raise UsageError(
                f"it holds what was pulled from {other}, and this is {self.outcome.base_url}",
                where=str(self.root),
                done="nothing was changed",
                fix="name another folder with --to, or that server with --base-url",
            )

    def _list(self, projects: Sequence[str], *, required: bool) -> list[Any]:
        found: list[Any] = []
        for project in projects:
            try:
                runs = self.server.runs(self.entity, project)
            except AnswerError as problem:
                self._failed(f"{self.entity}/{project}", f"its runs could not be listed: {problem}")
                self._still_there(project)
                continue
            if runs is None:
                if required:
                    self._failed(f"{self.entity}/{project}", "no such project on the server")
                continue
            self.say(f"{self.entity}/{project}: {len(runs)} runs")
            self.listed[self.entity, project] = [run.id for run in runs]
            found += runs
        return found

    def _one(self, run: Any, count: str) -> None:
        path = f"{run.entity}/{run.project}/{run.id}"
        self.outcome.runs += 1
        kept = None
        try:
            place = folder.place(self.root, run.entity, run.project, run.id)
            kept = folder.read(place)
            if self._unchanged(run, place, kept):
                self.outcome.unchanged += 1
                rows = kept.rows if kept else 0
            else:
                rows = self._fetch(run, place, kept, path)
                self.say(f"{count} {path}: {rows:,} rows")
            self.outcome.rows += rows
        except OSError:  # of this machine: no room for any other run either
            raise
        except Exception as problem:  # noqa: BLE001  one strange run must not stop the others
            self.outcome.rows += kept.rows if kept else 0
            expected = isinstance(problem, (AnswerError, ValueError))
            self._failed(path, str(problem) if expected else f"{type(problem).__name__}: {problem}")
            self._still_there(run.project)

    def _unchanged(self, run: Any, place: Path, kept: folder.Kept | None) -> bool:
        """Whether nothing has to be fetched; labels that were changed are brought up to date."""
        if kept is None or kept.export is None or kept.export.get("problem"):
            return False
        if kept.export.get("server") != fetch.state(run):
            return False
        labels = fetch.labels(run)
        if any(kept.document.get(name) != value for name, value in labels.items()):
            self.server.details(run)
            folder.describe(place, {**kept.document, **fetch.about(run, None)}, kept.export)
        return True

    def _fetch(self, run: Any, place: Path, kept: folder.Kept | None, path: str) -> int:
        """Fetch a run and return how many rows of it the folder now holds."""
        listed = fetch.state(run)
        fetched = fetch.run(self.server, run, self.staging)
        if fetched.problem:
            self._failed(path, fetched.problem)
        history = fetched.history
        if fetched.lacks and kept and kept.rows > history.rows:
            return kept.rows  # fewer rows than before are no newer truth
        about = fetch.about(run, self.staging)
        export = {
            "pulled_at": self.now,
            "server": listed,
            "rows": history.rows,
            "last_step": history.last_step if history.rows else None,
            "verified": not fetched.lacks,
            "problem": fetched.problem,
        }
        about |= {"history_rows": export["rows"], "last_step": export["last_step"]}
        folder.commit(place, {**history.named(), **fetched.others}, about, export)
        self.outcome.pulled += 1
        return history.rows

    def _failed(self, what: str, reason: str) -> None:
        self.outcome.failed.append((what, reason))

    def _still_there(self, project: str) -> None:
        """Raise _GoneError unless the server still answers: else every run would wait."""
        if not self.server.alive(self.entity, project):
            raise _GoneError
