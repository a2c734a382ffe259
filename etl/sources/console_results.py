"""A line of results -> its points: training steps, validation, tasks, aggregates."""

from __future__ import annotations

import re

from etl.sources import console_lines as known
from etl.sources.console_meaning import Meaning, Point


def train(text: str) -> Meaning | None:
    """Read a line of the base, mid or SFT loop, whichever fields it has."""
    head, *fields = text.split(" | ")
    place = known.TRAIN.match(head)
    if place is None or not fields:
        return None
    if not fields[0].startswith("loss: "):
        bad = "a training line that was cut, or mixed with another"
        return Meaning(bad=bad) if len(place[1]) >= 5 else None  # they are printed as 00123
    meant = Meaning(step=int(place[1]), trains=True)
    if place[2]:
        meant.effective["num_iterations"] = int(place[2])
    for part in fields:
        name, _, said = part.partition(": ")
        spec = known.TRAIN_FIELDS.get(name, known.Field(f"train/{name.replace(' ', '_')}"))
        if spec is None:
            continue
        value = _measured(said, spec)
        if value is not None:
            meant.points.append((spec.key, value, None))
        elif spec.key == "train/epoch" and said:
            meant.points.append((spec.key, None, said))
        else:
            meant.bad = f"a training line whose {name[:40]!r} is no number"
    names = {part.partition(": ")[0] for part in fields}
    meant.script = _loop(place, names, text)
    return meant


def _loop(place: re.Match[str], names: set[str], text: str) -> str | None:
    if place[2]:  # "step 00100/05000": of SFT since September 2026 without a percentage
        return "base_train" if "%) |" in text else "chat_train"
    return "chat_sft" if "epoch" in names else None  # midtraining's had none until it ended


def _measured(said: str, spec: known.Field) -> float | None:
    text = said.strip()
    if spec.ending:
        if not text.endswith(spec.ending):
            return None
        text = text.removesuffix(spec.ending)
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    if spec.scale == 1.0:
        return value
    # 489.39 ms are 0.48939 s, not 0.48939000000000004
    return value / round(1 / spec.scale) if spec.scale < 1 else round(value * spec.scale, 6)


def step(text: str) -> Meaning | None:
    """``Step 00250 | Validation bpb: 0.91``, and all else that is printed of a step so."""
    match = known.STEP.match(text)
    if match is None or known.NOISE in text:
        return None
    meant = Meaning(step=int(match[1]))
    for part in re.split(r" *\| |, ", match[3]):
        name, _, said = part.partition(": ")
        key = known.STEP_FIELDS.get(name)
        if key is None and known.STEP_NAMES.fullmatch(name):
            key = name.lower()
        if key is None:
            continue
        value = _measured(said, known.Field(key))
        if value is None:
            meant.bad = f"a line of step {match[1]} whose {name!r} is no number"
            continue
        meant.points.append((key, value, None))
        if key in known.STEP_SCRIPTS:
            meant.script, meant.trains = known.STEP_SCRIPTS[key], True
    if match[2] and meant.trains:
        meant.effective["num_iterations"] = int(match[2])
    return meant if meant.points or meant.bad else None


def task(text: str) -> Meaning | None:
    """``MMLU accuracy: 31.51%`` of an evaluation, ``  MMLU: 31.51%`` of SFT, before its step."""
    match = known.TASK.fullmatch(text)
    if match is None or match[1] not in known.TASKS:
        return None
    point = (known.TASKS[match[1]], round(float(match[3]) / 100, 6), None)
    if match[2]:
        return Meaning([point], evaluates=True, script="chat_eval")
    return Meaning([point], waits=True)


def evaluating(text: str) -> Meaning | None:
    """``Evaluating: copa (0-shot, type: ...)... accuracy: ...``, one task of CORE."""
    match = known.EVALUATING.match(text)
    if match is None:
        return None
    meant = accuracy(match[2]) or Meaning(waits=True)
    meant.label = match[1]
    return meant


def accuracy(text: str) -> Meaning | None:
    """``accuracy: 0.66 | centered: 0.32 | time: 0.15s``, of the task named before."""
    match = known.ACCURACY.match(text)
    if match is None:
        return None
    found = (("results.", float(match[1])), ("centered_results.", float(match[2])))
    return Meaning([(key, value, None) for key, value in found], waits=True, script="base_eval")


def csv_row(text: str) -> Meaning | None:
    """``copa    , 0.660000  , 0.320000``, one row of base_eval's table."""
    match = known.CSV_ROW.fullmatch(text)
    if match is None:
        return None
    found = (("results.", match[2]), ("centered_results.", match[3]))
    points: list[Point] = [(key + match[1], float(value), None) for key, value in found]
    return Meaning(points, evaluates=True, script="base_eval")


def result(text: str) -> Meaning | None:
    """``CORE metric: 0.22``, and other results of a whole evaluation."""
    for _, pattern, key, script in known.RESULTS:
        if match := pattern.fullmatch(text):
            value = float(match[1].replace(",", ""))
            return Meaning([(key, value, None)], evaluates=True, script=script)
    return None


def model_step(text: str) -> Meaning | None:
    """``Model: base_model (step 21400)``: which step is evaluated."""
    match = known.MODEL_STEP.match(text)
    return Meaning(facts={"loads_step": int(match[1])}) if match else None
