"""How far two trainings of one config differ by chance -> whether a difference says anything.

Two rules, and which one was used is always said. *Repeats*: runs of one config that differ in
their seed alone; their standard deviation, pooled over all such groups. *Scatter*: where there are
none, the metric's own unrest late in training, from its second differences (how far a value lies
off the line between its neighbours), which a trend hardly touches. Either way ``limit`` is what 95
of 100 pairs of equal trainings differ by at most, as in ISO 5725: Student's t times the root of two
times the standard deviation.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from etl.state import State

# Student's t for 95% on both sides, by degrees of freedom; beyond them the normal 1.96 plus 2.4/n
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
# The last quarter of a run's values is late in training, at least six, at most half of them.
_LATE_BENDS = """
    with placed as (
        select run_id, metric, step, value,
            row_number() over (partition by run_id, metric order by step desc) as back,
            count(*) over (partition by run_id, metric) as number
        from history where isfinite(value)
    ), stepped as (
        select run_id, metric,
            abs(value - 2 * lag(value) over one + lag(value, 2) over one) as bend
        from placed where number >= 10 and back <= greatest(6, ceil(number / 4))
        window one as (partition by run_id, metric order by step)
    )
    select run_id, metric, median(bend), count(*) from stepped
    group by run_id, metric order by run_id, metric
"""
# What tells two repeats of one training from each other: the seed, and what the run is called.
_OWN_KEYS = re.compile(
    r"(?i)(^|.*[._-])seed|run|name|(run|exp\w*)_?(name|id)|model_?tag|(out|output|log|save)_?dir"
)
_MAD = 1.4826  # standard deviations of a normal distribution in its median absolute deviation


@dataclass(frozen=True, slots=True)
class Noise:
    """What chance alone does to a metric; ``limit`` is in the metric's unit."""

    limit: float
    rule: str  # repeats or scatter
    count: int  # of runs that repeat each other, or of values


def of_repeats(values: Sequence[Sequence[float]]) -> Noise | None:
    """Return the noise that groups of repeated trainings show, pooled; None without a pair."""
    groups = [group for group in values if len(group) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return None
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in groups)
    deviation = math.sqrt(squares / freedom)
    t = _T[freedom - 1] if freedom <= len(_T) else 1.96 + 2.4 / freedom
    return _noise(t * deviation, "repeats", sum(map(len, groups)))


def scatters(state: State, runs: Collection[str]) -> dict[tuple[str, str], Noise]:
    """Return by run and metric the noise that their own late values show, where these suffice."""
    found = {}
    for run, metric, median, count in state.ask(_LATE_BENDS, runs):
        deviation = _MAD * median / math.sqrt(6)  # a second difference has six variances
        if size := _noise(1.96 * deviation, "scatter", count):
            found[run, metric] = size
    return found


def _noise(deviations: float, rule: str, count: int) -> Noise | None:
    # values that never differ (an accuracy of 0 throughout) are no measure of chance
    limit = math.sqrt(2) * deviations
    return Noise(limit, rule, count) if limit > 0 and math.isfinite(limit) else None


def larger(*found: Noise | None) -> Noise | None:
    """Return the noise of the most telling rule, and of two by the same rule the larger one."""
    known = [noise for noise in found if noise is not None]
    return max(known, key=lambda noise: (noise.rule == "repeats", noise.limit), default=None)


def repeats(state: State) -> list[list[str]]:
    """Return the groups of runs of one stage and config that differ in their seed alone."""
    groups: dict[object, list[str]] = {}
    configs = _fingerprints(state)
    for run, row in sorted(state.runs.items()):
        if configs.get(run) and row["state"] == "finished":
            groups.setdefault((row["stage"], _ancestry(run, state, configs)), []).append(run)
    return [group for group in groups.values() if len(group) > 1]


def _fingerprints(state: State) -> Mapping[str, int]:
    keys = state.config_rows["key"].unique().to_list()
    return state.fingerprints([key for key in keys if _OWN_KEYS.fullmatch(key)])


def _ancestry(run: str, state: State, configs: Mapping[str, int]) -> tuple[int | None, ...]:
    """Return the fingerprints of a run and of all that it was trained from."""
    seen: list[str] = []
    at: str | None = run
    while at is not None and at not in seen:
        seen.append(at)
        at = state.runs.get(at, {}).get("parent_run_id")
    return tuple(configs.get(one) for one in seen)
