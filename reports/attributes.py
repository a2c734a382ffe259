"""What a chart's specification may refer to of a run: ``{"$run": ...}``."""

from __future__ import annotations

from typing import Any

from reports import cells, prose, theme
from reports.gather import Report


def run_attributes(report: Report) -> dict[str, list[Any]]:
    """Return each attribute by name, one value a run, in the order of the runs."""
    runs = report.facts.runs
    stages = [theme.stage_index(run.stage) for run in runs]
    attributes: dict[str, list[Any]] = {
        "name": [run.name for run in runs],
        "stage": stages,
        "symbol": [theme.STAGE_SYMBOLS[stage] for stage in stages],
        "parent": [run.parent for run in runs],
        "offset": [run.offset for run in runs],
        "status": [prose.status(report, run) for run in runs],
        "diverged": [report.results.diverged.get(run.index, (None, None))[1] for run in runs],
    }
    for role in ("depth", "dim", "batch"):
        attributes[f"words.{role}"] = [cells.config_words(report, run, role) for run in runs]
    return attributes
