"""A W&B server -> its runs, through the public API of the ``wandb`` client.

The client asks through a service process of its own, which waits out HTTP 429 as Retry-After says
and honours the proxies and certificates that W&B is set up with. What it lacks is added here: an
end to every wait, and a cache and scratch folder that no other server's data is in.
"""

from __future__ import annotations

import inspect
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from etl.errors import INCOMPLETE, RunatlasError, UsageError

T = TypeVar("T")

_ROWS = 1000  # asked for at once
# How many times the time for one answer a request may take in all, with what it is told to wait.
PATIENCE = 10
# ... and one that transfers whole files.
TRANSFER = 100
_RETRIES = 8
_EVENTS = 10_000  # W&B samples system metrics down to so many rows


class UnreachableError(RunatlasError):
    """The server cannot be reached, or stopped answering."""

    code = INCOMPLETE


class AnswerError(Exception):
    """One request failed; others may still succeed."""


class Server:
    """A connection to one server. Every method may raise AnswerError."""

    def __init__(self, api: Any, timeout_sec: float) -> None:
        self.api, self.timeout_sec = api, timeout_sec

    def alive(self, entity: str, project: str) -> bool:
        """Whether the server answers within the time for one answer."""
        try:
            _within(self.timeout_sec, lambda: len(self.api.runs(f"{entity}/{project}", per_page=1)))
        except AnswerError:
            return False
        return True

    def runs(self, entity: str, project: str) -> list[Any] | None:
        """Return the runs of a project, without config and summary; None: no such project."""
        asked = partial(self.api.runs, f"{entity}/{project}", per_page=50)
        more = _known(self.api.runs, lazy=True)
        found: list[Any] = []
        try:
            # older clients ask the server already here
            runs = _within(self.timeout_sec * PATIENCE, lambda: iter(asked(**more)))
            while page := self._page(runs, 50):
                found += page
        except AnswerError as problem:
            # what the client makes of an answer without a project
            if "could not find project" in str(problem).lower():
                return None
            raise
        return found

    def details(self, run: Any) -> None:
        """Load all that the server says of a run now, its counts too."""
        load = getattr(run, "load_full_data", None) or run.load
        _within(self.timeout_sec * PATIENCE, lambda: load(force=True))

    def exports(self, run: Any, folder: Path) -> list[Path] | None:
        """Download the Parquet files of a run's history; None unless they hold all of it."""
        download = getattr(run, "download_history_exports", None)
        if download is None:
            return None
        try:
            result = _within(self.timeout_sec * TRANSFER, lambda: download(str(folder)))
        except AnswerError as problem:
            if type(problem.__cause__).__name__ == "IncompleteRunHistoryError":
                return None
            raise
        return None if result.errors else sorted(Path(path) for path in result.paths)

    def history(self, run: Any, rows: int, last_step: int) -> Iterator[list[dict[str, Any]]]:
        """Yield a run's history rows in batches; a row that is exported and live comes twice."""
        # a page is a range of steps: where steps are sparse a range of 1000 would be all but empty
        size = _ROWS * max(1, (last_step + 1) // max(rows, 1))
        more = _known(run.scan_history, use_cache=False)
        limit = self.timeout_sec * TRANSFER  # the first request fetches what is exported
        scan = _within(limit, lambda: iter(run.scan_history(page_size=size, **more)))
        while page := self._page(scan, _ROWS):
            yield page

    def events(self, run: Any) -> list[dict[str, Any]]:
        """Return the system metrics of a run, sampled by the server if they are many."""
        limit = self.timeout_sec * PATIENCE
        return list(
            _within(limit, lambda: run.history(stream="system", samples=_EVENTS, pandas=False))
        )

    def files(self, run: Any, names: list[str], folder: Path) -> list[Path]:
        """Download those of a run's files that it has of *names* into *folder*."""
        found = _within(self.timeout_sec * PATIENCE, lambda: list(run.files(names=names)))
        paths = []
        for file in found:
            if file.name in names:  # never a path that the server chose
                fetch = partial(file.download, root=str(folder), replace=True)
                _within(self.timeout_sec * TRANSFER, fetch).close()
                paths.append(folder / file.name)
        return paths

    def _page(self, items: Iterator[T], size: int) -> list[T]:
        def take() -> list[T]:
            # not islice(items): it asks for iter(items), at which the client's begin again
            return list(itertools.islice(iter(partial(next, items, None), None), size))

        return _within(self.timeout_sec * PATIENCE, take)


@contextmanager
def connected(base_url: str | None, timeout_sec: float, scratch: Path) -> Iterator[Server]:
    """Give the server at *base_url*, or the one that W&B is set up for.

    Raises:
        UsageError: wandb is not installed, has no key, or the server does not take the key.
        UnreachableError: the server does not answer.
    """
    wandb = _client()
    before = {name: os.environ.get(name) for name in _environment(scratch, timeout_sec)}
    os.environ.update(_environment(scratch, timeout_sec))
    try:
        yield Server(_api(wandb, base_url, timeout_sec), timeout_sec)
    finally:
        with suppress(AnswerError):  # its service may have died, or hang in a request
            _within(5.0, wandb.teardown)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def address(server: Server) -> str:
    """Return the server's base URL, without what a URL may hold of a user."""
    parts = urlsplit(str(server.api.settings["base_url"]))
    return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query="", fragment=""))


def secrets(server: Server | None, base_url: str | None) -> list[str]:
    """Return what must be in no output: the key, wherever the client has it from."""
    keys = {os.environ.get("WANDB_API_KEY"), getattr(getattr(server, "api", None), "api_key", None)}
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
        "WANDB_HTTP_TIMEOUT": str(max(1, round(timeout_sec))),
        "WANDB__GRAPHQL_RETRY_MAX": str(_RETRIES),
        "WANDB__FILE_TRANSFER_RETRY_MAX": str(_RETRIES),
    }


def _client() -> Any:
    try:
        import wandb  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            f"the wandb client cannot be loaded: {problem}",
            done="nothing was pulled",
            fix='pip install "runatlas[wandb]"',
        ) from None
    return wandb


def _api(wandb: Any, base_url: str | None, timeout_sec: float) -> Any:
    """Return the client's API object, whose first request has shown that the server is there.

    It is made twice: the first, to find out, gives up soon; the second waits as long as asked to.
    """
    overrides = {"base_url": base_url} if base_url else {}
    whole_sec = max(1, round(timeout_sec))
    try:
        _within(timeout_sec + 5, lambda: wandb.Api(overrides=overrides, timeout=whole_sec))
        limit = timeout_sec * PATIENCE
        return _within(
            limit + 5, lambda: wandb.Api(overrides=overrides, timeout=whole_sec * PATIENCE)
        )
    except AnswerError as problem:
        where = base_url or os.environ.get("WANDB_BASE_URL", "")
        raise _refusal(problem, where, timeout_sec) from None


def _refusal(problem: AnswerError, where: str, timeout_sec: float) -> RunatlasError:
    """Return the error for a server that could not be logged in to."""
    cause = problem.__cause__
    answer = getattr(cause, "__cause__", None)
    status = getattr(getattr(answer, "response", None), "http_status", 0)
    told = f"{cause} {answer}"
    if type(cause).__name__ in ("AuthenticationError", "UsageError") and (
        answer is None or status in (401, 403) or "401" in told or "403" in told
    ):
        return UsageError(
            f"not logged in: {cause}",
            where=where,
            done="nothing was pulled",
            fix="wandb login --host URL, or set WANDB_API_KEY to a key of this server",
        )
    silent = "did not respond in time" in told  # the client's words blame its own process
    return UnreachableError(
        f"no answer within {timeout_sec:g} s" if silent else f"no answer: {problem}",
        where=where,
        done="nothing was pulled; what the folder held is kept",
        fix="check the address (--base-url), the proxy and the network, and run this again",
    )


def _known(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return those of *arguments* that *call* of the installed client takes."""
    takes = inspect.signature(call).parameters
    return {name: value for name, value in arguments.items() if name in takes}


def _within(limit_sec: float, call: Callable[[], T]) -> T:
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
