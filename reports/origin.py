"""What a snapshot knows of its own sources -> the section "where this comes from".

All of it is content: the newest point of a source, never when a file was read, so that the same
snapshot says the same for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reports.gather import Report
from reports.load import Run
from reports.straddles import Straddle, of_runs

MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of source: what it holds, and how new that is; ``share`` is of all points."""

    name: str
    runs: int
    metrics: int
    points: int
    share: float
    newest: datetime | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """All rejected pieces of one reason; ``rows`` are the first of them."""

    reason: str
    count: int
    files: int
    bytes: int
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Unended:
    """Runs that share a state other than finished, or that diverged."""

    state: str
    explained: str
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Origin:
    """The whole section."""

    sources: Sequence[Source]
    rejected: Sequence[Rejection]
    unended: Sequence[Unended]
    changes: Sequence[Straddle]
    unknown: int  # metrics whose unit nobody stated

    @property
    def without_end(self) -> int:
        """How many runs did not finish, or diverged."""
        return len({run.index for group in self.unended for run in group.runs})


_STATES = {
    "failed": "ended with an error, or with an exit code that is not 0",
    "unfinished": "no source has the end of it: still running, or killed",
    "unknown": "its sources never say how a run ends",
}


def origin(report: Report) -> Origin:
    """Return where the report's snapshot comes from and what is wrong with it."""
    facts = report.facts
    return Origin(
        sources=_sources(report),
        rejected=_rejected(report),
        unended=_unended(report),
        changes=of_runs(facts.runs, sorted(facts.catalog)),
        unknown=sum(not metric.known for metric in facts.catalog.values()),
    )


def _sources(report: Report) -> list[Source]:
    rows = report.facts.sources.to_dicts()
    total = sum(row["points"] for row in rows) or 1
    return [
        Source(
            name=row["source"] or "unknown",
            runs=row["runs"],
            metrics=row["metrics"],
            points=row["points"],
            share=row["points"] / total,
            newest=row["newest"],
        )
        for row in rows
    ]


def _rejected(report: Report) -> list[Rejection]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in report.facts.quarantine.to_dicts():
        found.setdefault(row["reason"] or "no reason noted", []).append(row)
    groups = [
        Rejection(
            reason=reason,
            count=len(rows),
            files=len({row["file"] for row in rows}),
            bytes=sum(row["bytes"] or 0 for row in rows),
            rows=rows[:MOST_LISTED],
        )
        for reason, rows in found.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.reason))


def _unended(report: Report) -> list[Unended]:
    runs = report.facts.runs
    states = sorted({run.state for run in runs} - {"finished"})
    groups = [
        Unended(state, _STATES.get(state, ""), [run for run in runs if run.state == state])
        for state in states
    ]
    diverged = [runs[place] for place in sorted(report.results.diverged)]
    if diverged:
        groups.append(Unended("diverged", "its loss went to NaN or infinity", diverged))
    return groups
