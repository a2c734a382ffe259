"""A connection to a W&B server on which boards are made: quiet about this machine, and it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from etl.errors import RunatlasError
from etl.pulling import connect
from etl.pulling.connect import PATIENCE, within
from reports.boards.server import Server, ask, bundle
from reports.boards.target import AbsentError, PushError, UnreachableError

T = TypeVar("T")

# A shell in which trainings are started may say these of a run: no board is meant.
_OF_A_TRAINING = tuple(
    f"WANDB_{name}"
    for name in (
        *("MODE", "DISABLED", "RESUME", "RUN_ID", "RUN_GROUP", "NAME", "NOTES", "TAGS"),
        *("JOB_TYPE", "SWEEP_ID", "HOST", "USERNAME", "USER_EMAIL", "PROJECT"),
    )
)
_KINDS = ("graphql", "file_stream", "file_transfer")  # of the client's requests
_RETRIES = 4
_LONGEST_WAIT_SEC = 5.0  # between two tries; the client's own minute is too long for a dead server
_UNDONE = "nothing was pushed; the package stays in the outbox"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a transfer may take."""

    least_sec: float = 60.0
    bytes_per_sec: float = 100_000


class WandbSession:
    """The client's API object, a scratch folder, and an end to every wait."""

    def __init__(self, server: Server, timeout_sec: float, patience: Patience) -> None:
        """Connect within *timeout_sec*, or raise UnreachableError."""
        self.server, self.timeout_sec, self._patience = server, timeout_sec, patience
        self.where = server.base_url
        if find_spec("wandb") is None:
            raise AbsentError(
                "the wandb client is not installed",
                where=self.where,
                done=_UNDONE,
                fix='pip install "runatlas[boards]"',
            )
        if server.key is None:
            raise UnreachableError(
                "no key of this server",
                where=self.where,
                done=_UNDONE,
                fix=f"wandb login --host {self.where}, or set WANDB_API_KEY",
            )
        ask(self.where, timeout_sec)
        self._open = ExitStack()
        # The manifest that the client sends names the paths of files: they are of this folder.
        folder = tempfile.TemporaryDirectory(prefix="runatlas-board-", ignore_cleanup_errors=True)
        self.scratch = Path(self._open.enter_context(folder))
        try:
            self.api = self._open.enter_context(
                connect.connected(
                    self.where,
                    timeout_sec,
                    self.scratch,
                    undone=_UNDONE,
                    environment=_environment(),
                )
            )
        except RunatlasError as problem:
            self._open.close()
            raise UnreachableError(
                problem.what, where=self.where, done=_UNDONE, fix=problem.fix
            ) from None

    def close(self) -> None:
        """Stop the client's service and remove what it wrote."""
        self._open.close()

    def ask(self, call: Callable[[], T]) -> T:
        """Return what one request returns. Raises AnswerError."""
        return within(self.timeout_sec * PATIENCE, call)

    def patience(self, size: int) -> float:
        """Return how many seconds a transfer of *size* bytes is waited for."""
        return self._patience.least_sec + size / self._patience.bytes_per_sec

    def settings(self, limit_sec: float) -> Any:
        """Return how the client is to behave: it tells nothing of the machine, and it ends."""
        import wandb  # noqa: PLC0415  of the extra

        wanted = {
            "base_url": self.where,
            "api_key": self.api.api_key,
            "root_dir": str(self.scratch),
            "mode": "online",
            "reinit": "create_new",
            "silent": True,
            "console": "off",
            "host": "runatlas",
            "program": "reports.publish",
            "email": "",
            "username": "",
            "save_code": False,
            "disable_code": True,
            "disable_git": True,
            "x_disable_meta": True,
            "x_disable_stats": True,
            "x_disable_machine_info": True,
            "x_save_requirements": False,
            "init_timeout": self.timeout_sec * 2,
            "finish_timeout": limit_sec,
            "finish_timeout_raises": True,
            **{f"x_{kind}_retry_max": _RETRIES for kind in _KINDS},
            **{f"x_{kind}_retry_wait_max_seconds": _LONGEST_WAIT_SEC for kind in _KINDS},
        }
        known = wandb.Settings.model_fields  # an older client lacks some
        return wandb.Settings(**{name: value for name, value in wanted.items() if name in known})

    @contextmanager
    def words(self, what: str) -> Iterator[None]:
        """Tell a server that went away from one that refuses, whatever the client makes of it."""
        try:
            yield
        except RunatlasError:
            raise
        except Exception as problem:
            ask(self.where, self.timeout_sec)
            words = str(problem).strip().split("\n")[0] or type(problem).__name__
            raise PushError(
                f"{what}: {words}",
                where=self.where,
                done="it is not recorded as published and stays in the outbox",
                fix="run this again: it goes on with what is missing",
            ) from problem


def _environment() -> dict[str, str | None]:
    """Return what the client must not take from a training's environment, and whom it trusts.

    Its service is written in Go and looks at SSL_CERT_FILE, what it does in Python looks at
    REQUESTS_CA_BUNDLE: with one of them alone a board would be sent, and not be read back.
    """
    told: dict[str, str | None] = dict.fromkeys(_OF_A_TRAINING)
    if named := bundle():
        file = "SSL_CERT_DIR" if Path(named).is_dir() else "SSL_CERT_FILE"
        told |= {name: os.environ.get(name) or named for name in (file, "REQUESTS_CA_BUNDLE")}
    return told
