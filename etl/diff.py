"""Two snapshots of a project -> what is new, gone and changed between them.

Reads manifests and parts alone. A run whose parts carry the same hashes in both is not opened, so
a comparison costs what changed. ``diff(a, b)`` mirrors ``diff(b, a)``, but for the compute that it
takes to reach the baseline, which is a run of the earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import polars as pl

from etl import eras, noise, reach, snapshot
from etl.noise import Noise
from etl.project import Project
from etl.reach import Reach
from etl.snapshot import Manifest
from etl.state import State

# What is said of a run beside its history and config.
FACTS = ("name", "stage", "parent_run_id", "era", "exit_code", "group_name", "tags", "notes")
# What quality is measured by; a record in throughput says more of the machine.
QUALITY = ("loss", "accuracy", "aggregate", "pass", "reward")


@dataclass(frozen=True, slots=True)
class Setting:
    """One entry of a run's config that differs; None is where it has none."""

    key: str
    kind: str  # requested or effective
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One run that is new, gone or changed; what does not apply is None or empty."""

    run_id: str
    name: str
    stage: str | None
    kind: str  # new, gone or changed
    state: tuple[str | None, str | None]
    points: tuple[int, int]
    last_step: tuple[int | None, int | None]
    facts: Mapping[str, tuple[object, object]]
    config: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A value that differs: of one run by a rule, or the best that any run of a stage has."""

    metric: str
    rule: str  # best or last
    stage: str | None
    before: float
    after: float
    runs: tuple[str, str]  # whose values these are
    direction: str | None
    noise: Noise | None
    comparable: bool = True  # whether the metric means the same in both runs

    @property
    def better(self) -> bool | None:
        """Whether the later value is the better one; None where no direction is known."""
        if self.direction is None or math.isnan(self.before) or math.isnan(self.after):
            return None
        return (self.after < self.before) == (self.direction == "min")

    @property
    def beyond(self) -> bool | None:
        """Whether it moved by more than chance does; None where that is not known."""
        if math.isfinite(self.before) != math.isfinite(self.after):
            return True
        if self.noise is None or not self.comparable:
            return None
        return abs(self.after - self.before) > self.noise.limit


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed from one snapshot to another."""

    before: Manifest
    after: Manifest
    runs: tuple[Change, ...]
    records: tuple[Move, ...]  # of the project: best by stage and metric
    moves: tuple[Move, ...]  # of runs that are in both
    baseline: str | None  # a run id
    reaches: tuple[Reach, ...]
    metrics: tuple[tuple[str, ...], tuple[str, ...]]  # gone, new

    def of_kind(self, kind: str) -> list[Change]:
        """Return the runs that are ``new``, ``gone`` or ``changed``."""
        return [change for change in self.runs if change.kind == kind]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.runs or self.moves or self.records or any(self.metrics))


def diff(project: Project, before: Manifest, after: Manifest, baseline: str | None = None) -> Diff:
    """Return what changed from *before* to *after*, two snapshots of *project*.

    *baseline* is the id or the name of a run; by default it is the best run of *before*.

    Raises:
        UsageError: a part of either snapshot is not there.
    """
    for manifest in (before, after):
        snapshot.require(project, manifest)
    old, new = State(project, before), State(project, after)
    runs = _runs(old, new)
    grown = [c.run_id for c in runs if c.kind == "changed" and _values_differ(old, new, c.run_id)]
    found = _moved(old, new, set(grown)), _records(old, new) if runs else []
    moved, records = _with_noise(old, new, found)
    held = old if (reference := reach.baseline(old, baseline)) else new
    reference = reference or (reach.baseline(new, baseline) if baseline else None)
    present = [change.run_id for change in runs if change.kind != "gone"]
    return Diff(
        before=before,
        after=after,
        runs=runs,
        records=tuple(records),
        moves=tuple(moved),
        baseline=reference,
        reaches=tuple(reach.reaches(held, reference, new, present)) if reference else (),
        metrics=_metrics(old, new),
    )


def _metrics(old: State, new: State) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if old.digests("metrics") == new.digests("metrics"):
        return (), ()
    gone, added = old.metrics.keys() - new.metrics.keys(), new.metrics.keys() - old.metrics.keys()
    return tuple(sorted(gone)), tuple(sorted(added))


def _values_differ(old: State, new: State, run: str) -> bool:
    return old.history_digests().get(run) != new.history_digests().get(run)


def _runs(old: State, new: State) -> tuple[Change, ...]:
    tables = ("runs", "config")
    histories = old.history_digests(), new.history_digests()
    same = [old.digests(table) == new.digests(table) for table in tables]
    if all(same) and histories[0] == histories[1]:
        return ()
    ids = old.runs.keys() | new.runs.keys()
    settings = {} if same[1] else _settings(old, new, old.runs.keys() & new.runs.keys())
    changes = []
    for run in sorted(ids):
        change = _change(run, old, new, settings.get(run, ()))
        if change.kind != "changed" or _differs(change, [h.get(run) for h in histories]):
            changes.append(change)
    return tuple(changes)


def _differs(change: Change, histories: list[list[str] | None]) -> bool:
    state = change.state[0] != change.state[1]
    return bool(state or change.facts or change.config or histories[0] != histories[1])


def _change(run: str, old: State, new: State, settings: tuple[Setting, ...]) -> Change:
    was, now = old.runs.get(run), new.runs.get(run)
    row = now or was or {}
    pair = [was or {}, now or {}]
    facts = {key: (pair[0][key], pair[1][key]) for key in FACTS} if was and now else {}
    return Change(
        run_id=run,
        name=row["name"] or run,
        stage=row["stage"],
        kind="new" if was is None else "gone" if now is None else "changed",
        state=(pair[0].get("state"), pair[1].get("state")),
        points=(pair[0].get("points") or 0, pair[1].get("points") or 0),
        last_step=(pair[0].get("last_step"), pair[1].get("last_step")),
        facts={key: values for key, values in facts.items() if values[0] != values[1]},
        config=settings,
    )


def _settings(old: State, new: State, both: Collection[str]) -> dict[str, tuple[Setting, ...]]:
    """Return what differs in the config of runs that are in both, by run id."""
    prints = old.fingerprints(), new.fingerprints()
    changed = [run for run in both if prints[0].get(run) != prints[1].get(run)]
    rows = [state.config_rows.filter(pl.col("run_id").is_in(changed)) for state in (old, new)]
    on = ["run_id", "kind", "key", "value"]
    left, right = (
        one.join(other, on=on, how="anti", nulls_equal=True) for one, other in (rows, rows[::-1])
    )
    found: dict[str, dict[tuple[str, str], list[str | None]]] = {}
    for place, frame in enumerate((left, right)):
        for run, kind, key, value in frame.iter_rows():
            found.setdefault(run, {}).setdefault((key, kind), [None, None])[place] = value
    return {
        run: tuple(Setting(*key, *values) for key, values in sorted(of_run.items()))
        for run, of_run in found.items()
    }


class _Chance:
    """The noise of a metric, from both snapshots alike, so that a comparison mirrors itself."""

    def __init__(self, old: State, new: State, runs: Collection[str]) -> None:
        self.states = (old, new)
        self.repeats = [noise.repeats(state) for state in self.states]
        self.scatters = [noise.scatters(state, runs) for state in self.states]

    def of(self, metric: str, rule: str, stage: str | None, runs: Collection[str]) -> Noise | None:
        """Return the larger noise of both: of repeats in *stage*, else the scatter of *runs*."""
        found = [
            self._repeats(state, groups, metric, rule, stage)
            for state, groups in zip(self.states, self.repeats, strict=True)
        ]
        if not any(found):
            found = [known.get((run, metric)) for known in self.scatters for run in runs]
        return noise.larger(*found)

    @staticmethod
    def _repeats(
        state: State, groups: list[list[str]], metric: str, rule: str, stage: str | None
    ) -> Noise | None:
        groups = [group for group in groups if state.runs[group[0]]["stage"] == stage]
        values = _values(state, metric, rule) if groups else {}
        finite = {run: value for run, value in values.items() if math.isfinite(value)}
        return noise.of_repeats([[finite[r] for r in group if r in finite] for group in groups])


def _with_noise(old: State, new: State, found: Collection[list[Move]]) -> list[tuple[Move, ...]]:
    runs = {run for moves in found for move in moves for run in move.runs}
    if not runs:
        return [() for _ in found]
    chance = _Chance(old, new, runs)
    return [
        tuple(
            replace(move, noise=chance.of(move.metric, move.rule, move.stage, move.runs))
            for move in moves
        )
        for moves in found
    ]


def _values(state: State, metric: str, rule: str) -> dict[str, float]:
    rows = state.summary.filter(metric=metric, rule=rule)
    return dict(rows.select("run_id", "value").iter_rows())


def _moved(old: State, new: State, runs: Collection[str]) -> list[Move]:
    """Return the best and last values of *runs* that differ, their noise not yet known.

    Of metrics that are known to have no better direction (a schedule, a count) nothing is said.
    """
    sides = [
        {
            (run, metric, rule): value
            for run, metric, rule, value, _ in state.summary.iter_rows()
            if run in runs and rule in ("best", "last")
        }
        for state in (old, new)
    ]
    found = []
    for run, metric, rule in sorted(sides[0].keys() & sides[1].keys()):
        before, after = (side[run, metric, rule] for side in sides)
        way = new.directions.get(metric)
        if way is None and new.metrics[metric]["known"]:
            continue
        if before != after and not (math.isnan(before) and math.isnan(after)):
            stage = new.runs[run]["stage"]
            found.append(Move(metric, rule, stage, before, after, (run, run), way, None))
    return found


def _records(old: State, new: State) -> list[Move]:
    """Return the best values of the project, by stage and metric, that differ."""
    was, now = bests(old), bests(new)
    found = []
    for stage, metric in sorted(was.keys() & now.keys()):
        (before, one), (after, other) = was[stage, metric], now[stage, metric]
        if before != after:
            way = new.directions.get(metric)
            eras_of = old.runs[one]["era"], new.runs[other]["era"]
            same = eras.comparable(metric, stage, *eras_of)
            found.append(Move(metric, "best", stage, before, after, (one, other), way, None, same))
    return found


def bests(state: State) -> dict[tuple[str, str], tuple[float, str]]:
    """Return the best finite value of each stage and metric of quality, and whose it is."""
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for run, metric, rule, value, _ in state.summary.sort("run_id", "metric", "rule").iter_rows():
        way = state.directions.get(metric)
        if rule not in ("best", "reported") or way is None or not math.isfinite(value):
            continue
        if run not in state.runs or state.metrics[metric]["family"] not in QUALITY:
            continue
        key = (state.runs[run]["stage"] or "unknown", metric)
        known = found.get(key)
        if known is None or (value < known[0] if way == "min" else value > known[0]):
            found[key] = (value, run)
    return found
