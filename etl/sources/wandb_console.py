"""What a run printed, in pieces as W&B caught them -> the lines that stayed on the screen.

Progress bars write over their own line: of each line its last state is kept, and of what is still
being written one line a stream, so memory does not grow with what was overwritten.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from etl.sources.facts import clean
from etl.sources.frames import CONSOLE

_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]?")
_LONGEST = 64 * 1024  # characters; what is longer goes on in a next line


@dataclass(slots=True)
class _Line:
    """A line that is not ended: its characters, where the next is written, when it last was."""

    text: str = ""
    at: int = 0
    ts: float | None = None

    def write(self, piece: str) -> None:
        if "\r" not in piece and "\x1b" not in piece and "\b" not in piece:
            self._over(piece)
            return
        for part in re.split("([\r\b])", piece):
            if part == "\r":
                self.at = 0
            elif part == "\b":
                self.at = max(self.at - 1, 0)
            else:
                self._escaped(part)

    def _escaped(self, part: str) -> None:
        """Write text with escape sequences: those that erase are followed, colours dropped."""
        done = 0
        for found in _ESCAPE.finditer(part):
            self._over(part[done : found.start()])
            done = found.end()
            if found[2] == "K" and found[1] in ("", "0"):
                self.text = self.text[: self.at]
            elif found[2] == "K":
                self.text, self.at = "", 0 if found[1] == "2" else self.at
        self._over(part[done:])

    def _over(self, piece: str) -> None:
        if not piece:
            return
        text = self.text.ljust(self.at)
        end = self.at + len(piece)
        self.text, self.at = text[: self.at] + piece + text[end:], end


class Console:
    """The lines of one file; *carry* is what an earlier part of it left."""

    def __init__(self, carry: dict[str, Any]) -> None:
        self.count = int(carry.get("lines", 0))
        open_lines = carry.get("open", {})
        self._open = {int(stream): _Line(**line) for stream, line in open_lines.items()}
        self._lines: list[tuple[int, float | None, str]] = []

    def write(self, stream: int, ts: float | None, text: str) -> None:
        """Take a piece of what was printed to a stream: 0 is stderr, 1 stdout."""
        line = self._open.setdefault(stream, _Line())
        *ended, rest = text.split("\n")
        for piece in ended:
            self._write(line, ts, piece)
            self._end(line)
        self._write(line, ts, rest)

    def _write(self, line: _Line, ts: float | None, piece: str) -> None:
        if not piece:
            line.ts = ts if line.ts is None else line.ts
            return
        line.ts = ts
        line.write(piece)
        while len(line.text) > _LONGEST:
            rest = line.text[_LONGEST:]
            line.text = line.text[:_LONGEST]
            self._end(line)
            line.text, line.at, line.ts = rest, len(rest), ts

    def _end(self, line: _Line) -> None:
        self._lines.append((self.count, line.ts, clean(line.text.rstrip())))
        self.count += 1
        line.text, line.at, line.ts = "", 0, None

    def close(self) -> None:
        """End the lines that are not ended: the run is over."""
        for _, line in sorted(self._open.items()):
            if line.text:
                self._end(line)

    def carry(self) -> dict[str, Any]:
        """Return what reading on needs."""
        left = {str(stream): asdict(line) for stream, line in sorted(self._open.items())}
        return {"lines": self.count, "open": left}

    def frame(self) -> pl.DataFrame | None:
        """Return the lines (CONSOLE), None if there are none."""
        if not self._lines:
            return None
        return pl.DataFrame(self._lines, schema=CONSOLE, orient="row")
