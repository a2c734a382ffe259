"""A package -> a board on any W&B server, without Weave: a run that shows it, an artifact with it.

In the project ``<project>-reports`` each snapshot has one run, whose id is the snapshot's: page,
charts and table of runs. The artifact ``snapshot`` has all files of the package, a version for each
content, with the aliases ``latest`` and the snapshot's id. All is made from the package's plain
files while it is pushed, so nothing of it is in a folder that could be left behind.

The board's run comes last. Where a push had died it is written anew: the same id is the same run,
and the same content the same version.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from etl.pulling.connect import AnswerError, telling, within
from reports.boards import wandb_media
from reports.boards.package import MANIFEST, Package, sha256_of
from reports.boards.server import Server, ask
from reports.boards.target import Receipt, project_of
from reports.boards.wandb_runs import missing_runs, push_runs
from reports.boards.wandb_session import Patience, WandbSession
from reports.boards.wandb_views import push_views

ARTIFACT = "snapshot"
JOB = "board"  # W&B's job type: what kind of run this is
_UNKNOWN = ("Cannot query field", "Unknown type", "Unknown argument")  # GraphQL's own words
_NO_ARTIFACTS = "this server takes no artifacts: the board has the page, charts and table alone"


class WandbBoard:
    """A W&B server; a ``reports.boards.target.Target``."""

    name = "wandb"

    def __init__(self, server: Server, patience: Patience | None = None) -> None:
        self.server, self.patience = server, patience or Patience()
        self._session: WandbSession | None = None

    def where(self) -> str:
        """Return the server's address."""
        return self.server.base_url

    def reach(self, timeout_sec: float) -> list[str]:
        """Connect, or raise UnreachableError."""
        self._session = WandbSession(self.server, timeout_sec, self.patience)
        if wandb_media.drawable():
            return []
        return ['charts are in the page alone, for lack of plotly; pip install "runatlas[boards]"']

    def push(self, package: Package) -> Receipt:
        """Make the runs, the views, the artifact and the board's run, as far as they lack."""
        session = self._reached()
        with session.words("it did not take the board"):
            receipt = self._receipt(package)
            if not self.read_back(receipt, package):
                return receipt
            place = receipt.more["project"]
            left_out = push_runs(session, place, package) + push_views(session, place, package)
            whole = self._log(place, package)
            left_out += [] if whole else [_NO_ARTIFACTS]
            more = {**receipt.more, "artifact": whole}
            return replace(receipt, left_out=tuple(left_out), more=more)

    def read_back(self, receipt: Receipt, package: Package) -> list[str]:
        """Download all of the board and return what is not as in *package*."""
        session, place = self._reached(), receipt.more["project"]
        with session.words("it did not give the board back"):
            run = self._run(place, package)
            if run is None or run.state != "finished" or run.config.get("digest") != package.digest:
                return ["the run"]
            with tempfile.TemporaryDirectory(dir=session.scratch) as name:
                folder = Path(name)
                media = wandb_media.differences(
                    package, run.summary, lambda file: self._fetch(run, file, folder)
                )
                if receipt.more["artifact"]:
                    media += self._files_differing(place, package, folder)
            return media + missing_runs(session, place, package)

    def close(self) -> None:
        """Let go of the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _reached(self) -> WandbSession:
        if self._session is None:
            raise RuntimeError("reach() comes first")
        return self._session

    def _receipt(self, package: Package) -> Receipt:
        session = self._reached()
        entity = self.server.entity or session.ask(lambda: session.api.default_entity)
        project = f"{entity}/{project_of(package)}"
        site = session.api.settings.get("app_url") or self.where()
        return Receipt(
            board=f"{site.rstrip('/')}/{project}/runs/{package.snapshot}",
            version=f"{project}/{ARTIFACT}:{package.snapshot}",
            more={"project": project, "artifact": True},
        )

    def _log(self, place: str, package: Package) -> bool:
        """Push the run and the artifact; return whether this server takes artifacts."""
        import wandb  # noqa: PLC0415  of the extra

        session, board = self._reached(), package.board()
        entity, project = place.split("/")
        limit = session.patience(_size(package))
        with wandb.init(
            entity=entity,
            project=project,
            id=package.snapshot,
            name=board.title,
            notes=board.description,
            job_type=JOB,
            tags=["runatlas"],
            config=_config(package),
            settings=session.settings(limit),
        ) as run:
            run.log(wandb_media.media(wandb, package), step=0)
            artifact = self._artifact(wandb, package)
            run.log_artifact(artifact, aliases=["latest", package.snapshot])
            try:
                artifact.wait(timeout=round(limit))
            except Exception as problem:
                if not any(words in str(problem) for words in _UNKNOWN):
                    raise
                return False
        return True

    def _artifact(self, wandb: Any, package: Package) -> Any:
        artifact = wandb.Artifact(
            ARTIFACT,
            type="snapshot",
            description=package.board().description,
            metadata={"snapshot": package.snapshot, "digest": package.digest},
        )
        files = self._reached().scratch / "package"
        files.unlink(missing_ok=True)
        files.symlink_to(package.folder.absolute(), target_is_directory=True)
        for name in _files(package):
            # immutable: read where it is instead of being copied first
            artifact.add_file(str(files / name), name=name, policy="immutable")
        return artifact

    def _run(self, place: str, package: Package) -> Any | None:
        session = self._reached()
        session.api.flush()  # it would give the run as it was before the push
        try:
            return session.ask(lambda: session.api.run(f"{place}/{package.snapshot}"))
        except AnswerError as problem:
            if "could not find run" in str(problem).lower():
                return None
            raise

    def _fetch(self, run: Any, name: str, folder: Path) -> Path | None:
        session = self._reached()
        for file in session.ask(lambda: list(run.files(names=[name]))):
            if file.name == name:  # never a path that the server chose
                session.ask(partial(file.download, root=str(folder), replace=True)).close()
                return folder / name
        return None

    def _files_differing(self, place: str, package: Package, folder: Path) -> list[str]:
        """Download the artifact and return those of the package's files that are not in it.

        With the session's cache the client gives what it has itself just sent, and asks nobody.
        Its skip_cache has threads of 0.31.0 write one file in the place of another (wandb/wandb
        #12383). So the cache is an empty one.
        """
        session, name = self._reached(), f"{place}/{ARTIFACT}:{package.snapshot}"
        try:
            artifact = session.ask(lambda: session.api.artifact(name, type="snapshot"))
            with telling({"WANDB_CACHE_DIR": str(folder / "cache")}):
                given = within(
                    session.patience(_size(package)),
                    lambda: Path(artifact.download(str(folder / "files"))),
                )
        except AnswerError as problem:
            if type(problem.__cause__).__name__ in ("CommError", "ValueError"):
                ask(self.where(), session.timeout_sec)  # or it went away
                return ["the artifact"]
            raise
        return [
            f"{name} ({why})"
            for name in _files(package)
            if (why := _difference(given / name, package.path(name)))
        ]


def _size(package: Package) -> int:
    return sum(size for _, size in package.files.values())


def _files(package: Package) -> list[str]:
    return [*sorted(package.files), MANIFEST]


def _config(package: Package) -> dict[str, Any]:
    board = package.board()
    return {
        "snapshot": package.snapshot,
        "previous": package.previous,
        "project": package.project,
        "created_at": package.created_at,
        "digest": package.digest,
        "counts": dict(board.counts),
        "sources": dict(board.sources),
        "versions": dict(board.versions),
    }


def _difference(given: Path, sent: Path) -> str | None:
    """Return how the file that a server gave is not the one that it was sent, if so."""
    if not given.is_file():
        return "not there"
    size, wanted = given.stat().st_size, sent.stat().st_size
    if size != wanted:
        return f"{size} of {wanted} bytes"
    return None if sha256_of(given) == sha256_of(sent) else "other bytes"
