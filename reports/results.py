"""A snapshot's history and configs -> one value for each run and quantity, with its unit.

These are the columns of the runs table, and what the page can colour and filter by. A value that
was not measured is None; NaN and infinity are values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from reports.axes import Axes, Metric
from reports.load import Facts, Run, Value, query

COLOURABLE_KEYS = 200  # config keys that the page offers; what a chart or the table needs is more
LONGEST_TEXT = 200
STEADY = ("throughput", "efficiency")  # a run's best single step says little: take the median


# One number for a whole model: what people compare first, where it was measured.
HEADLINES = ("core_metric", "chatcore_metric")


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of every run, in the order of the runs."""

    key: str  # what a person types in the filter
    label: str
    unit: str
    form: str
    group: str  # run, config or result
    values: tuple[Value, ...]
    explained: str = ""

    @property
    def numeric(self) -> bool:
        """Whether all that is there are numbers."""
        return any(v is not None for v in self.values) and not any(
            isinstance(v, str) for v in self.values
        )


@dataclass(frozen=True, slots=True)
class Results:
    """The columns by key; which of them the table shows; when which run diverged."""

    columns: Mapping[str, Column]
    shown: tuple[str, ...]
    diverged: Mapping[int, tuple[str, int]]  # run -> (loss, its first step that is not finite)
    best_steps: Mapping[int, int]  # run -> the step of its best accuracy


def results(db: duckdb.DuckDBPyConnection, facts: Facts, axes: Axes) -> Results:
    """Return every run's results and config as columns."""
    ends = _ends(db, facts)
    best, best_steps = _best_accuracy(db, facts)
    columns = {column.key: column for column in _own(facts.runs)}
    for role, key in axes.keys.items():
        columns[role] = _config_column(facts.runs, key, role, _ROLE_LABELS[role])
    for key, metric, rule in _shown_results(facts, axes):
        columns[key] = _result(facts.runs, ends, metric, rule, key)
    if axes.accuracy:
        unit = _accuracy_unit(facts, axes)
        columns["accuracy"] = Column(
            "accuracy",
            f"best {axes.accuracy.label}",
            unit,
            "f4",
            "result",
            best,
            axes.accuracy.explained,
        )
    shown = [key for key in _TABLE if key in columns and (key != "era" or _dated(facts))]
    headlines = [name for name in HEADLINES if name in columns and (name,) != axes.accuracies]
    measured = [*headlines, *(metric.name for metric in axes.benchmarks)]
    place = shown.index("steps")
    for metric in facts.catalog.values():
        if metric.name not in columns and metric.name in ends:
            columns[metric.name] = _result(facts.runs, ends, metric, _rule(metric), metric.name)
    shown[place:place] = measured
    for key in _config_keys(facts.runs):
        columns.setdefault(key, _config_column(facts.runs, key, key, key))
    return Results(columns, tuple(shown), _diverged(db, facts, axes), best_steps)


_TABLE = (
    *("name", "stage", "state", "era", "depth", "dim", "batch", "lr", "params"),
    *("loss", "bpb", "accuracy", "steps", "points", "parent"),
)
_ROLE_LABELS = {
    "depth": "depth",
    "dim": "dim",
    "batch": "batch",
    "lr": "learning rate",
    "params": "parameters",
}


def _own(runs: tuple[Run, ...]) -> list[Column]:
    names = [run.name for run in runs]

    def column(key: str, label: str, values: list[Value], form: str = "text") -> Column:
        return Column(key, label, "", form, "run", tuple(values))

    parents: list[Value] = [
        names[run.parent] if run.parent is not None else run.parent_id for run in runs
    ]
    return [
        column("name", "run", list(names)),
        column("id", "run id", [run.run_id for run in runs]),
        column("stage", "stage", [run.stage for run in runs]),
        column("state", "state", [run.state for run in runs]),
        column("era", "era", [run.era for run in runs]),
        column("project", "source project", [run.source_project for run in runs]),
        column("steps", "steps", [run.last_step for run in runs], "int"),
        column("points", "points", [run.points for run in runs], "int"),
        column("parent", "parent", parents),
    ]


def _dated(facts: Facts) -> bool:
    return any(run.era for run in facts.runs)


def _config_column(runs: tuple[Run, ...], source: str, key: str, label: str) -> Column:
    values = [run.config.get(source) for run in runs]
    clipped = tuple(v[:LONGEST_TEXT] if isinstance(v, str) else v for v in values)
    explained = f"{source} in config" if source != key else ""
    return Column(key, label, "", "g", "config", clipped, explained)


def _config_keys(runs: tuple[Run, ...]) -> list[str]:
    """Return the keys that differ between runs, the best covered first, and no more than fit."""
    seen: dict[str, list[Value]] = {}
    for run in runs:
        for key, value in run.config.items():
            seen.setdefault(key, []).append(value)
    differing = [key for key, values in seen.items() if len(set(values)) > 1]
    differing.sort(key=lambda key: (-len(seen[key]), key))
    return sorted(differing[:COLOURABLE_KEYS])


def _shown_results(facts: Facts, axes: Axes) -> list[tuple[str, Metric, str]]:
    found = []
    for metric in axes.losses:
        if metric.name == "val/bpb":
            found.append(("bpb", metric, "min"))
        elif not any(key == "loss" for key, _, _ in found):
            found.append(("loss", metric, "last"))
    shown = dict.fromkeys((*HEADLINES, *(metric.name for metric in axes.benchmarks)))
    measured = [facts.catalog[name] for name in shown if name in facts.catalog]
    found += [(metric.name, metric, "max") for metric in measured]
    return found


def _rule(metric: Metric) -> str:
    if metric.family in STEADY:
        return "median"
    return {"max": "max", "min": "min"}.get(metric.direction or "", "last")


_Ends = Mapping[str, Mapping[int, Mapping[str, float | None]]]


def _ends(db: duckdb.DuckDBPyConnection, facts: Facts) -> _Ends:
    """Return by metric and run the last value, the finite ends, and for some the median."""
    places = {run.run_id: run.index for run in facts.runs}
    steady = [name for name, metric in facts.catalog.items() if metric.family in STEADY]
    finite = "filter (where isfinite(value))"
    rows = query(
        db,
        "select run_id, metric, arg_max(value, step) as last,"
        f" min(value) {finite} as min, max(value) {finite} as max"
        " from history where value is not null group by run_id, metric order by metric, run_id",
    )
    found: dict[str, dict[int, dict[str, float | None]]] = {}
    for row in rows.to_dicts():
        if row["run_id"] in places:
            found.setdefault(row["metric"], {})[places[row["run_id"]]] = row
    # what a run without history (a row of an exported table) reported of itself
    reported = query(
        db,
        "select run_id, metric, value from summary where rule = 'reported' and value is not null"
        " order by metric, run_id",
    )
    for run_id, metric, value in reported.iter_rows():
        if run_id in places:
            only = dict.fromkeys(("last", "min", "max", "median"), value)
            found.setdefault(metric, {}).setdefault(places[run_id], only)
    for name in steady:
        medians = query(
            db,
            f"select run_id, quantile_disc(value, 0.5) {finite} as median from history"
            " where metric = ? group by run_id order by run_id",
            [name],
        )
        for run_id, median in medians.iter_rows():
            if run_id in places and places[run_id] in found.get(name, {}):
                found[name][places[run_id]]["median"] = median
    return found


def _result(runs: tuple[Run, ...], ends: _Ends, metric: Metric, rule: str, key: str) -> Column:
    of_run = ends.get(metric.name, {})
    values = tuple(of_run[run.index].get(rule) if run.index in of_run else None for run in runs)
    greatest = "best" if metric.direction else "greatest"
    word = {"last": "last", "min": "lowest", "max": greatest, "median": "median"}[rule]
    form = "f4" if metric.family in ("loss", "accuracy", "aggregate", "pass") else "g"
    return Column(
        key, f"{word} {metric.label}", metric.unit_words, form, "result", values, metric.name
    )


def _accuracy_unit(facts: Facts, axes: Axes) -> str:
    names = axes.accuracy.metrics if axes.accuracy else ()
    units = {facts.catalog[name].unit_words for name in names if name in facts.catalog}
    return units.pop() if len(units) == 1 else ""


def _best_accuracy(
    db: duckdb.DuckDBPyConnection, facts: Facts
) -> tuple[tuple[float | None, ...], dict[int, int]]:
    rows = query(
        db,
        "with best as (select run_id, max(accuracy) as accuracy from evaluations"
        " where isfinite(accuracy) group by run_id)"
        " select b.run_id, b.accuracy, min(e.step) as step from best b"
        " join evaluations e on e.run_id = b.run_id and e.accuracy = b.accuracy"
        " group by b.run_id, b.accuracy order by b.run_id",
    )
    best = {run_id: (accuracy, step) for run_id, accuracy, step in rows.iter_rows()}
    values = tuple(best[run.run_id][0] if run.run_id in best else None for run in facts.runs)
    steps = {run.index: best[run.run_id][1] for run in facts.runs if run.run_id in best}
    return values, steps


def _diverged(
    db: duckdb.DuckDBPyConnection, facts: Facts, axes: Axes
) -> dict[int, tuple[str, int]]:
    """Return the runs whose loss went to NaN or infinity, with the loss and the step."""
    places = {run.run_id: run.index for run in facts.runs}
    found: dict[int, tuple[str, int]] = {}
    for metric in axes.losses:
        rows = query(
            db,
            "select run_id, min(step) as step from history"
            " where metric = ? and not isfinite(value) group by run_id order by run_id",
            [metric.name],
        )
        for run_id, step in rows.iter_rows():
            known = found.get(places[run_id], (metric.name, math.inf))
            if step < known[1]:
                found[places[run_id]] = (metric.name, step)
    return found
