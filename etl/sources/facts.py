"""What a file states about its run, made of texts and numbers that may be kept."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from etl.sources import private
from etl.sources.frames import FEW, KEY, measured_steps
from etl.sources.private import public

SAID_STAGE = "training_stage"  # a text that the original visualiser's hooks log


@dataclass(frozen=True, slots=True)
class Facts:
    """What one file says about the run it belongs to; None or empty where it is silent.

    Times are seconds since the epoch. ``keys`` counts the points of each key as the source spells
    it, ``roles`` names the keys that are no metrics. Where a file names no id of its run
    (``id_known`` is false), ``run_id`` is one of our own, made from what stays the same when the
    file is copied, moved or grows; ``etl.identity`` may find that it is a run of another file.

    ``model_tag`` is what the run's checkpoints are called, ``loads_*`` from which checkpoint of
    which stage it began. ``config`` is what was asked for, ``effective`` what the run made of it.
    """

    run_id: str
    segment_id: str
    name: str | None = None
    source_project: str | None = None
    stage: str | None = None
    stage_from: str | None = None
    script: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    parent_run_id: str | None = None
    id_known: bool = True
    model_tag: str | None = None
    loads_stage: str | None = None
    loads_tag: str | None = None
    loads_step: int | None = None
    finished: bool = False
    tells_end: bool = True  # whether this kind of log says when a run ends
    exit_code: int | None = None
    job_type: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    rank: int = 0
    resumed: bool = False
    resume_step: int | None = None
    log_index_steps: bool = False
    rows: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    first_step: int | None = None
    last_step: int | None = None
    current_step: int | None = None
    read_to: int = 0  # the byte up to which the file was read
    cursor: str | None = None  # what a reader needs to read on from there, in its own words

    def normal(self) -> Facts:
        """Return the facts as tables can hold them, whatever types a strange file gave them."""
        changes: dict[str, Any] = {name: _public(getattr(self, name), name) for name in _TEXTS}
        dicts = ("config", "effective", "summary")
        changes |= {name: public(_entries(getattr(self, name), 0)) for name in dicts}
        changes["keys"] = _named(self.keys)
        versions = {k: str(v) for k, v in public(_entries(self.versions, 0)).items()}
        return dataclasses.replace(
            self,
            **changes,
            run_id=_text(self.run_id) or "",
            segment_id=_text(self.segment_id) or "",
            tags=tuple(tag for tag in map(_public, self.tags) if tag),
            versions=versions,
            rank=_whole(self.rank, 2**31) or 0,
            exit_code=_whole(self.exit_code, 2**31),
            resume_step=_whole(self.resume_step, 2**53),
            loads_step=_whole(self.loads_step, 2**53),
        )

    def lasting(self) -> Facts:
        """Return the facts without those that any further row or the end of a log changes."""
        return dataclasses.replace(self, **_PASSING)

    def dump(self) -> str:
        """Return the facts as JSON text."""
        return json.dumps({name: getattr(self, name) for name in _FIELDS}, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Facts:
        """Return the facts that ``dump`` wrote."""
        values = json.loads(text)
        return cls(**{**values, "tags": tuple(values["tags"])})

    def counted(
        self,
        rows: int,
        points: pl.DataFrame,
        roles: dict[str, str],
        wide: pl.DataFrame | None = None,
    ) -> Facts:
        """Return the facts with what *rows* more rows add to the counts.

        Those rows hold *points* and *wide* ones, as ``Part.points`` and ``Part.rows`` have them.
        """
        keys = dict(self.keys)
        counts = _key_counts(points)
        measured = [points["step"]]
        if wide is not None:
            values = wide.get_columns()[2:]
            counts |= {v.name.removeprefix(KEY): len(v) - v.null_count() for v in values}
            measured.append(measured_steps(wide))
        for key, count in sorted(counts.items()):
            if count:
                keys[key] = keys.get(key, 0) + count
        steps = [s for s in (self.first_step, *(m.min() for m in measured)) if isinstance(s, int)]
        lasts = [s for s in (self.last_step, *(m.max() for m in measured)) if isinstance(s, int)]
        stage = self.stage or (_said_stage(points) if SAID_STAGE in counts else None)
        return dataclasses.replace(
            self,
            stage=stage,
            stage_from=self.stage_from or (f"its metric {SAID_STAGE}" if stage else None),
            rows=self.rows + rows,
            keys=keys,
            roles={**self.roles, **roles},
            first_step=min(steps, default=None),
            last_step=max(lasts, default=None),
        )


def _key_counts(points: pl.DataFrame) -> dict[str, int]:
    """Return how many *points* there are of each key."""
    if points.height <= 10 * FEW:  # the first grouping of a process costs 3 ms
        return Counter(points["key"].to_list())
    return dict(points.group_by("key").len().iter_rows())


def _said_stage(points: pl.DataFrame) -> str | None:
    said = points.filter(pl.col("key") == SAID_STAGE)["text"].drop_nulls()
    return said[0] if len(said) else None


_TEXTS = (
    "name",
    "source_project",
    "stage",
    "stage_from",
    "script",
    "parent_run_id",
    "job_type",
    "group",
    "notes",
    "model_tag",
    "loads_stage",
    "loads_tag",
)

_FIELDS = tuple(field.name for field in dataclasses.fields(Facts))
_PASSING: dict[str, Any] = {
    **dict.fromkeys(("first_step", "last_step", "current_step", "cursor", "ended_at", "exit_code")),
    "finished": False,
    "rows": 0,
    "read_to": 0,
    "keys": {},
    "roles": {},
    "summary": {},
}

_IDS = ("parent_run_id",)  # which may look like anything
_DEPTH = 50


def clean(text: str) -> str:
    """Return *text* without lone surrogates, which have no UTF-8 form."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, (list, dict)):
        return None
    return clean(str(value))


def _public(value: Any, name: str = "") -> str | None:
    found = _text(value)
    if found is None or name in _IDS:
        return found
    found = private.text(found, name)
    return re.split(r"[\\/]", found)[-1] if name == "script" else found


def _named(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts of keys by the names that these are kept under."""
    found: Counter[str] = Counter()
    for key, count in counts.items():
        found[private.name(key)] += count
    return dict(found)


def _whole(value: Any, limit: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < limit else None


def _entries(values: Any, depth: int) -> dict[str, Any]:
    if not isinstance(values, dict):
        return {}
    return {clean(str(key)): _plain(value, depth) for key, value in values.items()}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (dict, list)) and depth >= _DEPTH:
        return "(nested too deep)"
    if isinstance(value, dict):
        return _entries(value, depth + 1)
    return [_plain(item, depth + 1) for item in value] if isinstance(value, list) else value
