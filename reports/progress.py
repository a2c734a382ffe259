"""A run's steps -> how far it had come: tokens, floating point operations and seconds so far.

A counter that the run logged, on a straight line between two of its values and never beyond them;
tokens else as steps times the effective batch size; time else since the run's first record. NaN
where the run does not say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from etl.points import Floats, Integers, Points
from reports.load import Run, Value
from reports.thinning import at

# Counters that runs log of what they have used so far, by axis, the preferred one first.
COUNTERS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("total_tokens", "num_input_tokens_seen"),
    "flops": ("total_training_flops", "total_flos"),
    "time": ("total_training_time",),
}
TOKENS_A_STEP = "total_batch_size"


def progress(run: Run, points: Mapping[str, Points], steps: Integers) -> dict[str, Floats]:
    """Return the run's places at *steps* on the axes of COUNTERS; *points* are all that is read."""
    found = {}
    for axis, names in COUNTERS.items():
        counter = next((points[name] for name in names if name in points), None)
        if counter is not None:
            found[axis] = _between(counter, steps)
        elif axis == "tokens":
            found[axis] = _trained_on(steps, run.config.get(TOKENS_A_STEP))
        elif axis == "time":
            found[axis] = _elapsed(points, steps)
        else:
            found[axis] = np.full(steps.size, np.nan)
    return found


def newest(points: Mapping[str, Points]) -> float:
    """Return the last time of *points*, in seconds of the epoch; -inf where none is known."""
    return max(float(np.nanmax(of.ts, initial=-np.inf)) for of in _each_once(points))


def _each_once(points: Mapping[str, Points]) -> Iterable[Points]:
    """Return one metric of each that share their times, as all do that were logged together."""
    return {id(of.ts): of for of in points.values()}.values()


def _between(counter: Points, steps: Integers) -> Floats:
    finite = np.isfinite(counter.values)
    if not finite.any():
        return np.full(steps.size, np.nan)
    known = counter.steps[finite].astype(np.float64)
    return np.interp(steps, known, counter.values[finite], left=np.nan, right=np.nan)


def _trained_on(steps: Integers, each: Value) -> Floats:
    # nanochat's configs say -1 for "to be found out"
    if isinstance(each, float) and 0 < each < math.inf:
        return steps.astype(np.float64) * each
    return np.full(steps.size, np.nan)


def _elapsed(points: Mapping[str, Points], steps: Integers) -> Floats:
    ts = np.full(steps.size, np.nan)
    start = math.inf
    for of in _each_once(points):
        start = min(start, float(np.nanmin(of.ts[:1], initial=np.inf)))
        ts = np.fmin(ts, at(Points(of.steps, of.ts, of.ts), steps))
    ts[~np.isfinite(ts)] = np.nan  # a time that is not known
    return ts - start
