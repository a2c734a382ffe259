"""The ``wandb`` client, connected to one server: what it lacks for a machine without a network.

The client asks through a service process of its own, which honours the proxies and certificates
that W&B is set up with. Added here: an end to every wait, a cache and scratch folder that no other
server's data is in, and silence towards everybody but the server.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from etl.errors import INCOMPLETE, RunatlasError, UsageError

T = TypeVar("T")

# How many times the time for one answer a request may take in all, with what it is told to wait.
PATIENCE = 10
_RETRIES = 8
# A status in the words of older clients ("HTTP 401: ..."), and no part of an address.
_REFUSED = re.compile(r"(?<![\w:/.-])40[13](?![\w.-])")


class UnreachableError(RunatlasError):
    """The server cannot be reached, or stopped answering."""

    code = INCOMPLETE


class AnswerError(Exception):
    """One request failed; others may still succeed."""


@contextmanager
def connected(
    base_url: str | None,
    timeout_sec: float,
    scratch: Path,
    *,
    undone: str,
    environment: Mapping[str, str | None] | None = None,
) -> Iterator[Any]:
    """Give the client's API object for *base_url*, or for the server that W&B is set up for.

    *undone* is the sentence of an error that says what was not done; *environment* is added to what
    the client is told; None takes a name out.

    Raises:
        UsageError: wandb is not installed, has no key, or the server does not take the key.
        UnreachableError: the server does not answer.
    """
    _knock(base_url or os.environ.get("WANDB_BASE_URL"), timeout_sec, undone)
    wandb = _client(undone)
    told: dict[str, str | None] = {**_environment(scratch, timeout_sec), **(environment or {})}
    if base_url:
        told["WANDB_BASE_URL"] = base_url  # for what else of the client asks a server
    with telling(told):
        try:
            yield _api(wandb, base_url, timeout_sec, undone)
        finally:
            with suppress(AnswerError):  # its service may have died, or hang in a request
                within(5.0, wandb.teardown)


@contextmanager
def telling(environment: Mapping[str, str | None]) -> Iterator[None]:
    """Let the client find these in its environment until the block ends; None takes a name out."""
    before = {name: os.environ.get(name) for name in environment}
    _set(environment)
    try:
        yield
    finally:
        _set(before)


def _set(environment: Mapping[str, str | None]) -> None:
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def address(api: Any) -> str:
    """Return the server's base URL, without what a URL may hold of a user."""
    parts = urlsplit(str(api.settings["base_url"]))
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query="", fragment=""))


def secrets(api: Any | None, base_url: str | None) -> list[str]:
    """Return what must be in no output: the key, wherever the client has it from."""
    keys = {os.environ.get("WANDB_API_KEY"), getattr(api, "api_key", None)}
    for url in (base_url, os.environ.get("WANDB_BASE_URL")):
        keys.add(urlsplit(url or "").password)
    return sorted(key for key in keys if key)


def _environment(scratch: Path, timeout_sec: float) -> dict[str, str]:
    """Return what the client and its service process are told through their environment."""
    return {
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",  # an air-gapped machine has nobody to report to
        # Its cache names files by entity, project and run alone: another server's would be read.
        "WANDB_CACHE_DIR": str(scratch / "cache"),
        "WANDB_DIR": str(scratch),
        "WANDB_DATA_DIR": str(scratch / "data"),
        "WANDB_ARTIFACT_DIR": str(scratch / "artifacts"),
        "WANDB_HTTP_TIMEOUT": str(max(1, round(timeout_sec))),
        "WANDB__GRAPHQL_RETRY_MAX": str(_RETRIES),
        "WANDB__FILE_TRANSFER_RETRY_MAX": str(_RETRIES),
    }


def _knock(base_url: str | None, timeout_sec: float, undone: str) -> None:
    """Raise UnreachableError if no connection to the server is made: the client tries for long.

    Behind a proxy only the proxy knows.
    """
    parts = urlsplit(base_url or "")
    host = parts.hostname
    if not host or (parts.scheme in getproxies() and not proxy_bypass(host)):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)

    def connect() -> None:
        socket.create_connection((host, port), timeout_sec).close()

    try:
        within(timeout_sec, connect)
    except AnswerError as problem:
        server = urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
        raise _silent(_why(problem, timeout_sec), server, undone) from None


def _why(problem: AnswerError, timeout_sec: float) -> str:
    cause = problem.__cause__
    if cause is None or isinstance(cause, TimeoutError):
        return f"no answer within {timeout_sec:g} s"
    return f"no answer: {getattr(cause, 'strerror', None) or cause}"


def _client(undone: str) -> Any:
    try:
        import wandb  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            f"the wandb client cannot be loaded: {problem}",
            done=undone,
            fix='pip install "runatlas[wandb]"',
        ) from None
    return wandb


def _api(wandb: Any, base_url: str | None, timeout_sec: float, undone: str) -> Any:
    """Return the client's API object, whose first request has shown that the server is there.

    It is made twice: the first, to find out, gives up soon; the second waits as long as asked to.
    """
    overrides = {"base_url": base_url} if base_url else {}
    whole_sec = max(1, round(timeout_sec))
    try:
        within(timeout_sec + 5, lambda: wandb.Api(overrides=overrides, timeout=whole_sec))
        limit = timeout_sec * PATIENCE
        return within(
            limit + 5, lambda: wandb.Api(overrides=overrides, timeout=whole_sec * PATIENCE)
        )
    except AnswerError as problem:
        where = base_url or os.environ.get("WANDB_BASE_URL", "")
        raise _refusal(problem, where, timeout_sec, undone) from None


def _refusal(problem: AnswerError, where: str, timeout_sec: float, undone: str) -> RunatlasError:
    """Return the error for a server that could not be logged in to."""
    cause = problem.__cause__
    if _is_refused(cause):
        return UsageError(
            f"not logged in: {cause}",
            where=where,
            done=undone,
            fix="wandb login --host URL, or set WANDB_API_KEY to a key of this server",
        )
    silent = "did not respond in time" in str(cause)  # the client's words blame its own process
    what = f"no answer within {timeout_sec:g} s" if silent else f"no answer: {problem}"
    return _silent(what, where, undone)


def _silent(what: str, where: str, undone: str) -> UnreachableError:
    return UnreachableError(
        what,
        where=where,
        done=undone,
        fix="check the address (--base-url), the proxy and the network, and run this again",
    )


def _is_refused(cause: BaseException | None) -> bool:
    """Return whether the server refused the key, or there is none.

    The client calls every failure of its first request one of authentication, and repeats the
    server's address in it: a port with 401 in it is no status.
    """
    if type(cause).__name__ not in ("AuthenticationError", "UsageError"):
        return False
    answer = getattr(cause, "__cause__", None)
    status = getattr(getattr(answer, "response", None), "http_status", 0)
    return answer is None or status in (401, 403) or bool(_REFUSED.search(f"{cause} {answer}"))


def within(limit_sec: float, call: Callable[[], T]) -> T:
    """Return what *call* returns, waiting no longer than *limit_sec*.

    Several of the client's requests have no limit of their own, and none can be cancelled: one that
    takes too long is left to a thread that ends with the process.

    Raises:
        AnswerError: it took longer, or failed.
    """
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put((call(), None))
        except BaseException as problem:  # noqa: BLE001  given to the caller
            done.put((None, problem))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, problem = done.get(timeout=limit_sec)
    except queue.Empty:
        raise AnswerError(f"no answer within {limit_sec:g} s") from None
    if problem is not None:
        raise AnswerError(f"{type(problem).__name__}: {problem}") from problem
    return value  # type: ignore[return-value]
