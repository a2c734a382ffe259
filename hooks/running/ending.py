"""The end of a process -> its exit code in the log, wherever Python can still write it.

A SIGTERM ends the process as it would without us, a moment later: not from a handler in the main
thread, which waits for as long as a C call does (a collective that hangs, say), but from a thread
that the kernel's own note of the signal wakes. SIGKILL leaves no finish line, and says so by that.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

MOST_SEC = 5.0  # for the last lines, between SIGTERM and the end
SIGNALLED = 128  # plus the signal's number: what a shell shows


class Ending:
    """Calls *finish* with the exit code of this process, last of all, or *terminated*.

    The latter while the script still runs, in another thread: what it logs then is not to be lost.
    """

    def __init__(self, finish: Callable[[int], None], terminated: Callable[[int], None]) -> None:
        self._exit_code = 0
        self._finish = finish
        self._terminated = terminated
        self._pid = os.getpid()
        self._wake = -1
        # registered before anything of the script's, and so called after all of it
        atexit.register(self._at_exit)

    def with_code(self, exit_code: int) -> None:
        """Take *exit_code* for what the process will end with."""
        self._exit_code = exit_code

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._finish(self._exit_code)

    def on_sigterm(self) -> None:
        """Finish on SIGTERM too, unless the script handles it itself or was told to ignore it."""
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.signal(signal.SIGTERM, self._signalled)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._leave_to_parent)
        name = "runatlas-sigterm"
        threading.Thread(target=self._watch, args=(read,), name=name, daemon=True).start()

    def _signalled(self, number: int, _at: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # in case asyncio took the kernel's notes for itself
            os.write(self._wake, bytes([number]))

    def _watch(self, read: int) -> None:
        while noted := os.read(read, 1):
            if noted[0] != signal.SIGTERM or not self._is_ours():
                continue  # the script has come to handle it
            code = SIGNALLED + signal.SIGTERM
            last = threading.Thread(target=self._terminated, args=(code,), daemon=True)
            last.start()
            last.join(MOST_SEC)
            _die()

    def _is_ours(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._signalled

    def _leave_to_parent(self) -> None:
        """Undo all of it in a forked process: its end is not the run's."""
        with contextlib.suppress(ValueError):  # forked by a thread that is not the main one
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            others = signal.set_wakeup_fd(-1)
            if others not in (-1, self._wake):
                signal.set_wakeup_fd(others)


def _die() -> None:
    """End this process by SIGTERM, from any thread: signal.signal() is for the main one alone."""
    try:
        import ctypes  # noqa: PLC0415  not everywhere, and for the last moment only

        ctypes.pythonapi.PyOS_setsig(int(signal.SIGTERM), None)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os._exit(SIGNALLED + signal.SIGTERM)
