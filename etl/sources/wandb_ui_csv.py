"""The CSV that W&B's interface saves of a line chart -> points of each run that was drawn.

Such a file names runs and metrics in its header alone, as ``<run> - <metric>``, and the values are
those that were drawn: W&B draws a sample, and of grouped runs the mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from etl import catalog
from etl.sources import csv_table, wandb_facts, wide
from etl.sources.facts import Facts
from etl.sources.frames import no_points
from etl.sources.reading import GROUPED, STEP_KEYS, Part, Reading, Reject

_BETWEEN = " - "
_TWINS = {"__MIN": "min", "__MAX": "max"}
_INDEX_AXES = ("Step", wide.LOG_INDEX)
_STEP_WORDS = {"step", "global_step", "iter", "iteration"}
_WALL_AXES = ("Wall Time", wide.TIME)
_TIME_AXES = (
    *_WALL_AXES,
    "Relative Time",
    "Relative Time (Process)",
    "Relative Time (Wall)",
    wide.RUNTIME,
)
_GROUP = re.compile(r"Group: (?P<value>.*)", re.DOTALL)
_CONFIG_GROUP = re.compile(r"(?P<key>[\w./-]+): (?P<value>.+)", re.DOTALL)
_MACHINE = ("system/", "system.")
_MILLISECONDS = 1e11  # a wall time above is none in seconds: it would be after the year 5000


@dataclass(slots=True)
class _Run:
    """The columns of one run, as places in the header; ``values`` maps a metric to its column."""

    name: str
    nth: int
    values: dict[str, int] = field(default_factory=dict)
    bounds: dict[tuple[str, str], int] = field(default_factory=dict)  # (metric, min or max)
    step: int | None = None


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a saved line chart: an axis, then nothing but ``<run> - <metric>``."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    header = csv_table.header_of(head)
    if header is None or not _is_chart(header):
        return False
    twins = any(f"{name}__MIN" in header or name.endswith(" - _step") for name in header[1:])
    return twins or header[0] in (*_INDEX_AXES, *_TIME_AXES) or _is_step(header[0])


def _is_chart(header: tuple[str, ...]) -> bool:
    return len(header) > 1 and all(_BETWEEN in name.strip() for name in header[1:])


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return what *path* holds, a part for each run; it is always read whole."""
    table = csv_table.read(path)
    if not _is_chart(table.header):
        rejects = table.rejects or (Reject(0, "the header of the chart is cut", b"", 1),)
        return Reading((), rejects, table.size)
    runs = _runs(table.header)
    grouped = _grouped(runs, table)
    rejected = list(table.rejects)
    parts = []
    for run in runs:
        part, reject = _part(run, table, grouped=grouped)
        parts.append(part)
        rejected += [reject] if reject else []
    notes = ["means of groups of runs, as W&B drew them"] if grouped else []
    parts.sort(key=lambda part: (part.facts.run_id, part.facts.segment_id))
    return Reading(tuple(parts), tuple(rejected), table.size, tuple(notes))


def _is_step(axis: str) -> bool:
    return axis in STEP_KEYS or axis.rsplit("/", 1)[-1].lower() in _STEP_WORDS


def _runs(header: tuple[str, ...]) -> list[_Run]:
    """Return the runs of a header in the order of their columns; a name twice is two runs."""
    names = header[1:]
    bases = [_base(name, names) for name in names]
    split = _splits({base for base, _ in bases})
    seen: Counter[str] = Counter()
    runs: dict[tuple[str, int], _Run] = {}
    for at, (name, (base, twin)) in enumerate(zip(names, bases, strict=True), 1):
        run_name, metric = split[base]
        nth = seen[name]
        seen[name] += 1
        run = runs.setdefault((run_name, nth), _Run(run_name, nth))
        if metric == wide.LOG_INDEX:
            run.step = at if twin is None else run.step
        elif twin is None:
            run.values[metric] = at
        else:
            run.bounds[metric, twin] = at
    return list(runs.values())


def _base(name: str, names: Iterable[str]) -> tuple[str, str | None]:
    """Return (the series that a column belongs to, whether it is its ``min`` or ``max``)."""
    for ending, twin in _TWINS.items():
        if name.endswith(ending) and name.removesuffix(ending) in names:
            return name.removesuffix(ending), twin
    return name, None


def _splits(bases: set[str]) -> dict[str, tuple[str, str]]:
    """Return (run, metric) of each series name; both may have `` - `` in them.

    A ``<run> - _step`` column shows the run's name. Else the metric is what all series end in;
    where they end in different metrics, the ends and beginnings that others have beyond doubt.
    """
    known = {base.removesuffix(" - _step") for base in bases if base.endswith(" - _step")}
    rest = sorted(base for base in bases if not base.endswith(" - _step"))
    choices = {base: _choices(base) for base in rest}
    plain = [options[0] for options in choices.values() if len(options) == 1]
    runs, metrics = known | {run for run, _ in plain}, {metric for _, metric in plain}
    common = _common(list(choices.values()))
    found = {f"{run} - _step": (run, wide.LOG_INDEX) for run in known}
    for base, options in choices.items():
        of_known = [option for option in options if option[0] in known]
        shared = [option for option in options if option[1] == common]
        best = max(options, key=lambda o: (o[0] in runs) + (o[1] in metrics))
        found[base] = (of_known or shared or [best])[0]
    return found


def _choices(base: str) -> list[tuple[str, str]]:
    """Return every (run, metric) that a series name can be, the shortest metric first."""
    words = base.split(_BETWEEN)
    cuts = range(len(words) - 1, 0, -1)
    return [(_BETWEEN.join(words[:cut]), _BETWEEN.join(words[cut:])) for cut in cuts]


def _common(choices: list[list[tuple[str, str]]]) -> str | None:
    """Return the longest metric that all series can share, or a known one that is shorter."""
    if len(choices) < 2:
        return None
    shared = set.intersection(*({metric for _, metric in options} for options in choices))
    for metric in sorted(shared, key=len):
        if "/" in metric or metric in catalog.METRICS or metric in catalog.NANOCHAT_ALIASES:
            return metric
    return max(shared, key=len, default=None)


def _grouped(runs: list[_Run], table: csv_table.Table) -> bool:
    """Whether the series are groups of runs: by name, and by bounds that are no run's own."""
    if all(_GROUP.fullmatch(run.name) for run in runs):
        return True
    keys = {match["key"] if (match := _CONFIG_GROUP.fullmatch(run.name)) else None for run in runs}
    return len(keys) == 1 and None not in keys and any(_bounded(run, table) for run in runs)


def _bounded(run: _Run, table: csv_table.Table) -> set[str]:
    """Return the metrics of *run* whose minimum or maximum differs from the value drawn."""
    found = set()
    for (metric, _), at in run.bounds.items():
        if metric not in run.values:
            continue
        value = csv_table.numbers(table.series(run.values[metric]))
        bound = csv_table.numbers(table.series(at))
        if (value.fill_nan(None) != bound.fill_nan(None)).fill_null(value=False).any():
            found.add(metric)
    return found


def _part(run: _Run, table: csv_table.Table, *, grouped: bool) -> tuple[Part, Reject | None]:
    """Return what is of one run, and why some of it has no place, if so."""
    axis = table.header[0]
    by_index = axis in _INDEX_AXES
    by_step = not by_index and _is_step(axis)
    at = 0 if by_index or by_step else run.step
    ts = _wall(table) if axis in _WALL_AXES else None
    columns = {key: table.series(place) for key, place in _keys(run, table).items()}
    if at is None:
        return _without_step(run, table, columns, ts)
    step = wide.whole(csv_table.numbers(table.series(at)))
    rejects = _odd_steps(run, table, step, at)
    roles = {table.header[at]: "log index" if not by_step else "step"}
    if axis in _TIME_AXES:
        roles[axis] = "wall time" if axis in _WALL_AXES else "runtime"
    elif at:  # what was chosen as the axis is a metric of the run
        columns[axis] = table.series(0)
    found = [csv_table.points(key, column, step, ts) for key, column in sorted(columns.items())]
    points = pl.concat([no_points(), *found])
    facts = _facts(run, points, grouped=grouped, log_index=not by_step)
    facts = facts.counted(points["step"].n_unique(), points, roles)
    return Part(facts, points), rejects


def _keys(run: _Run, table: csv_table.Table) -> dict[str, int]:
    """Return the column of each key: the values drawn, and bounds that say more than those."""
    bounded = _bounded(run, table)
    bounds = {
        f"{metric}.{end}": at for (metric, end), at in run.bounds.items() if metric in bounded
    }
    return {**run.values, **bounds}


def _odd_steps(run: _Run, table: csv_table.Table, step: pl.Series, at: int) -> Reject | None:
    """Return why some rows of *run* are left out: once for the column, not for each cell."""
    given = [table.series(place) for place in run.values.values()]
    drawn = pl.Series([False] * len(step), dtype=pl.Boolean)
    for column in given:
        drawn |= column.is_not_null()
    odd = int((drawn & step.is_null()).sum())
    if not odd:
        return None
    what = f"{odd} of {int(drawn.sum())} rows have no whole number in {table.header[at]!r}"
    reason = f"{what}: they are no steps, and what was drawn of {run.name!r} there is left out"
    return Reject(0, reason, table.header[at].encode(), 1)


def _without_step(
    run: _Run, table: csv_table.Table, columns: dict[str, pl.Series], ts: pl.Series | None
) -> tuple[Part, Reject | None]:
    """Return the machine's measurements by wall time; anything else has no place without a step."""
    telemetry = [
        pl.DataFrame({"ts": ts, "value": csv_table.numbers(column)})
        .drop_nulls()
        .select(key=pl.lit(key), ts="ts", value="value")
        for key, column in sorted(columns.items())
        if ts is not None and key.startswith(_MACHINE)
    ]
    left = sorted(key for key in columns if ts is None or not key.startswith(_MACHINE))
    facts = _facts(run, no_points(), grouped=False, log_index=False)
    part = Part(facts, no_points(), pl.concat(telemetry) if telemetry else None)
    if not left:
        return part, None
    axis = table.header[0]
    what = (
        f"{', '.join(left)[:200]} of {run.name!r} stand against {axis!r} and have no '_step' column"
    )
    reason = f"{what}; save the chart again with Step as its x-axis"
    return part, Reject(0, reason, axis.encode(), 1)


def _wall(table: csv_table.Table) -> pl.Series:
    """Return the wall time axis in seconds since the epoch."""
    time = csv_table.numbers(table.series(0))
    return time.set(time.abs() > _MILLISECONDS, None).fill_null(time / 1000)


def _facts(run: _Run, points: pl.DataFrame, *, grouped: bool, log_index: bool) -> Facts:
    """Return the facts of a run, or of a group of runs, which no other file's run may join."""
    first = points.select("key", "step", "value").row(0) if points.height else ()
    kind = "wandb-group" if grouped else "wandb-chart"
    run_id = wandb_facts.own_id(kind, run.name, run.nth, sorted(run.values), first)
    group = _GROUP.fullmatch(run.name)
    config = _CONFIG_GROUP.fullmatch(run.name) if grouped and not group else None
    return Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=grouped,
        name=run.name,
        group=group["value"] if group and grouped else None,
        job_type=GROUPED if grouped else None,
        notes="the mean of a group of runs, and no run" if grouped else None,
        config={config["key"]: csv_table.plain(config["value"])} if config else {},
        tells_end=False,
        log_index_steps=log_index,
    )
