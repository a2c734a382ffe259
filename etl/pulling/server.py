"""A W&B server -> its runs, through the public API of the ``wandb`` client.

The client waits out HTTP 429 as Retry-After says; ``connect`` puts an end to every wait.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from etl.pulling.connect import PATIENCE, AnswerError, within

T = TypeVar("T")

_ROWS = 1000  # asked for at once
TRANSFER = 100  # how many times the time for one answer a request for whole files may take
_EVENTS = 10_000  # W&B samples system metrics down to so many rows


class Server:
    """A connection to one server. Every method may raise AnswerError."""

    def __init__(self, api: Any, timeout_sec: float) -> None:
        self.api, self.timeout_sec = api, timeout_sec

    def alive(self, entity: str, project: str) -> bool:
        """Whether the server answers within the time for one answer."""
        try:
            within(self.timeout_sec, lambda: len(self.api.runs(f"{entity}/{project}", per_page=1)))
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
            runs = within(self.timeout_sec * PATIENCE, lambda: iter(asked(**more)))
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
        within(self.timeout_sec * PATIENCE, lambda: load(force=True))

    def exports(self, run: Any, folder: Path) -> list[Path] | None:
        """Download the Parquet files of a run's history; None unless they hold all of it."""
        download = getattr(run, "download_history_exports", None)
        if download is None:
            return None
        try:
            result = within(self.timeout_sec * TRANSFER, lambda: download(str(folder)))
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
        scan = within(limit, lambda: iter(run.scan_history(page_size=size, **more)))
        while page := self._page(scan, _ROWS):
            yield page

    def events(self, run: Any) -> list[dict[str, Any]]:
        """Return the system metrics of a run, sampled by the server if they are many."""
        limit = self.timeout_sec * PATIENCE
        return list(
            within(limit, lambda: run.history(stream="system", samples=_EVENTS, pandas=False))
        )

    def files(self, run: Any, names: list[str], folder: Path) -> list[Path]:
        """Download those of a run's files that it has of *names* into *folder*."""
        found = within(self.timeout_sec * PATIENCE, lambda: list(run.files(names=names)))
        paths = []
        for file in found:
            if file.name in names:  # never a path that the server chose
                fetch = partial(file.download, root=str(folder), replace=True)
                within(self.timeout_sec * TRANSFER, fetch).close()
                paths.append(folder / file.name)
        return paths

    def _page(self, items: Iterator[T], size: int) -> list[T]:
        def take() -> list[T]:
            # not islice(items): it asks for iter(items), at which the client's begin again
            return list(itertools.islice(iter(partial(next, items, None), None), size))

        return within(self.timeout_sec * PATIENCE, take)


def _known(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Return those of *arguments* that *call* of the installed client takes."""
    takes = inspect.signature(call).parameters
    return {name: value for name, value in arguments.items() if name in takes}
