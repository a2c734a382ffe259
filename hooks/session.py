"""``hooks.init(...)`` -> a run object shaped like a ``wandb`` run, written to JSONL as it goes."""

from __future__ import annotations

import os
import platform
import re
import secrets
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hooks import record, wandb_tee
from hooks.capture import Capture, file_name

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_VERSIONED = ("torch", "numpy", "wandb", "transformers")


class Run:
    """A run being logged. After ``init`` nothing here raises into the training loop.

    ``id``, ``name`` and ``path`` say which run this is and where its lines go;
    ``config`` and ``summary`` are dicts whose changes are logged.
    """

    def __init__(
        self,
        capture: Capture,
        tee: wandb_tee.WandbTee | None,
        header: dict[str, Any],
        config: dict[str, Any],
    ) -> None:
        self.id: str = header["run_id"]
        self.name: str = header["name"]
        self.path = capture.path
        self._capture = capture
        self._tee = tee
        self._calls = 0
        self.config = _Watched(config, lambda values: self._changed("config", values))
        self.summary = _Watched({}, lambda values: self._changed("summary", values))

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Log *metrics* at training step *step*; when this returns, the line is in the kernel.

        Without *step* the entry ``step`` of *metrics* is taken, as nanochat logs it, and without
        either the number of calls so far.
        """
        self._calls += 1
        try:
            own = metrics.get(record.STEP)
            step = own if step is None else step
            if own is not None and own == step:
                metrics = {key: value for key, value in metrics.items() if key != record.STEP}
            at = self._calls - 1 if step is None else int(step)
            line, left_out = record.encode_history(at, time.time(), metrics)
        except Exception as problem:  # noqa: BLE001  a strange value must not end a training run
            self._capture.note(f"a history row ({type(problem).__name__})")
            return
        self._capture.write(line)
        for reason in left_out:
            self._capture.note(reason)
        if self._tee is not None:
            self._tee.log(at, metrics)

    def finish(self, exit_code: int = 0) -> None:
        """Write the finish line and close the file; a second call does nothing."""
        if self._capture.closed:
            return
        fields = {"exit_code": exit_code, "lines": self._capture.lines}
        self._event("finish", {**fields, "dropped": self._capture.dropped})
        self._capture.close()
        if self._tee is not None:
            self._tee.finish(exit_code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.finish(exit_code=0 if kind is None else 1)

    def _changed(self, kind: str, values: dict[str, Any]) -> None:
        self._event(kind, {kind: values})
        if self._tee is not None:
            getattr(self._tee, kind)(values)

    def _event(self, kind: str, fields: dict[str, Any]) -> None:
        try:
            self._capture.write(record.encode_event(kind, time.time(), fields))
        except record.UnserialisableError as problem:
            self._capture.note(str(problem))


class _Watched(dict[str, Any]):
    """A dict that reports what is set in it."""

    def __init__(self, values: dict[str, Any], changed: Any) -> None:
        super().__init__(values)
        self._changed = changed

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several entries; ``allow_val_change``, which W&B knows, is accepted and ignored."""
        kwargs.pop("allow_val_change", None)
        values = dict(*args, **kwargs)
        super().update(values)
        self._changed(values)


def init(
    project: str,
    name: str | None = None,
    *,
    stage: str | None = None,
    config: dict[str, Any] | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  the name that wandb.init gave it
    run_id: str | None = None,
    resume: int | bool | None = None,
    parent: str | None = None,
    wandb: Any = None,
) -> Run:
    """Start a run, or a new segment of run *run_id*, and return the object that logs it.

    Args:
        project: the project that the run belongs to.
        name: how people call the run; the run id where not given.
        stage: tokenizer, pretraining, midtraining, sft, rl or eval.
        config: what was asked of the run; values that JSON can hold.
        dir: folder of the log file; else ``$RUNATLAS_DIR``, else ``data/<project>/raw``.
        run_id: which run this is; a new one where not given.
        resume: the step that a resumed run goes on from, or True where it is not known.
        parent: id of the run whose checkpoint this one started from.
        wandb: a W&B run to pass everything on to; True, "online" or "offline" to start one; False
            for none. Without it, a W&B run that this process already has is used.

    Raises:
        OSError: the log file cannot be created.
        ValueError: *resume* without *run_id*, a config that JSON cannot hold, or no *dir* and a
            project that is no name for a folder.
    """
    if resume is not None and resume is not False and run_id is None:
        raise ValueError("resume needs the run_id of the run that goes on")
    now = time.time()
    run_id = run_id or _random(8)
    rank = int(os.environ.get("RANK", "0"))
    segment = _base36(int(now * 1000)) + _random(3)  # two of one millisecond stay two
    header: dict[str, Any] = {
        "v": record.VERSION,
        "run_id": run_id,
        "segment": segment,
        "project": project,
        "source_project": project,
        "name": name or run_id,
        "stage": stage,
        "script": _script(),
        "rank": rank,
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
        "resumed": resume is not None and resume is not False,
        "resume_step": resume if isinstance(resume, int) and not isinstance(resume, bool) else None,
        "parent_run_id": parent,
        "config": dict(config or {}),
        "versions": _versions(),
    }
    folder = _folder(project, dir)
    try:
        first = record.encode_event("run", now, header)
    except record.UnserialisableError as problem:
        raise ValueError(f"the config of run {run_id} cannot be logged: {problem}") from None
    capture = Capture(folder / file_name(run_id, segment, rank, os.getpid()))
    capture.write(first)
    tee = None
    if rank == 0:  # W&B takes one writer a run
        tee = wandb_tee.attach(wandb, header=header, config=header["config"], folder=folder)
    return Run(capture, tee, header, header["config"])


def _folder(project: str, given: str | os.PathLike[str] | None) -> Path:
    chosen = given or os.environ.get("RUNATLAS_DIR")
    if chosen:
        return Path(chosen)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", project):
        raise ValueError(f"project {project!r} is no name for a folder; give dir= as well")
    return Path("data", project, "raw")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _base36(value: int) -> str:
    digits = ""
    while value:
        value, rest = divmod(value, 36)
        digits = _ALPHABET[rest] + digits
    return digits or "0"


def _script() -> str | None:
    """Return the script's module or file name; its path and arguments may hold secrets."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).name if file else None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _VERSIONED:
        version = getattr(sys.modules.get(name), "__version__", None)  # never imported for this
        if version is not None:
            versions[name] = str(version)
    return versions
