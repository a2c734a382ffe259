"""A snapshot and an earlier one -> what the page says changed between them, headline first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etl import diff, snapshot
from etl.diff import Change, Diff, Move
from etl.errors import RunatlasError
from etl.noise import Noise
from etl.project import Project
from etl.reach import Reach
from etl.snapshot import Manifest
from reports import words
from reports.axes import Metric
from reports.closest import Closest
from reports.load import Facts
from reports.news import Changed, Named, ReachLine, RunLine, ValueLine

PREVIOUS = "previous"
MOST_ROWS = 40  # of each table; what is left out is counted
_MOST_KEYS = 6  # of a config, in one line
# What people compare first, in this order; then other accuracies and losses.
_HEADLINES = ("val/bpb", "core_metric", "chatcore_metric")
_NOISE = {"repeats": "seed noise", "scatter": "late scatter"}


def changed(
    project: Project, manifest: Manifest, facts: Facts, against: str, baseline: str | None
) -> Changed:
    """Return what changed in snapshot *manifest* since *against*, an id or ``previous``.

    Raises:
        UsageError: *against* is an id, and no such snapshot is there as a whole.
    """
    if against == PREVIOUS:
        if manifest.previous is None:
            return Changed("This is the project’s first snapshot: nothing to compare it with.")
        try:
            earlier = snapshot.read_manifest(project, manifest.previous)
            snapshot.require(project, earlier)
        except RunatlasError:
            return Changed(
                f"The previous snapshot, {manifest.previous}, is not here:"
                " carry its manifest and parts along to see what changed."
            )
    else:
        earlier = snapshot.read_manifest(project, against)
    return _Teller(facts, diff.diff(project, earlier, manifest, baseline)).tell()


class _Teller:
    """Says a comparison in the words of the page."""

    def __init__(self, facts: Facts, found: Diff) -> None:
        self.found, self.facts = found, facts
        self.places = {run.run_id: run for run in facts.runs}
        self.changes = {change.run_id: change for change in found.runs}
        self.closest: dict[str, Closest] = {}  # by stage

    def tell(self) -> Changed:
        """Return the whole section."""
        found = self.found
        telling = [move for move in found.moves if move.beyond is not False]
        settings = [(c.run_id, s) for c in found.of_kind("changed") for s in c.config]
        rows: dict[str, tuple[Sequence[Any], Callable[[Any], Any]]] = {
            "runs": (_ordered(found.runs), self.run_line),
            "records": (_by_weight(found.records), self.value_line),
            "moves": (_by_weight(telling), self.value_line),
            "reaches": (_by_multiplier(found.reaches), self.reach_line),
            "settings": (settings, lambda pair: (self.named(pair[0]), pair[1])),
        }
        shown = {
            name: [line(one) for one in some[:MOST_ROWS]] for name, (some, line) in rows.items()
        }
        return Changed(
            headline=self.headline(),
            against=found.before.snapshot,
            still=len(found.moves) - len(telling),
            reach_title=self.reach_title(),
            left_out={name: max(0, len(some) - MOST_ROWS) for name, (some, _) in rows.items()},
            metrics=self.metrics(),
            **shown,
        )

    def named(self, run_id: str) -> Named:
        """Return a run of either snapshot as the page names it."""
        run = self.places.get(run_id)
        if run is not None:
            return Named(run.name, run.stage, run.index)
        gone = self.changes.get(run_id)
        return Named(gone.name if gone else run_id, (gone.stage if gone else "") or "unknown", None)

    def metric(self, name: str) -> Metric:
        """Return a metric of the later snapshot, or a bare one that only the earlier one had."""
        known = self.facts.catalog.get(name)
        return known or Metric(name, None, None, None, known=False, runs=0, points=0)

    def headline(self) -> str:
        """Return the one sentence that says the most."""
        found = self.found
        if found.empty:
            return f"No run, setting or value differs from snapshot {found.before.snapshot}."
        parts = [self.counts()] if found.runs else ["No run is new, gone or changed"]
        records = _by_weight(found.records)
        better = [move for move in records if move.better and move.beyond]
        if better:
            parts.append(self.record_words(better[0]))
        elif records:
            parts.append(self.record_words(records[0]))
        elif found.runs:
            parts.append("no best value of the project changed")
        return "; ".join(parts) + "."

    def counts(self) -> str:
        """Return how many runs are new, changed and gone, and what became of one that ended."""
        found = self.found
        new, other, gone = (len(found.of_kind(kind)) for kind in ("new", "changed", "gone"))
        parts = [words.count(new, "new run")] if new else []
        parts += [f"{other:,} changed"] if other else []
        parts += [f"{gone:,} gone"] if gone else []
        ended = [c for c in found.of_kind("changed") if c.state[0] != c.state[1]]
        text = words.listed(parts) if new else words.listed(parts).replace(" ", " run ", 1)
        if len(ended) == 1:
            run = self.named(ended[0].run_id)
            text += f", {run.name} ({run.stage}) now {ended[0].state[1]}"
        return text[0].upper() + text[1:]

    def record_words(self, move: Move) -> str:
        """Return one record as half a sentence."""
        metric, run = self.metric(move.metric), self.named(move.runs[1])
        unit = f" {metric.unit}" if metric.unit and metric.unit != "fraction" else ""
        best = f"the best {move.stage} {metric.label}"
        size = f"by {_rounded(abs(move.after - move.before))}{unit}"
        if move.better:
            return f"{run.name} improved {best} {size}, {_judged(move)}"
        return f"{best} got worse {size}, {_judged(move)}, and is now {run.name}’s"

    def run_line(self, change: Change) -> RunLine:
        """Return what is to be said of one run."""
        run = self.named(change.run_id)
        parts: list[str] = []
        if change.kind == "changed":
            if change.state[0] != change.state[1]:
                parts.append(f"{change.state[0]} → {change.state[1]}")
            more = change.points[1] - change.points[0]
            if more:
                parts.append(f"{more:+,} points".replace("-", "−"))
            if change.last_step[0] != change.last_step[1]:
                parts.append("last step " + " → ".join(map(_whole, change.last_step)))
            parts += [words.count(len(change.config), "setting")] if change.config else []
            parts += [_fact(key, *values) for key, values in sorted(change.facts.items())]
            parts = parts or ["values replaced"]
        else:
            at = int(change.kind == "new")
            parts += [change.state[at] or "unknown", words.count(change.points[at], "point")]
            parts += self.relation(change) if change.kind == "new" else []
        return RunLine(run, change.kind, " · ".join(parts))

    def relation(self, change: Change) -> list[str]:
        """Return how a new run's config differs from that of the closest one that was there."""
        own = self.places[change.run_id]
        if own.stage not in self.closest:
            added = {c.run_id for c in self.found.of_kind("new")}
            runs = [run for run in self.facts.runs if run.stage == own.stage]
            old = [run for run in runs if run.run_id not in added]
            self.closest[own.stage] = Closest(old, [run for run in runs if run.run_id in added])
        found = self.closest[own.stage].of(own)
        if found is None:
            return []
        other, keys = found
        said = [f"{key} {words.setting(own.config.get(key))}" for key in keys[:_MOST_KEYS]]
        rest = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
        return [f"as {other.name}, but {', '.join(said)}{rest}" if said else f"as {other.name}"]

    def value_line(self, move: Move) -> ValueLine:
        """Return one value that moved."""
        metric = self.metric(move.metric)
        form = "f4" if metric.family in ("loss", "accuracy", "aggregate", "pass") else "g"
        verdict = {True: "better", False: "worse", None: "moved"}[move.better]
        if move.beyond is None:
            verdict = "unknown"
        elif not move.beyond:
            verdict = "noise"
        return ValueLine(
            label=f"{move.rule} {metric.label}",
            unit=metric.unit_words,
            stage=move.stage or "unknown",
            before=words.number(move.before, form),
            after=words.number(move.after, form),
            delta=_signed(move.after - move.before),
            runs=(self.named(move.runs[0]), self.named(move.runs[1])),
            noise=_rounded(move.noise.limit) if move.noise else words.MISSING,
            verdict=verdict,
            title=_explained(move),
        )

    def reach_title(self) -> str:
        """Return what the compute is measured by and against whom."""
        found = self.found
        if found.baseline is None or not found.reaches:
            return ""
        base = self.named(found.baseline)
        level = words.number(found.reaches[0].level, "f4")
        return f"Compute to {level} bits/byte, the best val/bpb of {base.name}"

    def reach_line(self, reach: Reach) -> ReachLine:
        """Return how far one run came, at which cost."""
        run = self.named(reach.run_id)
        base = f"The baseline took {_amount(reach.of_baseline, reach.unit)}"
        if not reach.comparable:
            title = "Its val/bpb does not mean the same in both runs"
            return ReachLine(run, words.MISSING, "not comparable", title)
        if reach.amount is None:
            return ReachLine(run, words.MISSING, "not reached", base)
        multiplier = reach.multiplier
        shown = words.MISSING if multiplier is None else f"{words.number(multiplier, 'f2')}×"
        text = f"{_amount(reach.amount, reach.unit)}, at step {reach.step:,}"
        return ReachLine(run, shown, text, base)

    def metrics(self) -> str:
        """Return which metrics are new and gone."""
        parts = []
        for word, names in zip(("Gone", "New"), self.found.metrics, strict=True):
            if names:
                rest = f" and {len(names) - 12} more" if len(names) > 12 else ""
                parts.append(f"{word} metrics: {', '.join(names[:12])}{rest}.")
        return " ".join(parts)


def _ordered(changes: Iterable[Change]) -> list[Change]:
    kinds = {"new": 0, "changed": 1, "gone": 2}
    return sorted(changes, key=lambda change: (kinds[change.kind], change.name, change.run_id))


def _by_weight(moves: Iterable[Move]) -> list[Move]:
    """Order by what people look at first, and what is beyond noise before what is not."""

    def weight(move: Move) -> tuple[object, ...]:
        named = move.metric in _HEADLINES
        place = _HEADLINES.index(move.metric) if named else len(_HEADLINES)
        evaluated = move.metric.startswith(("train/", "efficiency/"))
        return (not move.beyond, place, evaluated, move.metric, move.rule, move.stage, move.runs)

    return sorted(moves, key=weight)


def _by_multiplier(reaches: Iterable[Reach]) -> list[Reach]:
    return sorted(reaches, key=lambda reach: (-(reach.multiplier or 0), reach.run_id))


def _judged(move: Move) -> str:
    """Return whether a value moved by more than chance, as a record's half sentence ends."""
    if not move.comparable:
        return "across a change of what it measures"
    if move.noise is None:
        return "noise not known"
    word = "beyond" if move.beyond else "within"
    return f"{word} {_NOISE[move.noise.rule]} {_rounded(move.noise.limit)}"


def _explained(move: Move) -> str:
    if not move.comparable:
        return "does not mean the same in both runs"
    if move.noise is None:
        return "too few values, and no repeats, to know what chance does"
    return _noise_words(move.noise)


def _noise_words(noise: Noise) -> str:
    """Return where a noise comes from."""
    if noise.rule == "repeats":
        return f"from {noise.count} runs that differ in their seed alone"
    return f"from the unrest of the run’s last {noise.count} values: no runs repeat each other"


def _rounded(value: float) -> str:
    return words.number(float(f"{value:.2g}"))


def _signed(value: float) -> str:
    sign = "−" if value < 0 else "+"
    return sign + words.number(float(f"{abs(value):.3g}"))


def _whole(value: int | None) -> str:
    return words.MISSING if value is None else f"{value:,}"


def _amount(value: float, unit: str) -> str:
    return f"{words.short(value)} {unit}"


def _fact(key: str, before: object, after: object) -> str:
    label = {"parent_run_id": "parent", "group_name": "group"}.get(key, key.replace("_", " "))
    return f"{label} {_text(before)} → {_text(after)}"


def _text(value: object) -> str:
    return words.MISSING if value is None else words.clipped(str(value), 60)
