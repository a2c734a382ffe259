"""A captured run -> the same run on W&B, where there is one; a W&B that fails is left behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hooks.capture import say

MODES = ("online", "offline")


class WandbTee:
    """Passes a run on to W&B; the first error ends the passing-on, never the training."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, metrics: dict[str, Any]) -> None:
        """Log *metrics* in one W&B row that carries the training step under ``step``.

        Not under W&B's own ``step=``: that drops rows that go backwards, and leaves the last open.
        """
        self._guard(lambda run: run.log({**metrics, "step": step}))

    def config(self, values: dict[str, Any]) -> None:
        """Add *values* to the W&B config."""
        self._guard(lambda run: run.config.update(values, allow_val_change=True))

    def summary(self, values: dict[str, Any]) -> None:
        """Add *values* to the W&B summary."""
        self._guard(lambda run: run.summary.update(values))

    def finish(self, exit_code: int) -> None:
        """Finish the W&B run."""
        self._guard(lambda run: run.finish(exit_code=exit_code))
        self._run = None

    def _guard(self, call: Any) -> None:
        if self._run is None:
            return
        try:
            call(self._run)
        except Exception as problem:  # noqa: BLE001  whatever W&B raises must not reach the loop
            self._run = None
            say(f"W&B failed ({type(problem).__name__}); logging goes on without it")


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
        return WandbTee(wandb)
    try:
        return WandbTee(_start(None if wandb is True else wandb, header, config, folder))
    except Exception as problem:  # noqa: BLE001  no login, no network, no package: the log goes on
        say(
            f"W&B is not available ({type(problem).__name__}); logging to JSONL only."
            " fix: pip install 'runatlas[wandb]', or wandb login"
        )
        return None


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
        # W&B's metadata holds argv, host and e-mail
        settings=wandb.Settings(x_disable_meta=True, save_code=False),
    )
