"""``python -m etl.pull``: a W&B server's runs -> an export folder that travels and sync reads."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
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
    except RunatlasError as problem:
        sys.stderr.write(_clean(f"{problem}\n", said))
        return problem.code
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was pulled is kept, and the next pull goes on from there\n")
        return 130
    except OSError as problem:  # mostly: no room
        name = f"{problem.filename}: " if problem.filename else ""
        sys.stderr.write(
            f"error: {name}{problem.strerror or problem}\n  what was pulled before is kept\n"
            "  fix: make room or permission there, and run this again\n"
        )
        return errors.USAGE
    except Exception as problem:  # noqa: BLE001  the last line of defence
        if options.debug:
            sys.stderr.write(_clean(traceback.format_exc(), said))
        words = _clean(f"{type(problem).__name__}: {problem}", said)
        sys.stderr.write(
            f"error: a bug in runatlas: {words}\n  what was pulled before is kept\n"
            "  fix: run again with --debug and report what it prints\n"
        )
        return errors.BUG
    with suppress(OSError):  # nobody reads the result, which is in the manifest
        _print(outcome, options, root, said)
        sys.stdout.flush()
    return errors.INCOMPLETE if outcome.failed else errors.DONE


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
    where = f" --data-dir {options.data_dir}" if options.data_dir else ""
    path = f" {root}" if options.to else ""
    sys.stdout.write(f"next: python -m etl.sync --project {options.project}{path}{where}\n")


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
