"""A project's snapshot -> a package in its outbox -> a board on Weave and on W&B.

    python -m reports.publish [--project NAME] [--snapshot ID|latest] [--to weave|wandb] [--now]
    python -m reports.publish --outbox DIR [--to weave|wandb] [--now]

The package is written first and whole; it is pushed if a server can be reached, else by the next
publish, or from wherever the outbox is carried to.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from etl.errors import DONE, INCOMPLETE, BugError, NoDataError, RunatlasError, leave, tell
from etl.project import Project, data_dir
from reports.boards import packing, server
from reports.boards.outbox import Outbox, Outcome, sound
from reports.boards.package import Package
from reports.boards.server import Server
from reports.boards.target import Target
from reports.boards.wandb_board import WandbBoard
from reports.boards.weave_board import WeaveBoard
from reports.build import chosen
from reports.gather import gather

BOARDS: dict[str, Callable[[Server], Target]] = {"weave": WeaveBoard, "wandb": WandbBoard}
OUTBOX = "outbox"
_SHORTEST_KEY = 8  # a shorter one is none, and its letters are everywhere


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish what *arguments* ask for and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.outbox:
            return _carried(Path(options.outbox), options)
        projects = chosen(options.project, data_dir(options.data_dir))
        return max(_settled(project, options) for project in projects)
    except RunatlasError as problem:
        return _told(problem, options)
    except Exception as problem:  # noqa: BLE001  the edge: whatever else went wrong is our bug
        if options.debug:
            traceback.print_exc()
        text = _clean(str(problem).strip().split("\n")[0] or type(problem).__name__)
        bug = BugError(
            f"{type(problem).__name__}: {text}",
            done="what is in the outbox stays there",
            fix="run again with --debug and report it",
        )
        return tell(bug, as_json=options.json, clean=_clean)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports.publish",
        description="Publish a snapshot as a board: write its package, and push what waits.",
    )
    add = parser.add_argument
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--project", metavar="NAME", help="the project (default: all that have a snapshot)"
    )
    place.add_argument(
        "--outbox", metavar="DIR", help="push what waits in this outbox, from wherever it came"
    )
    add("--snapshot", metavar="ID", default="latest", help="an id, its beginning, or latest")
    add("--to", choices=BOARDS, help="only there (default: wherever W&B is set up for)")
    add("--now", action="store_true", help="exit with 3 if not everything could be pushed")
    add("--data-dir", metavar="DIR", help="the data folder (default: $RUNATLAS_DATA, else data)")
    add("--json", action="store_true", help="print one JSON object for each project")
    add("--debug", action="store_true", help="show where an error came from")
    return parser


def _settled(project: Project, options: argparse.Namespace) -> int:
    """Publish one project; what is wrong with it keeps no other from being published."""
    try:
        return _publish(project, options)
    except RunatlasError as problem:
        return _told(problem, options)


def _told(problem: RunatlasError, options: argparse.Namespace) -> int:
    if options.debug:
        traceback.print_exc()
    return tell(problem, as_json=options.json, clean=_clean)


def _publish(project: Project, options: argparse.Namespace) -> int:
    """Write the package of one project's snapshot, then push all that waits."""
    report = gather(project, options.snapshot, _say)
    outbox = Outbox(project.folder / OUTBOX)
    now = datetime.now(UTC)
    with outbox.held(now):
        written, new = packing.write(project, report, outbox.folder)
        outcomes = _push(outbox, options, now)
    return _tell(project.name, outbox, (written, new), outcomes, options)


def _carried(folder: Path, options: argparse.Namespace) -> int:
    outbox = Outbox(folder)
    if not folder.is_dir() or not any(outbox.packages()):
        raise NoDataError(
            "no package is there",
            where=str(folder),
            fix="name the outbox folder itself, as reports.publish has written it",
        )
    now = datetime.now(UTC)
    with outbox.held(now):
        return _tell(None, outbox, None, _push(outbox, options, now), options)


def _push(outbox: Outbox, options: argparse.Namespace, now: datetime) -> list[Outcome]:
    return [outbox.push(target, now, _say, server.TIMEOUT_SEC) for target in _targets(options.to)]


def _targets(kind: str | None) -> list[Target]:
    """Return the boards that are asked for, or all of the server that W&B is set up for."""
    found = server.configured()
    if kind is None and not found.chosen:
        return []
    return [BOARDS[name](found) for name in ([kind] if kind else BOARDS)]


def _tell(
    project: str | None,
    outbox: Outbox,
    written: tuple[Package, bool] | None,
    outcomes: list[Outcome],
    options: argparse.Namespace,
) -> int:
    """Say what was written, pushed and left waiting; return the exit code."""
    packages, broken = outbox.packages()
    failed = [*broken, *(problem for outcome in outcomes for problem in outcome.failed)]
    failed += [] if outcomes else sound(packages)[1]
    for text in dict.fromkeys(str(problem) for problem in failed):  # one for two servers
        _say(_clean(text))
    again = _command(options)
    # what cannot be had is not waited for, unless it is asked for or there is nothing else
    if not options.to and not all(outcome.absent for outcome in outcomes):
        for outcome in outcomes:
            outcome.waiting = [] if outcome.absent else outcome.waiting
    waits = sum(len(outcome.waiting) for outcome in outcomes) if outcomes else len(packages)
    if options.json:
        sys.stdout.write(_json(project, outbox, written, outcomes, failed) + "\n")
    else:
        _print(project or str(outbox.folder), written, outcomes, again)
    for outcome in outcomes:
        if outcome.absent is not None and not options.to:
            _say(_clean(f"no board on {outcome.to}: {outcome.absent.what} ({outcome.where})"))
        elif outcome.unreached is not None:
            _say(_clean(str(outcome.unreached)))
            _say(f"  kept in {outbox.folder}; to push it, here or where it is carried to: {again}")
    return INCOMPLETE if failed or (options.now and waits) else DONE


def _print(
    name: str,
    written: tuple[Package, bool] | None,
    outcomes: list[Outcome],
    again: str,
) -> None:
    out = sys.stdout.write
    if written:
        one, new = written
        size = sum(size for _, size in one.files.values())
        news = f"{len(one.files)} files, {size / 1e6:.2f} MB" if new else "nothing new"
        out(f"{name}: {one.folder} ({news})\n")
    if not outcomes:
        out(
            f"{name}: no server is set up, so nothing is pushed yet\n"
            f"  next: wandb login [--host URL], then {again}\n"
        )
    for outcome in outcomes:
        for one, receipt in outcome.pushed:
            out(f"{one.project}: published {one.snapshot} to {outcome.to}: {receipt.board}\n")
            for line in receipt.left_out:
                out(f"  {line}\n")
        for one in outcome.waiting:
            out(f"{one.project}: {one.snapshot} waits for {outcome.to} at {outcome.where}\n")
        if not (outcome.pushed or outcome.waiting or outcome.absent):
            out(f"{name}: nothing new for {outcome.to} at {outcome.where}\n")


def _json(
    project: str | None,
    outbox: Outbox,
    written: tuple[Package, bool] | None,
    outcomes: list[Outcome],
    failed: list[RunatlasError],
) -> str:
    document: dict[str, object] = {
        "outbox": str(outbox.folder),
        "boards": [
            {
                "to": outcome.to,
                "where": outcome.where,
                "pushed": [
                    {
                        "project": one.project,
                        "snapshot": one.snapshot,
                        "board": receipt.board,
                        "version": receipt.version,
                        "left_out": list(receipt.left_out),
                    }
                    for one, receipt in outcome.pushed
                ],
                "waiting": [
                    {"project": one.project, "snapshot": one.snapshot} for one in outcome.waiting
                ],
            }
            for outcome in outcomes
        ],
        "failed": [_clean(problem.what) for problem in failed],
    }
    if written:
        one, new = written
        document |= {
            "project": project,
            "snapshot": one.snapshot,
            "package": str(one.folder),
            "written": new,
        }
    return json.dumps(document, sort_keys=True)


def _command(options: argparse.Namespace) -> str:
    """Return the command that does again what this one was asked to."""
    words = ["python", "-m", "reports.publish"]
    for name in ("project", "outbox", "to", "data_dir"):
        if getattr(options, name):
            words += [f"--{name.replace('_', '-')}", getattr(options, name)]
    if options.snapshot != "latest":
        words += ["--snapshot", options.snapshot]
    return shlex.join([*words, *(["--now"] if options.now else [])])


def _clean(text: str) -> str:
    """Return *text* without the key, whoever put it there."""
    key = server.configured().key or ""
    return text.replace(key, "(key)") if len(key) >= _SHORTEST_KEY else text


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    # a request that is never answered keeps the client's own end waiting: nothing is left to do
    leave(main())
