"""A table that nanochat's base_eval wrote -> CORE and its tasks at one step.

The file states no model and no run, and only the step in its name: the evaluations of two models at
one step overwrite each other. It is of every problem of each task, while base_train logs CORE of at
most 500 of each at the same step (0.2200 and 0.2284 of one real run): another measurement, which
has keys of its own, or each would contradict the other.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from etl.sources import nanochat_words as words
from etl.sources.facts import Facts
from etl.sources.reading import Part, Reading, Reject

_HEADER = ["Task", "Accuracy", "Centered"]
_NAME = re.compile(r"(?P<model>base|mid|sft|chatsft|rl|chatrl)_model_(?P<step>\d{1,12})(?:\..*)?")
_PRINTED = re.compile(r"-?\d+\.\d{6}|-?inf|nan")
_BOM = b"\xef\xbb\xbf"


def recognises(path: Path, head: bytes) -> bool:  # noqa: ARG001
    """Whether the first line is base_eval's header."""
    first = head[:200].removeprefix(_BOM).split(b"\n", 1)[0]
    return [cell.strip() for cell in first.decode("utf-8", "replace").split(",")] == _HEADER


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return the evaluation; the file is read whole each time."""
    raw = path.read_bytes()
    found: dict[str, float] = {}
    rejects: list[Reject] = []
    at = raw.find(b"\n") + 1 or len(raw)
    number = 2
    while at < len(raw):
        line, newline, _ = raw[at:].partition(b"\n")
        values = _values(line.decode("utf-8", "replace"), whole=bool(newline))
        if values is None:
            rejects.append(Reject(at, "no row of task, accuracy and centered", line, number))
        else:
            found.update(values)
        at += len(line) + 1
        number += 1
    notes = () if "base_eval/core_metric" in found else ("no CORE row: the file ends before it",)
    return Reading((_part(path, raw, found),), tuple(rejects), len(raw), notes)


def _values(line: str, *, whole: bool) -> dict[str, float] | None:
    """Return the values of a row by key, nothing of an empty one, None of a damaged one."""
    cells = [cell.strip() for cell in line.split(",")]
    if cells == [""]:
        return {}
    if len(cells) != len(_HEADER) or not cells[0]:
        return None
    task, accuracy, centered = cells
    # a last line without its end may be cut within its number
    if not whole and not _PRINTED.fullmatch(centered):
        return None
    try:
        value = float(centered)
        if not accuracy:
            return {"base_eval/core_metric" if task == "CORE" else f"base_eval/{task}": value}
        return {
            f"base_eval/{task}/centered": value,
            f"base_eval/{task}/accuracy": float(accuracy),
        }
    except ValueError:
        return None


def _part(path: Path, raw: bytes, found: dict[str, float]) -> Part:
    named = _NAME.fullmatch(path.name)
    stage = words.STAGES[named["model"]] if named else None
    run_id = words.own_id("base-eval", path.name, raw.hex())
    facts = Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=False,
        # a file that base_eval did not call so is of a model from elsewhere, or a person named it
        name=None if named else path.stem,
        source_project=words.PROJECTS[stage] if stage else None,
        stage=stage,
        stage_from="its file name" if stage else None,
        script="base_eval",
        tells_end=False,
    )
    if named is None:  # of no known step: no point in a history
        return Part(dataclasses.replace(facts, summary=dict(sorted(found.items())), rows=1))
    rows = [(key, int(named["step"]), value, None) for key, value in sorted(found.items())]
    points = words.frame(rows)
    return Part(facts.counted(len(found), points, {}), points)


# one below a checkpoint, which says more of the run's steps than one evaluation does
