"""Training loops that other people wrote -> a run of ours: callbacks for their trainers.

    from hooks.callbacks import HFCallback, LightningLogger
    trainer = transformers.Trainer(..., callbacks=[HFCallback("my-project")])
    trainer = lightning.Trainer(..., logger=LightningLogger("my-project"))

The packages are imported when a name is asked for, and only the one that it belongs to. A run goes
on after its training has ended, for what ``evaluate()`` and ``test()`` log, until ``finish()`` or
the end of the process. Rank 0 logs: what these trainers log has been averaged over the ranks.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

from hooks import ranks, session
from hooks.capture import say

RUN_FILE = "runatlas.json"  # in the Trainer's output_dir: which run its checkpoints are of
# what a Trainer logs once, about the training as a whole
_OUTCOME = (
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_loss",
    "total_flos",
)
# secrets, and a folder that Transformers names after the host; bos_token_id is neither
_PRIVATE = re.compile(r"(.*_)?(token|api_?key|secret|password)|logging_dir", re.IGNORECASE)
_LIGHTNINGS = ("lightning.pytorch", "pytorch_lightning")


class _Running:
    """A run that begins with a training and may be logged to after it."""

    def __init__(self, project: str, name: str | None = None, **more: Any) -> None:
        """Take what ``hooks.init`` takes; the run begins with the training."""
        self._told: dict[str, Any] = {"project": project, "name": name, **more}
        self._run: session.Run | None = None
        self._well = False  # whether the last training came to its end
        self._failed = False
        atexit.register(self.finish)

    @property
    def run(self) -> session.Run | None:
        """The run that is logged, once it has begun."""
        return self._run

    def _begin(self, config: dict[str, Any], **more: Any) -> session.Run | None:
        if self._run is None and not self._failed:
            config = {**_public(config), **(self._told.get("config") or {})}
            try:
                self._run = session.init(**{**self._told, **more, "config": config})
            except (OSError, ValueError) as problem:
                self._failed = True
                say(f"not logged: {problem}\n  the training goes on")
        return self._run

    def finish(self, exit_code: int | None = None) -> None:
        """Finish the run; without *exit_code* as its last training ended."""
        run, self._run = self._run, None
        if run is not None:
            # what Python printed a traceback for, if the script died of it
            died = getattr(sys, "last_value", None) is not None
            run.finish(int(died or not self._well) if exit_code is None else exit_code)


class _HFCallback(_Running):
    """A Trainer's callback: logs at ``state.global_step`` whatever the Trainer logs.

    A training that goes on from a checkpoint goes on with the run that made it, by the file
    ``runatlas.json`` in the Trainer's ``output_dir``, if no ``run_id`` is given.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:  # noqa: ARG002
        """Begin the run, or go on with it."""
        if not state.is_world_process_zero:
            return
        self.finish()
        self._well = False
        config = args.to_sanitized_dict()
        own: dict[str, Any] = getattr(getattr(more.get("model"), "config", None), "to_dict", dict)()
        self._resume(args, int(state.global_step), {**own, **config, "max_steps": state.max_steps})

    def _resume(self, args: Any, step: int, config: dict[str, Any]) -> None:
        path = Path(args.output_dir or ".") / RUN_FILE
        told = dict(self._told)
        if step:
            told["run_id"] = told.get("run_id") or _run_in(path) or ranks.new_id()
            told["resume"] = step
        told["name"] = told["name"] or getattr(args, "run_name", None)
        run = self._begin(config, **told)
        if run is not None:
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"run_id": run.id}), encoding="ascii")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Log a row of the training or of an evaluation."""
        if self._run is None or not logs:
            return
        if "train_runtime" in logs:
            self._run.summary.update({key: logs[key] for key in _OUTCOME if key in logs})
        else:
            self._run.log(dict(logs), step=int(state.global_step))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Note that the training came to its end."""
        self._well = True


class _LightningLogger(_Running):
    """A Lightning logger: logs at the step that Lightning logs at, with the module's hparams.

    A training that goes on from a checkpoint needs the ``run_id`` to go on with its run.
    """

    _callback: type  # the Callback of the Lightning that the trainer is of
    _hparams: dict[str, Any]

    @property
    def name(self) -> str | None:
        """The project's name, which Lightning makes a folder of."""
        return str(self._told["project"])

    @property
    def version(self) -> str | None:
        """The run's id, once it has begun."""
        return self._run.id if self._run is not None else self._told.get("run_id")

    @property
    def experiment(self) -> session.Run | None:
        """The run."""
        return self._run

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Take the config of the run."""
        values = vars(params) if not hasattr(params, "keys") else {k: params[k] for k in params}
        self._hparams = {**getattr(self, "_hparams", {}), **values}
        if self._run is not None:
            self._run.config.update(_public(self._hparams))

    def log_graph(self, model: Any, *_: Any) -> None:
        """Have the trainer of *model* say from which step it goes on, before its first step."""
        trainer = getattr(model, "_trainer", None)
        if trainer is None or any(getattr(c, "runatlas", None) is self for c in trainer.callbacks):
            return
        began = {"on_train_start": lambda _, trainer, __: self._train(trainer), "runatlas": self}
        kind = types.new_class("RunatlasStart", (self._callback,), {}, lambda n: n.update(began))
        trainer.callbacks.append(kind())

    def _train(self, trainer: Any) -> None:
        self._well = False
        step = int(trainer.global_step)
        told = (
            {"run_id": self._told.get("run_id") or ranks.new_id(), "resume": step} if step else {}
        )
        if ranks.rank() == 0:
            self._begin(getattr(self, "_hparams", {}), **told)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row."""
        if ranks.rank() == 0:  # evaluated without a training, it begins here
            run = self._begin(getattr(self, "_hparams", {}))
            if run is not None:
                run.log(dict(metrics), step=step)

    def finalize(self, status: str) -> None:
        """Note how a training or an evaluation ended; a failed one is the end of the run."""
        self._well = status in ("success", "finished")
        if not self._well:
            self.finish(1)


def _public(config: dict[str, Any]) -> dict[str, Any]:
    return {str(key): v for key, v in config.items() if not _PRIVATE.fullmatch(str(key))}


def _run_in(path: Path) -> str | None:
    try:
        run_id = json.loads(path.read_bytes())["run_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run_id if isinstance(run_id, str) else None


def _hf() -> type:
    base = importlib.import_module("transformers").TrainerCallback
    return types.new_class("HFCallback", (_HFCallback, base), {}, _described(_HFCallback))


def _lightning() -> type:
    """Return the logger for the Lightning that the script has imported, of the two that are."""
    names = sorted(_LIGHTNINGS, key=lambda name: name not in sys.modules)
    for name in names:
        with contextlib.suppress(ModuleNotFoundError):
            base = importlib.import_module(f"{name}.loggers").Logger
            kind = types.new_class(
                "LightningLogger", (_LightningLogger, base), {}, _described(_LightningLogger)
            )
            kind._callback = importlib.import_module(name).Callback  # type: ignore[attr-defined]  # noqa: SLF001
            return kind
    raise ModuleNotFoundError("neither lightning nor pytorch_lightning is installed")


def _described(kind: type) -> Any:
    return lambda names: names.update(__doc__=kind.__doc__, __module__=__name__)


_MADE = {"HFCallback": _hf, "LightningLogger": _lightning}


def __getattr__(name: str) -> Any:
    if name not in _MADE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kind = globals()[name] = _MADE[name]()
    return kind
