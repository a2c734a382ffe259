"""A Hugging Face ``trainer_state.json`` -> a run's facts and the points of its ``log_history``.

Every ``checkpoint-N`` holds one with all rows up to step N, so the copies of one run are the same
run, called after the folder above them. The file has no times, and names neither run nor script.
Fields: ``transformers.trainer_callback.TrainerState``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import jsonl_rows, places
from etl.sources.facts import Facts
from etl.sources.frames import POINTS
from etl.sources.reading import Part, Reading, Reject

_ASKED = ("num_train_epochs", "logging_steps", "eval_steps", "save_steps", "trial_params")
_MADE_OF_IT = ("max_steps", "num_train_epochs", "train_batch_size")
_OUTCOME = (
    "best_global_step",
    "best_metric",
    "epoch",
    "global_step",
    "num_input_tokens_seen",
    "total_flos",
)
_FILE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_GAP = re.compile(r"[\s,]*")
_ROWS = re.compile(r'"log_history"\s*:\s*\[')
# Of every version since 4.0; the file is written with sorted keys, so they stand before the rows.
_MARKS = (b'"global_step"', b'"is_world_process_zero"', b'"log_history"')


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a trainer's state: by its fields, or by its name where it was cut."""
    if path.name == _FILE:
        return True
    return head.lstrip()[:1] == b"{" and all(mark in head for mark in _MARKS)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001  always whole
    """Return what *path* holds; of a file that was cut, the rows before the cut."""
    data = path.read_bytes()
    rejects: list[Reject] = []
    text = data.decode("utf-8", "replace")
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        state, at = _salvaged(text)
        begin = len(text[:at].encode())
        reason = "cut or damaged here: the rows before are kept, what comes after is not"
        rejects.append(Reject(begin, reason, data[begin:]))
    rows = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(rows, list):
        reason = "no trainer state: it has no list log_history"
        return Reading((), (Reject(0, reason, data),), len(data))
    columns: dict[str, list[Any]] = {name: [] for name in POINTS}
    counted = 0
    for row in rows:
        problem = _take(row, columns)
        if problem:
            rejects.append(Reject(0, problem, json.dumps(row).encode()))
        else:
            counted += 1
    points = pl.DataFrame(columns, schema=POINTS)
    facts = _facts(path, state, rows).counted(counted, points, {"step": "step"})
    return Reading((Part(facts, points),), tuple(rejects), len(data))


def _take(row: Any, columns: dict[str, list[Any]]) -> str | None:
    """Append the points of one row; return why it is none."""
    if not isinstance(row, dict):
        return "a row of log_history that is no object"
    step = row.get("step")
    if isinstance(step, bool) or not isinstance(step, (int, float)):
        return "a row of log_history without a step"
    if not abs(step) < jsonl_rows.MAX_STEP or step != int(step):
        return "a row of log_history whose step is no whole number"
    jsonl_rows.add_row(columns, row, int(step), "step", None)
    return None


def _salvaged(text: str) -> tuple[dict[str, Any], int]:
    """Return (the state as far as it can be read, the place from which it cannot)."""
    found = _ROWS.search(text)
    if found is None:
        return {}, 0
    state: dict[str, Any] = {"log_history": []}
    try:  # the fields before the rows, as an object of their own
        before = json.loads(text[: found.start()].rstrip().removesuffix(",") + "}")
        state = {**before, **state}
    except (ValueError, TypeError):
        pass
    at, decode = found.end(), json.JSONDecoder().raw_decode
    while True:
        gap = _GAP.match(text, at)
        try:
            row, at = decode(text, gap.end() if gap else at)
        except (ValueError, RecursionError):
            return state, at
        state["log_history"].append(row)


def _facts(path: Path, state: dict[str, Any], rows: list[Any]) -> Facts:
    folder = path.parent
    if _CHECKPOINT.fullmatch(folder.name):
        folder = folder.parent
    name = places.telling(folder)
    # the first row stays as it is in every later copy, and differs between runs of one folder
    first = json.dumps(rows[:1], sort_keys=True)
    content = f"{name}\n{first}".encode("utf-8", "surrogatepass")
    run_id = "hf-" + hashlib.blake2b(content, digest_size=5).hexdigest()
    return Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=False,
        name=name,
        finished=_ended(state, rows),
        tells_end=False,
        config=_stated(state, _ASKED),
        effective=_stated(state, _MADE_OF_IT),
        summary=_stated(state, _OUTCOME),
    )


def _ended(state: dict[str, Any], rows: list[Any]) -> bool:
    """Whether the trainer ran to its end: it then adds a row that says how long it took."""
    last, most = rows[-1] if rows else None, state.get("max_steps")
    if isinstance(last, dict) and "train_runtime" in last:
        return True
    done = state.get("global_step")
    return isinstance(most, int) and isinstance(done, int) and done >= most > 0


def _stated(state: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: state[name] for name in names if state.get(name) is not None}
