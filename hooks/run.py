"""``python -m hooks.run --project NAME -- SCRIPT ...``: any training script, and a log of it.

The script runs in this process as Python would run it, and sends its metrics where it always did;
what it sends to ``wandb`` and prints is logged as well, with or without W&B installed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import hooks
from hooks import ranks
from hooks.header import folder_of
from hooks.record import STAGES
from hooks.running.console import Console
from hooks.running.dummy import Dummies
from hooks.running.ending import Ending
from hooks.running.imports import Finder
from hooks.running.imposter import StandIn
from hooks.running.runs import Asked, Runs
from hooks.running.script import Script
from hooks.running.wandb_calls import Calls

_LAUNCHER = re.compile(r"python[0-9.]*|torchrun|accelerate|deepspeed|uv|srun")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script that the command line names; what it raises is raised."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    own, command = _split(given)
    options = parser.parse_args(own)
    if not command or command == ["-m"]:
        parser.error("no script. fix: put it last, as in -- -m scripts.base_train --run d20")
    if _LAUNCHER.fullmatch(os.path.basename(command[0])) and not os.path.exists(command[0]):
        parser.error(
            f"{command[0]} is no script. fix: {command[0]} -m hooks.run --project"
            f" {options.project} -- SCRIPT ..."
        )
    if options.resume is not None and options.run_id is None:
        parser.error("--resume needs the --run-id of the run that goes on")
    try:
        # now, because the script may change its folder
        folder = Path(os.path.abspath(folder_of(options.project, options.dir)))
    except ValueError:
        parser.error(f"project {options.project!r} is no name for a folder. fix: add --dir FOLDER")
    asked = Asked(
        project=options.project,
        folder=folder,
        name=options.name,
        stage=options.stage,
        run_id=options.run_id,
        resume=options.resume,
    )
    _run(Script(command), asked, console=options.console)


def _run(script: Script, asked: Asked, *, console: str) -> None:
    script.become_main()
    runs = Runs(asked, script.name)
    printed = Console(runs.printed)
    runs.drain = printed.drain

    def finish(exit_code: int) -> None:
        printed.drain(unfinished=True)
        runs.finish(exit_code)

    def terminated(exit_code: int) -> None:
        printed.drain(unfinished=True)
        runs.terminated(exit_code)

    ending = Ending(finish, terminated)
    ending.on_sigterm()
    if console == "all" or (console == "rank0" and ranks.rank() == 0):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                printed.listen(stream)
    Finder(
        wandb=Calls(runs).listen, dummy=Dummies(runs).listen, stand_in=lambda _: StandIn(runs)
    ).install()
    hooks.init = runs.adopting(hooks.init)
    script.run(ending.with_code)


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    """Return our own arguments, and the script with its.

    The ``--`` between them may be missing: some launchers take it for their own.
    """
    at = 0
    while at < len(given) and given[at].startswith("-") and given[at] not in ("--", "-m"):
        alone = "=" in given[at] or given[at] in ("-h", "--help")
        at += 1 if alone else 2
    return given[:at], given[at + 1 :] if given[at : at + 1] == ["--"] else given[at:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hooks.run",
        usage="%(prog)s --project NAME [options] -- (-m MODULE | FILE) [ARGUMENT ...]",
        description=__doc__,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--project", required=True, help="the project that the runs belong to")
    add("--name", help="what the run is called (default: what the script calls it)")
    add("--stage", choices=STAGES, help="(default: what its W&B project or the script implies)")
    add("--dir", help="folder of the log (default: $RUNATLAS_DIR, else data/PROJECT/raw)")
    add("--run-id", metavar="ID", help="which run this is (default: W&B's id, else a new one)")
    add("--resume", type=int, metavar="STEP", help="the step from which run ID goes on")
    add(
        "--console", choices=("rank0", "all", "none"), default="rank0",
        help="whose printed lines are logged (default: rank0)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    main()
