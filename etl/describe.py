"""A run's facts and history -> its rows in runs, segments, config, summary and keys. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from etl import eras, naming, sources
from etl.blocks import History
from etl.project import Settings
from etl.sources import private
from etl.sources.facts import Facts
from etl.stitch import Segment
from hooks import record

Row = dict[str, Any]


def run_row(
    project: str,
    run_id: str,
    facts: Sequence[tuple[str, Facts]],
    segments: Sequence[Segment],
    history: History,
    *,
    settings: Settings,
) -> Row:
    """Return the run's row. *facts* are (source, facts) pairs, best first, as ``ordered`` gives."""

    def first(name: str) -> Any:
        return next((v for _, f in facts if (v := getattr(f, name)) not in (None, ())), None)

    stages = [naming.stage_of(fact, settings.stages) for _, fact in facts]
    known = [pair for pair in stages if pair[0] != "unknown"]
    stage, reason = (known or stages)[0]
    state, exit_code, ended_at = _state(_last_segment(facts, segments))
    tags = sorted({tag for _, fact in facts for tag in fact.tags})
    started_at = min((s.started_at for s in segments if s.started_at), default=None)
    config = {key for _, fact in facts for key in fact.config}
    project_of, script = first("source_project"), naming.module(first("script"))
    return {
        "run_id": run_id,
        "name": first("name") or run_id,
        "project": project,
        "source_project": project_of,
        "stage": stage,
        "stage_reason": reason,
        "state": state,
        "era": eras.era_of(started_at, project_of, stage, script, config),
        "created_at": _time(started_at),
        "ended_at": _time(ended_at),
        "parent_run_id": first("parent_run_id"),
        "exit_code": exit_code,
        "job_type": first("job_type"),
        "group_name": first("group"),
        "tags": json.dumps(tags) if tags else None,
        "notes": first("notes"),
        "script": first("script"),
        "points": history.points,
        "first_step": history.steps[0],
        "last_step": history.steps[1],
    }


def ordered(
    facts: Sequence[tuple[str, Facts]], precedence: Mapping[str, int]
) -> list[tuple[str, Facts]]:
    """Return (source, facts) pairs, the most trusted first and then the oldest process.

    Of files that each hold a piece of one process, as checkpoints do, the latest comes first.
    """
    if len(facts) == 1:
        return list(facts)
    return sorted(
        facts,
        key=lambda pair: (
            -precedence[pair[0]],
            pair[1].rank,
            pair[1].started_at or 0.0,
            pair[1].segment_id,
            -(pair[1].last_step or 0),
            -pair[1].read_to,
            pair[1].dump(),
        ),
    )


def _last_segment(facts: Sequence[tuple[str, Facts]], segments: Sequence[Segment]) -> list[Facts]:
    """Return what logs of the last process say, and of other files those that saw an end."""
    last = max((s for s in segments if s.rank == 0), key=lambda s: s.index, default=segments[-1])
    places = {(s.segment_id, s.rank) for s in segments}
    if not any(fact.segment_id == last.segment_id for _, fact in facts):
        return [fact for _, fact in facts]  # files that show no segments
    return [
        f
        for _, f in facts
        if (f.segment_id, f.rank) == (last.segment_id, last.rank)
        or ((f.segment_id, f.rank) not in places and f.finished)
    ]


def _state(facts: Sequence[Facts]) -> tuple[str, int | None, float | None]:
    """Return (state, exit code, end) as the best source that saw the end has it."""
    done = [fact for fact in facts if fact.finished]
    if not done:
        told = any(fact.tells_end for fact in facts)
        return "unfinished" if told else "unknown", None, None
    return "failed" if done[0].exit_code else "finished", done[0].exit_code, done[0].ended_at


def segment_rows(
    run_id: str,
    facts: Sequence[tuple[str, Facts]],
    segments: Sequence[Segment],
    history: History,
) -> list[Row]:
    """Return a row for each segment."""
    counts = history.counts("segment")
    rows = []
    for segment in segments:
        place = (segment.segment_id, segment.rank)
        own = [f for _, f in facts if (f.segment_id, f.rank) == place or not segment.segment_id]
        state, exit_code, _ = _state(own)
        versions = {name: text for fact in reversed(own) for name, text in fact.versions.items()}
        began = segment.abandoned_from is not None and segment.last_step is not None
        rows.append(
            {
                "run_id": run_id,
                "segment": segment.index,
                "segment_id": segment.segment_id,
                "rank": segment.rank,
                "started_at": _time(segment.started_at),
                "resume_step": segment.resume_step,
                "shift": segment.shift,
                "state": state,
                "exit_code": exit_code,
                "points": counts.get(segment.index, 0),
                "first_step": segment.first_step,
                "last_step": segment.last_step,
                "abandoned_from": segment.abandoned_from
                if began and segment.abandoned_from <= segment.last_step  # type: ignore[operator]
                else None,
                "versions": json.dumps(versions, sort_keys=True) if versions else None,
            }
        )
    return rows


def config_rows(run_id: str, facts: Sequence[tuple[str, Facts]]) -> list[Row]:
    """Return the config as it was asked for, and what follows from it.

    Where sources differ the best one's word stands.
    """
    config: dict[str, Any] = {}
    made: dict[str, Any] = {}
    renamed: dict[str, Any] = {}
    for _, fact in reversed(facts):
        config.update(flat(fact.config))
        made.update(flat(fact.effective))
        renamed.update(naming.config_now(fact))
    kinds = {"requested": config, "effective": {**renamed, **_effective(config), **made}}
    return [
        {
            "run_id": run_id,
            "key": key,
            "value": value if isinstance(value, str) or value is None else json.dumps(value),
            "number": None if isinstance(value, str) else _number(value),
            "kind": kind,
        }
        for kind, values in kinds.items()
        for key, value in sorted(values.items())
    ]


def _effective(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what nanochat's base_train makes of its config: a width in whole heads."""
    given = [config.get(key) for key in ("depth", "aspect_ratio", "head_dim")]
    depth, ratio, head = (v if isinstance(v, int) and v > 0 else 0 for v in given)
    if "model_dim" in config or not depth * ratio * head:
        return {}
    return {"model_dim": -(-depth * ratio // head) * head}


def summary_rows(
    run_id: str,
    facts: Sequence[tuple[str, Facts]],
    history: History,
    metric_of: Callable[[str], str],
) -> list[Row]:
    """Return last, min, max and best of every metric, and what the run reported beyond these.

    NaN is never a min, max or best; a metric whose direction is not known has no best.
    """
    rows: list[Row] = []
    ends: dict[str, float] = {}
    for metric, steps, values in history.numbers():
        ends[metric] = float(values[-1])
        for rule, at in _extremes(metric, values).items():
            row = {"run_id": run_id, "metric": metric, "rule": rule, "text": None}
            rows.append({**row, "value": float(values[at]), "step": int(steps[at])})
    reported: dict[str, Any] = {}
    for _, fact in reversed(facts):
        reported.update({metric_of(key): value for key, value in flat(fact.summary).items()})
    for metric, value in sorted(reported.items()):
        number = record.number(value) if isinstance(value, str) else _number(value)
        repeated = metric in ends and number is not None and _same(number, ends[metric])
        if metric.startswith("_") or value is None or repeated:
            continue
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        place = {"value": number, "step": None, "text": text if number is None else None}
        rows.append({"run_id": run_id, "metric": metric, "rule": "reported", **place})
    return rows


def _extremes(metric: str, values: npt.NDArray[np.float64]) -> dict[str, int]:
    """Return where the last, least, greatest and best of *values* stand."""
    found = {"last": len(values) - 1}
    least, greatest = int(values.argmin()), int(values.argmax())
    if math.isnan(values[least]):  # to numpy NaN is the least and the greatest
        if bool(np.isnan(values).all()):
            return found
        least, greatest = int(np.nanargmin(values)), int(np.nanargmax(values))
    found |= {"min": least, "max": greatest}
    known = naming.describe(metric)
    if known and known.direction:
        found["best"] = found[known.direction]
    return found


def key_rows(
    run_id: str, facts: Sequence[tuple[str, Facts]], metric_of: Callable[[str], str]
) -> list[Row]:
    """Return every key as its source spells it. Of copies of one file the longest counts."""
    longest: dict[tuple[str, str, int], Facts] = {}
    for source, fact in facts:
        # one log of a process, growing; or one of several files that hold a piece each
        own = fact.segment_id if sources.BY_KIND[source].grows else fact.dump()
        place = (source, own, fact.rank)
        if place not in longest or fact.rows > longest[place].rows:
            longest[place] = fact
    found: dict[tuple[str, str], Row] = {}
    for (source, _, _), fact in sorted(longest.items()):
        for key, count, role in _spelled(fact):
            row = found.setdefault(
                (source, key),
                {
                    "run_id": run_id,
                    "source": source,
                    "key": key,
                    "metric": metric_of(key) if role in ("metric", "summary") else None,
                    "role": role,
                    "points": 0,
                },
            )
            row["points"] += count
    return [found[place] for place in sorted(found)]


def _spelled(fact: Facts) -> Iterator[tuple[str, int, str]]:
    """Yield each key with its points and its role; of a summary those that have no history."""
    # which key is the step is looked up in the file again, by the name it has there
    roles = {private.name(key): role for key, role in fact.roles.items()}
    for key, count in [*fact.keys.items(), *((key, 0) for key in roles)]:
        yield key, count, roles.get(key, "metric")
    for key, value in flat(fact.summary).items():
        if value is not None and not key.startswith("_") and key not in {**fact.keys, **roles}:
            yield key, 0, "summary"


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested *values* as one dict with dotted keys; media and tables stay whole."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value and "_type" not in value:
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _time(seconds: float | None) -> datetime | None:
    if seconds is None or not 0 <= seconds < 2**33:
        return None
    return datetime.fromtimestamp(round(seconds * 1e6) / 1e6, UTC).replace(tzinfo=None)
