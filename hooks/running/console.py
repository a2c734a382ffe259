"""What a process prints -> lines, copied off the way that they take anyway.

``sys.stdout`` and ``sys.stderr`` stay the objects that they are; only their ``write`` is ours, and
it hands its text to the real one first. So what is printed, when it is flushed and what fails stays
as it was. What does not pass there (C libraries, ``sys.stdout.buffer``, child processes) is not
copied.

Copying is an append to a list. A thread takes the list to the log, a moment after the first line:
a SIGKILL costs the last 50 ms of console.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

GATHER_SEC = 0.05
MOST_CHARACTERS = 1 << 16  # of one line; a longer one is recorded in pieces
MOST_LINES = 1000  # of one record

Take = Callable[[list[str]], None]


class Console:
    """Hands the lines printed by this process to *take*, never from the thread that printed."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._lines: list[str] = []
        self._rest: list[str] = []  # of each stream, what its last newline is followed by
        self._lock = threading.RLock()  # a signal's handler may print in the midst of a print
        self._order = threading.Lock()  # held while lines are on their way to the log
        self._wake = threading.Event()
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
            self._copy(number, text)
        return written

    def _copy(self, number: int, text: str) -> None:
        with self._lock:
            if "\n" in text:
                *whole, text = f"{self._rest[number]}{text}".split("\n")
                self._lines += whole
                self._wake.set()
                self._rest[number] = text
            else:
                self._rest[number] += text
            if "\r" in self._rest[number]:  # a progress bar: thousands of states of one line
                ends = "\r" if self._rest[number].endswith("\r") else ""
                self._rest[number] = shown(self._rest[number]) + ends
            if len(self._rest[number]) > MOST_CHARACTERS:
                self._lines.append(self._rest[number])
                self._rest[number] = ""

    def drain(self, *, unfinished: bool = False) -> None:
        """Hand over what was printed until now; with *unfinished*, lines without an end as well."""
        if not self._on:
            return
        with self._order:
            with self._lock:
                lines, self._lines = self._lines, []
                if unfinished:
                    lines += [rest for rest in self._rest if rest]
                    self._rest = [""] * len(self._rest)
            for at in range(0, len(lines), MOST_LINES):
                self._take([clean(line) for line in lines[at : at + MOST_LINES]])

    def _work(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(GATHER_SEC)
            self._wake.clear()
            self.drain()

    def _leave_to_parent(self) -> None:
        # a forked process has no thread that drains, and its locks may be held by none
        self._on = False


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
