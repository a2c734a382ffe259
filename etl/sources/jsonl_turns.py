"""The rows of one log in their order -> where another run or a resumed segment begins in it.

Several processes may have appended to one file. The rule, for each row:

- A **turn** is a row with metrics that the log has had at later steps, and none that it has had
  only at earlier ones: an evaluation that comes late is no turn. A row that brings nothing but
  other values of what its step has already is one too. An epoch or a rate may stand in any row.
- A turn to the first step of the run, or before it, begins **another run**; so does one after a
  line of another config. Any other turn is a **resume** from that step: a further segment.
- Rows that go **back and forth** are of writers at the same time, and nothing tells which is whose:
  a step beyond where the rows before the turn had come to, by a leap that the log has not made
  before; or turn after turn to ever later steps within one or two steps. They are given up from the
  turn on with which it began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The last words of keys that rows of any kind have, and that say nothing of which row it is.
CLOCKS = frozenset(("epoch", "epochs", "time", "elapsed", "lr", "learning_rate"))


class TangledError(Exception):
    """The rows from the beginning of stretch ``since`` on are of several writers at once."""

    def __init__(self, since: int) -> None:
        super().__init__(since)
        self.since = since


@dataclass(slots=True)
class Stretch:
    """Rows between two turns: of which run they are, and whether they resume it."""

    run: int
    resumed: bool
    first: int
    top: int
    steps: int = 1  # how many there are
    streak: int = 0  # the stretch with which a series of quick turns began
    quick: int = 0  # how many of these there were
    ends: dict[str, int] = field(default_factory=dict)  # the last step of each key
    here: dict[str, Any] = field(default_factory=dict)  # the values at the top step


class Turns:
    """Follows one log. ``single`` says that all of it is of one run, as its rows state."""

    def __init__(self, *, single: bool = False) -> None:
        self.single = single
        self.stretches: list[Stretch] = []
        self.leap = 0  # the greatest advance from one row to the next
        self.began: dict[int, int] = {}  # run -> its first step

    def row(self, step: int, values: Mapping[str, Any], *, other_config: bool = False) -> int:
        """Return to which stretch a row belongs.

        Raises:
            TangledError: it shows that rows of several writers are mixed.
        """
        values = {k: v for k, v in values.items() if k.rsplit("/", 1)[-1] not in CLOCKS}
        if not self.stretches:
            self._begin(Stretch(0, resumed=False, first=step, top=step))
        elif _turns(self.stretches[-1], step, values):
            self._turn(step, other_config=other_config)
        else:
            self._check_leap(step)
        now = self.stretches[-1]
        if step > now.top:
            self.leap = max(self.leap, step - now.top)
            now.top, now.here, now.steps = step, {}, now.steps + 1
        if step == now.top:
            now.here.update(values)
        now.ends.update({key: max(step, now.ends.get(key, step)) for key in values})
        return len(self.stretches) - 1

    def _begin(self, stretch: Stretch) -> None:
        self.stretches.append(stretch)
        self.began.setdefault(stretch.run, stretch.first)

    def _turn(self, step: int, *, other_config: bool) -> None:
        before, place = self.stretches[-1], len(self.stretches)
        series = place > 1 and (
            (before.steps == 1 and step >= before.first)
            or (before.steps == 2 and step > before.first)
        )
        quick = before.quick + 1 if series else 0
        streak = before.streak if series else place
        if quick >= 2:
            raise TangledError(streak)
        another = not self.single and (other_config or step <= self.began[before.run])
        run = before.run + 1 if another else before.run
        self._begin(Stretch(run, not another, step, step, streak=streak, quick=quick))

    def _check_leap(self, step: int) -> None:
        if len(self.stretches) < 2:
            return
        passed, top = self.stretches[-2].top, self.stretches[-1].top
        # it goes on where the rows before the turn had come to, and not where its own had
        if top <= passed < step <= passed + self.leap and step - top > self.leap:
            raise TangledError(len(self.stretches) - 1)


def _turns(now: Stretch, step: int, values: Mapping[str, Any]) -> bool:
    """Whether a row at *step* is a turn in the stretch *now*."""
    had = [now.ends[key] for key in values if key in now.ends]
    if any(step < end for end in had):
        return not any(step > end for end in had)
    if step != now.top or not values.keys() <= now.here.keys():
        return False  # a further row of a step brings further metrics, and may repeat a clock
    return any(not _same(value, now.here[key]) for key, value in values.items())


def _same(a: Any, b: Any) -> bool:
    return a is b or a == b or (a != a and b != b)  # noqa: PLR0124  NaN
