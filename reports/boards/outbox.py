"""An outbox: packages that wait for a server, and what was pushed where.

    <outbox>/<snapshot>/               a package
    <outbox>/pushed/<hash>.json        what one server has taken

A package counts as pushed when the server has given it back equal; only then is it recorded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from etl import lock
from etl.errors import IncompleteError, RunatlasError, UsageError
from etl.whole_file import replace_text
from reports.boards import package
from reports.boards.package import Package
from reports.boards.target import AbsentError, PushError, Receipt, Say, Target, UnreachableError

PUSHED = "pushed"
LOCK = "publish.lock"
_SNAPSHOT = re.compile("[0-9a-f]{16}")  # a folder of another name is nobody's package


@dataclass(slots=True)
class Outcome:
    """What became of the packages for one target."""

    to: str
    where: str
    pushed: list[tuple[Package, Receipt]] = field(default_factory=list)
    waiting: list[Package] = field(default_factory=list)
    unreached: UnreachableError | None = None  # why they wait
    failed: list[RunatlasError] = field(default_factory=list)

    @property
    def absent(self) -> AbsentError | None:
        """Why there is no such board to be had, if there is none."""
        return self.unreached if isinstance(self.unreached, AbsentError) else None


class Outbox:
    """The packages under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self, now: datetime) -> Iterator[None]:
        """Be the one process that writes and pushes here.

        Raises:
            LockedError: another one does.
        """
        with lock.held(self.folder / LOCK, str(self.folder), now, work="publish"):
            yield

    def packages(self) -> tuple[list[Package], list[IncompleteError]]:
        """Return the packages in the order of their projects' snapshots, and what is none."""
        found, broken = [], []
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if not (path.is_dir() and _SNAPSHOT.fullmatch(path.name)):
                continue
            try:
                found.append(package.opened(path))
            except IncompleteError as problem:
                broken.append(problem)
        return _ordered(found), broken

    def receipts(self, target: Target) -> dict[str, dict[str, Any]]:
        """Return what *target* has taken, by the package's name."""
        path = self._record(target)
        try:
            taken: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["taken"]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                "no record of what was pushed",
                where=str(path),
                done="nothing was pushed there",
                fix="remove the file: what the server already has is not made twice",
            ) from None
        return taken

    def note(self, target: Target, one: Package, receipt: Receipt, now: datetime) -> None:
        """Record that *target* has given *one* back equal."""
        taken = self.receipts(target)
        taken[one.name] = asdict(receipt) | {
            "project": one.project,
            "snapshot": one.snapshot,
            "digest": one.digest,
            "at": now.isoformat(timespec="seconds"),
        }
        document = {"to": target.name, "where": target.where(), "taken": taken}
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        replace_text(self._record(target), text)

    def waiting(self, target: Target) -> list[Package]:
        """Return the packages that *target* has not taken, in their order."""
        taken = self.receipts(target)
        return [one for one in self.packages()[0] if one.name not in taken]

    def push(self, target: Target, now: datetime, say: Say, timeout_sec: float) -> Outcome:
        """Push what waits for *target*, one after the other; the caller holds the lock."""
        outcome = Outcome(target.name, target.where(), waiting=self.waiting(target))
        whole, outcome.failed = sound(outcome.waiting)
        if not whole:
            return outcome
        try:
            for line in target.reach(timeout_sec):
                say(f"{target.where()}: {line}")
            for one in whole:
                say(f"{one.project}: pushing {one.snapshot} to {target.name}")
                try:
                    receipt = _pushed(target, one)
                except PushError as problem:
                    outcome.failed.append(problem)
                else:
                    self.note(target, one, receipt, now)
                    outcome.pushed.append((one, receipt))
                    outcome.waiting.remove(one)
        except UnreachableError as problem:
            outcome.unreached = problem
        finally:
            target.close()
        return outcome

    def _record(self, target: Target) -> Path:
        place = f"{target.name} {target.where()}"
        return self.folder / PUSHED / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def sound(packages: Sequence[Package]) -> tuple[list[Package], list[RunatlasError]]:
    """Return the packages that are what their hashes say, and what is wrong with the others."""
    whole: list[Package] = []
    damaged: list[RunatlasError] = []
    for one in packages:
        try:
            one.verify()
        except IncompleteError as problem:
            damaged.append(problem)
        else:
            whole.append(one)
    return whole, damaged


def _ordered(packages: Sequence[Package]) -> list[Package]:
    """Return the packages by project, time and, within a second, what came before what."""
    known = {(one.project, one.snapshot): one for one in packages}
    ordered: dict[tuple[str, str], Package] = {}
    for one in sorted(packages, key=lambda one: (one.project, one.created_at, one.snapshot)):
        line: list[Package] = []
        at: Package | None = one
        while at is not None and at not in line and (at.project, at.snapshot) not in ordered:
            line.append(at)
            at = known.get((at.project, at.previous)) if at.previous else None
        ordered |= {(each.project, each.snapshot): each for each in reversed(line)}
    return list(ordered.values())


def _pushed(target: Target, one: Package) -> Receipt:
    receipt = target.push(one)
    differing = target.read_back(receipt, one)
    if differing:
        raise PushError(
            f"the server gave back another board than was pushed: {'; '.join(differing[:4])}",
            where=f"{target.where()}, snapshot {one.snapshot}",
            done="it is not recorded as published and stays in the outbox",
            fix="run this again; if that does not help, ask who keeps the server",
        )
    return receipt
