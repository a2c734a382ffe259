"""All snapshots of a project, and all projects of a data folder -> pages that lead to the reports.

    <data-dir>/index.html                        every project: its latest snapshot, and the trend
    <data-dir>/<project>/reports/index.html      every snapshot: what it holds and what changed
    <data-dir>/<project>/reports/index.json      the same facts, for scripts and for the next build

The pages are text and pictures of SVG without a script; their links are relative. What is known of
a snapshot never changes, so it is kept in ``index.json`` and read again; what changed is told of
those whose report was built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etl import diff, snapshot
from etl.errors import RunatlasError
from etl.project import Project
from etl.snapshot import Manifest
from etl.state import State
from reports import assets, theme, words
from reports.gather import Report

Write = Callable[[Path, bytes], bool]

FORM = 1
MOST_SNAPSHOTS = 100  # on one page; the others are in index.json
# The one number of a project's trend, in this order; else the metric that most stages have.
_TREND = ("val/bpb", "core_metric", "chatcore_metric", "train/loss")


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a snapshot: of which metric, of which stage, and whose."""

    metric: str
    unit: str
    stage: str
    value: float
    run: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one snapshot."""

    snapshot: str
    previous: str | None
    runs: int
    points: int
    quarantined: int
    newest: str
    best: Best | None
    headline: str | None  # None where its report was not built


@dataclass(frozen=True, slots=True)
class Listed:
    """One project as the overall page shows it; newest snapshot first."""

    name: str
    folder: str  # of its pages, from the overall page
    entries: Sequence[Entry]
    pages: Mapping[str, Sequence[str]]  # by snapshot: its page, and comparisons with others

    @property
    def latest(self) -> Entry:
        """The snapshot that is current."""
        return self.entries[0]

    @property
    def trend(self) -> list[Entry]:
        """The snapshots, oldest first, whose best value is of the same metric as the latest's."""
        best = self.latest.best
        same = [
            entry
            for entry in reversed(self.entries)
            if best and entry.best and _kind(entry.best) == _kind(best)
        ]
        return same if len(same) > 1 else []


def project_index(project: Project, folder: Path, report: Report) -> Listed:
    """Return what the index of *project*, whose pages are in *folder*, lists."""
    kept = _kept(folder / "index.json")
    entries = {}
    for manifest in _manifests(project):
        known = kept.get(manifest.snapshot)
        if manifest.snapshot == report.snapshot:
            known = _entry(project, manifest, report)
        elif known is None or known.previous != manifest.previous:
            known = _entry(project, manifest, None)
        if known is not None:
            entries[manifest.snapshot] = known
    ordered = _newest_first(entries, snapshot.read_manifest(project).snapshot)
    return Listed(project.name, "", ordered, _pages(folder, entries))


def of_folder(name: str, folder: Path, relative: str) -> Listed | None:
    """Return what the index of another project lists, as it was last built; None if never."""
    entries = _kept(folder / "index.json")
    if not entries:
        return None
    first = next(iter(entries))
    return Listed(name, relative, _newest_first(entries, first), _pages(folder, entries))


def write(project: Project, folder: Path, report: Report, replace: Write) -> bool:
    """Write the index of *project*, whose pages are in *folder*; say whether it is another one."""
    listed = project_index(project, folder, report)
    facts = replace(folder / "index.json", document(listed))
    page = _render("index-project.html.j2", project=listed)
    return replace(folder / "index.html", page) or facts


def write_overall(root: Path, folders: Mapping[str, Path], replace: Write) -> None:
    """Write the index over all projects, whose pages are in *folders* by name, into *root*."""
    found = []
    for name, folder in sorted(folders.items()):
        relative = folder.relative_to(root).as_posix()
        listed = of_folder(name, folder, f"{relative}/")
        if listed is not None:
            found.append(listed)
    replace(root / "index.html", _render("index.html.j2", projects=found))


def document(listed: Listed) -> bytes:
    """Return the project's facts as JSON, the current snapshot first."""
    entries = [asdict(entry) for entry in listed.entries]
    text = json.dumps({"form": FORM, "project": listed.name, "snapshots": entries}, indent=1)
    return (text + "\n").encode()


def sparkline(values: Sequence[float], width: int = 132, height: int = 34) -> list[list[float]]:
    """Return the points of a line through *values*, from left to right, y downwards."""
    low, high, edge = min(values), max(values), 4
    wide, tall = width - 2 * edge, height - 2 * edge
    return [
        [
            round(edge + wide * at / max(1, len(values) - 1), 1),
            round(edge + tall * (high - value) / (high - low), 1) if high > low else height / 2,
        ]
        for at, value in enumerate(values)
    ]


def _kind(best: Best) -> tuple[str, str]:
    return best.metric, best.stage


def _kept(path: Path) -> dict[str, Entry]:
    """Return the entries of an ``index.json``, none if it is of another form or not whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["form"] != FORM:
            return {}
        return {item["snapshot"]: _read(item) for item in found["snapshots"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(item: dict[str, Any]) -> Entry:
    best = item["best"]
    return Entry(**{**item, "best": best and Best(**best)})


def _manifests(project: Project) -> list[Manifest]:
    found = []
    for path in sorted(project.snapshots.glob("*.json")):
        try:
            found.append(snapshot.read_manifest(project, path.stem))
        except RunatlasError:  # of another version, or cut: its report cannot be built either
            continue
    return found


def _entry(project: Project, manifest: Manifest, report: Report | None) -> Entry | None:
    """Return what is known of a snapshot; None where its parts are not there or damaged."""
    state = State(project, manifest)
    try:
        snapshot.require(project, manifest)
        snapshot.require_whole(project, manifest.tables)
    except RunatlasError:
        return None
    newest = report.facts.newest if report else _newest(state)
    return Entry(
        snapshot=manifest.snapshot,
        previous=manifest.previous,
        runs=len(state.runs),
        points=sum(row["points"] or 0 for row in state.runs.values()),
        quarantined=sum(part.rows for part in manifest.tables if part.key == "quarantine"),
        newest=words.moment(newest),
        best=_best(state),
        headline=report.changed.headline if report else None,
    )


def _newest(state: State) -> Any:
    found = state.ask("select max(ts) from history", state.runs)
    return found[0][0] if found else None


def _best(state: State) -> Best | None:
    bests = diff.bests(state)
    stages: dict[str, list[str]] = {}
    for stage, metric in bests:
        stages.setdefault(metric, []).append(stage)
    rest = sorted(stages, key=lambda metric: (-len(stages[metric]), metric))
    for metric in (*_TREND, *rest):
        if metric in stages:
            stage = min(stages[metric], key=lambda name: (theme.stage_index(name), name))
            value, run = bests[stage, metric]
            unit = state.metrics[metric]["unit"] or ""
            return Best(metric, unit, stage, value, state.runs[run]["name"] or run)
    return None


def _newest_first(entries: Mapping[str, Entry], latest: str) -> list[Entry]:
    """Order by how many came before, as each names the one before it; the latest comes first."""

    def depth(entry: Entry) -> int:
        seen = {entry.snapshot}
        before = entry.previous
        while before is not None and before in entries and before not in seen:
            seen.add(before)
            before = entries[before].previous
        return len(seen)

    ordered = sorted(
        entries.values(), key=lambda one: (depth(one), one.newest, one.snapshot), reverse=True
    )
    return sorted(ordered, key=lambda one: one.snapshot != latest)


def _pages(folder: Path, entries: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Return by snapshot the pages that are in *folder*: its own first."""
    names = {path.name for path in folder.glob("*.html")}
    return {
        one: [
            *([f"{one}.html"] if f"{one}.html" in names else []),
            *sorted(name for name in names if name.startswith(f"{one}-against-")),
        ]
        for one in entries
    }


def _render(template: str, **values: Any) -> bytes:
    """Return one of the two pages; neither has a script."""
    shared = assets.style("01-base", "02-hero", "04-cards", "06-tables", "12-changed")
    style = shared + assets.read_template("index.css")
    made = assets.environment()
    made.filters["value"] = _value
    made.filters["sparkline"] = sparkline
    text = made.get_template(template).render(
        style=style, policy=assets.policy([], [style]), most=MOST_SNAPSHOTS, **values
    )
    return text.encode("utf-8", "surrogatepass")


def _value(value: float) -> str:
    return words.number(value, "f4" if abs(value) < 1e4 else "g")
