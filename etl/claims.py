"""What a run's files say of it -> claims, from which it is found out which files are one run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from etl import naming, sources
from etl.describe import flat
from etl.ledger import Holding
from etl.project import Settings
from etl.sources.reading import GROUPED

# Values of one key that are kept, and keys: enough to tell two seeds apart.
_STEPS, _KEYS = 24, 8
_TELLING = ("loss", "bpb", "core", "reward", "acc", "pass@")
# From which stages' checkpoints a stage of nanochat begins.
BEFORE = {
    "midtraining": ("pretraining",),
    "sft": ("midtraining", "pretraining"),
    "rl": ("sft", "midtraining"),
}


@dataclass(slots=True)
class Claim:
    """All that the files of one own id say together."""

    own_id: str
    known: bool
    kinds: set[str] = field(default_factory=set)
    trust: int = 0  # of its best source
    names: set[str] = field(default_factory=set)
    source_project: str | None = None
    stage: str | None = None
    tag: str | None = None
    loads: tuple[str | None, str | None, int | None] = (None, None, None)
    parent: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    began: float | None = None
    last_step: int | None = None
    grouped: bool = False
    counts_calls: bool = False  # its steps are log calls
    values: dict[str, dict[int, float]] = field(default_factory=dict)


def sample(points: pl.DataFrame, before: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    """Return a few values of *points* (POINTS) and *before*: those at the roundest steps.

    Programs log at multiples of something, so that two logs of one run share their round steps.
    """
    found: dict[str, dict[int, float]] = {key: dict(at) for key, at in before.items()}
    keys = sorted(set(points["key"].unique()) | set(found), key=_telling)[:_KEYS]
    numbers = points.filter(pl.col("key").is_in(keys) & pl.col("value").is_finite())
    for (key,), group in numbers.group_by("key", maintain_order=True):
        steps, values = group["step"].to_numpy(), group["value"].to_numpy()
        chosen = np.lexsort((steps, -np.gcd(steps, 1_000_000)))[: 4 * _STEPS]
        place = found.setdefault(str(key), {})
        for at in sorted(chosen.tolist()):  # the later of two values at one step stands
            place[int(steps[at])] = float(values[at])
    return {key: _roundest(found[key]) for key in keys if key in found}


def _roundest(values: Mapping[int, float]) -> dict[int, float]:
    steps = sorted(values, key=lambda step: (-math.gcd(step, 1_000_000), step))[:_STEPS]
    return {step: values[step] for step in sorted(steps)}


def _telling(key: str) -> tuple[int, str]:
    ranks = [at for at, word in enumerate(_TELLING) if word in key.lower()]
    return (ranks[0] if ranks else len(_TELLING), key)


def claims(holdings: Iterable[Holding], settings: Settings) -> list[Claim]:
    """Return a claim for each own id, sorted by it."""
    found: dict[str, Claim] = {}
    for held in holdings:
        facts = held.facts
        claim = found.setdefault(facts.run_id, Claim(facts.run_id, known=facts.id_known))
        claim.known |= facts.id_known
        claim.kinds.add(held.kind)
        claim.trust = max(claim.trust, sources.BY_KIND[held.kind].precedence)
        if facts.name and facts.name != "dummy":
            claim.names.add(facts.name)
        claim.source_project = claim.source_project or facts.source_project
        stage, _ = naming.stage_of(facts, settings.stages)
        claim.stage = claim.stage or (stage if stage != "unknown" else None)
        claim.config |= {**flat(facts.config), **flat(facts.effective)}
        claim.tag = claim.tag or facts.model_tag
        if claim.loads == (None, None, None):
            claim.loads = (facts.loads_stage, facts.loads_tag, facts.loads_step)
        claim.parent = claim.parent or facts.parent_run_id
        if facts.started_at is not None:
            claim.began = min(facts.started_at, claim.began or facts.started_at)
        if facts.last_step is not None:
            claim.last_step = max(facts.last_step, claim.last_step or 0)
        claim.grouped |= facts.job_type == GROUPED
        claim.counts_calls |= facts.log_index_steps
        for key, values in held.sample.items():
            metric = naming.metric_of(key, facts, settings.aliases)
            claim.values.setdefault(metric, {}).update(values)
    for claim in found.values():
        _complete(claim)
    return [found[own_id] for own_id in sorted(found)]


def _complete(claim: Claim) -> None:
    """Add what nanochat's scripts take from what was said: the default tag, what was loaded."""
    tag, step = claim.config.get("model_tag"), claim.config.get("model_step")
    depth = claim.config.get("depth")
    if claim.stage == "pretraining" and claim.tag is None and claim.source_project == "nanochat":
        claim.tag = str(tag) if tag else f"d{depth}" if isinstance(depth, int) else None
    elif claim.stage in BEFORE and claim.loads[1] is None:
        where = claim.loads[0] or claim.config.get("source")
        stage = {"base": "pretraining", "mid": "midtraining"}.get(str(where), where)
        step = step if isinstance(step, int) and not isinstance(step, bool) else None
        claim.loads = (stage if isinstance(stage, str) else None, str(tag) if tag else None, step)
    if claim.stage in BEFORE and claim.tag is None:
        claim.tag = claim.loads[1]  # nanochat writes a stage's checkpoints under the tag it loaded
