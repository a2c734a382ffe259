"""A nanochat checkpoint's ``meta_SSSSSS.json`` -> the run that saved it, as of that step.

Every save of a training leaves one file, so many files are one run: its id is made of the stage,
the folder and the part of the config that a resume does not change. Two trainings of one config
into one folder cannot be told apart. By karpathy/nanochat's scripts, base_train saves every
``save_every`` steps and at the end, mid_train and chat_sft at the end, and chat_rl every
``save_every`` steps without its config, the step standing in the file's name alone.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl.sources import nanochat_words as words
from etl.sources.facts import Facts
from etl.sources.private import public
from etl.sources.reading import Part, Reading, Reject

_NAME = re.compile(r"meta_(?P<step>\d{1,12})(?:\..+)?\.json")
_FOLDER = "_checkpoints"

# What a person may set anew for a resume without making it another training.
_UNSTABLE = frozenset(
    (
        "resume_from_step",
        "device_type",
        "device_batch_size",
        "eval_every",
        "eval_tokens",
        "core_metric_every",
        "core_metric_max_per_task",
        "sample_every",
        "save_every",
    )
)
# A config that holds one of these is of that stage, wherever the file was copied to.
_SIGNS = {
    "depth": "pretraining",
    "chatcore_every": "sft",
    "mmlu_epochs": "sft",
    "target_examples_per_step": "sft",
    "num_samples": "rl",
}
_MODEL = {"n_layer": "depth", "n_embd": "model_dim", "sequence_len": "max_seq_len"}
_VALIDATION = {"val_bpb": "val/bpb", "val_loss": "val/loss"}
_METRIC = re.compile(r".+_(?:acc|loss|bpb|metric)")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is named as checkpoint metadata and holds a model's config or lies so."""
    if not _NAME.fullmatch(path.name):
        return False
    return b'"model_config"' in head or _folder(path)[0] is not None


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return the run as the metadata states it; the file is read whole each time."""
    raw = path.read_bytes()
    try:
        meta = json.loads(raw)  # of Python's dialect: min_val_bpb may be Infinity
    except (ValueError, RecursionError) as problem:
        return _rejected(raw, f"no checkpoint metadata: {type(problem).__name__} in its JSON")
    if not isinstance(meta, dict) or not isinstance(meta.get("model_config"), dict):
        return _rejected(raw, "no checkpoint metadata: no model_config in it")
    named = _NAME.fullmatch(path.name)
    step = words.whole(meta.get("step", int(named["step"]) if named else None))
    if step is None:
        return _rejected(raw, "no checkpoint metadata: its step is no whole number")
    asked = meta.get("user_config")
    config: dict[str, Any] = asked if isinstance(asked, dict) else {}
    stage = _folder(path)[0] or _stage(meta, config)
    last = _is_last(stage, step, config)
    facts = dataclasses.replace(
        _facts(path, meta, config, stage),
        effective=_effective(meta) | ({"num_iterations": step} if last else {}),
        finished=last is True,
    )
    rows, summary = _values(meta, step, _evaluated_at(stage, step, config, last=last))
    points = words.frame(rows)
    facts = dataclasses.replace(facts, summary=summary).counted(1, points, {})
    return Reading((Part(facts, points),), (), len(raw))


def _rejected(raw: bytes, reason: str) -> Reading:
    return Reading((), (Reject(0, reason, raw),), len(raw))


def _folder(path: Path) -> tuple[str | None, str | None]:
    """Return (stage, model tag) as ``<stage>_checkpoints/<model tag>/`` states them."""
    folder = path.absolute().parent
    if not folder.parent.name.endswith(_FOLDER):
        return None, None
    return words.STAGES.get(folder.parent.name.removesuffix(_FOLDER)), folder.name


def _stage(meta: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Return the stage whose script writes such metadata, or None where two could have."""
    stage = next((stage for sign, stage in _SIGNS.items() if sign in config), None)
    if stage is None and not config and "val_loss" in meta:
        return "sft"  # of 2025, saved without a config
    # chat_sft of February 2026 had the config of the mid_train of January, which had a model_tag
    if stage is None and {"init_lr_frac", "eval_tokens"} <= set(config):
        return None if "model_tag" in config else "midtraining"
    return stage


def _facts(
    path: Path, meta: Mapping[str, Any], config: Mapping[str, Any], stage: str | None
) -> Facts:
    model = meta["model_config"]
    default = f"d{model['n_layer']}" if words.whole(model.get("n_layer")) else None
    # the folder is named so by the scripts: model_tag, else the depth
    tag = _folder(path)[1] or config.get("model_tag") or default
    stable = {
        key: value
        for key, value in (config or model).items()
        if key not in _UNSTABLE and not (isinstance(value, str) and re.search(r"[/\\]", value))
    }
    run_id = words.own_id("nanochat", stage, tag, stable)
    resume = words.whole(config.get("resume_from_step"))
    source, loads_tag = _loads(config, stage, tag, default)
    return Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=False,
        name=words.run_name(config),
        source_project=words.PROJECTS.get(stage or ""),
        stage=stage,
        stage_from="its checkpoint" if stage else None,
        script=words.SCRIPTS.get(stage or ""),
        model_tag=str(tag) if tag else None,
        loads_stage=source,
        loads_tag=loads_tag,
        loads_step=words.whole(config.get("model_step", config.get("step"))) if source else None,
        config=public(config),
        resumed=resume is not None,
        resume_step=resume,
        tells_end=False,
    )


def _loads(
    config: Mapping[str, Any], stage: str | None, tag: object, default: str | None
) -> tuple[str | None, str | None]:
    """Return (stage, model tag) of the checkpoint that this training began from.

    Without ``--model-tag`` a script loads the deepest of the folders called ``d<depth>`` and saves
    under that name again; so a folder of the default name tells the tag that was loaded. Without
    ``--source`` it is what the script of that stage loads by default.
    """
    source = words.loaded_stage(stage, config.get("source"))
    if source is None:
        return None, None
    stated = config.get("model_tag")
    return source, str(stated) if stated else default if tag == default else None


def _effective(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run resolved: the model's shape, the batch sizes, and a fork's own numbers.

    Nested values that are not nanochat's are left out: forks keep paths and host names there.
    """
    found = {
        key: value
        for key, value in meta.items()
        if key not in (*_VALIDATION, "step")
        and not _METRIC.fullmatch(key)
        and isinstance(value, (bool, int, float))
    }
    model = {_MODEL.get(key, key): value for key, value in meta["model_config"].items()}
    made: dict[str, Any] = public({**model, **found})
    return made


def _is_last(stage: str | None, step: int, config: Mapping[str, Any]) -> bool | None:
    """Return whether the save at *step* was the training's last, None where nothing tells it."""
    if stage not in ("pretraining", "midtraining", "sft"):
        return None
    asked = words.whole(config.get("num_iterations"))
    if stage == "pretraining" and asked:
        return step >= asked
    every = words.whole(config.get("save_every"))
    return None if every and step % every == 0 else True


def _evaluated_at(
    stage: str | None, step: int, config: Mapping[str, Any], *, last: bool | None
) -> int | None:
    """Return the step at which the validation loss of a save at *step* was measured.

    A save holds the latest value, which is an earlier step's where ``save_every`` is no multiple
    of ``eval_every``. None where the config does not tell.
    """
    every = config.get("eval_every")
    if last or stage == "rl" or not isinstance(every, int):
        return step
    if every <= 0:
        return None
    if step % every == 0:
        return step
    return None if last is None else step - step % every


def _values(
    meta: Mapping[str, Any], step: int, evaluated_at: int | None
) -> tuple[list[words.Row], dict[str, Any]]:
    """Return (rows of points, summary values) of one save."""
    rows: list[words.Row] = []
    summary: dict[str, Any] = {}
    for key, given in sorted(meta.items()):
        value = words.number(given)
        if value is None or not (key in _VALIDATION or _METRIC.fullmatch(key)):
            continue
        if key.startswith("min_"):
            rows.append((key, step, value, None))
        elif evaluated_at is None:
            summary[_VALIDATION.get(key, key)] = value
        else:
            rows.append((_VALIDATION.get(key, key), evaluated_at, value, None))
    state = meta.get("loop_state")
    loop: dict[str, Any] = state if isinstance(state, dict) else {}
    for key, given in sorted(loop.items()):
        value = words.number(given)
        # min_val_bpb begins as Infinity: nothing was evaluated yet. smooth_train_loss keeps its
        # name, as train/loss is this divided by 1 - 0.9**steps
        if value is not None and not (key == "min_val_bpb" and math.isinf(value)):
            rows.append((key, step, value, None))
    if isinstance(meta.get("dataloader_state_dict"), dict):
        text = json.dumps(public(meta["dataloader_state_dict"]), sort_keys=True)
        rows.append(("dataloader_state_dict", step, None, text))
    return rows, summary
