"""A project's snapshot -> ``reports/<snapshot>.html``, a page that opens anywhere, offline.

    python -m reports.build [--project NAME] [--snapshot ID|latest] [--data-dir DIR]
        [--against ID|previous] [--png] [--svg] [--pdf]

The page is built in memory and written only where it differs from the file that is there.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # before what takes half of a small build: importing the rest
    # numpy's threads for matrices take long to start and have nothing to do
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000)  # there is little in rings

from etl.errors import DONE, BugError, NoDataError, RunatlasError, UsageError, leave, tell
from etl.project import Project, command, data_dir, locate, with_snapshots
from etl.whole_file import written
from reports import index
from reports.changed import PREVIOUS
from reports.gather import Report, gather
from reports.images import FORMATS, stills
from reports.page import render


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the reports that *arguments* ask for and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        projects = chosen(options.project, data_dir(options.data_dir))
        for project in projects:
            _build(project, options)
        _overall(projects, options)
    except RunatlasError as problem:
        if options.debug:
            traceback.print_exc()
        return tell(problem, as_json=options.json)
    except Exception as problem:  # noqa: BLE001  the edge: whatever else went wrong is our bug
        if options.debug:
            traceback.print_exc()
        text = str(problem).strip().split("\n")[0] or type(problem).__name__
        what = f"{type(problem).__name__}: {text}"
        bug = BugError(what, fix="run again with --debug and report what it says")
        return tell(bug, as_json=options.json)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports.build",
        description="Build one self-contained HTML report from a snapshot.",
    )
    add = parser.add_argument
    add("--project", metavar="NAME", help="the project (default: all that have a snapshot)")
    add("--snapshot", metavar="ID", default="latest", help="an id, its beginning, or latest")
    add(
        "--against", metavar="ID", default=PREVIOUS,
        help="say what changed since this snapshot (default: the previous one)",
    )  # fmt: skip
    add("--data-dir", metavar="DIR", help="the data folder (default: $RUNATLAS_DATA, else data)")
    add("--out", metavar="DIR", help="where to write (default: <data-dir>/<project>/reports)")
    for form in FORMATS:
        add(f"--{form}", action="store_true", help=f"also write a {form.upper()} of each chart")
    add("--json", action="store_true", help="print one JSON object for each project")
    add("--debug", action="store_true", help="show where an error came from")
    return parser


def chosen(name: str | None, folder: Path) -> list[Project]:
    """Return project *name* of data folder *folder*, or all that have a snapshot.

    Raises:
        NoDataError: it has none, or none has.
    """
    known = with_snapshots(folder)
    names = ", ".join(project.name for project in known)
    if name is None:
        if not known:
            raise NoDataError(
                "no project has a snapshot",
                where=str(folder),
                fix=command("etl.sync", folder, "PATH"),
            )
        return known
    project = locate(name, folder)
    if project not in known:
        raise NoDataError(
            f"project {project.name} has no snapshot",
            where=str(folder),
            done=f"projects that have one: {names}" if names else "no project has one",
            fix=command("etl.sync", project, "PATH"),
        )
    return [project]


def _build(project: Project, options: argparse.Namespace) -> None:
    report = gather(project, options.snapshot, _say, options.against)
    page = render(report)
    folder = _folder(project, options)
    path = folder / f"{_stem(report, options)}.html"
    changed = replace_bytes(path, page)
    if options.snapshot == "latest" and options.against == PREVIOUS:
        changed = replace_bytes(folder / "latest.html", page) or changed
    changed = index.write(project, folder, report, replace_bytes) or changed
    stills = _stills(report, folder, options)
    for chart in report.charts:
        if not chart.counts["drawn"]:
            fix = "[axes] in project.toml names the metrics to draw"
            _say(f"note: {chart.title.lower()} has nothing to draw, the page says why; {fix}")
    if options.json:
        document = _result(report, path, stills) | {"bytes": len(page), "changed": changed}
        sys.stdout.write(json.dumps(document, sort_keys=True) + "\n")
        return
    size = f"{len(page) / 1e6:.2f} MB"
    news = "" if changed else ", nothing new"
    sys.stdout.write(f"{project.name}: {path} ({len(report.charts)} charts, {size}{news})\n")
    for still in stills:
        sys.stdout.write(f"{project.name}: {still}\n")


def _stem(report: Report, options: argparse.Namespace) -> str:
    """Return the page's name: another comparison than the usual one is another page."""
    if options.against == PREVIOUS:
        return report.snapshot
    return f"{report.snapshot}-against-{report.changed.against}"


def _overall(projects: list[Project], options: argparse.Namespace) -> None:
    """Write the index over the projects, but not where the pages of one alone were wanted."""
    if options.out is None:
        root = data_dir(options.data_dir)
        folders = {project.name: project.reports for project in with_snapshots(root)}
    elif options.project is None:
        root = Path(options.out)
        folders = {project.name: _folder(project, options) for project in projects}
    else:
        return
    index.write_overall(root, folders, replace_bytes)


def _folder(project: Project, options: argparse.Namespace) -> Path:
    """Return where to write; with ``--out`` and no ``--project`` each project has a folder."""
    if options.out is None:
        return project.reports
    return Path(options.out) if options.project else Path(options.out) / project.name


def _result(report: Report, path: Path, stills: list[Path]) -> dict[str, object]:
    return {
        "project": report.project,
        "snapshot": report.snapshot,
        "path": str(path),
        "charts": len(report.charts),
        "points": {chart.key: dict(chart.counts) for chart in report.charts},
        "stills": [str(still) for still in stills],
    }


def _stills(report: Report, folder: Path, options: argparse.Namespace) -> list[Path]:
    forms = [form for form in FORMATS if getattr(options, form)]
    return stills(report, folder, forms, replace_bytes, _say) if forms else []


def replace_bytes(path: Path, content: bytes) -> bool:
    """Write *content* to *path* as a whole, unless it stands there already; say whether."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as file:
            file.write(content)
    except OSError as problem:
        raise UsageError(
            f"cannot be written: {problem.strerror or problem}",
            where=str(path),
            done="no report was changed there",
            fix="make the folder writable, or name another one with --out",
        ) from None
    return True


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    # not sys.exit: to tear down what was imported takes 0.1 s
    leave(main())
