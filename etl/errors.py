"""What can go wrong -> an error that says what, where, what was done about it, what fixes it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

DONE, BUG, USAGE, INCOMPLETE, NO_DATA, LOCKED, STOPPED = 0, 1, 2, 3, 4, 75, 130


class RunatlasError(Exception):
    """An error for the person at the command line; ``code`` is the process's exit code."""

    code = BUG

    def __init__(self, what: str, *, where: str = "", done: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.done, self.fix = what, where, done, fix

    def document(self) -> dict[str, object]:
        """Return the error as ``--json`` prints it."""
        told = {"error": self.what, "where": self.where, "done": self.done, "fix": self.fix}
        return {**told, "code": self.code}

    def __str__(self) -> str:
        lines = [f"error: {self.where}: {self.what}" if self.where else f"error: {self.what}"]
        if self.done:
            lines.append(f"  {self.done}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class BugError(RunatlasError):
    """What nobody foresaw."""


class StoppedError(RunatlasError):
    """A person stopped the command."""

    code = STOPPED

    def __str__(self) -> str:
        return f"{self.what}; {self.done}"


class UsageError(RunatlasError):
    """Wrong usage, or a configuration or folder that cannot be used as it is."""

    code = USAGE


class IncompleteError(RunatlasError):
    """Something was rejected and the person asked to stop at that (``--strict``)."""

    code = INCOMPLETE


class NoDataError(RunatlasError):
    """There is nothing to work on."""

    code = NO_DATA


class LockedError(RunatlasError):
    """Another process works on the same project."""

    code = LOCKED


def tell(problem: RunatlasError, *, as_json: bool, clean: Callable[[str], str] = str) -> int:
    """Say *problem* to a person, and to a program that asked for JSON; return the exit code.

    *clean* takes out of a text what is secret.
    """
    sys.stderr.write(clean(f"{problem}\n"))
    if as_json:
        with suppress(OSError):  # nobody reads it
            sys.stdout.write(clean(json.dumps(problem.document(), sort_keys=True)) + "\n")
            sys.stdout.flush()
    return problem.code


def leave(code: int) -> NoReturn:
    """End the process at once: for a command that has nothing left to do, whatever still waits."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it
            stream.flush()
    os._exit(code)


def was_stopped(problem: BaseException) -> bool:
    """Whether *problem* is a person's Ctrl-C, also in the words that DuckDB 2.0 wraps it in."""
    words = str(problem)
    return (
        isinstance(problem, KeyboardInterrupt)
        or "KeyboardInterrupt" in words
        or "interrupted" in words.lower()
    )
