"""What a script does to runs of its own -> the same runs in our log, one file for each.

Until its script begins a run, and for a script that never does, a process has a file with its
console and its exit code alone. Nothing here raises into the script.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from hooks import ranks, record, session
from hooks.capture import say
from hooks.running.steps import Steps

_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of the runs of a process."""

    project: str
    folder: Path
    name: str | None = None
    stage: str | None = None
    run_id: str | None = None
    resume: int | None = None


class Guard:
    """Calls what must not raise, and says each thing that went wrong once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, call: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Call *call*; what it raises is said and goes no further."""
        try:
            call(*args, **kwargs)
        except Exception as problem:  # noqa: BLE001  the script is not to fail for our log
            self.say(f"not logged: {type(problem).__name__} in {_called(call)}; the script goes on")

    def say(self, message: str) -> None:
        """Say *message* on stderr, the first time."""
        if message not in self._said:
            self._said.add(message)
            say(message)


def _called(call: Callable[..., object]) -> str:
    return getattr(call, "__qualname__", type(call).__name__)


class Copied:
    """Our copy of one run of the script; without a file it only swallows what it is told."""

    def __init__(
        self, run: session.Run | None, runs: Runs, config: dict[str, Any], first_row: int
    ) -> None:
        self.run = run
        self.config = config  # the values that are logged, as the script has them
        self._runs = runs
        self._steps = Steps(first_row)
        self._lock = threading.RLock()  # a signal's handler may log in the midst of a log
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _unlock(me()))

    def log(self, data: Mapping[str, Any], step: Any = None, commit: Any = None) -> None:
        """Copy one call of W&B's ``log``."""
        if self.run is not None:
            self._runs.guard(self._log, self.run, data, step, commit)

    def _log(self, run: session.Run, data: Mapping[str, Any], step: Any, commit: Any) -> None:
        row = dict(data)
        with self._lock:
            at = self._steps.of(row, step, commit)
        run.log(row, step=at)

    def change(self, kind: str, values: Mapping[str, Any]) -> None:
        """Copy what was set in the run's ``config`` or ``summary``."""
        if self.run is not None and values:
            self._runs.guard(getattr(self.run, kind).update, dict(values))

    def finish(self, exit_code: int = 0) -> None:
        """Finish our run; only the first time counts."""
        if self.run is not None:
            self._runs.guard(self._runs.drain)
            self._runs.guard(self.run.finish, exit_code)


def _unlock(copied: Copied | None) -> None:
    if copied is not None:
        copied._lock = threading.RLock()  # noqa: SLF001  its own module


class Runs:
    """The runs of this process. The one begun last gets what is printed, even after its end."""

    def __init__(self, asked: Asked, script: str) -> None:
        self.asked = asked
        self.guard = Guard()
        self.drain: Callable[[], None] = lambda: None  # brings what was printed into the log
        self._id = asked.run_id or ranks.shared_id()
        self._begun = 0
        self._open: list[session.Run] = []
        self._pid = os.getpid()
        self._no_folder = False  # whether a file could not be created where all are to go
        self._console_only = self._opened(name=asked.name or script, run_id=self._id)
        if self._id is None and self._console_only is not None and ranks.world_size() == 1:
            self._id = self._console_only.id

    def next_id(self) -> str:
        """Return the id of the run that begins next, the same in all ranks if that can be."""
        # several nodes can agree once their process group is up, which it was not at our start
        self._id = self._id or ranks.new_id()
        return f"{self._id}-{self._begun + 1}" if self._begun else self._id

    def wants_id(self) -> bool:
        """Whether the next run must have our id, also on W&B: for one asked for, and for ranks."""
        return (self._begun == 0 and self.asked.run_id is not None) or ranks.world_size() > 1

    def begin(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        first_row: int = 0,
    ) -> Copied:
        """Begin our copy of a run that the script begins. What a person asked for goes first."""
        self.guard(self.drain)
        first = self._begun == 0
        config = dict(config or {})
        if run_id is None or (first and self.asked.run_id):
            run_id = self.next_id()
        resume = self.asked.resume if first else None
        self._begun += 1
        run = self._opened(
            source_project=project,
            name=self.asked.name or name,
            config=config,
            run_id=run_id,
            resume=resume,
        )
        if run is not None:
            self.guard(self._move_into, run)
        return Copied(run, self, config, first_row or resume or 0)

    def _opened(self, **more: Any) -> session.Run | None:
        if self._no_folder:  # was said
            return None
        try:
            run = session.init(
                self.asked.project,
                stage=self.asked.stage,
                dir=self.asked.folder,
                wandb=False,  # the script has its own
                **more,
            )
        except Exception as problem:  # noqa: BLE001  the script is not to fail for our log
            words = getattr(problem, "strerror", None) or type(problem).__name__
            self.guard.say(
                f"no log file in {self.asked.folder}: {words}; the script runs without one.\n"
                "  fix: --dir FOLDER, one that can be written"
            )
            return None
        if not run._capture.exists:  # noqa: SLF001  of this package
            self._no_folder = True
            return None
        self._open.append(run)
        return run

    def adopting(self, init: Callable[..., session.Run]) -> Callable[..., session.Run]:
        """Return ``hooks.init`` for a script that calls it itself: its runs are ours as well."""

        @functools.wraps(init)
        def adopted(*args: Any, **kwargs: Any) -> session.Run:
            self.guard(self.drain)
            run = init(*args, **kwargs)
            self._begun += 1
            self._open.append(run)
            self.guard(self._move_into, run)
            return run

        return adopted

    def _move_into(self, run: session.Run) -> None:
        """Move what was logged before any run had begun into *run*, the first one."""
        if not run._capture.exists:  # noqa: SLF001  of this package
            return
        before, self._console_only = self._console_only, None
        if before is None or os.getpid() != self._pid:  # a forked process has none of its own
            return
        self._open.remove(before)
        before.finish()
        for line in before.path.read_bytes().splitlines(keepends=True):
            if record.decode(line)[record.KIND] not in ("run", "finish"):
                run._capture.write(line)  # noqa: SLF001  of this package
        before.path.unlink()

    def printed(self, lines: list[str]) -> None:
        """Log what was printed."""
        if self._open:
            self.guard(self._printed, self._open[-1], lines)

    def _printed(self, run: session.Run, lines: list[str]) -> None:
        line = record.encode_event("console", time.time(), {"lines": lines})
        capture = run._capture  # noqa: SLF001
        if not (capture.closed and capture.exists):
            capture.write(line)
            return
        with run.path.open("ab", buffering=0) as file:  # it has finished, and the script prints on
            file.write(line)

    def terminated(self, exit_code: int) -> None:
        """Write the finish lines of open runs, but let the script log on for as long as it can."""
        for run in self._open:
            if not run._finished:  # noqa: SLF001
                self.guard(run._finish_line, exit_code)  # noqa: SLF001

    def finish(self, exit_code: int) -> None:
        """Finish all runs that the script left open; in a forked process, none."""
        if os.getpid() != self._pid:
            return
        self.guard(self.drain)
        for run in self._open:
            self.guard(run.finish, exit_code)
