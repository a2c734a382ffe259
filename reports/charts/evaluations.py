"""The best evaluation of each run -> a panel for each benchmark, stage beside stage.

A thin line leads from a run's parent to the run. What guessing would score is a level in the panel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from etl.catalog import CHANCE
from reports import theme, words
from reports.axes import AGGREGATES, Metric
from reports.charts import plane, spec
from reports.charts.spec import Absent, Chart, Json, Note, Shown, col, of_run
from reports.load import Facts, Run
from reports.results import Results, column_key

MOST = 12  # panels
BRIEF = {"pretraining": "pretrain", "midtraining": "midtrain"}  # four stand in a small panel
FAMILIES = ("accuracy", "aggregate")


def evaluations(facts: Facts, found: Results) -> Chart:
    """Return the chart."""
    metrics, more = _metrics(facts, found)
    columns = {f"m{place}": metric for place, metric in enumerate(metrics)}
    runs = [run for run in facts.runs if any(_value(found, m, run) is not None for m in metrics)]
    places, stages = _places(runs)
    across = plane.axis(
        "stage",
        "",
        "category",
        categories=[BRIEF.get(theme.STAGES[s], theme.STAGES[s]) for s in stages],
        stages=stages,
    )
    return Chart(
        key="evaluations",
        kind="plane",
        section="evaluations",
        title="Evaluations by stage",
        subtitle="the best of each run; a line leads from a run to those that went on from it",
        summary=_summary(metrics, runs),
        tables={
            "evaluations": _frame(
                [(run.index, run.index, run) for run in runs], places, columns, found
            ),
            "ancestry": _frame(_pairs(facts, runs), places, columns, found),
        },
        traces=tuple(t for column, m in columns.items() for t in _traces(column, m)),
        layout={
            "columns": 4,
            "panels": [
                plane.panel(m.name, m.label, across, plane.axis("", m.unit_words), _levels(m))
                for m in metrics
            ],
        },
        colour="stage",
        notes=tuple(_notes(metrics, more)),
        absent=tuple(Absent(run.index, "no evaluation") for run in facts.runs if run not in runs),
        shown=(Shown("evaluations", tuple(m.name for m in metrics)),),
        counts={
            "logged": len(facts.runs),
            "drawn": sum(_value(found, m, run) is not None for m in metrics for run in runs),
        },
    )


def _metrics(facts: Facts, found: Results) -> tuple[list[Metric], int]:
    """Return the evaluations that most runs have, benchmarks first, and how many there are more."""
    every = [
        m
        for m in facts.catalog.values()
        if m.family in FAMILIES and column_key(m.name) in found.columns
    ]
    every.sort(key=lambda m: (-m.runs, m.name in AGGREGATES, m.name))
    kept = sorted(every[:MOST], key=lambda m: (m.name in AGGREGATES, -m.runs, m.name))
    return kept, len(every) - len(kept)


def _value(found: Results, metric: Metric, run: Run) -> float | None:
    value = found.columns[column_key(metric.name)].values[run.index]
    return float(value) if isinstance(value, float | int) else None


def _places(runs: Sequence[Run]) -> tuple[dict[int, float], list[int]]:
    """Return where along x each run stands: in its stage, beside the others of it."""
    of = {run.index: theme.stage_index(run.stage) for run in runs}
    stages = sorted(set(of.values()))
    amounts = Counter(of.values())
    seen: Counter[int] = Counter()
    places = {}
    for run in runs:
        stage = of[run.index]
        step = min(0.09, 0.6 / amounts[stage])
        places[run.index] = stages.index(stage) + (seen[stage] - (amounts[stage] - 1) / 2) * step
        seen[stage] += 1
    return places, stages


def _pairs(facts: Facts, runs: Sequence[Run]) -> list[tuple[int, int, Run]]:
    """Return a line for each run whose parent was evaluated too: the parent's end and its own."""
    known = {run.index for run in runs}
    return [
        (run.index, run.index, end)
        for run in runs
        if run.parent in known and run.parent is not None
        for end in (facts.runs[run.parent], run)
    ]


def _frame(
    rows: Sequence[tuple[int, int, Run]],
    places: dict[int, float],
    columns: dict[str, Metric],
    found: Results,
) -> pl.DataFrame:
    schema = {"run": pl.Int64, "line": pl.Int64, "place": pl.Float64}
    made = [
        (run, line, places[at.index], *(_value(found, m, at) for m in columns.values()))
        for run, line, at in rows
    ]
    return pl.DataFrame(made, schema=schema | dict.fromkeys(columns, pl.Float64), orient="row")


def _levels(metric: Metric) -> list[Json]:
    chance = CHANCE.get(metric.name)
    return [] if chance is None else [{"y": chance, "text": f"random {words.number(chance)}"}]


def _traces(column: str, metric: Metric) -> tuple[Json, Json]:
    place = {"type": "scatter", "x": col("place"), "y": col(column)}
    shared = {"panel": metric.name}
    return (
        {
            **shared,
            "table": "ancestry",
            "rows": "line",
            "role": "mark",
            "colour": "line",
            "plotly": {**place, "mode": "lines", "line": {"width": 1.1}, "opacity": 0.4},
        },
        {
            **shared,
            "table": "evaluations",
            "rows": "points",
            "role": "data",
            "colour": "marker",
            "hover": [
                spec.line("", of_run("status")),
                spec.line(metric.label, col(column), "f4", metric.unit_words),
            ],
            "plotly": {
                **place,
                "mode": "markers",
                "marker": {"size": 8, "symbol": of_run("symbol")},
            },
        },
    )


def _notes(metrics: Sequence[Metric], more: int) -> list[Note]:
    if not metrics:
        return [Note("No benchmark was measured in this project.")]
    notes = []
    known = [m.label for m in metrics if m.name in CHANCE]
    if known:
        notes.append(
            Note(
                f"The dotted level is what random answers score, as published for"
                f" {words.listed(known)}; of the others it is not known."
                if len(known) < len(metrics)
                else "The dotted level is what random answers score, as published."
            )
        )
    names = {m.name for m in metrics}
    if {"chatcore_metric", "chatcore_spellingbee_metric"} <= names:
        notes.append(
            Note("ChatCORE with SpellingBee and without are two metrics: they do not compare.")
        )
    if more:
        notes.append(Note(f"{words.count(more, 'more evaluation')} in the runs table's filter."))
    return notes


def _summary(metrics: Sequence[Metric], runs: Sequence[Run]) -> str:
    if not metrics:
        return "No benchmark was measured."
    return (
        f"The best of {words.listed([m.label for m in metrics])} of"
        f" {words.count(len(runs), 'run')}, stage beside stage. The table of"
        " best values by stage has the greatest as numbers."
    )
