"""What a process prints -> lines, copied off the way that they take anyway.

``sys.stdout`` and ``sys.stderr`` stay the objects that they are; only their ``write`` is ours, and
it hands its text to the real one first. So what is printed, when it is flushed and what fails stays
as it was. What does not pass there (C libraries, ``sys.stdout.buffer``, child processes) is not
copied.

Copying is an append to a list. A thread looks for lines now and then and takes them to the log; to
be woken for each would hand it the interpreter in the midst of a step. A SIGKILL costs the last
50 ms of console.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

POLL_SEC = 0.05
MOST_CHARACTERS = 1 << 16  # of one line; a longer one is recorded in pieces
MOST_LINES = 1000  # of one record

Take = Callable[[list[str]], None]


class Console:
    """Hands the lines printed by this process to *take*, never from the thread that printed."""

    def __init__(self, take: Take) -> None:
        self._take = take
        # what was printed, of which stream; appended to without a lock, which a signal's handler
        # that prints in the midst of a print could wait for in vain
        self._texts: deque[tuple[int, str]] = deque()
        self._rest: list[str] = []  # of each stream, what its last newline is followed by
        self._order = threading.RLock()  # held while lines are on their way to the log
        self._draining = False
        self._on = True
        os.register_at_fork(after_in_child=self._leave_to_parent)
        threading.Thread(target=self._work, name="runatlas-console", daemon=True).start()

    def listen(self, stream: Any) -> None:
        """Copy what is written to the text stream *stream* from now on."""
        number = len(self._rest)
        self._rest.append("")
        stream.write = partial(self._write, stream.write, number)

    def _write(self, write: Callable[[str], int], number: int, text: str, /) -> int:
        written = write(text)
        if self._on:
            self._texts.append((number, text))
        return written

    def drain(self, *, unfinished: bool = False) -> None:
        """Hand over what was printed until now; with *unfinished*, lines without an end as well."""
        with self._order:
            if self._draining or not self._on:
                return
            self._draining = True
            try:
                lines = self._lines()
                if unfinished:
                    lines += [rest for rest in self._rest if rest]
                    self._rest = [""] * len(self._rest)
                for at in range(0, len(lines), MOST_LINES):
                    self._take([clean(line) for line in lines[at : at + MOST_LINES]])
            finally:
                self._draining = False

    def _lines(self) -> list[str]:
        lines: list[str] = []
        for _ in range(len(self._texts)):
            number, text = self._texts.popleft()
            *whole, rest = f"{self._rest[number]}{text}".split("\n")
            lines += whole
            if "\r" in rest:  # a progress bar: thousands of states of one line
                rest = shown(rest) + "\r" * rest.endswith("\r")
            if len(rest) > MOST_CHARACTERS:
                lines.append(rest)
                rest = ""
            self._rest[number] = rest
        return lines

    def _work(self) -> None:
        while True:
            time.sleep(POLL_SEC)
            if self._texts:
                self.drain()

    def _leave_to_parent(self) -> None:
        # a forked process has no thread that drains, and nobody who would let go of the lock
        self._on = False
        self._order = threading.RLock()


def shown(line: str) -> str:
    r"""Return what a terminal shows of *line* at its end, where carriage returns began it anew.

    >>> shown("10%\r20%\r"), shown("done\r"), shown("plain")
    ('20%', 'done', 'plain')
    """
    return line.rstrip("\r").rpartition("\r")[2]


def clean(line: str) -> str:
    """Return *line* as it stood at last, with a question mark for what no encoding has."""
    line = shown(line)
    return line if line.isascii() else line.encode("utf-8", "replace").decode()
