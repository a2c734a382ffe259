"""``hooks.init(...)`` -> a run object shaped like a ``wandb`` run, written to JSONL as it goes."""

from __future__ import annotations

import itertools
import os
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from hooks import record, resume_point, wandb_start
from hooks import telemetry as machine_telemetry
from hooks.capture import Capture, file_name, say
from hooks.header import folder_of, header
from hooks.wandb_tee import WandbTee, finish_seconds
from hooks.watched import Watched, as_dict

Durability = Literal["process", "fsync"]


class Run:
    """A run being logged. After ``init`` nothing here raises into the training loop.

    ``id``, ``name`` and ``path`` say which run this is and where its lines go, ``parent`` which run
    it started from; ``config`` and ``summary`` are dicts whose changes are logged.
    """

    def __init__(
        self,
        capture: Capture,
        tee: WandbTee | None,
        header: dict[str, Any],
        config: dict[str, Any],
        *,
        first_step: int = 0,
        sampler: machine_telemetry.Sampler | None = None,
    ) -> None:
        self.id: str = header["run_id"]
        self.name: str = header["name"]
        self.parent: str | None = header["parent_run_id"]
        self.path = capture.path
        self._capture = capture
        self._tee = tee
        self._sampler = sampler
        self._encode = record.fast_encoder()
        self._next = itertools.count(first_step).__next__  # whole under threads, without a lock
        self._device_reads = 0
        self._finished = False
        note = capture.note
        self.config = Watched(config, lambda values: self._changed("config", values), note)
        self.summary = Watched({}, lambda values: self._changed("summary", values), note)
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _in_child(me()))

    def log(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Log *metrics* at training step *step*; when this returns, the line is in the kernel.

        Without *step* the entry ``step`` of *metrics* is taken, as nanochat logs it, and without
        either the number of calls so far, on from the last step of a run that resumed. A tensor on
        a device is read, and the training waits for it: log the number where there is one.
        """
        call = self._next()
        ts = time.time()
        line = None
        try:
            at = metrics.get("step") if step is None else step
            if at is None:
                at = call
            if type(at) is int and self._encode is not None:
                line = self._encode(at, ts, metrics)
        except Exception:  # noqa: BLE001, S110  a strange row: the careful way says what is wrong
            pass
        if line is None:
            self._log_carefully(metrics, step, call, ts)
            return
        self._capture.write(line)
        if self._tee is not None:
            self._tee.line(line)

    def _log_carefully(self, metrics: Any, step: Any, call: int, ts: float) -> None:
        try:
            row = dict(metrics)
            own = row.get(record.STEP)
            at = own if step is None else step
            at = call if at is None else at
            if own is not None and own == at:
                del row[record.STEP]
            whole = int(at)
            self._count_device_reads(row)
            line, left_out = record.encode_history(whole, ts, row)
            if whole != at:
                left_out.append("a step that is no whole number: its fraction")
        except Exception as problem:  # noqa: BLE001  a strange value must not end a training run
            self._capture.note(f"a history row ({type(problem).__name__})")
            return
        self._capture.write(line)
        for reason in left_out:
            self._capture.note(reason)
        if self._tee is not None:
            self._tee.row(whole, ts, row, len(line))

    def finish(self, exit_code: int = 0, *, timeout: float | None = None) -> None:
        """Write the finish line, let W&B finish, and close the file; a second call does nothing.

        W&B is waited for *timeout* seconds at most, else ``$RUNATLAS_WANDB_TIMEOUT``, else 60.
        """
        if self._finished:
            return
        self._finished = True
        exit_code = exit_code if isinstance(exit_code, int) else 1
        if self._sampler is not None:
            self._sampler.stop()
        self._finish_line(exit_code)  # before the waiting: who is preempted has a few seconds
        if self._tee is not None:
            before = self._tee.missing, self._tee.left
            self._tee.finish(exit_code, finish_seconds() if timeout is None else timeout)
            if (self._tee.missing, self._tee.left) != before:
                self._finish_line(exit_code)
            self._tee = None
        self._capture.close()

    def _finish_line(self, exit_code: int) -> None:
        capture = self._capture
        fields: dict[str, Any] = {"exit_code": exit_code}
        fields |= {"lines": capture.lines, "dropped": capture.dropped}
        if capture.reasons:
            fields["reasons"] = dict(capture.reasons)
        if self._device_reads:
            fields["device_reads"] = self._device_reads
        if self._tee is not None and (self._tee.missing or self._tee.left):
            fields |= {"wandb_missing": self._tee.missing, "wandb_left": self._tee.left}
        self._event("finish", fields)

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

    def _count_device_reads(self, metrics: dict[Any, Any]) -> None:
        """Count the tensors of *metrics* that are read from a device, which waits for its queue."""
        for value in metrics.values():
            if isinstance(value, dict):
                self._count_device_reads(value)
                continue
            kind = getattr(getattr(value, "device", None), "type", "cpu")
            if kind not in ("cpu", "meta"):
                if not self._device_reads:
                    say(f"a tensor on {kind} is logged: each read of it waits for the device")
                self._device_reads += 1

    def _event(self, kind: str, fields: dict[str, Any]) -> None:
        try:
            self._capture.write(record.encode_event(kind, time.time(), fields))
        except Exception as problem:  # noqa: BLE001  nothing may reach the training loop
            self._capture.note(f"a {kind} line ({type(problem).__name__})")

    def _changed(self, kind: str, values: dict[str, Any]) -> None:
        found, left_out = record.sift(values, as_text=kind == "config")
        self._event(kind, {kind: found})
        for reason in left_out:
            self._capture.note(reason)
        if self._tee is not None:
            self._tee.change(kind, values)


def _in_child(run: Run | None) -> None:
    """A forked process may log into its parent's file; what ends the run is the parent's."""
    if run is not None:
        run._finished = True  # noqa: SLF001  its own module
        run._tee = None  # noqa: SLF001


def init(
    project: str,
    name: str | None = None,
    *,
    stage: str | None = None,
    config: Any = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  the name that wandb.init gave it
    run_id: str | None = None,
    resume: int | bool | None = None,
    parent: str | None = None,
    wandb: Any = None,
    durability: Durability = "process",
    telemetry: bool | float = True,
    source_project: str | None = None,
) -> Run:
    """Start a run, or a new segment of run *run_id*, and return the object that logs it.

    Args:
        project: the project that the run belongs to.
        name: how people call the run; the run id where not given.
        stage: tokenizer, pretraining, midtraining, sft, rl or eval.
        config: what was asked of the run, a dict or a namespace; what JSON cannot hold, such as a
            path, as its text.
        dir: folder of the log file; else ``$RUNATLAS_DIR``, else ``data/<project>/raw``.
        run_id: which run this is; a new one where not given.
        resume: the step that a resumed run goes on from, or True where it is not known.
        parent: id of the run whose checkpoint this one started from.
        wandb: a W&B run to pass everything on to; True, "online" or "offline" to start one; False
            for none. Without it, a W&B run that this process already has is used.
        durability: "process": a line survives the end of the process, however it ends. "fsync": it
            survives a power cut as well, for the time that the disk takes (0.1 to 10 ms a line).
        telemetry: whether the machine is measured beside the training; or every how many seconds,
            which is 15 otherwise.
        source_project: what W&B calls the project, where that is another name.

    A log file that cannot be created is said on stderr, and the training goes on without one.

    Raises:
        ValueError: *resume* without *run_id*, an unknown *durability*, a *telemetry* that is no
            time, or no *dir* and a project that is no name for a folder.
    """
    resumed = resume is not None and resume is not False
    if resumed and run_id is None:
        raise ValueError("resume needs the run_id of the run that goes on")
    if durability not in ("process", "fsync"):
        raise ValueError(f'durability is "process" or "fsync", not {durability!r}')
    interval = machine_telemetry.interval_of(telemetry)
    now = time.time()
    asked, left_out = record.sift(as_dict(config), as_text=True)
    head = header(
        now, project=project, name=name, stage=stage, run_id=run_id, resume=resume, parent=parent,
        source_project=source_project,
    )  # fmt: skip
    folder = folder_of(project, dir)
    first_step = _go_on(head, folder) if resumed else 0
    head["config"] = asked
    path = folder / file_name(head["run_id"], head["segment"], head["rank"], os.getpid())
    capture = Capture(path, record.encode_event("run", now, head), sync=durability == "fsync")
    for reason in left_out:
        capture.note(reason)
    tee = None
    if head["rank"] == 0:  # W&B takes one writer a run
        tee = wandb_start.attach(wandb, header=head, config=asked, folder=folder)
    sampler = machine_telemetry.start(capture, interval) if capture.exists else None
    return Run(capture, tee, head, asked, first_step=first_step, sampler=sampler)


def _go_on(head: dict[str, Any], folder: Path) -> int:
    """Complete *head* with what earlier files of the run say; return the step to count on from."""
    before = resume_point.earlier(folder, head["run_id"], head["rank"])
    head["parent_run_id"] = head["parent_run_id"] or before.parent_run_id
    head["earlier_step"] = before.last_step
    step: int | None = head["resume_step"]
    if step is not None:
        return step
    if before.last_step is not None:
        return before.last_step + 1
    say(
        f"resume=True, but {folder} has no earlier step of run {head['run_id']}:"
        " log() without a step counts from 0. fix: resume=STEP"
    )
    return 0
