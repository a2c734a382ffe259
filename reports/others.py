"""The metrics that no other chart draws by step -> those to choose from, and the rows of each.

Each is thinned by itself: its extremes are kept, and no loss loses a row for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reports.axes import Metric
from reports.load import Facts
from reports.progress import COUNTERS
from reports.scan import Shares
from reports.thinning import shares

# In this order they are offered: how good a run is, then how it was trained, then what it used.
FAMILIES = (
    *("reward", "aggregate", "accuracy", "pass", "percentage", "loss", "perplexity"),
    *(None, "optimiser", "schedule", "throughput", "efficiency", "memory"),
    *("core task", "data", "compute", "system"),
)
# The step once more, and what a reader chooses as the axis, are straight lines.
STRAIGHT = frozenset({"efficiency/step", *(name for names in COUNTERS.values() for name in names)})
LEAST_ROWS, ROWS_A_RUN = 1_000, 40  # of each metric
MOST_ROWS = 40_000  # of all: at most 0.2 MB of the page
MOST_POINTS = 30_000_000  # that are read for it: 5 CPU s
MOST_METRICS = 200  # each is 0.5 kB of the page before its rows


@dataclass(frozen=True, slots=True)
class Others:
    """What the chart of all other metrics offers."""

    drawn: tuple[Metric, ...]
    rows: Mapping[str, Shares]  # metric -> run -> how many rows of it the page has room for
    left_out: tuple[Metric, ...]  # there is no room for


def others(
    facts: Facts, points: Mapping[str, Mapping[str, int]], elsewhere: Collection[str]
) -> Others:
    """Return the metrics that are not drawn *elsewhere*, the most useful first.

    *points* says by metric and run id how many there are. A line needs two.
    """
    places = {run.run_id: run.index for run in facts.runs}
    elsewhere = {*elsewhere, *STRAIGHT}
    rows: dict[str, Shares] = {}
    drawn: list[Metric] = []
    left_out: list[Metric] = []
    room, reading = MOST_ROWS, MOST_POINTS
    for metric in sorted(facts.catalog.values(), key=_usefulness):
        of = {places[run]: n for run, n in points.get(metric.name, {}).items() if run in places}
        if metric.name in elsewhere or max(of.values(), default=0) < 2:
            continue
        logged = sum(of.values())
        own = min(logged, LEAST_ROWS + ROWS_A_RUN * len(of))
        if own > room or logged > reading or len(drawn) == MOST_METRICS:
            left_out.append(metric)
            continue
        room, reading = room - own, reading - logged
        drawn.append(metric)
        rows[metric.name] = shares(of, own)
    return Others(tuple(drawn), rows, tuple(left_out))


def _usefulness(metric: Metric) -> tuple[int, int, int, str]:
    known = metric.family if metric.family in FAMILIES else None
    return FAMILIES.index(known), -metric.runs, -metric.points, metric.name
