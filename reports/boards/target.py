"""What a server of boards has to be able to do, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from etl.errors import INCOMPLETE, RunatlasError
from reports.boards.package import Package

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a server made of a package."""

    board: str  # an address, or a Weave ref: where the board is
    version: str  # what the server calls this state of it
    left_out: tuple[str, ...] = ()  # sentences: what this server cannot show
    more: Mapping[str, Any] = field(default_factory=dict)  # what read_back needs; plain JSON


class UnreachableError(RunatlasError):
    """No board can be pushed there now: no answer, or no key."""

    code = INCOMPLETE


class AbsentError(UnreachableError):
    """There is no such board to be had: not on that server, or no client is installed here."""


class PushError(RunatlasError):
    """The server was reached and did not take the board, or gave back another one."""

    code = INCOMPLETE


def project_of(package: Package) -> str:
    """Return the W&B project of a package's boards, which is none that runs are logged to."""
    return f"{package.project}-reports"


class Target(Protocol):
    """A server that boards are pushed to. Nothing is asked of it before ``reach``."""

    name: str  # weave or wandb

    def where(self) -> str:
        """Return its address without credentials; what was pushed is recorded by it."""

    def reach(self, timeout_sec: float) -> list[str]:
        """Return within *timeout_sec* what the server lacks, as sentences to say.

        Raises:
            UnreachableError: nothing can be pushed there now; its fix says what helps.
            AbsentError: and that is no matter of waiting.
        """

    def push(self, package: Package) -> Receipt:
        """Make the board of *package*, or finish one that a killed push had begun.

        Raises:
            UnreachableError: the server went away meanwhile.
            PushError: it refused.
        """

    def read_back(self, receipt: Receipt, package: Package) -> list[str]:
        """Return what the server gives back differently from *package*: nothing, if all is well.

        Raises:
            UnreachableError: the server went away meanwhile.
        """

    def close(self) -> None:
        """Let go of the connection."""
