"""What files say of the runs they hold -> which of them are the same run, and which began which.

A file that names its run's id is of that run. Of one that does not (a console log, a checkpoint's
meta file, an export) it is found out from what both say: their stage, names and configs must not
contradict each other, and values at steps that both logged must agree as far as they are printed.
Where two runs would do equally well, none is taken, and that is said. The answer depends on what
the files say alone, never on the order in which they came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from etl.claims import Claim

# How sure a reason is; of two runs with the same figure neither is taken.
_VALUES, _VALUE_AND_WORD, _NAME, _TAG, _LAST_STEP = 5, 4, 3, 2, 1
# Nothing logs more digits than these agree in: nanochat prints 4 of a bpb.
_NEAR = 2e-4
# Config keys in which a resumed process, or another look at the same run, may differ.
_PASSING = ("run", "device_type", "resume_from_step", "model_tag", "model_step", "load_optimizer")
_PASSING_ENDS = ("_every", "_step", "_steps", "_tokens", "_iterations", "_max_per_task")
# What nanochat's own files say of the project is what its scripts are set to, not where it went.
_SCRIPTS = "nanochat-"
_LATE = 6.0  # hours from the end of a training to that of its evaluations, and no more
# Sources that have several files of one run without an id. Two ids of another's are two runs.
_MANY_FILES = ("nanochat-", "wandb-")
_CROWD = 50
_Handle = tuple[Any, ...]


def resolve(found: Sequence[Claim]) -> tuple[dict[str, str], list[str]]:
    """Return own id -> run id for each claim, and a note for each that would fit several runs."""
    groups = _together([claim for claim in found if not claim.known])
    known = [claim for claim in found if claim.known]
    index = _Index(known if groups else [])
    runs = {claim.own_id: claim.own_id for claim in known}
    notes = []
    taken: dict[str, list[tuple[int, list[Claim]]]] = defaultdict(list)
    for group in groups:
        first = min(group, key=lambda claim: (-claim.trust, claim.own_id)).own_id
        runs |= {claim.own_id: first for claim in group}
        weight, fitting = _fitting(group, index)
        if len(fitting) == 1:
            taken[fitting[0]].append((weight, group))
        elif fitting:
            could = f"could be any of runs {', '.join(fitting[:5])}"
            notes.append(f"{_called(group)}: {could}; kept apart")
    for run_id, rivals in sorted(taken.items()):
        for weight, group in rivals:
            if any(_contradict(group, other) and weight <= w for w, other in rivals):
                notes.append(
                    f"{_called(group)}: could be run {run_id}, as could another that contradicts"
                    " it; kept apart"
                )
            else:
                runs |= {claim.own_id: run_id for claim in group}
    return runs, sorted(set(notes))


def _fitting(group: Sequence[Claim], index: _Index) -> tuple[int, list[str]]:
    """Return how sure the best match of *group* is, and the runs that match it so well."""
    weights: dict[str, int] = defaultdict(int)
    for claim in group:
        for other in index.candidates(claim):
            weights[other.own_id] = max(weights[other.own_id], _weight(claim, other))
    best = max(weights.values(), default=0)
    return best, sorted(own_id for own_id, weight in weights.items() if weight == best > 0)


def _called(group: Sequence[Claim]) -> str:
    kinds = " and ".join(sorted({kind for claim in group for kind in claim.kinds}))
    names = sorted({name for claim in group for name in claim.names})
    return f"{kinds} {' or '.join(names) or group[0].own_id}"


def _contradict(one: Sequence[Claim], two: Sequence[Claim]) -> bool:
    return one is not two and any(
        not _compatible(a, b) or _differ(*_agreement(a, b)) for a in one for b in two
    )


def _differ(agree: int, differ: int) -> bool:
    return differ > agree // 4


def _together(unknown: list[Claim]) -> list[list[Claim]]:
    """Return *unknown* in groups of the same run.

    A claim that goes with two others which contradict each other goes only with the surer of them.
    """
    by_id = {claim.own_id: claim for claim in unknown}
    index = _Index(unknown)
    weights = {
        (claim.own_id, other.own_id): weight
        for claim in unknown
        for other in index.candidates(claim)
        if claim.own_id < other.own_id and (weight := _weight(claim, other))
    }
    partners: dict[str, dict[str, int]] = defaultdict(dict)
    for (one, two), weight in weights.items():
        partners[one][two] = partners[two][one] = weight
    refused = {
        pair for own_id, others in partners.items() for pair in _refused(own_id, others, by_id)
    }
    leader = {claim.own_id: claim.own_id for claim in unknown}
    for pair in sorted(set(weights) - refused):
        one, two = sorted(_root(leader, own_id) for own_id in pair)
        leader[two] = one
    groups: dict[str, list[Claim]] = defaultdict(list)
    for claim in unknown:
        groups[_root(leader, claim.own_id)].append(claim)
    return [groups[key] for key in sorted(groups)]


def _root(leader: Mapping[str, str], own_id: str) -> str:
    while leader[own_id] != own_id:
        own_id = leader[own_id]
    return own_id


def _refused(
    own_id: str, others: Mapping[str, int], by_id: Mapping[str, Claim]
) -> Iterable[tuple[str, str]]:
    """Yield the pairs of *own_id* that another of its partners contradicts and is as sure as."""
    for one, two in combinations(sorted(others), 2):
        a, b = by_id[one], by_id[two]
        if _compatible(a, b) and not _agreement(a, b)[1]:
            continue
        for other, weight in ((one, others[two]), (two, others[one])):
            if others[other] <= weight:
                yield min(own_id, other), max(own_id, other)


class _Index:
    """Claims by each thing that two of one run may have in common."""

    def __init__(self, found: Iterable[Claim]) -> None:
        self.holders: dict[_Handle, int] = defaultdict(int)
        # those of sources whose files are each of a run of their own are not compared at all
        self.places: dict[frozenset[str], dict[_Handle, list[Claim]]] = defaultdict(dict)
        for claim in found:
            place = self.places[frozenset(claim.kinds)]
            for key in _handles(claim, spread=False):
                self.holders[key] += 1
                place.setdefault(key, []).append(claim)

    def candidates(self, claim: Claim) -> list[Claim]:
        """Return the others that have anything in common with *claim*, sorted by id."""
        places = [place for kinds, place in self.places.items() if not _apart(kinds, claim.kinds)]
        if not places:
            return []
        ids: dict[str, Claim] = {}
        for key in _handles(claim, spread=True):
            # what everyone has tells nothing
            if key[0] == "name" or self.holders.get(key, 0) <= _CROWD:
                for place in places:
                    ids.update((other.own_id, other) for other in place.get(key, ()))
        ids.pop(claim.own_id, None)
        return [ids[own_id] for own_id in sorted(ids)]


def _handles(claim: Claim, *, spread: bool) -> Iterable[_Handle]:
    yield from (("name", name) for name in claim.names)
    if claim.tag:
        yield "tag", claim.stage, claim.tag
    if claim.last_step is not None:
        yield "last step", claim.stage, claim.last_step
    for metric, values in claim.values.items():
        for step, value in values.items():
            place = round(value, 3)
            for near in (-0.001, 0.0, 0.001) if spread else (0.0,):
                yield metric, step, round(place + near, 3)


def _weight(one: Claim, two: Claim) -> int:
    """Return how sure it is that both are one run; 0 is not at all."""
    agree, differ = _agreement(one, two)
    if not _compatible(one, two) or _differ(agree, differ) or _apart(one.kinds, two.kinds):
        return 0
    name = bool(one.names & two.names)
    word = name or (one.tag is not None and one.tag == two.tag)
    stage = one.stage is not None and one.stage == two.stage
    other_kind = not one.kinds & two.kinds
    at_end = one.last_step is not None and one.last_step == two.last_step
    reasons = {
        _VALUES: agree >= 3 and (word or other_kind),
        _VALUE_AND_WORD: agree and (word or (other_kind and stage)),
        _NAME: name,
        _TAG: word and stage and other_kind,
        # it knows nothing but the step that it evaluated
        _LAST_STEP: at_end and stage and "nanochat-base-eval" in one.kinds ^ two.kinds,
    }
    return max((weight for weight, holds in reasons.items() if holds), default=0)


def _apart(one: frozenset[str] | set[str], two: set[str]) -> bool:
    """Whether both are of a source whose files tell its runs apart by themselves."""
    return any(not kind.startswith(_MANY_FILES) for kind in one & two)


def reason(claim: Claim, others: Sequence[Claim]) -> str:
    """Return in words why *claim*, which names no run's id, is of the run of *others*."""
    best = max(others, key=lambda other: (_weight(claim, other), other.own_id), default=None)
    if best is None or not _weight(claim, best):
        return "it names no run, and no other file is of the same one"
    agree, differ = _agreement(claim, best)
    shared = sorted(claim.names & best.names)
    words = [
        f"{agree} of {agree + differ} values agree with those of" if agree else "",
        f"it names {shared[0]!r} as does" if shared else "",
        f"its checkpoints are {claim.tag!r} as are those of"
        if claim.tag and claim.tag == best.tag
        else "",
    ]
    why = [word for word in words if word] or ["it ends at the last step of"]
    return f"{why[0]} {' and '.join(sorted(best.kinds))}"


def _compatible(one: Claim, two: Claim) -> bool:
    if one.counts_calls != two.counts_calls and one.values and two.values:
        return False  # their steps cannot be compared, so nothing shows that they are one
    if _scripts(one) and _scripts(two) and _hours_between(one.ended, two.ended) > _LATE:
        return False
    pairs = [(one.stage, two.stage), (one.tag, two.tag)]
    if not any(kind.startswith(_SCRIPTS) for kind in one.kinds | two.kinds):
        pairs.append((one.source_project, two.source_project))
    if one.grouped or two.grouped or any(a and b and a != b for a, b in pairs):
        return False
    shared = one.config.keys() & two.config.keys()
    return not any(
        one.config[key] != two.config[key]
        for key in shared
        if key not in _PASSING and not key.endswith(_PASSING_ENDS) and _said(one, two, key)
    )


def _scripts(claim: Claim) -> bool:
    """Whether only nanochat's own files tell of it, whose clocks are those of one machine."""
    return all(kind.startswith(_SCRIPTS) for kind in claim.kinds)


def _hours_between(one: float | None, two: float | None) -> float:
    return 0.0 if one is None or two is None else abs(one - two) / 3600


def _said(one: Claim, two: Claim, key: str) -> bool:
    """Whether both sides give *key* a value, and not nanochat's words for "decide yourself"."""
    return all(c.config[key] is not None and c.config[key] not in (-1, -1.0) for c in (one, two))


def _agreement(one: Claim, two: Claim) -> tuple[int, int]:
    """Return how many telling values agree and how many differ, at steps that both logged."""
    if one.counts_calls != two.counts_calls:
        return 0, 0
    agree = differ = 0
    for metric in one.values.keys() & two.values.keys():
        a, b = one.values[metric], two.values[metric]
        for step in a.keys() & b.keys():
            if a[step] == b[step] == round(a[step]):
                continue  # 0, 1, a count: everyone has it
            near = abs(a[step] - b[step]) <= _NEAR * max(1.0, abs(a[step]))
            agree, differ = agree + near, differ + (not near)
    return agree, differ
