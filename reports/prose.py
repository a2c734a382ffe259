"""What a snapshot holds -> the page's sentences and key figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reports import theme, words
from reports.gather import Report
from reports.load import Run


@dataclass(frozen=True, slots=True)
class Figure:
    """One key figure: what, how much, in which unit, and whose."""

    label: str
    value: str
    unit: str
    run: Run


_ENDS = {"unknown": "of unknown end"}


def lede(report: Report) -> str:
    """Return the page's first paragraph: what ran, how it ended, what is wrong."""
    runs = report.facts.runs
    if not runs:
        return "This snapshot holds no run."
    return " ".join([_scope(runs), _endings(report), *_rejected(report)])


def _scope(runs: tuple[Run, ...]) -> str:
    stages = Counter(theme.STAGES[theme.stage_index(run.stage)] for run in runs)
    named = [f"{stages[stage]:,} of {_of(stage)}" for stage in theme.STAGES if stages[stage]]
    families = len({run.root for run in runs})
    if list(stages) == ["unknown"]:
        return f"{words.count(len(runs), 'run')} of {_of('unknown')}."
    if len(named) == 1:
        return f"{words.count(len(runs), 'run')}, all {next(iter(stages))}."
    start = "" if families == len(runs) else f" in {words.count(families, 'lineage')}"
    return f"{words.count(len(runs), 'run')}{start}: {words.listed(named)}."


def _of(stage: str) -> str:
    return "unknown stage" if stage == "unknown" else stage


def _endings(report: Report) -> str:
    states = Counter(run.state for run in report.facts.runs)
    ordered = sorted(states, key=lambda state: (-states[state], state))
    if ordered == ["finished"]:
        text = "All finished" if len(report.facts.runs) > 1 else "It finished"
    elif ordered == ["unknown"]:
        text = f"No source says how {'it' if states['unknown'] == 1 else 'they'} ended"
    else:
        parts = [f"{states[state]:,} {_ENDS.get(state, state)}" for state in ordered]
        text = f"{words.listed(parts)}"
    if diverged := len(report.results.diverged):
        text += f"; {diverged:,} diverged"
    if resumed := len(report.facts.resumed):
        text += f"; {resumed:,} {'was' if resumed == 1 else 'were'} interrupted and resumed"
    return text + "."


def _rejected(report: Report) -> list[str]:
    rejected = report.facts.quarantine.height
    if not rejected:
        return []
    verb = "is" if rejected == 1 else "are"
    return [f"{words.count(rejected, 'record')} could not be read and {verb} listed below."]


def status(report: Report, run: Run) -> str:
    """Return a run's stage, state and what went wrong, as its hover says it."""
    text = f"{run.stage} · {run.state}"
    if run.index in report.results.diverged:
        loss, step = report.results.diverged[run.index]
        text += f", diverged at step {step:,} ({loss})"
    return text


def figures(report: Report) -> list[Figure]:
    """Return up to four key figures, of what the project has measured."""
    accuracy = "accuracy" if "accuracy" in report.results.columns else "core_metric"
    wanted = (
        (accuracy, "Best", max),
        ("bpb", "Lowest", min),
        ("loss", "Lowest", min),
        ("train/mfu", "Highest", max),
        ("train/tok_per_sec", "Highest", max),
    )
    found = [_extreme(report, key, word, choose) for key, word, choose in wanted]
    return [figure for figure in found if figure][:4]


Choose = Callable[[Iterable[tuple[float, int]]], tuple[float, int]]


def _extreme(report: Report, key: str, word: str, choose: Choose) -> Figure | None:
    column = report.results.columns.get(key)
    if column is None:
        return None
    numbers = [
        (float(value), -place)  # of equal values the first run's
        for place, value in enumerate(column.values)
        if isinstance(value, float | int) and math.isfinite(value)
    ]
    if choose is min:
        numbers = [(value, -place) for value, place in numbers]
    if not numbers:
        return None
    value, place = choose(numbers)
    run = report.facts.runs[abs(place)]
    label = column.label.removeprefix("best ").removeprefix("lowest ")
    unit = {"fraction": "of 1"}.get(column.unit, column.unit)
    form = "f1" if unit == "%" else column.form
    return Figure(f"{word} {label}", words.number(value, form), unit, run)
