"""What a run's files say of it -> claims, from which it is found out which files are one run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from etl import naming, sources
from etl.describe import flat
from etl.ledger import Holding
from etl.project import Settings
from etl.sources.frames import KEY
from etl.sources.reading import GROUPED

# Values of one key that are kept, and keys: enough to tell two seeds apart.
_STEPS, _KEYS = 24, 8
_TELLING = ("loss", "bpb", "core", "reward", "acc", "pass@")
_Pair = tuple[int, float]
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
    ended: float | None = None
    last_step: int | None = None
    grouped: bool = False
    counts_calls: bool = False  # its steps are log calls
    values: dict[str, dict[int, float]] = field(default_factory=dict)


def sample(
    points: pl.DataFrame,
    before: Mapping[str, Mapping[int, float]],
    rows: pl.DataFrame | None = None,
) -> dict[str, Any]:
    """Return a few values of a part's *points* and *rows* and of those *before*.

    Programs log at multiples of something, so that two logs of one run share their round steps.
    """
    found: dict[str, dict[int, float]] = {key: dict(at) for key, at in before.items()}
    wide = [] if rows is None else [name.removeprefix(KEY) for name in rows.columns[2:]]
    named = points["key"].to_list() if points.height <= _STEPS else points["key"].unique()
    keys = sorted({*named, *wide, *found}, key=_telling)[:_KEYS]
    for key, few in _few(points, keys):
        found.setdefault(key, {}).update(few)  # the later of two values at one step stands
    if rows is not None:
        places = _order(rows["step"].to_numpy()).tolist()  # the same for all keys without gaps
        round_steps = rows["step"].gather(places).to_list()
        for key in sorted(set(keys) & set(wide)):
            pairs = list(zip(round_steps, rows[KEY + key].gather(places).to_list(), strict=True))
            if any(value is None or not math.isfinite(value) for _, value in pairs):
                part = rows.select("step", KEY + key).filter(pl.col(KEY + key).is_finite())
                pairs = part[_order(part["step"].to_numpy()).tolist()].rows()
            if pairs:  # the later of two values at one step stands
                found.setdefault(key, {}).update(dict(pairs))
    return {key: _roundest(found[key]) for key in keys if key in found}


def _few(points: pl.DataFrame, keys: Sequence[str]) -> Iterator[tuple[str, list[_Pair]]]:
    """Yield of each of *keys* the (step, value) that stand at the roundest steps."""
    if points.height <= _STEPS:  # all of them, without a query, which costs 0.1 ms
        rows: dict[str, list[_Pair]] = defaultdict(list)
        columns = (points[name].to_list() for name in ("key", "step", "value"))
        for key, step, value in zip(*columns, strict=True):
            if key in keys and value is not None and math.isfinite(value):
                rows[key].append((step, value))
        yield from rows.items()
        return
    numbers = points.filter(pl.col("key").is_in(keys) & pl.col("value").is_finite())
    for (key,), group in numbers.group_by("key", maintain_order=True):
        steps, values = group["step"].to_numpy(), group["value"].to_numpy()
        order = _order(steps)
        yield str(key), list(zip(steps[order].tolist(), values[order].tolist(), strict=True))


def _order(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where the roundest of *steps* stand, in their order."""
    weight = _roundness(steps)
    count = _STEPS if bool((steps[1:] > steps[:-1]).all()) else 4 * _STEPS  # some come twice
    if len(steps) > count:  # only those that can be among the chosen are worth sorting
        near = np.flatnonzero(weight >= np.partition(weight, -count)[-count])
    else:
        near = np.arange(len(steps))
    chosen = near[np.lexsort((steps[near], -weight[near]))[:count]]
    return np.sort(chosen)


def _roundness(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the greatest common divisors of *steps* and 1,000,000, as np.gcd in a third of it."""
    found = np.where(steps == 0, 64, np.minimum(steps & -steps, 64))
    places, left = np.arange(len(steps)), steps
    for _ in range(6):
        fifth = left // 5
        whole = fifth * 5 == left
        places, left = places[whole], fifth[whole]
        found[places] *= 5
    return found


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
        if facts.ended_at is not None:
            claim.ended = max(facts.ended_at, claim.ended or facts.ended_at)
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
