"""A DummyWandb, to which nanochat logs where it has no W&B run -> a run of ours.

That is ``--run dummy``, and each rank but the first. A dummy is told nothing but rows: its config,
its name and its project are what the script would have given to ``wandb.init``.
"""

from __future__ import annotations

import ast
import functools
import sys
from types import FrameType, ModuleType
from typing import Any

from hooks.running.runs import Copied, Runs

NAME = "DummyWandb"
CONFIG = "user_config"  # what nanochat's scripts of every age call it
_MARK = "_runatlas"


class Dummies:
    """Listens to the dummies of modules that define one."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._known: dict[int, tuple[Any, Copied]] = {}  # with the dummy, so that its id stays

    def listen(self, module: ModuleType) -> None:
        """Copy every run that is logged to the DummyWandb of *module*."""
        kind = vars(module).get(NAME)
        if not isinstance(kind, type) or _MARK in vars(kind):
            return
        setattr(kind, _MARK, True)
        for name, tell in (("__init__", self._made), ("log", self._log), ("finish", self._finish)):
            if hasattr(kind, name):
                setattr(kind, name, self._wrapped(getattr(kind, name), tell))

    def _wrapped(self, method: Any, tell: Any) -> Any:
        @functools.wraps(method)
        def told(this: Any, *args: Any, **kwargs: Any) -> Any:
            self._runs.guard(tell, this, *args, **kwargs)
            return method(this, *args, **kwargs)

        return told

    def _made(self, this: Any, *_: Any, **__: Any) -> None:
        self._copied(this)

    def _log(self, this: Any, data: Any = None, step: Any = None, commit: Any = None) -> None:
        self._copied(this).log(data, step, commit)

    def _finish(self, this: Any, exit_code: int | None = None) -> None:
        self._copied(this).finish(exit_code or 0)

    def _copied(self, this: Any) -> Copied:
        """Return the copy of the run that *this* stands for; begin it the first time."""
        if id(this) not in self._known:
            frames = _callers(sys._getframe(1))  # noqa: SLF001
            config = _config(frames)
            name = config.get("run")
            copied = self._runs.begin(
                project=_project(frames),
                name=name if isinstance(name, str) else None,
                config=config,
            )
            self._known[id(this)] = this, copied
        return self._known[id(this)][1]


def _callers(frame: FrameType | None) -> list[FrameType]:
    """Return *frame* and those that called it, the nearest first, without our own."""
    frames = []
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith(("hooks.", "runpy")):
            frames.append(frame)
        frame = frame.f_back
    return frames


def _config(frames: list[FrameType]) -> dict[str, Any]:
    for frame in frames:
        for names in (frame.f_locals, frame.f_globals):
            found = names.get(CONFIG)
            if isinstance(found, dict):
                return found
    return {}


def _project(frames: list[FrameType]) -> str | None:
    """Return the project of the ``wandb.init`` that the script would have called instead."""
    for frame in frames:
        path = frame.f_globals.get("__file__")
        try:
            with open(str(path), "rb") as file:
                tree = ast.parse(file.read())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "wandb.init":
                for word in node.keywords:
                    if word.arg == "project" and isinstance(word.value, ast.Constant):
                        return str(word.value.value)
    return None
