"""``python -m etl.sync``: what training runs left behind -> the project's tables and a snapshot."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from etl import (
    discover,
    errors,
    freeze,
    ledger,
    lock,
    quarantine,
    snapshot,
    tables,
)
from etl import project as projects
from etl.errors import NoDataError, RunatlasError, UsageError, leave, was_stopped
from etl.project import Project
from etl.settled import Outcome, settled
from etl.whole_file import sweep

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a sync came to. ``rejected`` are (path, line, byte, reason) of what is quarantined."""

    project: str
    snapshot: str
    runs: int
    points: int
    new_points: int
    sources: tuple[dict[str, Any], ...]
    rejected: tuple[quarantine.Rejected, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0, or 3 while anything of the project is in quarantine."""
        return errors.INCOMPLETE if self.rejected else errors.DONE

    def document(self) -> dict[str, Any]:
        """Return the result as ``--json`` prints it."""
        return {
            "project": self.project,
            "snapshot": self.snapshot,
            "runs": self.runs,
            "points": self.points,
            "new_points": self.new_points,
            "quarantined": len(self.rejected),
            "sources": list(self.sources),
        }


def sync(
    project: Project,
    paths: Sequence[Path],
    *,
    strict: bool,
    now: datetime,
    progress: Progress,
    step_key: str | None = None,
) -> Result:
    """Bring *project* up to date with its inbox, *paths*, and the paths it was given before.

    Raises:
        NoDataError: there is nothing that any source reads, and never was.
        UsageError: a path does not exist, or the project's folder cannot be written.
        LockedError: another process works on the project.
        IncompleteError: something was rejected and the sync is strict.
    """
    _require_paths(paths)
    settings = projects.settings(project)
    if not project.database.exists():
        _require_data(project, paths, step_key)
    with lock.held(project.lock, project.name, now):
        con = tables.open_database(project.database)
        try:
            given = [ledger.label(project, path) for path in paths]
            places = [ledger.place(project, p) for p in {*given, *ledger.remembered(con)}]
            failed: list[OSError] = []
            found = discover.walk([*project.inbox_found(), *places], failed)
            known = ledger.entries(con)
            if not found and not failed and not known:
                _require_data(project, paths, step_key)
            tables.rows(con, "begin")
            ledger.remember(con, given)
            sweep([project.parts, project.snapshots, project.quarantine])
            changed = quarantine.refresh(con, project, failed)
            outcome = settled(con, project, settings, step_key, found, known=known)
            if outcome is None:
                from etl.ingest import Ingest  # with all readers: see etl.settled

                work = Ingest(
                    *(con, project, settings, known),
                    strict=strict,
                    step_key=step_key,
                    progress=progress,
                )
                outcome = work.run(found)
            outcome.notes += [
                f"{path}: gone; what was read of it is kept"
                for path in sorted(places)
                if not path.exists()
            ]
            lines = settings.console_lines
            identity = _snapshot(con, project, now, outcome, lines, requarantined=changed)
            tables.rows(con, "commit")
            # after the commit: a kill in between leaves an old pointer, which the next sync moves
            snapshot.point_to(project, identity)
            rejected = quarantine.write_file(con, project)
            return _result(con, project, identity, outcome, rejected)
        finally:
            con.close()


def _require_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UsageError(
                "no such file or folder", where=str(path), done="nothing was changed",
                fix="check the path",
            )  # fmt: skip


def _snapshot(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    now: datetime,
    outcome: Outcome,
    lines: int,
    *,
    requarantined: bool,
) -> str:
    """Return the id of the snapshot that the tables come to, taken anew unless nothing changed."""
    if not (requarantined or outcome.changed):
        current = freeze.current(con, project, lines)
        if current is not None:
            return current
    same = outcome.same - ({"quarantine"} if requarantined else set())
    return freeze.take(con, project, now, same, lines).snapshot


def _require_data(project: Project, paths: Sequence[Path], step_key: str | None) -> None:
    """Raise NoDataError unless some source reads a file: a typing error makes no folder."""
    from etl import sources

    looked, readers = 0, sources.readers(step_key)
    for file in discover.walk([*project.inbox_found(), *paths]):
        looked += 1
        try:
            if discover.source_of(file.path, readers):
                return
        except OSError:
            return  # it is there and cannot be read: the sync says so
    names = ", ".join(str(path) for path in (*paths, *project.inbox))
    raise NoDataError(
        f"no training log in {looked} files" if looked else "no training log",
        where=names,
        done=f"nothing was changed; project {project.name} does not exist yet",
        fix=projects.command("etl.sync", project, "FOLDER") + ", one with JSONL or .wandb files",
    )


def _result(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    identity: str,
    outcome: Outcome,
    rejected: Sequence[quarantine.Rejected],
) -> Result:
    ((runs, points),) = tables.rows(
        con, "select count(*), coalesce(sum(points), 0)::bigint from store.runs"
    )
    notes = [f"{entry.path}: {entry.notes}" for entry in outcome.files if entry.notes]
    notes += outcome.notes
    return Result(
        project=project.name,
        snapshot=identity,
        runs=runs,
        points=points,
        new_points=outcome.new_points,
        sources=tuple(
            {"path": e.path, "kind": e.kind, "status": e.status, "points": e.points}
            for e in outcome.files
        ),
        rejected=tuple(rejected),
        notes=tuple(notes),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        folder = projects.data_dir(options.data_dir)
        project = projects.locate(options.project, folder)
        if options.explain is not None:
            from etl import explain

            found = explain.explain(project, projects.settings(project), options.explain)
            words = json.dumps(found, default=str) + "\n" if options.json else explain.text(found)
            sys.stdout.write(words)
            return errors.DONE
        result = sync(
            project,
            [Path(path) for path in options.paths],
            strict=options.strict,
            step_key=options.step_key,
            now=datetime.now(UTC),
            progress=_progress(bar=sys.stderr.isatty()),
        )
    except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001  the last line of defence
        if options.debug and not isinstance(problem, RunatlasError):
            traceback.print_exception(problem)
        return errors.tell(_failure(problem, options), as_json=options.json)
    try:
        _print(result, options)
        sys.stdout.flush()
    except OSError:  # nobody reads the result, which is in the tables
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return result.exit_code


def _failure(problem: BaseException, options: argparse.Namespace) -> RunatlasError:
    """Return what ended the sync as an error that a person can act on."""
    if isinstance(problem, RunatlasError):
        return problem
    if was_stopped(problem):
        return errors.StoppedError("stopped", done="the tables were not changed")
    room = _no_room(problem)
    if room or isinstance(problem, (OSError, duckdb.IOException, duckdb.FatalException)):
        folder = projects.data_dir(options.data_dir) / options.project if room else ""
        words = getattr(problem, "strerror", None) or str(problem).strip().split("\n")[0]
        return UsageError(
            words,
            where=str(getattr(problem, "filename", None) or folder),
            done="the tables were not changed",
            fix="make room or permission there, and run this again",
        )
    return errors.BugError(
        f"a bug in runatlas: {type(problem).__name__}: {problem}",
        done="nothing was changed",
        fix="run again with --debug and report what it prints",
    )


def _no_room(problem: BaseException) -> bool:
    # DuckDB says so with whatever error the statement would have raised
    words = str(problem)
    return any(os.strerror(code) in words for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m etl.sync", description=__doc__)
    parser.add_argument("--project", required=True, help="the project to bring up to date")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH",
        help="a log file, or a folder to search for logs; remembered for the next sync",
    )  # fmt: skip
    parser.add_argument(
        "--data-dir", help="where projects live (default: $RUNATLAS_DATA, else data)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="change nothing if anything is rejected"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line"
    )
    parser.add_argument(
        "--step-key", metavar="KEY",
        help="the key that is the step in other programs' JSONL; remembered ('' to forget it)",
    )  # fmt: skip
    parser.add_argument(
        "--explain", metavar="RUN",
        help="say where all that is known of a run came from, and read nothing",
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", help="show the traceback of a bug")
    return parser


def _progress(*, bar: bool) -> Progress:
    def show(done: int, total: int, name: str) -> None:
        if bar:
            sys.stderr.write(f"\r\033[K{done}/{total} {name[:60]}")
            if done + 1 == total:
                sys.stderr.write("\r\033[K")
        elif done and done % 1000 == 0:
            sys.stderr.write(f"{done} of {total} files\n")

    return show


def _print(result: Result, options: argparse.Namespace) -> None:
    for note in result.notes:
        sys.stderr.write(f"note: {note}\n")
    for path, line, at_byte, reason in result.rejected[:20]:
        place = f"{path}:{line}" if line is not None else f"{path} at byte {at_byte}"
        sys.stderr.write(f"quarantined: {place}: {reason}\n")
    if len(result.rejected) > 20:
        sys.stderr.write(f"quarantined: and {len(result.rejected) - 20} more\n")
    if options.json:
        sys.stdout.write(json.dumps(result.document()) + "\n")
        return
    project = projects.locate(options.project, projects.data_dir(options.data_dir))
    read = [item for item in result.sources if item["kind"] is not None]
    others = len(result.sources) - len(read)
    sys.stdout.write(
        f"{result.project}: {result.runs} runs, {result.points:,} points"
        f" ({result.new_points:,} new) from {len(read)} files\n"
        f"snapshot {result.snapshot}\n"
    )
    if others:
        sys.stdout.write(f"not ours: {others} files, named by --json and the view ledger\n")
    if result.rejected:
        file = project.quarantine / quarantine.FILE
        sys.stdout.write(f"quarantined {len(result.rejected)}: see {file}\n")
    sys.stdout.write(f"next: {projects.command('reports.build', project)}\n")


if __name__ == "__main__":
    # numpy's threads for matrices cost 60 ms to start; what a sync makes are frames, in no rings
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000)
    # not sys.exit: DuckDB 2.0 prints a list of leaked instances when the interpreter is torn down
    leave(main())
