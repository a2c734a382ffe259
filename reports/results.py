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
from reports.scan import Scan

COLOURABLE_KEYS = 200  # config keys that the page offers; what a chart or the table needs is more
LONGEST_TEXT = 200
MOST_TAGS = 40  # of which each is a column of its own
STEADY = ("throughput", "efficiency")  # a run's best single step says little: take the median


# One number for a whole model: what people compare first, where it was measured.
HEADLINES = ("core_metric", "chatcore_metric")


# What the page's own columns are called, so that no metric can be.
OWN_KEYS = frozenset(
    {
        *("name", "id", "stage", "state", "era", "project", "tags", "steps", "points", "parent"),
        *("depth", "dim", "batch", "lr", "params", "loss", "bpb", "accuracy"),
    }
)


def column_key(metric: str) -> str:
    """Return the key of a metric's column: its name, where that is not one of the page's own."""
    return f"logged:{metric}" if metric in OWN_KEYS else metric


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


def results(db: duckdb.DuckDBPyConnection, facts: Facts, axes: Axes, seen: Scan) -> Results:
    """Return every run's results and config as columns."""
    ends = _ends(db, facts, seen)
    nothing = (None, 0)
    best = tuple(seen.best.get(run.index, nothing)[0] for run in facts.runs)
    best_steps = {run: step for run, (_, step) in sorted(seen.best.items())}
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
    place = shown.index("steps")
    shown[place:place] = [key for key in measured_keys(axes) if key in columns]
    for metric in facts.catalog.values():
        key = column_key(metric.name)
        if key not in columns and metric.name in ends:
            columns[key] = _result(facts.runs, ends, metric, _rule(metric), key)
    for source in _config_keys(facts.runs):
        key = f"config:{source}" if source in columns else source
        if axes.keys.get(source) != source:  # depth of config is what the page calls depth
            columns[key] = _config_column(facts.runs, source, key, source)
    return Results(columns, tuple(shown), _diverged(axes, seen), best_steps)


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
        column("tags", "tags", [", ".join(run.tags) or None for run in runs]),
        *(
            column(f"tag:{tag}", f"tag {tag}", ["yes" if tag in run.tags else "no" for run in runs])
            for tag in sorted({tag for run in runs for tag in run.tags})[:MOST_TAGS]
        ),
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
    measured = [facts.catalog[name] for name in _whole_model(axes) if name in facts.catalog]
    found += [(column_key(metric.name), metric, "max") for metric in measured]
    return found


def measured_keys(axes: Axes) -> list[str]:
    """Return the columns of what is measured of a whole model, but for what accuracy itself is."""
    return [column_key(name) for name in _whole_model(axes) if (name,) != axes.accuracies]


def _whole_model(axes: Axes) -> list[str]:
    return list(dict.fromkeys((*HEADLINES, *(metric.name for metric in axes.benchmarks))))


def _rule(metric: Metric) -> str:
    if metric.family in STEADY:
        return "median"
    return {"max": "max", "min": "min"}.get(metric.direction or "", "last")


_Ends = Mapping[str, Mapping[int, Mapping[str, float | None]]]


def _ends(db: duckdb.DuckDBPyConnection, facts: Facts, seen: Scan) -> _Ends:
    """Return by metric and run the last value, the finite ends, and for some the median."""
    places = {run.run_id: run.index for run in facts.runs}
    found: dict[str, dict[int, dict[str, float | None]]] = {}
    rows = query(
        db,
        "select metric, run_id, rule, value from summary where value is not null"
        " and rule in ('last', 'min', 'max') order by metric, run_id, rule",
    )
    for metric, run_id, rule, value in rows.iter_rows():
        if run_id in places:
            of = found.setdefault(metric, {}).setdefault(places[run_id], {})
            of[rule] = value if rule == "last" or math.isfinite(value) else None
    _mend(db, places, found)
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
    for (metric, *others), tallies in seen.tallies.items():
        for run, tally in tallies.items():
            if not others and tally.median is not None and run in found.get(metric, {}):
                found[metric][run]["median"] = tally.median
    return found


def _mend(
    db: duckdb.DuckDBPyConnection,
    places: Mapping[str, int],
    found: Mapping[str, Mapping[int, dict[str, float | None]]],
) -> None:
    """Look up the finite ends where a summary's are infinite."""
    odd = sorted(
        metric
        for metric, of in found.items()
        if any(ends.get(rule, 0.0) is None for ends in of.values() for rule in ("min", "max"))
    )
    if not odd:
        return
    rows = query(
        db,
        "select metric, run_id, min(value) as lo, max(value) as hi from history where metric in ("
        f"{', '.join('?' for _ in odd)}) and isfinite(value) group by metric, run_id order by all",
        odd,
    )
    for metric, run_id, low, high in rows.iter_rows():
        if run_id in places:
            found[metric][places[run_id]] |= {"min": low, "max": high}


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


def _diverged(axes: Axes, seen: Scan) -> dict[int, tuple[str, int]]:
    """Return the runs whose loss went to NaN or infinity, with the loss and the step."""
    found: dict[int, tuple[str, int]] = {}
    for metric in axes.losses:
        for run, tally in seen.tallies.get((metric.name,), {}).items():
            step = tally.first_broken
            if step is not None and (run not in found or step < found[run][1]):
                found[run] = (metric.name, step)
    return dict(sorted(found.items()))
