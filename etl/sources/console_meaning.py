"""What one line of a nanochat log can mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Value = int | float | str | bool | None
Point = tuple[str, float | None, str | None]  # key, value, text


@dataclass(slots=True)
class Meaning:
    """What one line says.

    ``points`` belong to ``step``; without one they wait for it (``waits``) or are of the step that
    is evaluated (``evaluates``). ``trains`` tells a line of a training loop, ``begins`` one of a
    process's first. ``facts``, ``config``, ``effective`` and ``summary`` are as in ``Facts``.
    """

    points: list[Point] = field(default_factory=list)
    step: int | None = None
    trains: bool = False
    waits: bool = False
    evaluates: bool = False
    begins: str | None = None
    script: str | None = None
    label: str | None = None  # the task that the next "accuracy:" is of
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Value] = field(default_factory=dict)
    effective: dict[str, Value] = field(default_factory=dict)
    summary: dict[str, Value] = field(default_factory=dict)
    raised: bool = False  # the last line of a traceback
    bad: str | None = None  # why a part of a record was not understood
