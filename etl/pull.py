"""``python -m etl.pull``: a W&B server's runs -> an export folder that travels and sync reads."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from etl import catalog, errors, lock
from etl import project as projects
from etl.errors import RunatlasError, leave
from etl.pulling import folder
from etl.pulling.connect import connected, secrets
from etl.pulling.server import Server
from etl.pulling.work import Outcome, Pull

_SHORTEST_KEY = 8
FAMILY = "nanochat"  # the project whose stages each have a W&B project of their own
TIMEOUT_SEC = 15.0
_UNDONE = "nothing was pulled; what the folder held is kept"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    said: list[str] = []  # the key, as soon as it is known
    try:
        root = _root(options)
        outcome = _pull(options, root, said)
    except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001  the last line of defence
        failure = _failure(problem)
        if options.debug and isinstance(failure, errors.BugError):
            sys.stderr.write(_clean(traceback.format_exc(), said))
        return errors.tell(failure, as_json=options.json, clean=partial(_clean, said=said))
    with suppress(OSError):  # nobody reads the result, which is in the manifest
        _print(outcome, options, root, said)
        sys.stdout.flush()
    return errors.INCOMPLETE if outcome.failed else errors.DONE


def _failure(problem: BaseException) -> RunatlasError:
    """Return what ended the pull as an error that a person can act on."""
    if isinstance(problem, RunatlasError):
        return problem
    kept = "what was pulled before is kept"
    if isinstance(problem, KeyboardInterrupt):
        done = "what was pulled is kept, and the next pull goes on from there"
        return errors.StoppedError("stopped", done=done)
    if isinstance(problem, OSError):  # mostly: no room
        return errors.UsageError(
            problem.strerror or str(problem),
            where=str(problem.filename or ""),
            done=kept,
            fix="make room or permission there, and run this again",
        )
    what = f"a bug in runatlas: {type(problem).__name__}: {problem}"
    fix = "run again with --debug and report what it prints"
    return errors.BugError(what, done=kept, fix=fix)


def _pull(options: argparse.Namespace, root: Path, said: list[str]) -> Outcome:
    chosen = options.source_project or _family(options.project)
    said += secrets(None, options.base_url)
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(
        prefix="runatlas-pull-", ignore_cleanup_errors=True
    ) as scratch:
        new = not root.exists()
        try:
            with (
                lock.held(root / folder.LOCK, str(root), now, work="pull"),
                connected(options.base_url, options.timeout, Path(scratch), undone=_UNDONE) as api,
            ):
                said += secrets(api, options.base_url)
                server = Server(api, options.timeout)
                pull = Pull(server, root, options.entity, now=now, say=_progress(said))
                return pull.run(list(dict.fromkeys(chosen)), required=bool(options.source_project))
        finally:
            if new and {path.name for path in root.glob("*")} == {folder.LOCK}:
                shutil.rmtree(root)  # a typing error makes no folder


def _root(options: argparse.Namespace) -> Path:
    project = projects.locate(options.project, projects.data_dir(options.data_dir))
    return Path(options.to) if options.to else project.folder / "exports"


def _family(project: str) -> list[str]:
    """Return the source projects that *project* gathers unless they are named."""
    return list(catalog.PROJECT_STAGES) if project == FAMILY else [project]


def _clean(text: str, said: Sequence[str]) -> str:
    """Return *text* without the key, whoever put it there."""
    for key in said:
        if len(key) >= _SHORTEST_KEY:  # a shorter one is none, and its letters are everywhere
            text = text.replace(key, "(key)")
    return text


def _progress(said: Sequence[str]) -> Any:
    bar = sys.stderr.isatty()

    def say(line: str) -> None:
        sys.stderr.write(_clean(f"\r\033[K{line[:100]}" if bar else f"{line}\n", said))
        sys.stderr.flush()

    return say


def _print(outcome: Outcome, options: argparse.Namespace, root: Path, said: Sequence[str]) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    for what, reason in outcome.failed[:20]:
        line = f"not whole: {what}: {reason}\n  kept what came of it; run this again to try again\n"
        sys.stderr.write(_clean(line, said))
    if len(outcome.failed) > 20:
        sys.stderr.write(f"not whole: and {len(outcome.failed) - 20} more\n")
    if options.json:
        document = {
            "project": options.project,
            "entity": options.entity,
            "base_url": outcome.base_url,
            "to": str(root),
            "runs": outcome.runs,
            "rows": outcome.rows,
            "pulled": outcome.pulled,
            "unchanged": outcome.unchanged,
            "failed": [{"run": what, "reason": reason} for what, reason in outcome.failed],
        }
        sys.stdout.write(_clean(json.dumps(document) + "\n", said))
        return
    sys.stdout.write(
        f"{options.entity} at {outcome.base_url}: {outcome.runs} runs, {outcome.rows:,} rows"
        f" ({outcome.pulled} pulled, {outcome.unchanged} unchanged)\nin {root}\n"
    )
    project = projects.locate(options.project, projects.data_dir(options.data_dir))
    path = [shlex.quote(str(root))] if options.to else []
    sys.stdout.write(f"next: {projects.command('etl.sync', project, *path)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m etl.pull", description=__doc__)
    add = parser.add_argument
    add("--project", required=True, help="the project that the runs are for")
    add("--entity", required=True, help="the W&B user or team that has them")
    add(
        "--base-url",
        type=_address,
        metavar="URL",
        help="the server (default: the one that W&B is set up for)",
    )
    add("--to", metavar="DIR", help="the export folder (default: the project's exports)")
    add(
        "--source-project", action="append", metavar="NAME",
        help="a W&B project to pull; may be given again (default: the project's own name, for"
        " nanochat also nanochat-mid, -sft and -rl, those that exist)",
    )  # fmt: skip
    add("--data-dir", help="where projects live (default: $RUNATLAS_DATA, else data)")
    add(
        "--timeout", type=_seconds, default=TIMEOUT_SEC, metavar="SEC",
        help="how long the server may be silent (default: 15); a request may take ten times"
        " that in all, with what the server asks to wait",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object as the last line")
    add("--debug", action="store_true", help="show the traceback of a bug")
    return parser


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("not an address as https://wandb.example.org")
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError("from 1 to 3600 seconds")
    return value


if __name__ == "__main__":
    # a request that is never answered keeps the client's own end waiting: nothing is left to do
    leave(main())
