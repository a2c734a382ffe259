"""All that the files of one run state -> its segments in order, and which steps of each stand.

A resumed run replays the steps since its last checkpoint. From the step on at which a later
segment began, an earlier one is abandoned, unless both were written at the same time. Segments are
what logs of processes show; what else is known of a run (an export, a checkpoint's file) belongs,
step by step, to the segments there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from etl.sources.facts import Facts
from etl.sources.reading import Source


@dataclass(frozen=True, slots=True)
class Segment:
    """One process lifetime of a run.

    ``shift`` is added to steps that are only log calls counted anew since a resume;
    ``abandoned_from`` is the first step (shifted) that a later segment of this rank replaced.
    """

    index: int
    segment_id: str
    rank: int
    started_at: float | None
    resume_step: int | None
    shift: int
    first_step: int | None
    last_step: int | None
    abandoned_from: int | None
    ended_at: float | None = None  # when its last line was written, where that is known
    stated: bool = False  # whether it says that it resumed


def telling(facts: Sequence[tuple[str, Facts]], sources: Mapping[str, Source]) -> list[Facts]:
    """Return those of (kind, facts) that show where the segments of their run begin.

    Those of logs of processes, all of them; of a run without any, those of its best log that grows
    as a process writes it. Files that are written whole show none, and make one segment.
    """
    told = [fact for kind, fact in facts if sources[kind].processes]
    if told:
        return told
    logs = [(kind, fact) for kind, fact in facts if sources[kind].grows]
    if not logs:
        return [replace(fact, segment_id="", resumed=False, resume_step=None) for _, fact in facts]
    best = max(sources[kind].precedence for kind, _ in logs)
    return [fact for kind, fact in logs if sources[kind].precedence == best]


def stitch(facts: Iterable[Facts]) -> list[Segment]:
    """Return the segments of one run, oldest first, whatever the order of *facts*."""

    def place(fact: Facts) -> tuple[str, int]:
        return fact.segment_id, fact.rank

    groups = [list(group) for _, group in groupby(sorted(facts, key=place), key=place)]
    groups.sort(key=lambda group: (_start(group) or 0.0, group[0].segment_id, group[0].rank))
    if _resumed(groups[0]):  # a clock that is behind makes no beginning of a continuation
        groups.sort(key=_resumed)
    segments: list[Segment] = []
    for group in groups:
        segments.append(_segment(len(segments), group, segments))
    return [_abandoned(segment, segments) for segment in segments]


def _resumed(group: list[Facts]) -> bool:
    return any(fact.resumed or fact.resume_step is not None for fact in group)


def _start(group: list[Facts]) -> float | None:
    return min((f.started_at for f in group if f.started_at is not None), default=None)


def _segment(index: int, group: list[Facts], before: list[Segment]) -> Segment:
    rank = group[0].rank
    earlier = [segment for segment in before if segment.rank == rank]
    first = min((f.first_step for f in group if f.first_step is not None), default=None)
    last = max((f.last_step for f in group if f.last_step is not None), default=None)
    shift = 0
    # current W&B SDKs count a resumed offline run's log calls from 0 again
    if first == 0 and earlier and all(f.log_index_steps and f.resumed for f in group):
        shift = 1 + max((s.last_step for s in earlier if s.last_step is not None), default=-1)
    stated = [f.resume_step for f in group if f.resume_step is not None]
    began = None if first is None else first + shift
    return Segment(
        index=index,
        segment_id=group[0].segment_id,
        rank=rank,
        started_at=_start(group),
        resume_step=(min(stated) if stated else began) if earlier or stated else None,
        shift=shift,
        first_step=began,
        last_step=None if last is None else last + shift,
        abandoned_from=None,
        ended_at=max((f.ended_at for f in group if f.ended_at is not None), default=None),
        stated=_resumed(group),
    )


def _abandoned(segment: Segment, segments: list[Segment]) -> Segment:
    later = [
        other.resume_step
        for other in segments[segment.index + 1 :]
        if other.rank == segment.rank
        and other.resume_step is not None
        and (other.stated or not _beside(segment, other))
    ]
    if not later:
        return segment
    return replace(segment, abandoned_from=min(later))


def _beside(one: Segment, two: Segment) -> bool:
    """Whether *two* was begun while *one* was still written: another writer, not a resume."""
    if one.ended_at is None or two.started_at is None:
        return False
    return one.ended_at > two.started_at
