"""A line that tells of a process -> facts, config, effective config, summary; where it begins."""

from __future__ import annotations

import ast
import math
import re

from etl.sources import console_lines as known
from etl.sources.console_meaning import Meaning, Value
from etl.sources.console_text import compact_time
from etl.sources.nanochat_logfmt import number
from etl.sources.private import is_private

_CHECKPOINT_FOLDERS = ("base", "mid", "sft", "chat", "rl")


def setup(text: str) -> Meaning | None:
    """Any line of ``SETUP``."""
    word = text.split(None, 1)[0]
    for known_line in known.SETUP:
        if known_line.word == word and (match := known_line.pattern.match(text)):
            meant = Meaning(script=known_line.script, begins=begins(text))
            into = getattr(meant, known_line.into)
            for name, said in zip(known_line.names, match.groups(), strict=True):
                value = number(said)
                if name != "_" and value not in (math.inf, None):
                    into[name] = value
            return meant
    return None


def begins(text: str) -> str | None:
    """Return the first word of *text* if it is one of a process's first lines."""
    word = text.split(None, 1)[0]
    opener = known.OPENERS.get(word)
    return word if opener and opener.match(text) else None


def overriding(text: str) -> Meaning | None:
    """``Overriding: depth = 20``, until January 2026."""
    match = known.OVERRIDING.fullmatch(text)
    return (
        Meaning(begins="Overriding:", config=kept({match[1]: number(match[2])})) if match else None
    )


def inherited(text: str) -> Meaning | None:
    """``Inherited max_seq_len=2048 from pretrained checkpoint``."""
    match = known.INHERITED.match(text)
    if match is None:
        return None
    name = match[1].replace("-", "_")
    return Meaning(script="chat_sft", effective=kept({name: number(match[2])}))


def model_row(text: str) -> Meaning | None:
    """``"n_layer": 20,``, a row of ``Model config:``."""
    match = known.MODEL.fullmatch(text)
    if match is None or match[1] not in known.MODEL_NAMES:
        return None
    return Meaning(effective={known.MODEL_NAMES[match[1]]: number(match[2])})


def building(text: str) -> Meaning | None:
    """``Building model with config: {'n_layer': 20, ...}``."""
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


def params(text: str) -> Meaning | None:
    """``wte                     : 25,165,824``, a row of ``Parameter counts:``."""
    match = known.PARAMS.fullmatch(text)
    if match is None:
        return None
    name = "num_params" if match[1] == "total" else f"params.{match[1]}"
    return Meaning(effective={name: number(match[2])}, script="base_train")


def training_time(text: str) -> Meaning | None:
    """``Total training time: 174.75m``, after the last step."""
    match = known.TRAINING_TIME.fullmatch(text)
    if match is None:
        return None
    seconds = round(float(match[1].replace(",", "")) * 60, 6)
    return Meaning(facts={"finished": True}, summary={"total_training_time": seconds})


def loading(text: str) -> Meaning | None:
    """``Loading model from .../base_checkpoints/d20 with step 21400``."""
    match = known.LOADING.fullmatch(text)
    if match is None:
        return None
    stage, tag = checkpoint(match[1])
    facts = {"loads_stage": stage, "loads_tag": tag, "loads_step": int(match[2])}
    return Meaning(begins="Loading", facts=facts)


def saved(text: str) -> Meaning | None:
    """``Saved model parameters to: .../base_checkpoints/d20/model_021400.pt``."""
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


def resuming(text: str) -> Meaning | None:
    """``Resuming optimization from step 2000``."""
    match = known.RESUMING.match(text)
    if match is None:
        return None
    facts = {"resumed": True, "resume_step": int(match[1])}
    return Meaning(begins="Resuming", script="base_train", facts=facts)


def wandb(text: str) -> Meaning | None:
    """What W&B prints of its run: folder, project, name, version."""
    meant = Meaning(begins=begins(text))
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


def failed(text: str) -> Meaning | None:
    """``scripts.mid_train FAILED``, torchrun's summary."""
    match = known.FAILED.fullmatch(text)
    return Meaning(script=match[1], raised=True) if match else None


def exit_code(text: str) -> Meaning | None:
    """``exitcode  : 1 (pid: 1558234)``, torchrun's too."""
    match = known.EXIT_CODE.match(text)
    return Meaning(facts={"finished": True, "exit_code": int(match[1])}) if match else None


def script_file(text: str) -> Meaning | None:
    """``File ".../scripts/mid_train.py", line 93, in <module>`` of a traceback."""
    match = known.SCRIPT_FILE.match(text)
    return Meaning(script=match[1], facts={"traced": True}) if match else None


def raised(text: str) -> Meaning | None:
    """``OSError: ...``, the last line of a traceback."""
    return Meaning(raised=True) if known.RAISED.fullmatch(text) else None


def banner(_: str) -> Meaning | None:
    """The word nanochat in blocks, which base_train prints first."""
    return Meaning(begins="banner", script="base_train")


def opener(text: str) -> Meaning | None:
    """A line that only tells that a process begins."""
    word = begins(text)
    return Meaning(begins=word) if word else None


def kept(values: dict[str, Value]) -> dict[str, Value]:
    """Return *values* without secrets, and of paths only their last part."""
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, str) and value[:1] in ("/", "~", "\\"):
            value = re.split(r"[\\/]", value.rstrip("\\/"))[-1]  # noqa: PLW2901  the same value
        if not is_private(name):
            found[name] = value
    return found
