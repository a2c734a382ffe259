"""A script's command line -> the script, run in this process as Python itself would run it.

``sys.argv``, ``sys.path``, ``__main__``, exit codes and tracebacks are those of ``python SCRIPT``
and ``python -m MODULE``. Of us only ``sys.orig_argv`` tells.
"""

from __future__ import annotations

import builtins
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

INTERRUPTED = 130  # as a shell shows SIGINT
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_replaced: list[ModuleType] = []  # a module that nobody holds any more loses its globals


class Script:
    """A script that can be run once; ``name`` is what it is called, without its path."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._is_module = arguments[0] == "-m"
        self._target, *self._arguments = arguments[1:] if self._is_module else arguments
        self.name = self._target if self._is_module else os.path.basename(self._target)

    def run(self, ended: Callable[[int], None]) -> None:
        """Run it as ``__main__``, and tell *ended* its exit code before what it raised goes on."""
        sys.argv = ["-m" if self._is_module else self._target, *self._arguments]
        try:
            if self._is_module:
                _run_module(self._target)
            else:
                _run_file(self._target)
        except SystemExit as leaving:
            ended(exit_code(leaving))
            raise
        except BaseException as problem:
            ended(INTERRUPTED if isinstance(problem, KeyboardInterrupt) else 1)
            # the script's own hook, if it has set one, with the traceback that it would have had
            hook = sys.excepthook
            sys.excepthook = lambda kind, value, at: _shown(hook, kind, value, at)
            raise

    def become_main(self) -> None:
        """Make ``__main__`` a new module that only has the name of the script, and no code yet."""
        main = ModuleType("__main__")
        _replaced.append(sys.modules["__main__"])
        sys.modules["__main__"] = main
        main.__dict__["__builtins__"] = builtins
        if sys.version_info < (3, 14):
            main.__annotations__ = {}
        if self._is_module:
            main.__spec__ = ModuleSpec(self._target, None)
        else:
            main.__file__ = os.path.abspath(self._target)


def exit_code(leaving: SystemExit) -> int:
    """Return the exit code of a process that *leaving* ends."""
    if leaving.code is None:
        return 0
    return leaving.code & 0xFF if isinstance(leaving.code, int) else 1


def _run_module(name: str) -> None:
    sys.modules["__main__"].__spec__ = None  # until its package is imported, as in Python
    # what "python -m" itself calls: run_module() would undo the module's globals at its end,
    # while threads and atexit functions of the script still use them
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # noqa: SLF001


def _run_file(path: str) -> None:
    safe = getattr(sys.flags, "safe_path", False)
    main = sys.modules["__main__"]
    absolute = os.path.abspath(path)
    if pkgutil.get_importer(path) is not None:  # a folder or a zip, with a __main__.py in it
        del main.__file__
        sys.path[0 : 0 if safe else 1] = [absolute]
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]  # noqa: SLF001
        return
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as problem:
        text = f"{sys.executable}: can't open file {absolute!r}: [Errno {problem.errno}]"
        sys.stderr.write(f"{text} {problem.strerror}\n")
        raise SystemExit(2) from None
    if not safe:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    main.__loader__ = SourceFileLoader("__main__", absolute)
    main.__dict__["__cached__"] = None
    code = compile(source, absolute, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102  running what we were given is our purpose


def _shown(hook: Callable[..., Any], kind: Any, value: BaseException, at: Any) -> None:
    """Call *hook* with an exception whose tracebacks no longer show that we were there."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [value]
    while queue:
        problem = queue.pop()
        if problem is None or id(problem) in seen:
            continue
        seen.add(id(problem))
        problem.__traceback__ = _without_us(problem.__traceback__)
        queue += [problem.__cause__, problem.__context__]
        queue += getattr(problem, "exceptions", ())
    hook(kind, value, value.__traceback__ if at is not None else None)


def _without_us(at: TracebackType | None) -> TracebackType | None:
    entries = []
    while at is not None:
        entries.append(at)
        at = at.tb_next
    ours = (_run_module.__code__, _run_file.__code__)
    for place, entry in enumerate(entries):
        if entry.tb_frame.f_code in ours:
            entries = entries[place + 1 :]
            break
    kept = [entry for entry in entries if not _is_ours(entry.tb_frame.f_code)]
    for entry, following in zip(kept, [*kept[1:], None], strict=False):
        entry.tb_next = following
    return kept[0] if kept else None


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_HERE + os.sep)
