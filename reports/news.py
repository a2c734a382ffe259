"""The lines of the section "what changed", in words, as its template shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etl.diff import Setting


@dataclass(frozen=True, slots=True)
class Named:
    """A run by its name; ``index`` is where it stands on the page, None where it is gone."""

    name: str
    stage: str
    index: int | None


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run that is new, gone or changed, and what is to be said of it."""

    run: Named
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class ValueLine:
    """One value that moved, before and after, and whether by more than chance."""

    label: str
    unit: str
    stage: str
    before: str
    after: str
    delta: str
    runs: tuple[Named, Named]
    noise: str
    verdict: str  # better, worse, moved, noise or unknown
    title: str


@dataclass(frozen=True, slots=True)
class ReachLine:
    """The compute that one run took to come as far as the baseline."""

    run: Named
    multiplier: str
    amount: str
    title: str


@dataclass(frozen=True, slots=True)
class Changed:
    """The section "what changed". Without ``against`` nothing to compare it with."""

    headline: str
    against: str | None = None
    runs: Sequence[RunLine] = ()
    records: Sequence[ValueLine] = ()
    moves: Sequence[ValueLine] = ()
    still: int = 0  # values of changed runs that moved within noise
    reaches: Sequence[ReachLine] = ()
    reach_title: str = ""
    settings: Sequence[tuple[Named, Setting]] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    metrics: str = ""
