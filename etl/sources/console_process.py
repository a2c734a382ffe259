"""One process that prints into a nanochat log, and the run that it prints for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from etl.sources.console_meaning import Meaning, Point
from etl.sources.console_text import Line
from etl.sources.facts import Facts
from etl.sources.frames import CONSOLE, POINTS
from etl.sources.reading import Part

_REPEATED = frozenset(("Overriding:", "wandb:", "Loading"))  # a process prints several


@dataclass(slots=True)
class Run:
    """A part that is being filled: its facts before this read, and what this read adds."""

    facts: Facts
    keys: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    console: list[tuple[int, float | None, str]] = field(default_factory=list)
    last: int | None = None

    def add(self, key: str, step: int, value: float | None, text: str | None) -> None:
        """Add one point."""
        self.keys.append(key)
        self.steps.append(step)
        self.values.append(value)
        self.texts.append(text)
        if self.last is None or step > self.last:
            self.last = step

    def part(self) -> Part:
        """Return the facts, and the new points and lines."""
        columns = {"key": self.keys, "step": self.steps, "value": self.values, "text": self.texts}
        ts = [None] * len(self.keys)
        points = pl.DataFrame({**columns, "ts": ts}, schema=POINTS)
        console = pl.DataFrame(self.console, schema=CONSOLE, orient="row")
        return Part(self.facts.counted(len(self.console), points, {}), points, None, console)


@dataclass(slots=True)
class Process:
    """One process that prints into the log. It begins at byte ``at``, line ``number``.

    ``run`` is None until it is known whose lines these are; up to then they are ``held``.
    """

    at: int
    number: int
    run: Run | None = None
    script: str | None = None
    other: int | None = None  # the next step of another process that writes by turns
    held: list[tuple[Line, list[Meaning]]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    evaluating: bool = False
    finished: bool = False
    step: int | None = None  # the one that is evaluated
    last: int | None = None  # the one trained last
    waiting: list[Point] = field(default_factory=list)
    label: str | None = None
    tasks: set[str] = field(default_factory=set)
    ts: float | None = None
    ranked: bool = False  # whether ranks other than 0 have printed

    _STATE: ClassVar = ("script", "other", "evaluating", "finished", "step", "last", "label", "ts")

    def state(self) -> dict[str, Any]:
        """Return what has to be known to read on within this process, as JSON can hold it."""
        kept = {name: getattr(self, name) for name in self._STATE}
        return kept | {"waiting": self.waiting, "tasks": sorted(self.tasks)}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the process whose state it was."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.waiting = [(key, value, text) for key, value, text in state["waiting"]]
        self.tasks = set(state["tasks"])

    def begins(self, word: str) -> None:
        """Note one of a process's first lines; a second of a kind is another process's."""
        if word in self.seen and word not in _REPEATED:
            self.seen, self.script = set(), None
            self.facts, self.effective, self.summary = {}, {}, {}
        self.seen.add(word)

    def learn(self, one: Meaning) -> None:
        """Note what *one* tells of the process."""
        guess = one.evaluates or one.waits or one.trains
        if one.script and (self.script is None or not guess):
            self.script = one.script
        self.facts.update({k: v for k, v in one.facts.items() if v is not None})
        self.config.update(one.config)
        self.effective.update(one.effective)
        self.summary.update(one.summary)
        if one.facts.get("finished") or "train_time" in one.summary:
            self.finish()

    def finish(self) -> None:
        """Note that it ended here."""
        self.finished = True
        self.facts |= {"finished": True, "ended_at": self.ts}

    def settled(self, name: str) -> Any:
        """Return what the run made of its setting *name*, as far as it has said so."""
        known_before = self.run.facts.effective if self.run else {}
        return self.effective.get(name, known_before.get(name))
