"""The calls that a script makes to a real ``wandb`` -> the same calls, and a copy of each run.

``wandb.init`` returns what it always did. The methods of what it returned tell our copy first,
which has the row on disk when they go on to W&B; what W&B raises, the script gets.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from hooks import ranks
from hooks.running.runs import Copied, Runs
from hooks.running.script import exit_code

_MARK = "_runatlas"
_CONFIG_SETTERS = ("__setitem__", "__setattr__", "update", "setdefaults", "update_locked")
# what the script says of a run's identity; then it is the script's to say
_IDENTITY = ("id", "resume", "fork_from", "resume_from")
_IDENTITY_ENVIRONMENT = ("WANDB_RUN_ID", "WANDB_RESUME")


class Calls:
    """Listens to a ``wandb`` module."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        # by id, with the object itself: none of them need be hashable, nor live long
        self._known: dict[int, tuple[Any, Copied]] = {}
        self._named = False  # whether the script itself chose the id of the run that it begins
        self._inside = threading.local()  # W&B's methods call each other

    def listen(self, wandb: ModuleType) -> None:
        """Copy every run that is begun with ``wandb.init`` from now on."""
        init = getattr(wandb, "init", None)
        if init is None:  # half a W&B is none
            return

        @functools.wraps(init)
        def copying(*args: Any, **kwargs: Any) -> Any:
            if _asked_by_us():
                return init(*args, **kwargs)
            self._runs.guard(self._identify, init, args, kwargs)
            real = init(*args, **kwargs)
            self._runs.guard(self._follow, wandb, real)
            return real

        vars(wandb)["init"] = copying

    def _identify(self, init: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give the run the id that our copies of it have in all ranks, if it was given none."""
        given = inspect.signature(init).bind_partial(*args, **kwargs).arguments
        settings = given.get("settings")
        own = settings.get("run_id") if isinstance(settings, dict) else None
        self._named = bool(
            own
            or getattr(settings, "run_id", None)
            or any(given.get(name) for name in _IDENTITY)
            or any(name in os.environ for name in _IDENTITY_ENVIRONMENT)
        )
        # W&B takes one writer a run: the other ranks' runs keep the ids that W&B gives them
        if (
            self._named
            or ranks.rank()
            or not self._runs.wants_id()
            or given.get("mode") == "shared"
        ):
            return
        kwargs["id"] = self._runs.next_id()
        if self._runs.asked.resume is not None or ranks.restarts():
            kwargs["resume"] = "allow"

    def _follow(self, wandb: ModuleType, real: Any) -> None:
        if id(real) in self._known:  # W&B returned the run that is open already
            return
        copied = self._runs.begin(
            project=real.project,
            name=real.name,
            config=dict(real.config),
            run_id=None if ranks.rank() and not self._named else real.id,
            first_row=int(real.starting_step or 0),
        )
        for part in (real, real.config, real.summary):
            self._known[id(part)] = part, copied
        self._wrap(real, ("log",), before=_log)
        self._wrap(real, ("finish",), before=_finish)
        self._wrap(real, ("__exit__",), before=_leave)
        self._wrap(real.config, _CONFIG_SETTERS, after=_config)
        self._wrap(real.summary, ("__setitem__", "__setattr__"), before=self._set_item)
        self._wrap(real.summary, ("update",), before=self._update)
        log: Any = real.log
        if vars(wandb).get("run") is real:  # its log was bound before its class was wrapped
            vars(wandb)["log"] = log

    def _wrap(
        self, this: Any, names: Sequence[str], *, before: Any = None, after: Any = None
    ) -> None:
        """Wrap methods of the class of *this*: special ones are looked up nowhere else."""
        for name in names:
            method = getattr(type(this), name, None)
            if method is not None and not hasattr(method, _MARK):
                setattr(type(this), name, self._wrapped(method, before, after))

    def _wrapped(self, method: Any, before: Any, after: Any) -> Any:
        @functools.wraps(method)
        def told(this: Any, *args: Any, **kwargs: Any) -> Any:
            known = self._known.get(id(this))
            if known is None:
                return method(this, *args, **kwargs)
            if before is not None:
                self._runs.guard(before, known[1], *args, **kwargs)
            outer = getattr(self._inside, "on", False)
            self._inside.on = True
            try:
                result = method(this, *args, **kwargs)
            finally:
                self._inside.on = outer
            if after is not None:
                self._runs.guard(after, known[1], this)
            return result

        setattr(told, _MARK, True)
        return told

    def _set_item(self, copied: Copied, key: str, value: Any) -> None:
        self._update(copied, {key: value})

    def _update(self, copied: Copied, *args: Any, **kwargs: Any) -> None:
        # not what log() sets of its own accord: a disabled run's does, with every row
        if not getattr(self._inside, "on", False):
            copied.change("summary", dict(*args, **kwargs))


def _log(
    copied: Copied,
    data: Mapping[str, Any],
    step: Any = None,
    commit: Any = None,
    *_: Any,
    **__: Any,
) -> None:
    copied.log(data, step, commit)


def _finish(copied: Copied, exit_code: int | None = None, *_: Any, **__: Any) -> None:
    copied.finish(exit_code or 0)


def _leave(copied: Copied, kind: Any = None, value: Any = None, *_: Any) -> None:
    copied.finish(exit_code(value) if isinstance(value, SystemExit) else int(kind is not None))


def _config(copied: Copied, config: Any) -> None:
    """Copy what has changed in a config: whatever the call was, it says what it led to."""
    known, now = copied.config, dict(config)
    changed = {key: now[key] for key in now if key not in known or known[key] is not now[key]}
    copied.config = now
    copied.change("config", changed)


def _asked_by_us() -> bool:
    """Whether it is our own tee that starts a W&B run: its log is there already."""
    caller = sys._getframe(2).f_globals.get("__name__", "")  # noqa: SLF001
    return str(caller).startswith("hooks.")
