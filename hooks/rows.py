"""What several helpers log of one step -> one row of a run that has ``log``: W&B's, ours, a dummy.

W&B counts rows, not steps, so a step should come to it as one row. A helper whose row another one
completes leaves it open (``commit=False``): W&B then has it already, and keeps it if the training
ends there. A run without ``commit``, as ours, is given each row at once and merges by step itself.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from hooks.capture import say

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SAID: set[str] = set()
_LOGS: weakref.WeakKeyDictionary[Any, Log] = weakref.WeakKeyDictionary()


class Log:
    """What is known of one run that rows are sent to."""

    def __init__(self) -> None:
        self._texts: dict[str, Any] = {}
        self._left_open: tuple[int, Any] | None = None

    def send(self, run: Any, step: int, row: dict[str, Any], *, commit: bool = True) -> None:
        """Log *row* of *step*; without *commit* it is left open for more of the same step."""
        row = {"step": step, **row}
        if not self._can_leave_open(run):
            run.log(row)
            return
        if self._left_open is not None:
            open_step, index = self._left_open
            # still open, and of another step: the two must not become one row
            if open_step != step and index == getattr(run, "step", None):
                run.log({}, commit=True)
        if commit:
            run.log(row)
            self._left_open = None
        else:
            run.log(row, commit=False)
            self._left_open = step, getattr(run, "step", None)

    def news(self, name: str, value: Any) -> dict[str, Any]:
        """Return {name: value} where that is not what it was before: a text is no metric.

        It stands in the first row that it holds for, and holds until another one comes.
        """
        if value is None or self._texts.get(name) == value:
            return {}
        self._texts[name] = value
        return {name: value}

    def configure(self, run: Any, name: str, value: Any) -> None:
        """Put *value* into the run's config, once, where it has one."""
        config = getattr(run, "config", None)
        if self.news(f"config {name}", value) and hasattr(config, "update"):
            config.update({name: value}, allow_val_change=True)  # type: ignore[union-attr]

    @staticmethod
    def _can_leave_open(run: Any) -> bool:
        try:
            parameters = inspect.signature(run.log).parameters
        except (TypeError, ValueError):
            return False
        kinds = [parameter.kind for parameter in parameters.values()]
        return "commit" in parameters or inspect.Parameter.VAR_KEYWORD in kinds


def log_of(run: Any) -> Log:
    """Return what is known of *run*; of one that cannot be remembered, nothing each time."""
    try:
        return _LOGS.setdefault(run, Log())
    except TypeError:
        return Log()


def never_raises(
    otherwise: Callable[[], Any],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a function that a training loop calls return *otherwise* where it would raise.

    What went wrong is said on stderr, each thing once.
    """

    def wrap(call: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(call)
        def inner(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return call(*args, **kwargs)
            except Exception as problem:  # noqa: BLE001  a run that fails to log goes on training
                say_once(f"{call.__qualname__} failed ({type(problem).__name__}: {problem})")
                return otherwise()  # type: ignore[no-any-return]

        return inner

    return wrap


def say_once(message: str) -> None:
    """Say *message* on stderr unless it was said before."""
    if message not in _SAID:
        _SAID.add(message)
        say(f"{message}; training goes on")
