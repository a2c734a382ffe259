"""A new run -> the earlier run whose config is most like its own, and how they differ.

All configs of a stage are a table of codes, one column for each key that differs at all, so that a
run is compared with a thousand others at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reports.load import Run

_ABSENT = object()


class Closest:
    """The runs of one stage that were there before, to find those that new runs resemble."""

    def __init__(self, old: Sequence[Run], new: Sequence[Run]) -> None:
        self._old = old
        self._places = {run.run_id: at for at, run in enumerate([*old, *new])}
        self._keys, self._codes = _coded([*old, *new])

    def of(self, run: Run) -> tuple[Run, list[str]] | None:
        """Return the closest run and the keys that differ; None where there was none before."""
        if not self._old:
            return None
        own = self._codes[self._places[run.run_id]]
        differing = self._codes[: len(self._old)] != own
        best = int(np.argmin(differing.sum(axis=1)))  # of equally close ones the first
        keys = [key for key, is_other in zip(self._keys, differing[best], strict=True) if is_other]
        return self._old[best], keys


def _coded(runs: Sequence[Run]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the keys that differ between *runs*, sorted, and a code for each run's value of each.

    Equal values have equal codes, and -1 is a key that a run does not have.
    """
    keys = sorted({key for run in runs for key in run.config})
    differing, columns = [], []
    for key in keys:
        values = [run.config.get(key, _ABSENT) for run in runs]
        codes = {value: at for at, value in enumerate({*values} - {_ABSENT})}
        codes[_ABSENT] = -1
        if len({*values}) > 1:
            differing.append(key)
            columns.append([codes[value] for value in values])
    return differing, np.array(columns, np.int32).reshape(len(differing), len(runs)).T
