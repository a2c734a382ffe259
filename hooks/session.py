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
from hooks.capture import Capture, file_name, say
from hooks.telemetry import Sampler, interval_of
from hooks.telemetry import start as start_telemetry

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
        sampler: Sampler | None = None,
    ) -> None:
        self.id: str = header["run_id"]
        self.name: str = header["name"]
        self.path = capture.path
        self._capture = capture
        self._tee = tee
        self._sampler = sampler
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
        exit_code = exit_code if isinstance(exit_code, int) else 1
        if self._sampler is not None:
            self._sampler.stop()
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
        code = getattr(value, "code", None) if isinstance(value, SystemExit) else 1
        failed = kind is not None and code not in (None, 0)
        self.finish(exit_code=(code if isinstance(code, int) else 1) if failed else 0)

    def _changed(self, kind: str, values: dict[str, Any]) -> None:
        found, left_out = record.sift(values, as_text=kind == "config")
        self._event(kind, {kind: found})
        for reason in left_out:
            self._capture.note(reason)
        if self._tee is not None:
            getattr(self._tee, kind)(values)

    def _event(self, kind: str, fields: dict[str, Any]) -> None:
        try:
            self._capture.write(record.encode_event(kind, time.time(), fields))
        except Exception as problem:  # noqa: BLE001  nothing may reach the training loop
            self._capture.note(f"a {kind} line ({type(problem).__name__})")


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

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Set *key* if it is not there, and return its value."""
        if key not in self:
            self.update({key: default})
        return self[key]

    def __ior__(self, values: Any) -> Self:  # type: ignore[override,misc]
        self.update(values)
        return self

    def __getattr__(self, key: str) -> Any:
        """Return entry *key*, as W&B's config has it: ``run.config.lr``."""
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        if key.startswith("_"):
            super().__setattr__(key, value)
        else:
            self.update({key: value})


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
    telemetry: bool | float = True,
) -> Run:
    """Start a run, or a new segment of run *run_id*, and return the object that logs it.

    Args:
        project: the project that the run belongs to.
        name: how people call the run; the run id where not given.
        stage: tokenizer, pretraining, midtraining, sft, rl or eval.
        config: what was asked of the run; what JSON cannot hold, such as a path, as its text.
        dir: folder of the log file; else ``$RUNATLAS_DIR``, else ``data/<project>/raw``.
        run_id: which run this is; a new one where not given.
        resume: the step that a resumed run goes on from, or True where it is not known.
        parent: id of the run whose checkpoint this one started from.
        wandb: a W&B run to pass everything on to; True, "online" or "offline" to start one; False
            for none. Without it, a W&B run that this process already has is used.
        telemetry: whether the machine is measured, or every how many seconds (15).

    Raises:
        OSError: the log file cannot be created.
        ValueError: *resume* without *run_id*, no *dir* and a project that is no name for a folder,
            or *telemetry* is no time.
    """
    if resume is not None and resume is not False and run_id is None:
        raise ValueError("resume needs the run_id of the run that goes on")
    interval = interval_of(telemetry)
    now = time.time()
    asked, left_out = record.sift(dict(config or {}), as_text=True)
    header = _header(
        now, project=project, name=name, stage=stage, run_id=run_id, resume=resume, parent=parent
    )
    header["config"] = asked
    folder = _folder(project, dir)
    path = folder / file_name(header["run_id"], header["segment"], header["rank"], os.getpid())
    capture = Capture(path, record.encode_event("run", now, header))
    for reason in left_out:
        capture.note(reason)
    tee = None
    if header["rank"] == 0:  # W&B takes one writer a run
        tee = wandb_tee.attach(wandb, header=header, config=asked, folder=folder)
    return Run(capture, tee, header, asked, start_telemetry(capture, interval))


def _header(
    now: float,
    *,
    project: str,
    name: str | None,
    stage: str | None,
    run_id: str | None,
    resume: int | bool | None,
    parent: str | None,
) -> dict[str, Any]:
    """Return the fields of the file's first line but the config."""
    identity = str(run_id or _random(8))
    return {
        "v": record.VERSION,
        "run_id": identity,
        "segment": _base36(int(now * 1000)) + _random(3),  # two of one millisecond stay two
        "project": project,
        "source_project": project,
        "name": str(name or identity),
        "stage": None if stage is None else str(stage),
        "script": _script(),
        "rank": _environment("RANK", 0),
        "world_size": _environment("WORLD_SIZE", 1),
        "resumed": resume is not None and resume is not False,
        "resume_step": resume if isinstance(resume, int) and not isinstance(resume, bool) else None,
        "parent_run_id": None if parent is None else str(parent),
        "versions": _versions(),
    }


def _folder(project: str, given: str | os.PathLike[str] | None) -> Path:
    chosen = given or os.environ.get("RUNATLAS_DIR")
    if chosen:
        return Path(chosen)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", project):
        raise ValueError(f"project {project!r} is no name for a folder; give dir= as well")
    return Path("data", project, "raw")


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        say(f"{name} is no number; taken as {default}")
        return default


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
