"""``import wandb`` where W&B is not installed -> a module that takes what training scripts log.

It has ``init``, ``log``, ``config``, ``summary``, ``run``, ``finish`` and what goes with them.
Anything else of W&B's does nothing there, and that is said once for each name.
"""

from __future__ import annotations

import os
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Self

from hooks.capture import say
from hooks.running.runs import Copied, Runs
from hooks.running.script import exit_code
from hooks.watched import Watched, as_dict


class StandIn(Loader):
    """Makes the module ``wandb``, and any below it, out of nothing."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that *spec* names."""
        if spec.name == "wandb":
            say("W&B is not installed: what the script sends to it is logged here alone")
            return Wandb(spec.name, self._runs)
        return Part(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module is whole."""


class Nothing:
    """What W&B has and we have not: whatever is done with it does nothing."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Nothing:
        if name.startswith("__"):  # Python asks for these to find out what a thing can do
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return nothing; as a decorator, the function as it is."""
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        return None

    def __iter__(self) -> Any:
        return iter(())

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, key: Any) -> Nothing:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        return None

    def __instancecheck__(self, instance: Any) -> bool:
        return False

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)  # a class of the script's may be made from it


class Error(Exception):
    """What a script may want to catch; only a log() before init() raises it."""


class Part(ModuleType):
    """A module in which every name stands for nothing."""

    stands_in: ClassVar[bool] = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        nothing = Nothing(name)
        setattr(self, name, nothing)  # and so it is said once
        say(f"W&B is not installed: {self.__name__}.{name} does nothing here")
        return nothing


class StandInRun:
    """A W&B run as far as scripts use one; what it is told goes into our copy."""

    def __init__(
        self,
        module: Wandb,
        copied: Copied,
        *,
        project: str | None,
        name: str | None,
        config: dict[str, Any],
    ) -> None:
        self._module = module
        self._copied = copied
        run = copied.run
        self.config = run.config if run is not None else _unlogged(config)
        self.summary = run.summary if run is not None else _unlogged({})
        self.id: str = run.id if run is not None else "none"
        self.project, self.name = project, name or self.id
        self.entity = self.url = self.notes = self.group = None
        self.tags: tuple[str, ...] = ()
        self.dir = os.getcwd()
        self.step = self.starting_step = 0
        self.resumed = self.disabled = False

    def log(self, data: dict[str, Any], step: Any = None, commit: Any = None, **_: Any) -> None:
        """Log a row, as ``wandb.Run.log`` does."""
        self._copied.log(data, step, commit)
        self.step += 1

    def finish(self, exit_code: int | None = None, **_: Any) -> None:
        """Finish the run."""
        self._copied.finish(exit_code or 0)
        if self._module.run is self:
            self._module.none_active()

    def define_metric(self, *_: Any, **__: Any) -> Nothing:
        """Do nothing: the log has every value at its step."""
        return Nothing("Metric")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        code = exit_code(value) if isinstance(value, SystemExit) else int(kind is not None)
        self.finish(code)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._module.run_type, name)


class Wandb(Part):
    """The module ``wandb``."""

    def __init__(self, name: str, runs: Runs) -> None:
        super().__init__(name, "A stand-in for W&B, which is not installed.")
        self.__version__ = "0.0.0+runatlas"
        self._runs = runs
        self.run_type = Part("wandb.Run")
        self.Run = StandInRun
        self.Error = self.CommError = self.UsageError = Error
        self.run: StandInRun | None = None
        self.none_active()

    def none_active(self) -> None:
        """Set the names that belong to the active run to what they are without one."""
        self.run = None
        self.config: Any = _unlogged({})
        self.summary: Any = _unlogged({})

    def init(self, *_: Any, **told: Any) -> StandInRun:
        """Begin a run, or return the one that is active, as ``wandb.init`` does."""
        if self.run is not None and told.get("reinit") in (True, "finish_previous"):
            self.run.finish()
        if self.run is not None and told.get("reinit") != "create_new":
            return self.run
        environment = os.environ.get
        project = told.get("project") or environment("WANDB_PROJECT")
        name = told.get("name") or environment("WANDB_NAME")
        config = self._config(told.get("config"))
        run_id = told.get("id") or environment("WANDB_RUN_ID")
        copied = self._runs.begin(project=project, name=name, config=config, run_id=run_id)
        run = StandInRun(self, copied, project=project, name=name, config=config)
        self.run, self.config, self.summary = run, run.config, run.summary
        return run

    def _config(self, given: Any) -> dict[str, Any]:
        try:
            return as_dict(given)
        except (TypeError, ValueError):
            say("a config that is no dict is not logged")
            return {}

    def log(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log a row of the active run."""
        if self.run is None:
            raise Error("You must call wandb.init() before wandb.log()")
        self.run.log(data, *args, **kwargs)

    def finish(self, exit_code: int | None = None, **_: Any) -> None:
        """Finish the active run."""
        if self.run is not None:
            self.run.finish(exit_code)

    def login(self, *_: Any, **__: Any) -> bool:
        """Say that it worked."""
        return True

    def define_metric(self, *_: Any, **__: Any) -> Nothing:
        """Do nothing: the log has every value at its step."""
        return Nothing("Metric")


def _unlogged(values: dict[str, Any]) -> Watched:
    return Watched(dict(values), lambda _: None, lambda _: None)
