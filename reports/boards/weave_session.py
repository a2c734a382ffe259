"""A server's addresses and key -> a Weave client for one project, and its errors in our words.

The client is not set up through ``weave.init``: that prints, asks for a login, patches other
libraries, and on an older server hands out a client that silently does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from etl.errors import RunatlasError
from etl.pulling.connect import telling
from reports.boards.server import Server, bundle
from reports.boards.target import PushError, UnreachableError

T = TypeVar("T")

# What a server answers to a request that it does not know, or knows with other fields.
_UNKNOWN = (404, 405, 422, 501)


class Session:
    """The weave client, set up for one server; one project at a time."""

    def __init__(self, server: Server, where: str) -> None:
        self.server, self.where = server, where
        self.entity = server.entity
        self._client: Any = None
        self._told: ExitStack | None = None  # what this process was told of the server
        self._other: Any = None  # the client of a program that uses us as a library

    def open(self, project: str) -> Any:
        """Return the client for *project* of the server, which is made where it is not there."""
        if self._client is not None and self._client.project == project:
            return self._client
        self._enter()
        from weave.trace.context import weave_client_context as context  # noqa: PLC0415
        from weave.trace.weave_client import WeaveClient  # noqa: PLC0415
        from weave.trace.weave_init import init_weave_get_server  # noqa: PLC0415
        from weave.wandb_interface.auth import ApiKeyCredentials  # noqa: PLC0415

        if self._client is None:
            self._other = context.get_weave_client()
        self.entity = self.entity or _default_entity(self.where)
        connection = init_weave_get_server(ApiKeyCredentials(self.server.key or ""))
        self._client = WeaveClient(self.entity, project, connection)
        context.set_weave_client_global(self._client)
        return self._client

    def close(self) -> None:
        """Put the process back as it was."""
        if self._client is not None:
            from weave.trace.context import weave_client_context as context  # noqa: PLC0415

            context.set_weave_client_global(self._other)
            self._client = None
        if self._told is not None:
            self._told.close()
            self._told = None

    def _enter(self) -> None:
        if self._told is None:
            self._told = ExitStack()  # it ends in close()
            self._told.enter_context(telling(_environment(self.server)))
            # read when weave is imported: a program that uses us may have done that before
            from weave.telemetry.trace_sentry import global_trace_sentry  # noqa: PLC0415

            global_trace_sentry._disabled = True  # noqa: SLF001  it has no door for that

    @contextmanager
    def speaking(self, what: str) -> Iterator[None]:
        """Turn whatever the client raises meanwhile into an error that says *what* failed."""
        try:
            yield
        except RunatlasError:
            raise
        except Exception as problem:
            raise _translated(problem, what, self.where) from problem


def lacking(call: Callable[[], object]) -> bool:
    """Make a call that an older server may not know; return whether it does not."""
    try:
        call()
    except Exception as problem:
        if status(problem) in _UNKNOWN:
            return True
        raise
    return False


def status(problem: BaseException) -> int | None:
    """Return the HTTP status in *problem* or in what caused it."""
    seen: BaseException | None = problem
    while seen is not None:
        found = getattr(seen, "status_code", None)
        found = found or getattr(getattr(seen, "response", None), "status_code", None)
        if isinstance(found, int):
            return found
        seen = seen.__cause__ or seen.__context__
    return None


def _translated(problem: Exception, what: str, where: str) -> RunatlasError:
    code = status(problem)
    words = str(problem).strip().split("\n")[0][:200] or type(problem).__name__
    if code in (401, 403):
        return PushError(
            f"{what}: the server does not take the key, or not for this entity (HTTP {code})",
            where=where,
            done="nothing of it counts as published; the package stays in the outbox",
            fix="wandb login --host URL, and WANDB_ENTITY for a team that the key may write to",
        )
    if "NameTypeCollision" in str(problem):
        return PushError(
            f"{what}: a name of the board is taken there by something else: {words}",
            where=where,
            done="nothing of it counts as published; the package stays in the outbox",
            fix="delete that object in Weave, or set WANDB_ENTITY to another team",
        )
    if code is None and _is_network(problem):
        return UnreachableError(
            f"{what}: the server went away: {words}",
            where=where,
            done="what it has already is not sent again",
            fix="run this again when it is back",
        )
    return PushError(
        f"{what}: {type(problem).__name__}: {words}",
        where=where,
        done="nothing of it counts as published; the package stays in the outbox",
        fix="run this again; if that does not help, with --debug, or --to wandb",
    )


def _is_network(problem: BaseException) -> bool:
    names = {"APIConnectionError", "APITimeoutError", "TransportError", "RequestException"}
    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, OSError) or names & {kind.__name__ for kind in type(seen).__mro__}:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _default_entity(where: str) -> str:
    from weave.compat import wandb  # noqa: PLC0415

    name: str | None = wandb.Api().default_entity_name()
    if not name:
        raise PushError(
            "the key has no default entity",
            where=where,
            done="nothing was pushed",
            fix="set WANDB_ENTITY to the user or team that boards are for",
        )
    return name


def _environment(server: Server) -> Mapping[str, str]:
    """Return what the client is told through its environment."""
    told = {
        "WANDB_BASE_URL": server.base_url,
        "WF_TRACE_SERVER_URL": server.trace_url,
        "WANDB_API_KEY": server.key or "",  # the client reads no other netrc than the usual one
        "WANDB_ERROR_REPORTING": "false",  # it goes to a host on the internet
        # Its cache has no server in its keys: what one server has would be kept from another.
        "WEAVE_USE_SERVER_CACHE": "false",
        "WEAVE_ENABLE_DISK_FALLBACK": "false",  # the outbox is ours
        "WEAVE_CAPTURE_SYSTEM_INFO": "false",
        "WEAVE_CAPTURE_CLIENT_INFO": "false",
        "WEAVE_IMPLICITLY_PATCH_INTEGRATIONS": "false",
        "WEAVE_PRINT_CALL_LINK": "false",
        "WEAVE_LOG_LEVEL": "CRITICAL",  # what fails is said by us, once
        "WEAVE_HTTP_TIMEOUT": os.environ.get("WEAVE_HTTP_TIMEOUT", "15"),
        "WEAVE_RETRY_MAX_ATTEMPTS": os.environ.get("WEAVE_RETRY_MAX_ATTEMPTS", "2"),
    }
    named = bundle()
    return told | ({"SSL_CERT_FILE": named} if named and os.path.isfile(named) else {})
