"""The arguments of W&B's ``log`` -> the training step that its row belongs to.

The rule is the one by which etl reads W&B's own files, so that both logs of a run tell the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hooks import record

# By these names a script may log its step; the first that a run logs is the one.
_KEYS = (
    *(record.STEP, "global_step", "train/global_step", "trainer/global_step"),
    *("iter", "iteration"),
)


class Steps:
    """Follows a run's log calls: its rows, counted as W&B counts them, and the steps they name."""

    def __init__(self, first: int = 0) -> None:
        self._row = first  # W&B's own ``_step``
        self._named: int | None = None
        self._key: str | None = None

    def of(self, data: Mapping[Any, Any], step: Any = None, commit: Any = None) -> int:
        """Return the step of a row: the one it names, else the one named last, else its number.

        A call with ``commit=False``, or with *step* alone, leaves the row open for the next one.
        """
        if step is not None and int(step) > self._row:
            self._row = int(step)
        if self._key is None:
            self._key = next((key for key in _KEYS if _whole(data.get(key)) is not None), None)
        named = _whole(data.get(self._key))
        if named is not None:
            self._named = named
        at = self._row if self._named is None else self._named
        if commit or (commit is None and step is None):
            self._row += 1
        return at


def _whole(value: Any) -> int | None:
    try:
        return int(value) if value is not None and int(value) == value else None
    except (TypeError, ValueError, OverflowError):
        return None
