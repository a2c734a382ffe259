"""What ``hooks.init(wandb=...)`` was given -> a tee to that W&B run, or to one started for it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from hooks.wandb_tee import WandbTee, finish_seconds

MODES = ("online", "offline")
START_SEC = 10.0
# setting -> the variables with which a person chooses it
_CHOSEN_BY = {
    "x_disable_meta": ("WANDB_DISABLE_META", "WANDB_X_DISABLE_META"),
    "save_code": ("WANDB_SAVE_CODE",),
    "disable_git": ("WANDB_DISABLE_GIT",),
    "finish_timeout": ("WANDB_FINISH_TIMEOUT",),
}


def attach(
    wandb: Any, *, header: dict[str, Any], config: dict[str, Any], folder: Path
) -> WandbTee | None:
    """Return a tee to the W&B run that *wandb* asks for, or None where there is none.

    *wandb* is a run object, True, "online" or "offline" (start one), False (none), or None: pass on
    to the run that this process has already started, if it has.
    """
    if wandb is None:
        module = sys.modules.get("wandb")
        wandb = getattr(module, "run", None) or False
    if wandb is False:
        return None
    if wandb is not True and wandb not in MODES:
        return WandbTee(lambda: wandb)
    mode = None if wandb is True else wandb
    tee = WandbTee(partial(_start, mode, header, dict(config), folder))
    tee.wait_started(START_SEC)
    return tee


def _start(mode: Any, header: dict[str, Any], config: dict[str, Any], folder: Path) -> Any:
    # weave patches itself into wandb.init and raises there when no server answers (wandb 0.31)
    os.environ.setdefault("WANDB_DISABLE_WEAVE", "1")
    import wandb  # noqa: PLC0415  an extra, and 0.9 s to import

    own = {key: header[key] for key in ("segment", "stage", "resume_step", "parent_run_id", "rank")}
    return wandb.init(
        project=header["source_project"],
        name=header["name"],
        id=header["run_id"],
        job_type=header["stage"],
        config={**config, "runatlas": own},
        dir=str(folder),
        mode=mode,
        resume="allow" if header["resumed"] else None,
        settings=wandb.Settings(**_settings(wandb.Settings())),
    )


def _settings(known: Any) -> dict[str, Any]:
    """Return what is set here and not by the environment, as far as this W&B has it."""
    ours = {
        "x_disable_meta": True,  # argv, host, e-mail
        "save_code": False,
        "disable_git": True,  # a remote's address may hold a token
        # else a server that went away holds up the end of the process for ever
        "finish_timeout": finish_seconds(),
    }
    return {
        name: value
        for name, value in ours.items()
        if hasattr(known, name) and not any(other in os.environ for other in _CHOSEN_BY[name])
    }
