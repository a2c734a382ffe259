"""How much compute a run takes to come as far as the baseline -> the compute multiplier.

The level is the baseline's best bits per byte. Compute is FLOPs where both runs logged them, else
tokens where both configs say how many a step takes, else steps. A run that never comes that far
has no multiplier: nothing is extrapolated.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from etl import eras
from etl.state import State

METRIC = "val/bpb"
_FLOPS = "total_training_flops"
_TOKENS_A_STEP = "total_batch_size"


@dataclass(frozen=True, slots=True)
class Reach:
    """What one run needed to reach the baseline's best; ``amount`` is None where it never did."""

    run_id: str
    unit: str  # FLOPs, tokens or steps
    level: float
    of_baseline: float
    amount: float | None
    step: int | None
    comparable: bool  # whether the metric means the same in both runs

    @property
    def multiplier(self) -> float | None:
        """Return how many times the baseline's compute per this run's: more is better."""
        if not self.comparable or not self.amount:
            return None
        return self.of_baseline / self.amount


def baseline(state: State, named: str | None) -> str | None:
    """Return the run to measure against: the one *named*, by id or name, else the best one.

    Of several it is the one with the lowest bits per byte, in pretraining if that was measured
    there, else in the first stage by name. None where no run has measured them.
    """
    rows = state.summary.sort("value", "run_id")
    best = {
        run: value
        for run, metric, rule, value, _ in rows.iter_rows()
        if metric == METRIC and rule == "best" and run in state.runs and math.isfinite(value)
    }
    wanted = [run for run in best if named in (run, state.runs[run]["name"])]
    if named is not None:
        return wanted[0] if wanted else None
    stages = sorted({str(state.runs[run]["stage"]) for run in best})
    stage = "pretraining" if "pretraining" in stages else next(iter(stages), None)
    return next((run for run in best if str(state.runs[run]["stage"]) == stage), None)


def reaches(held: State, reference: str, state: State, runs: Collection[str]) -> list[Reach]:
    """Return what each of *runs* of *state*, of the reference's stage, needed to come as far.

    *held* is the snapshot whose values of *reference* count.
    """
    stage = held.runs[reference]["stage"]
    rivals = [run for run in sorted(runs) if state.runs[run]["stage"] == stage and run != reference]
    wanted = (METRIC, _FLOPS)
    own = held.series([reference], wanted)
    steps, values = own.get((reference, METRIC), ([], []))
    finite = [value for value in values if math.isfinite(value)]
    if not finite or not rivals:
        return []
    level = min(finite)
    tokens = held.setting(_TOKENS_A_STEP).get(reference)
    base = _Run(held.runs[reference], steps, values, own.get((reference, _FLOPS)), tokens)
    found, series, batches = [], state.series(rivals, wanted), state.setting(_TOKENS_A_STEP)
    for run in rivals:
        if (run, METRIC) not in series:
            continue
        flops = series.get((run, _FLOPS))
        one = _Run(state.runs[run], *series[run, METRIC], flops, batches.get(run))
        found.append(_reach(base, one, level))
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    row: dict[str, Any]
    steps: Sequence[int]
    values: Sequence[float]
    flops: tuple[Sequence[int], Sequence[float]] | None
    tokens: float | None  # a step

    def first(self, level: float) -> int | None:
        """Return the first step at which the run is as good as *level*."""
        pairs = zip(self.steps, self.values, strict=True)
        return next((step for step, value in pairs if value <= level), None)

    def amount(self, unit: str, step: int) -> float | None:
        """Return the compute up to *step*, or None where the run does not say."""
        if unit == "steps":
            return float(step)
        if unit == "tokens":
            return None if self.tokens is None else self.tokens * step
        return _between(*self.flops, step) if self.flops else None


def _reach(base: _Run, run: _Run, level: float) -> Reach:
    at, step = base.first(level), run.first(level)
    unit, own, theirs = "steps", None, None
    for unit in ("FLOPs", "tokens", "steps"):
        own = base.amount(unit, at or 0)
        theirs = run.amount(unit, run.steps[-1] if step is None else step)
        if own and theirs is not None:
            break
    return Reach(
        run_id=run.row["run_id"],
        unit=unit,
        level=level,
        of_baseline=own or 0.0,
        amount=None if step is None else theirs,
        step=step,
        comparable=eras.comparable(METRIC, base.row["stage"], base.row["era"], run.row["era"]),
    )


def _between(steps: Sequence[int], values: Sequence[float], step: int) -> float | None:
    """Return the value at *step*, on a straight line between its neighbours, never beyond them."""
    at = bisect.bisect_left(steps, step)
    if at < len(steps) and steps[at] == step:
        return values[at]
    if not 0 < at < len(steps):
        return None
    share = (step - steps[at - 1]) / (steps[at] - steps[at - 1])
    return values[at - 1] + share * (values[at] - values[at - 1])
