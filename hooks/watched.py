"""A dict that reports what is set in it: a run's ``config`` and its ``summary``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self


class Watched(dict[str, Any]):
    """A dict that calls *changed* with what is set in it, and *refused* with why it was not."""

    def __init__(
        self,
        values: dict[str, Any],
        changed: Callable[[dict[str, Any]], None],
        refused: Callable[[str], None],
    ) -> None:
        super().__init__(values)
        self._changed = changed
        self._refused = refused

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several entries; ``allow_val_change``, which W&B knows, is accepted and ignored."""
        kwargs.pop("allow_val_change", None)
        try:
            values = {**as_dict(*args), **kwargs}
        except (TypeError, ValueError) as problem:
            self._refused(f"an update that is no dict ({type(problem).__name__})")
            return
        super().update(values)
        self._changed(values)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Set *key* if it is not there, and return its value."""
        if key not in self:
            self.update({key: default})
        return self[key]

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]
        self.update(values)
        return self

    def __getattr__(self, key: str) -> Any:
        """Return entry *key*, as W&B's config has it: ``run.config.lr``."""
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        if key.startswith("_"):
            super().__setattr__(key, value)
        else:
            self.update({key: value})


def as_dict(values: Any = None) -> dict[str, Any]:
    """Return what ``dict`` makes of *values*, or the attributes of a namespace as argparse's.

    Raises:
        TypeError, ValueError: it is neither.
    """
    if values is None:
        return {}
    try:
        return dict(values)
    except TypeError:
        return dict(vars(values))
