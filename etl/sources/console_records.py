"""One line that a nanochat script printed -> what it means: points, facts, where a process begins.

A line that means nothing here is chatter; it stays a line of the console.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from etl.sources import console_lines as known
from etl.sources import nanochat_logfmt as logfmt
from etl.sources.console_text import compact_time, message
from etl.sources.nanochat_logfmt import Value, number

Point = tuple[str, float | None, str | None]  # key, value, text

_SECRET = re.compile(r"api_?key|passw|secret|auth|credential", re.IGNORECASE)
_NOTED = re.compile(r"[Ss]tep \d{5,}(?:/\d+)? (?:\(|\|)")
# a line of interest may be glued to what another process printed without ending its line
_CHECKPOINT_FOLDERS = ("base", "mid", "sft", "chat", "rl")


@dataclass(slots=True)
class Meaning:
    """What one line says.

    ``points`` belong to ``step``; without one they wait for it (``waits``) or are of the step that
    is evaluated (``evaluates``). ``trains`` tells a line of a training loop, ``begins`` one of a
    process's first. ``facts``, ``config``, ``effective`` and ``summary`` are as in ``Facts``.
    """

    points: list[Point] = field(default_factory=list)
    step: int | None = None
    trains: bool = False
    waits: bool = False
    evaluates: bool = False
    begins: str | None = None
    script: str | None = None
    label: str | None = None  # the task that the next "accuracy:" is of
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Value] = field(default_factory=dict)
    effective: dict[str, Value] = field(default_factory=dict)
    summary: dict[str, Value] = field(default_factory=dict)
    raised: bool = False  # the last line of a traceback
    bad: str | None = None  # why a part of a record was not understood


def of(text: str) -> Meaning | None:
    """Return what the line *text* means, or None for chatter."""
    if text.startswith("step "):
        return _train(text)
    said = message(text)
    meant = _plain(said)
    if meant is None and "tep " in said and (noted := _NOTED.search(said)) and noted.start():
        return of(said[noted.start() :])
    return meant


def _plain(text: str) -> Meaning | None:
    word = text.split(None, 1)[0] if text else ""
    for reader in _BY_WORD.get(word, ()):
        if meant := reader(text):
            return meant
    for test, reader in _BY_SIGN:
        if test in text and (meant := reader(text)):
            return meant
    return None


def _train(text: str) -> Meaning | None:
    """Read a line of the base, mid or SFT loop, whichever fields it has."""
    head, *fields = text.split(" | ")
    place = known.TRAIN.match(head)
    if place is None or not fields or not fields[0].startswith("loss: "):
        return None
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


def _step(text: str) -> Meaning | None:
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


def _task(text: str) -> Meaning | None:
    match = known.TASK.fullmatch(text)
    if match is None or match[1] not in known.TASKS:
        return None
    point = (known.TASKS[match[1]], round(float(match[3]) / 100, 6), None)
    if match[2]:
        return Meaning([point], evaluates=True, script="chat_eval")
    return Meaning([point], waits=True)


def _evaluating(text: str) -> Meaning | None:
    match = known.EVALUATING.match(text)
    if match is None:
        return None
    meant = _accuracy(match[2]) or Meaning(waits=True)
    meant.label = match[1]
    return meant


def _accuracy(text: str) -> Meaning | None:
    match = known.ACCURACY.match(text)
    if match is None:
        return None
    found = (("results.", float(match[1])), ("centered_results.", float(match[2])))
    return Meaning([(key, value, None) for key, value in found], waits=True, script="base_eval")


def _csv_row(text: str) -> Meaning | None:
    match = known.CSV_ROW.fullmatch(text)
    if match is None:
        return None
    found = (("results.", match[2]), ("centered_results.", match[3]))
    points: list[Point] = [(key + match[1], float(value), None) for key, value in found]
    return Meaning(points, evaluates=True, script="base_eval")


def _result(text: str) -> Meaning | None:
    for _, pattern, key, script in known.RESULTS:
        if match := pattern.fullmatch(text):
            value = float(match[1].replace(",", ""))
            return Meaning([(key, value, None)], evaluates=True, script=script)
    return None


def _model_step(text: str) -> Meaning | None:
    match = known.MODEL_STEP.match(text)
    return Meaning(facts={"loads_step": int(match[1])}) if match else None


def _setup(text: str) -> Meaning | None:
    for setup in _SETUP_BY_WORD[text.split(None, 1)[0]]:
        if match := setup.pattern.match(text):
            meant = Meaning(script=setup.script, begins=_begins(text))
            into = getattr(meant, setup.into)
            for name, said in zip(setup.names, match.groups(), strict=True):
                value = number(said)
                if name != "_" and value not in (math.inf, None):
                    into[name] = value
            return meant
    return None


def _begins(text: str) -> str | None:
    word = text.split(None, 1)[0]
    opener = known.OPENERS.get(word)
    return word if opener and opener.match(text) else None


def _overriding(text: str) -> Meaning | None:
    match = known.OVERRIDING.fullmatch(text)
    return (
        Meaning(begins="Overriding:", config=_kept({match[1]: number(match[2])})) if match else None
    )


def _inherited(text: str) -> Meaning | None:
    match = known.INHERITED.match(text)
    if match is None:
        return None
    name = match[1].replace("-", "_")
    return Meaning(script="chat_sft", effective=_kept({name: number(match[2])}))


def _model_row(text: str) -> Meaning | None:
    match = known.MODEL.fullmatch(text)
    if match is None or match[1] not in known.MODEL_NAMES:
        return None
    return Meaning(effective={known.MODEL_NAMES[match[1]]: number(match[2])})


def _building(text: str) -> Meaning | None:
    match = known.BUILDING.match(text)
    try:
        model = ast.literal_eval(match[1]) if match else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(model, dict):
        return None
    names = known.MODEL_NAMES
    found = {names[key]: value for key, value in model.items() if key in names}
    return Meaning(effective={key: v for key, v in found.items() if isinstance(v, (int, str))})


def _params(text: str) -> Meaning | None:
    match = known.PARAMS.fullmatch(text)
    if match is None or match[1] in ("rank", "exitcode"):
        return None
    name = "num_params" if match[1] == "total" else f"params.{match[1]}"
    return Meaning(effective={name: number(match[2])}, script="base_train")


def _training_time(text: str) -> Meaning | None:
    match = known.TRAINING_TIME.fullmatch(text)
    if match is None:
        return None
    seconds = round(float(match[1].replace(",", "")) * 60, 6)
    return Meaning(facts={"finished": True}, summary={"total_training_time": seconds})


def _loading(text: str) -> Meaning | None:
    match = known.LOADING.fullmatch(text)
    if match is None:
        return None
    stage, tag = checkpoint(match[1])
    facts = {"loads_stage": stage, "loads_tag": tag, "loads_step": int(match[2])}
    return Meaning(begins="Loading", facts=facts)


def _saved(text: str) -> Meaning | None:
    match = known.SAVED.search(text)
    stage, tag = checkpoint(match[1]) if match else (None, None)
    return Meaning(facts={"model_tag": tag, "saved_stage": stage}) if stage else None


def checkpoint(path: str) -> tuple[str | None, str | None]:
    """Return (stage, model tag) of a checkpoint's path; all else of it is the person's own."""
    parts = re.split(r"[\\/]+", path)
    for at, part in enumerate(parts):
        if part.endswith("_checkpoints") and part in known.CHECKPOINTS:
            return known.CHECKPOINTS[part], parts[at + 1] if at + 1 < len(parts) else None
        if "experiments" in parts[: max(at - 1, 0)] and part in _CHECKPOINT_FOLDERS:
            return known.CHECKPOINTS[part], parts[at - 1]
    return None, None


def _resuming(text: str) -> Meaning | None:
    match = known.RESUMING.match(text)
    if match is None:
        return None
    facts = {"resumed": True, "resume_step": int(match[1])}
    return Meaning(begins="Resuming", script="base_train", facts=facts)


def _wandb(text: str) -> Meaning | None:
    meant = Meaning(begins=_begins(text))
    if match := known.WANDB_FOLDER.search(text):
        meant.facts = {"wandb_id": match[2], "wandb_time": compact_time(match[1])}
    elif match := known.WANDB_URL.search(text):
        meant.facts = {"source_project": match[1]}
        meant.script = known.PROJECT_SCRIPTS.get(match[1])
    elif match := known.WANDB_NAME.match(text):
        meant.facts = {"name": match[1].strip()}
    elif match := known.WANDB_VERSION.match(text):
        meant.facts = {"wandb_version": match[1]}
    return meant if meant.facts or meant.begins else None


def _failed(text: str) -> Meaning | None:
    match = known.FAILED.fullmatch(text)
    return Meaning(script=match[1], raised=True) if match else None


def _exit_code(text: str) -> Meaning | None:
    match = known.EXIT_CODE.match(text)
    return Meaning(facts={"finished": True, "exit_code": int(match[1])}) if match else None


def _script_file(text: str) -> Meaning | None:
    match = known.SCRIPT_FILE.match(text)
    return Meaning(script=match[1]) if match else None


def _raised(text: str) -> Meaning | None:
    return Meaning(raised=True) if known.RAISED.fullmatch(text) else None


def _banner(_: str) -> Meaning | None:
    return Meaning(begins="banner", script="base_train")


def _opener(text: str) -> Meaning | None:
    begins = _begins(text)
    return Meaning(begins=begins) if begins else None


def _record(text: str) -> Meaning | None:
    record = logfmt.parse(text)
    if record is None:
        return None
    points, step = logfmt.points(record)
    config, effective, summary = logfmt.facts(record)
    about = record.about()
    meant = Meaning(points, step, script=record.script, facts=about)
    meant.config, meant.effective, meant.summary = _kept(config), _kept(effective), summary
    meant.begins = "argv" if record.tag == "argv" else None
    meant.evaluates = record.evaluates
    return meant


def _kept(values: dict[str, Value]) -> dict[str, Value]:
    """Return *values* without secrets, and of paths only their last part."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, str) and value[:1] in ("/", "~", "\\"):
            value = re.split(r"[\\/]", value.rstrip("\\/"))[-1]  # noqa: PLW2901  the same value
        if not _SECRET.search(name):
            found[name] = value
    return found


Reader = Callable[[str], Meaning | None]
_SETUP_BY_WORD: dict[str, list[known.Setup]] = {}
for _one in known.SETUP:
    _SETUP_BY_WORD.setdefault(_one.word, []).append(_one)
_BY_WORD: dict[str, tuple[Reader, ...]] = {
    "Step": (_step,),
    "Evaluating:": (_evaluating,),
    "Evaluating": (_model_step,),
    "Model:": (_model_step,),
    "accuracy:": (_accuracy,),
    **{name + end: (_task,) for name in known.TASKS for end in ("", ":")},
    **{word: (_result,) for word, *_ in known.RESULTS},
    **{word: (_setup,) for word in _SETUP_BY_WORD},
    **{tag: (_record,) for tag in logfmt.TAGS},
    "Overriding:": (_overriding,),
    "Inherited": (_inherited,),
    "NOTE:": (_inherited,),
    "Using": (_setup, _inherited),
    "Total": (_setup, _training_time),
    "Building": (_building,),
    "Loading": (_loading,),
    "Resuming": (_resuming,),
    "Reset": (_opener,),
    "wandb:": (_wandb,),
    "exitcode": (_exit_code,),
    "File": (_script_file,),
    "░░███░░███": (_banner,),
}
_BY_SIGN: tuple[tuple[str, Reader], ...] = (
    ("Saved ", _saved),
    (" FAILED", _failed),
    (" , ", _csv_row),
    (" : ", _params),
    ('": ', _model_row),
    ("Error", _raised),
    ("Exception", _raised),
    ("Interrupt", _raised),
)
