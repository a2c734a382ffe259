"""A key or a run, as a source spells it -> the canonical metric, the stage and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from etl import catalog, eras
from etl.sources.facts import Facts
from hooks import record

_PASS_AT = re.compile(r"pass@\d+")


def metric_of(key: str, facts: Facts, aliases: Mapping[str, str]) -> str:
    """Return the metric that *key* of a run with *facts* is; *aliases* are the person's.

    An alias of nanochat's holds in its source projects and between its dates, where the age of the
    run's code is known; else the key keeps its own name.
    """
    if key in aliases:
        return aliases[key]
    if facts.source_project not in catalog.PROJECT_STAGES:
        return key
    others, metric = catalog.BESIDE.get(key, ((), key))
    if any(other in facts.keys or other in facts.summary for other in others):
        return metric
    alias = catalog.NANOCHAT_ALIASES.get(key)
    return alias.metric if alias and _holds(alias, facts) else key


def config_now(facts: Facts) -> dict[str, Any]:
    """Return what a run's config says under keys that nanochat has renamed since, by today's."""
    return {
        alias.metric: facts.config[key]
        for key, alias in catalog.CONFIG_ALIASES.items()
        if key in facts.config and alias.metric not in facts.config and _holds(alias, facts)
    }


def _holds(alias: catalog.Alias, facts: Facts) -> bool:
    project = facts.source_project or ""
    stage = catalog.PROJECT_STAGES.get(project)
    day = eras.code_day(facts.started_at, stage, facts.config)
    if day is None:
        return project in alias.projects
    began = alias.since is None or alias.since <= day
    return project in alias.projects and began and (alias.until is None or day < alias.until)


def describe(metric: str) -> catalog.Metric | None:
    """Return what is known of *metric*, or None."""
    known = catalog.METRICS.get(metric) or catalog.COMMON.get(metric)
    if known:
        return known
    if _PASS_AT.fullmatch(metric):
        return catalog.PASS_AT
    begun = (
        known
        for start, end, known in catalog.BEGINNINGS
        if metric.startswith(start) and metric.endswith(end)
    )
    ended = (known for end, known in catalog.ENDINGS if metric.endswith(end))
    return next(begun, None) or next(ended, None)


def stage_of(facts: Facts, stages: Mapping[str, str]) -> tuple[str, str]:
    """Return (stage, how it is known), never by what a run happens to be called.

    In order: what the run says of itself, *stages* of ``project.toml``, the source project, the
    script. A run that none of them places is ``unknown``.
    """
    said = [(facts.stage, facts.stage_from), (facts.job_type, "the run's job type")]
    for word, where in said:
        stage = _stage_word(word)
        if stage:
            return (
                stage,
                f"stated in {where}" if where == facts.stage_from else f"stated by {where}",
            )
    script = module(facts.script)
    for word, where in ((facts.source_project, "source project"), (script, "script")):
        if word and word in stages:
            return stages[word], f"project.toml says so of {where} {word}"
    if facts.source_project in catalog.PROJECT_STAGES:
        return catalog.PROJECT_STAGES[
            facts.source_project
        ], f"source project {facts.source_project}"
    if script in catalog.SCRIPT_STAGES:
        return catalog.SCRIPT_STAGES[script], f"script {script}"
    return "unknown", _unknown(facts, script)


def _stage_word(word: str | None) -> str | None:
    lowered = (word or "").lower()
    return lowered if lowered in record.STAGES else catalog.STAGE_WORDS.get(lowered)


def module(script: str | None) -> str | None:
    """Return the last part of a module or file name: ``scripts.base_train`` -> ``base_train``."""
    return script.removesuffix(".py").rsplit(".", 1)[-1] if script else None


def _unknown(facts: Facts, script: str | None) -> str:
    said = (
        f"the run says {facts.stage!r}, which is no stage" if facts.stage else "the run says none"
    )
    project = (
        f"source project {facts.source_project}" if facts.source_project else "no source project"
    )
    return f"{said}; {project} and {'script ' + script if script else 'no script'} imply none"
