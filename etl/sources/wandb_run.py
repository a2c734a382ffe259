"""The records of a ``.wandb`` file that are about the run itself -> its facts."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from etl.sources import wandb_values, wire
from etl.sources.facts import Facts
from etl.sources.wandb_values import text_of


class Run:
    """What a file says of its run, record by record; ``facts`` is what it comes to so far."""

    def __init__(self, facts: Facts, *, step_given: bool) -> None:
        self.facts = facts
        # changed in place: half of a file are changes of the summary
        self.summary: dict[str, Any] = copy.deepcopy(facts.summary)
        self.step_given = step_given  # whether the script calls log(step=)

    def _change(self, **values: Any) -> None:
        self.facts = dataclasses.replace(self.facts, **values)

    def config(self, body: bytes) -> None:
        """Take a config record: what W&B and our hooks put there about the run is no config."""
        config = copy.deepcopy(self.facts.config)
        wandb_values.change(config, wandb_values.changes(body))
        theirs = config.pop("_wandb", None)
        own = config.pop("runatlas", None)
        self._change(config=config)
        branch = theirs.get("branch_point") if isinstance(theirs, dict) else None
        if isinstance(branch, dict):
            self._branch(branch.get("run_id") or branch.get("run"))
        if isinstance(own, dict):
            stage = own.get("stage")
            self._change(
                segment_id=str(own.get("segment") or self.facts.segment_id),
                stage=stage,
                stage_from="the run's own config" if stage else None,
                resume_step=own.get("resume_step"),
                resumed=self.facts.resumed or own.get("resume_step") is not None,
                parent_run_id=own.get("parent_run_id") or self.facts.parent_run_id,
            )

    def run(self, body: bytes) -> None:
        """Take a run record; a later one states everything anew."""
        texts: dict[int, str] = {}
        tags: list[str] = []
        fields = list(wire.fields(body))
        for number, value in fields:
            if number == 10:
                tags.append(text_of(value))
            elif number == 17 and isinstance(value, bytes):
                self._change(started_at=timestamp(value))
            elif number in (14, 18, 24) and value:  # starting_step, resumed, resume
                self._change(resumed=True)
            elif number in (1, 3, 6, 7, 8, 9):
                texts[number] = text_of(value)
        self._change(
            run_id=texts.get(1) or self.facts.run_id,
            source_project=texts.get(3) or None,
            group=texts.get(6) or None,
            job_type=texts.get(7) or None,
            name=texts.get(8) or None,
            notes=texts.get(9) or None,
            tags=tuple(sorted(tags)),
        )
        takers = {4: self.config, 5: self._summary, 19: self.telemetry, 21: self._git}
        for number, value in fields:
            if number in takers and isinstance(value, bytes):
                takers[number](value)
            elif number == 23 and isinstance(value, bytes):
                run = next((text_of(data) for n, data in wire.fields(value) if n == 1), None)
                self._branch(run)

    def _summary(self, body: bytes) -> None:
        wandb_values.change(self.summary, wandb_values.changes(body))

    def _branch(self, run_id: Any) -> None:
        """Note of which run this one is a fork; a rewound run is a branch of its own."""
        if not isinstance(run_id, str) or not run_id:
            return
        if run_id == self.facts.run_id:
            self._change(resumed=True)
        else:
            self._change(parent_run_id=run_id)

    def telemetry(self, body: bytes) -> None:
        """Take a telemetry record: the versions, and whether the script gives steps itself."""
        for number, value in wire.fields(body):
            if number in (4, 5, 6):
                self._version({4: "python", 5: "wandb", 6: "transformers"}[number], value)
            elif number == 3 and isinstance(value, bytes):  # features; 61 is set_step_log
                self.step_given |= any(n == 61 and v for n, v in wire.fields(value))

    def environment(self, body: bytes) -> None:
        """Take an environment record, but nothing of who ran it, where and with what arguments."""
        names = {2: "python", 18: "gpu", 19: "gpu_count", 25: "cuda"}
        for number, value in wire.fields(body):
            if number in names:
                self._version(names[number], value)
            elif number == 6:  # a path; only its last part is kept
                self._change(script=text_of(value).replace("\\", "/").rsplit("/", 1)[-1] or None)
            elif number == 9 and isinstance(value, bytes):
                self._git(value)

    def _git(self, body: bytes) -> None:
        """Take the commit; the remote may hold a password."""
        for number, value in wire.fields(body):
            if number == 2:
                self._version("git_commit", value)

    def _version(self, name: str, value: int | bytes) -> None:
        text = str(value) if isinstance(value, int) else text_of(value)
        text = text.removeprefix("CPython ")
        if text:
            self._change(versions={**self.facts.versions, name: text})

    def exit(self, body: bytes) -> None:
        """Take an exit record; in a file with several the last counts."""
        values = {number: value for number, value in wire.fields(body) if isinstance(value, int)}
        code = wire.signed(values.get(1, 0))
        started, runtime = self.facts.started_at, values.get(2)
        ended = started + runtime if started is not None and runtime else None
        self._change(finished=not values.get(3), exit_code=code, ended_at=ended)


def timestamp(body: bytes) -> float:
    """Return a protobuf Timestamp as seconds since the epoch."""
    values = {number: value for number, value in wire.fields(body) if isinstance(value, int)}
    return float(values.get(1, 0)) + values.get(2, 0) / 1e9
