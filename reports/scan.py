"""A snapshot's history, read once and run by run -> all that the page draws and says of it.

    found = scan(project, manifest, facts, wanted)
    found.frame     run, step, total_step, tokens, flops, time, accuracy, eval_step, "train/loss", …

A row is one step of one run at which a drawn metric was measured. A metric's column has a number
where it was measured, NaN where it was not measured at that step, and infinity where it was
measured and is NaN or infinite. ``accuracy`` is that of the last evaluation at or before the step:
never the nearest one, never a later one; before a run's first evaluation there is none.

``step`` is the run's own, ``total_step`` counts on from its parents; ``tokens``, ``flops`` and
``time`` are so far, as ``reports.progress`` says. Above a budget of rows the points of each run are
thinned as ``reports.thinning`` says; a metric that is drawn alone has rows of its own.

100M points of 1,000 runs take 16 CPU s (13 s, reading beside) and less than 0.4 GiB; a statement
for each chart took 140 and 17.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from etl import points as stored
from etl.points import Integers, Points
from etl.project import Project
from etl.snapshot import Manifest
from reports.axes import Accuracy
from reports.load import Facts, Run
from reports.progress import COUNTERS, newest, progress
from reports.thinning import at, held, kept_alone, kept_steps, shares, together

Shares = Mapping[int, int]  # run -> how many rows it may have
# 1,000 runs get 80 rows each: about 1 MB of the page.
LEAST_ROWS, ROWS_A_RUN, MOST_ROWS = 12_000, 80, 80_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page draws by step, and how much of it."""

    metrics: Mapping[str, int]  # and the weight of each, where not all rows can stay
    accuracy: Accuracy | None
    together: Mapping[tuple[str, ...], bool]  # drawn as one, and whether with the accuracy
    medians: tuple[str, ...] = ()  # whose median is told, drawn or not
    others: Mapping[str, Shares] = field(default_factory=dict)  # drawn alone, and how many rows
    budget: int | None = None  # rows of the frame; by default what so many runs have room for


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run logged of one or more metrics together, and why some of it cannot be drawn."""

    logged: int  # points
    not_finite: int
    first_broken: int | None  # the first step that is not finite
    median: float | None  # of those that are, where it was asked for
    before: int  # points before the first evaluation
    held_not_finite: int  # of those after it: the points or the accuracy that held


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows that stay, and what is known of those that do not."""

    frame: pl.DataFrame
    tallies: Mapping[tuple[str, ...], Mapping[int, Tally]]  # metrics -> run -> what it logged
    others: Mapping[str, pl.DataFrame]  # metric -> run, step, tokens, flops, time, value
    best: Mapping[int, tuple[float, int]]  # run -> its best accuracy, and the first step of it
    newest: float | None  # seconds of the epoch


def scan(project: Project, manifest: Manifest, facts: Facts, wanted: Wanted) -> Scan:
    """Return what *wanted* comes to in the snapshot."""
    return _Scan(facts, wanted).of(project, manifest)


@dataclass(slots=True)
class _Scan:
    facts: Facts
    wanted: Wanted
    frames: dict[int, dict[str, Any]] = field(default_factory=dict)
    tallies: dict[tuple[str, ...], dict[int, Tally]] = field(default_factory=dict)
    others: dict[str, dict[int, pl.DataFrame]] = field(default_factory=dict)
    best: dict[int, tuple[float, int]] = field(default_factory=dict)
    newest: float = -math.inf

    def of(self, project: Project, manifest: Manifest) -> Scan:
        places = {run.run_id: run for run in self.facts.runs}
        counters = [name for names in COUNTERS.values() for name in names]
        wanted = self.wanted
        needed = {*wanted.metrics, *wanted.medians, *counters, *wanted.others}
        needed |= {*(wanted.accuracy.metrics if wanted.accuracy else ())}
        room = self._room(project, manifest)
        for run_id, points in stored.runs(project, manifest, needed):
            if run_id in places and points:
                self._add(places[run_id], points, room.get(places[run_id].index, 0))
        frames = [pl.DataFrame(columns) for _, columns in sorted(self.frames.items())]
        return Scan(
            frame=pl.concat([self._empty(), *frames]),
            tallies=self.tallies,
            others={
                metric: pl.concat([of[run] for run in sorted(of)])
                for metric, of in self.others.items()
            },
            best=self.best,
            newest=None if math.isinf(self.newest) else self.newest,
        )

    def _room(self, project: Project, manifest: Manifest) -> dict[int, int]:
        """Return how many rows each run may have."""
        places = {run.run_id: run.index for run in self.facts.runs}
        rows: dict[int, int] = {}
        for run_id, slots in stored.slots(project, manifest, self.wanted.metrics).items():
            if run_id in places:
                blocks = {slot.place: slot.points for slot in slots}
                rows[places[run_id]] = sum(blocks.values())
        for part in manifest.history["long"]:
            if part.key in places:
                rows[places[part.key]] = rows.get(places[part.key], 0) + part.rows
        budget = self.wanted.budget
        if budget is None:
            budget = min(MOST_ROWS, LEAST_ROWS + ROWS_A_RUN * len(rows))
        given = shares(rows, budget)
        return {run: sys.maxsize if given[run] == rows[run] else given[run] for run in rows}

    def _empty(self) -> pl.DataFrame:
        whole = dict.fromkeys(("run", "step", "total_step"), pl.Int64)
        real = dict.fromkeys((*COUNTERS, "accuracy", "eval_step", *self.wanted.metrics), pl.Float64)
        return pl.DataFrame(schema={**whole, **real})

    def _add(self, run: Run, points: dict[str, Points], room: int) -> None:
        accuracy = measured(points, self.wanted.accuracy)
        drawn = {metric: points[metric] for metric in self.wanted.metrics if metric in points}
        weights = dict(self.wanted.metrics)
        several: dict[tuple[str, ...], bool] = {
            (metric,): False for metric in (*weights, *self.wanted.medians, *self.wanted.others)
        }
        for metrics, beside in (several | dict(self.wanted.together)).items():
            if all(metric in points for metric in metrics):
                of = [points[metric] for metric in metrics]
                self._count(run, metrics, of, accuracy)
                if beside and (changes := _changes(of, accuracy)):
                    name = f"accuracy beside {metrics[0]}"
                    drawn[name], weights[name] = changes, 1
        if accuracy is not None:
            self._note_best(run, accuracy)
        self.newest = max(self.newest, newest(points))
        self._place_others(run, points)
        if not drawn:
            return
        steps = kept_steps(drawn, weights, room)
        self._place(run, points, steps, accuracy)

    def _count(
        self, run: Run, metrics: tuple[str, ...], several: list[Points], accuracy: Points | None
    ) -> None:
        steps = together(several)
        values = [of.values if of.steps is steps else at(of, steps) for of in several]
        finite = np.logical_and.reduce([np.isfinite(column) for column in values])
        broken = np.flatnonzero(~finite)
        before = int(np.searchsorted(steps, accuracy.steps[0])) if accuracy else int(steps.size)
        lost = broken.size - int(np.searchsorted(broken, before))
        if accuracy and not np.isfinite(accuracy.values).all():
            since = accuracy.values[held(accuracy, steps[before:])]
            lost = int((~(finite[before:] & np.isfinite(since))).sum())
        median = metrics[0] in self.wanted.medians and len(metrics) == 1
        some = np.sort(values[0][finite]) if median else values[0][:0]
        self.tallies.setdefault(metrics, {})[run.index] = Tally(
            logged=int(steps.size),
            not_finite=int(broken.size),
            first_broken=int(steps[broken[0]]) if broken.size else None,
            median=float(some[(some.size - 1) // 2]) if some.size else None,
            before=before,
            held_not_finite=lost,
        )

    def _note_best(self, run: Run, accuracy: Points) -> None:
        finite = np.where(np.isfinite(accuracy.values), accuracy.values, -np.inf)
        place = int(finite.argmax()) if finite.size else 0
        if finite.size and math.isfinite(finite[place]):
            self.best[run.index] = float(finite[place]), int(accuracy.steps[place])

    def _place(
        self, run: Run, points: dict[str, Points], steps: Integers, accuracy: Points | None
    ) -> None:
        """Take the rows of *run* at *steps*, with their places on all axes."""
        place = held(accuracy, steps)
        since, eval_step = np.full((2, steps.size), np.nan)
        if accuracy is not None and accuracy.steps.size:
            known = place >= 0
            finite = np.isfinite(accuracy.values)
            since[known] = np.where(finite, accuracy.values, np.inf)[place[known]]
            eval_step[known] = accuracy.steps[place[known]]
        self.frames[run.index] = {
            "run": np.full(steps.size, run.index),
            "step": steps,
            "total_step": steps + run.offset,
            **progress(run, points, steps),
            "accuracy": since,
            "eval_step": eval_step,
            **{metric: at(points.get(metric), steps) for metric in self.wanted.metrics},
        }

    def _place_others(self, run: Run, points: dict[str, Points]) -> None:
        """Take the rows of the metrics that are drawn alone, each at steps of its own."""
        own: dict[str, Integers] = {}
        for metric, room in self.wanted.others.items():
            if metric in points and run.index in room:
                own[metric] = kept_alone(points[metric], room[run.index])
        if not own:
            return
        every = np.unique(np.concatenate([*own.values()]))
        columns = {"run": np.full(every.size, run.index), "step": every}
        rows = pl.DataFrame(columns | progress(run, points, every))
        for metric, steps in own.items():
            value = pl.Series("value", at(points[metric], steps))
            some = rows[np.searchsorted(every, steps)].with_columns(value)
            self.others.setdefault(metric, {})[run.index] = some


def measured(points: Mapping[str, Points], accuracy: Accuracy | None) -> Points | None:
    """Return a run's accuracy: one metric, or the mean of several where all were measured."""
    if accuracy is None or not all(metric in points for metric in accuracy.metrics):
        return None
    several = [points[metric] for metric in accuracy.metrics]
    if len(several) == 1:
        return several[0]
    steps = together(several)
    if not steps.size:
        return None
    values = [of.values[np.searchsorted(of.steps, steps)] for of in several]
    # one after the other: the bytes must not depend on how numpy adds in pairs
    total = values[0]
    for more in values[1:]:
        total = total + more
    return Points(steps, np.full(steps.size, np.nan), total / len(several))


def _changes(several: Sequence[Points], accuracy: Points | None) -> Points | None:
    """Return the first step of *several* at which each value of the accuracy held."""
    steps = together(several)
    if accuracy is None or not steps.size:
        return None
    first = np.searchsorted(steps, accuracy.steps)  # of two evaluations before it the last holds
    holds = (first < steps.size) & (np.diff(first, append=steps.size + 1) > 0)
    if not holds.any():
        return None
    return Points(steps[first[holds]], np.full(holds.sum(), np.nan), accuracy.values[holds])
