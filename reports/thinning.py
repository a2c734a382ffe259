"""The points of one run -> which of them stay: joint M4 over every metric that is drawn.

Of each metric and bucket of steps those points stay that are first, last, hold the least or the
greatest finite value (of equals the first), or are the first that is not finite. Where one stays,
all that was measured at its step stays with it: every extreme is kept, and so is what belongs
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from etl.points import Floats, Integers, Points


def m4(steps: Integers, values: Floats, buckets: int) -> Integers:
    """Return the places of the points that stay, in their order."""
    if steps.size <= 4 * buckets:
        return np.arange(steps.size)
    width = (int(steps[-1]) - int(steps[0])) // buckets + 1
    edges = steps[0] + width * np.arange(buckets)
    first = np.unique(np.searchsorted(steps, edges[edges <= steps[-1]]))  # empty buckets have none
    sizes = np.diff(first, append=steps.size)
    finite = np.isfinite(values)
    whole = bool(finite.all())
    kept = [first, first + sizes - 1]
    for least, empty in ((np.minimum, np.inf), (np.maximum, -np.inf)):
        some = values if whole else np.where(finite, values, empty)
        ends = np.repeat(least.reduceat(some, first), sizes)
        held = values == ends
        kept.append(_first_of_each(np.flatnonzero(held if whole else held & finite), first))
    if not whole:
        kept.append(_first_of_each(np.flatnonzero(~finite), first))
    return np.unique(np.concatenate(kept))


def extremes(steps: Integers, values: Floats, room: int) -> Integers:
    """Return the places of the points that stay where there is *room* for about so many."""
    return m4(steps, values, steps.size if steps.size <= room else max(1, room // 4))


def kept_alone(of: Points, room: int) -> Integers:
    """Return the steps of one metric that stay, about *room* at most.

    What lies on straight lines, as a schedule does, is told by its corners and loses nothing.
    """
    steps, _, values = of
    if steps.size <= room:
        return steps
    turning = corners(steps, values)
    return steps[turning if turning.size <= room else extremes(steps, values, room)]


def corners(steps: Integers, values: Floats) -> Integers:
    """Return the places of the points that do not lie between their neighbours on a straight line.

    As near as floats can tell: a cosine of 100,000 steps bends by more than that at each of them.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = np.diff(values) / np.diff(steps)
        bends = np.abs(np.diff(slopes))
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    straight = bends <= 4 * np.finfo(np.float64).eps * largest  # not of what is not finite
    return np.concatenate([[0], 1 + np.flatnonzero(~straight), [steps.size - 1]])


def _first_of_each(places: Integers, first: Integers) -> Integers:
    bucket = np.searchsorted(first, places, side="right")
    return places[np.flatnonzero(np.diff(bucket, prepend=-1))]


def kept_steps(points: Mapping[str, Points], weights: Mapping[str, int], share: int) -> Integers:
    """Return the steps of a run that stay, about *share* of them at most, or all.

    Metrics that were logged at the same steps share what *weights* give to the heaviest of them;
    what one such group does not need goes to the others.
    """
    groups: dict[tuple[int, int, int], list[str]] = {}
    for metric, (steps, _, _) in points.items():
        groups.setdefault((steps.size, int(steps[0]), int(steps[-1])), []).append(metric)
    waiting = [
        (max(weights[metric] for metric in group), size, group)
        for (size, _, _), group in groups.items()
    ]
    waiting.sort(key=lambda entry: (entry[1] / entry[0], entry[2]))
    left, total = share, sum(weight for weight, _, _ in waiting)
    kept = []
    for weight, size, group in waiting:
        own = left * weight // total
        buckets = size if size <= own else max(1, own // (2 + 2 * len(group)))
        if size <= own:
            kept.append(points[group[0]].steps)
        else:
            kept += [points[m].steps[m4(points[m].steps, points[m].values, buckets)] for m in group]
        left -= min(size, own)
        total -= weight
    return np.unique(np.concatenate(kept)) if kept else np.empty(0, dtype=np.int64)


def shares(rows: Mapping[int, int], budget: int) -> dict[int, int]:
    """Return how many of *budget* rows each run gets; what short runs leave goes to the long."""
    left, waiting, found = budget, len(rows), {}
    for run in sorted(rows, key=lambda run: (rows[run], run)):
        found[run] = min(rows[run], left // waiting)
        left -= found[run]
        waiting -= 1
    return found


def at(points: Points | None, steps: Integers) -> Floats:
    """Return a metric at *steps*: NaN where it was not measured, infinity where not finite."""
    values = np.full(steps.size, np.nan)
    if points is not None and points.steps.size:
        place = np.searchsorted(points.steps, steps).clip(max=points.steps.size - 1)
        there = points.steps[place] == steps
        found = points.values[place[there]]
        values[there] = np.where(np.isfinite(found), found, np.inf)
    return values


def held(points: Points | None, steps: Integers) -> Integers:
    """Return the place of the last of *points* at or before each of *steps*, else -1."""
    if points is None:
        return np.full(steps.size, -1)
    return np.searchsorted(points.steps, steps, side="right") - 1


def together(points: Sequence[Points]) -> Integers:
    """Return the steps at which all of *points* were measured."""
    steps = points[0].steps
    for other in points[1:]:
        if other.steps is not steps:
            steps = np.intersect1d(steps, other.steps, assume_unique=True)
    return steps
