"""JSONL that another program wrote, one flat or nested object a step -> points of its runs.

A file is of one run, read in columns, until its rows show another: a text in each that names their
run, or steps that go back (``jsonl_turns`` has the rule). Then ``jsonl_parts`` reads it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from etl.sources import jsonl, jsonl_axes, jsonl_parts, jsonl_rows
from etl.sources.facts import Facts
from etl.sources.frames import FEW, KEY, measured_steps
from etl.sources.hooks_jsonl import SUFFIXES
from etl.sources.jsonl_axes import Axes
from etl.sources.jsonl_rows import Lines
from etl.sources.reading import HEAD_BYTES, STEP_KEYS, Part, Reading, Reject
from hooks import record

_LONGEST_LINE = 64 << 20
# Byte order marks of UTF-16, and how a line begins in it without one.
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"{\x00", b"\x00{")


def recognises(path: Path, head: bytes, step_keys: Sequence[str] = STEP_KEYS) -> bool:
    """Whether *path* is a log of steps: its first complete lines hold a step and a number."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    head = _whole_lines(path, head)
    return head.startswith(_UTF16) or jsonl_axes.of_head(head, step_keys) is not None


def _whole_lines(path: Path, head: bytes) -> bytes:
    """Return *head*, or, of a log whose config fills it, the first three lines."""
    if len(head) < HEAD_BYTES or head.count(b"\n") > 1 or not head.startswith(b"{"):
        return head
    with path.open("rb") as file:
        return b"".join(file.readline(_LONGEST_LINE) for _ in range(3))


def read(
    path: Path, start: int, known: tuple[Facts, ...], step_keys: Sequence[str] = STEP_KEYS
) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    with path.open("rb") as file:
        head = _whole_lines(path, file.read(HEAD_BYTES))
    if head.startswith(_UTF16):
        first = head.split(b"\n", 1)[0]
        reason = f"UTF-16, where JSON lines are UTF-8: iconv -f UTF-16 -t UTF-8 {path.name} > new"
        return Reading((), (Reject(0, reason + path.suffix, first, 1),), 0)
    # what the first read decided holds for the file, however much of it was there then
    axes = jsonl_axes.of_facts(known[0]) if known else jsonl_axes.of_head(head, step_keys)
    axes = axes or Axes(step_keys[0], None, None, {})
    lines = jsonl.read(path, start, axes.step, axes.time)
    facts = _current(known) if known else _facts(path, head, axes)
    points = lines.points
    if points.height > FEW or not set(axes.none).isdisjoint(points["key"]):
        points = points.filter(~pl.col("key").is_in(axes.none))
    wide = lines.wide
    if wide is not None:
        wide = wide.drop([KEY + key for key in axes.none], strict=False)
    alone = facts is not None and _named_alike(lines, facts, axes)
    if facts is None or not alone or not _goes_on(points, wide, facts, known):
        return jsonl_parts.read(path, start, known, axes)
    configs = [(r.at_byte, c) for r in lines.rejects if (c := jsonl_parts.config_of(r)) is not None]
    for _, config in configs:
        facts = dataclasses.replace(facts, config=config)
    taken = {at for at, _ in configs}
    rejects = [reject for reject in lines.rejects if reject.at_byte not in taken]
    odd = jsonl_parts.FOREIGN_EVENT
    rejects += [dataclasses.replace(event.place, reason=odd) for event in lines.events]
    if not (known or lines.rows):  # as of a log that is not UTF-8 in any line
        return Reading((), jsonl.numbered(path, start, rejects), start)
    facts = facts.counted(lines.rows, points, dict(axes.roles), wide)
    facts = dataclasses.replace(facts, current_step=facts.last_step)
    earlier = [Part(fact) for fact in known if fact.segment_id != facts.segment_id]
    parts = sorted([*earlier, Part(facts, points, rows=wide)], key=_place)
    return Reading(tuple(parts), jsonl.numbered(path, start, rejects), lines.end)


def _place(part: Part) -> tuple[str, str]:
    return part.facts.run_id, part.facts.segment_id


def _current(known: Sequence[Facts]) -> Facts | None:
    """Return what is known of the segment that further lines belong to, if there is but one."""
    found = [fact for fact in known if fact.current_step is not None]
    return found[0] if len(found) == 1 else None


def _facts(path: Path, head: bytes, axes: Axes) -> Facts:
    """Return what is known of a run from the beginning of its file."""
    lines = head.split(b"\n")
    rows = ((line, jsonl_rows.row_of(line, axes.step)) for line in lines)
    line, (row, _) = next(((line, row) for line, row in rows if row), (b"", ({}, 0)))
    began = record.number(row.get(axes.time)) if axes.time else None
    if axes.run:
        facts = jsonl_axes.named_facts(axes, str(row.get(axes.run)), line)
    else:
        facts = jsonl_axes.log_facts(path, lines[0])
    return dataclasses.replace(facts, started_at=began)


def _named_alike(lines: Lines, facts: Facts, axes: Axes) -> bool:
    """Whether every row of *lines* names the run of *facts*, where rows name theirs."""
    if not axes.run:
        return True
    words = lines.points.filter(pl.col("key") == axes.run)["text"]
    return len(words) == lines.rows and bool((words == facts.name).all())


def _goes_on(
    points: pl.DataFrame, wide: pl.DataFrame | None, facts: Facts, known: Sequence[Facts]
) -> bool:
    """Whether these points are all of the segment of *facts*; False if that takes a closer look."""
    last = facts.last_step if known else None
    firsts = [points["step"].min(), None if wide is None else measured_steps(wide).min()]
    if last is not None and any(isinstance(first, int) and first <= last for first in firsts):
        return False
    # while it has not passed what was before its turn, it may show that writers are mixed
    if any((fact.last_step or 0) > (last or 0) for fact in known):
        return False
    if wide is not None and not _goes_up(wide):
        return False
    return few_go_up(points) if points.height <= FEW else many_go_up(points)


def many_go_up(points: pl.DataFrame) -> bool:
    """Whether no key's step goes back, or comes again with another value."""
    changes = points["key"].ne_missing(points["key"].shift())
    if changes.sum() > points["key"].n_unique():  # rows, and not columns, were read
        points = points.sort("key", maintain_order=True)
        changes = points["key"].ne_missing(points["key"].shift())
    # the points of a key come in the order of the file
    ahead = points["step"].diff()
    if ((ahead < 0) & ~changes).any():
        return False
    again = (ahead == 0) & ~changes
    value, text = points["value"], points["text"]
    other = value.ne_missing(value.shift()) | text.ne_missing(text.shift())
    return not (again.any() and (again & other).any())


def few_go_up(points: pl.DataFrame) -> bool:
    """Return what ``many_go_up`` does, without its queries, which cost 1 ms."""
    seen: dict[str, tuple[int, tuple[str | None, float | str | None]]] = {}
    for key, step, value, text, _ in points.rows():
        odd = value is not None and math.isnan(value)
        said = (text, "NaN" if odd else value)  # any NaN is the same NaN
        last, before = seen.get(key, (step - 1, said))
        if step < last or (step == last and said != before):
            return False
        seen[key] = step, said
    return True


def _goes_up(wide: pl.DataFrame) -> bool:
    """Whether no key's step goes back, or comes again with another value."""
    steps = wide["step"].diff()
    if (steps > 0).all():
        return True
    for name in wide.columns[2:]:
        rows = wide.select("step", value=name).drop_nulls("value")
        ahead, value = rows["step"].diff(), rows["value"]
        again = (ahead == 0) & value.ne_missing(value.shift())
        if (ahead < 0).any() or again.any():
            return False
    return True
