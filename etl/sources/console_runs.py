"""The processes of a nanochat log -> runs: which is new, which goes on, which was evaluated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from etl.sources import console_lines as known
from etl.sources.console_meaning import Meaning
from etl.sources.console_process import Process, Run
from etl.sources.facts import Facts

_SHAPE = ("depth", "model_dim", "num_params", "num_iterations", "total_batch_size")
_WANDB_FILES = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-([a-z0-9]+)")
_MAY_CHANGE = frozenset(("device_batch_size", "device_type", "resume_from_step", "save_every"))
_TOLD = ("model_tag", "finished", "ended_at", "exit_code")
_LOADED = ("loads_stage", "loads_tag", "loads_step", "finished", "ended_at")
_CHAT = frozenset(("mid_train", "chat_sft", "chat_train"))


class Runs:
    """The runs of one log, in the order in which they began."""

    def __init__(self, path: Path, known_facts: tuple[Facts, ...]) -> None:
        self.path = path
        ordered = sorted(known_facts, key=lambda fact: _cursor(fact).get("at", 0))
        self.all = [Run(fact, last=fact.last_step) for fact in ordered]

    def state(self) -> dict[str, Any] | None:
        """Return the state in which reading ended, if it has begun."""
        for run in self.all:
            if "state" in (cursor := _cursor(run.facts)):
                return cursor["state"]  # type: ignore[no-any-return]
        return None

    def keep(self, process: Process, number: int, *, unended: bool) -> None:
        """Write where reading ended into the runs' cursors."""
        if process.run is None:  # read on from its first line, which is no other's
            process = Process(0, 1, run=self.all[-1])
        for at, run in enumerate(self.all):
            cursor: dict[str, Any] = {"at": at}
            if run is process.run:
                state = {"of": at, "number": number, "unended": unended}
                cursor["state"] = process.state() | state
            text = json.dumps(cursor, sort_keys=True)
            run.facts = dataclasses.replace(run.facts, cursor=text)

    def open_training(self, process: Process, by: Meaning) -> None:
        """Give *process*, which trains, as *by* shows, a segment of its own."""
        script = process.script = self._script(process, by)
        said, own_id = process.facts, self._own_id(process)
        wandb_id = said.get("wandb_id") or _wandb_folder_id(self.path)
        before = next((r.facts for r in reversed(self.all) if r.facts.script == script), None)
        same = before is not None and _continues(before, process, wandb_id)
        stage, project = known.TRAINING[script]
        steps = [m.step for _, held in process.held for m in held if m.step is not None]
        resumed = same or bool(said.get("resumed"))
        first = said.get("resume_step", min(steps, default=None))
        facts = Facts(
            run_id=before.run_id if before and same else wandb_id or own_id,
            segment_id=own_id,
            name=_name(process, self.path),
            source_project=said.get("source_project") or project,
            stage=stage,
            stage_from=f"the console log's own lines of {script}",
            script=script,
            started_at=said.get("started_at", said.get("wandb_time")),
            id_known=before.id_known if before and same else wandb_id is not None,
            parent_run_id=before.run_id if before and resumed and not same else None,
            loads_stage=said.get("loads_stage"),
            loads_tag=said.get("loads_tag"),
            loads_step=said.get("loads_step"),
            versions={"wandb": said["wandb_version"]} if "wandb_version" in said else {},
            resumed=resumed,
            resume_step=first if resumed else None,
        )
        process.run = Run(facts)
        self.all.append(process.run)

    def open_evaluation(self, process: Process, by: Meaning) -> None:
        """Let *process* print for the run that it evaluates, or for one of its own."""
        if process.script not in known.EVALUATED:
            process.script = by.script if by.script in known.EVALUATED else "chat_eval"
        process.evaluating, said = True, process.facts
        process.step = said.get("loads_step")
        process.run = self._evaluated(process)
        if process.run is not None:
            process.step = process.run.last if process.step is None else process.step
            return
        if by.raised and self.all:  # it died before it evaluated anything
            process.run = self.all[-1]
            return
        own_id = self._own_id(process)
        facts = Facts(
            run_id=own_id,
            segment_id=own_id,
            name=_name(process, self.path),
            stage="eval",
            stage_from=f"the console log's own lines of {process.script}",
            script=process.script,
            started_at=said.get("started_at"),
            id_known=False,
            loads_stage=said.get("loads_stage"),
            tells_end=False,
        )
        process.run = Run(facts)
        self.all.append(process.run)

    def leave(self, process: Process) -> None:
        """Add to the run's facts what *process* has told since reading began."""
        run = process.run
        if run is None:
            return
        facts, said = run.facts, process.facts
        changes: dict[str, Any] = {"summary": facts.summary | process.summary}
        if not process.evaluating or facts.script in known.EVALUATED:
            changes["config"] = facts.config | process.config
            changes["effective"] = facts.effective | process.effective
            names = _LOADED if process.evaluating else _TOLD
            changes |= {name: said[name] for name in names if name in said}
            if process.evaluating:
                changes["model_tag"] = said.get("loads_tag", facts.model_tag)
            elif "model_tag" not in said and facts.script != "tok_train":
                tag = changes["config"].get("model_tag") or _tag(changes["effective"].get("depth"))
                changes["model_tag"] = facts.model_tag or tag
        run.facts = dataclasses.replace(facts, **changes)
        process.facts, process.summary = {}, {}
        process.config, process.effective = {}, {}

    def _evaluated(self, process: Process) -> Run | None:
        said = process.facts
        stage, tag = said.get("loads_stage"), said.get("loads_tag")
        stages = (stage,) if stage else known.EVALUATED[process.script or "chat_eval"]
        for run in reversed(self.all):
            facts = run.facts
            if facts.script in known.EVALUATED:
                place = (facts.loads_stage, facts.loads_tag, facts.loads_step)
                if stage and place == (stage, tag, said.get("loads_step")):
                    return run
            elif facts.stage in stages and run.last is not None and _fits(tag, facts.model_tag):
                return run
        return None

    def _script(self, process: Process, by: Meaning) -> str:
        """Return the script: midtraining's and SFT's lines are alike, so what came before tells."""
        if not by.trains and process.script:
            return process.script
        if by.script in ("base_train", "chat_rl"):
            return by.script
        if process.script in _CHAT:
            return process.script
        for word, script in (("mid", "mid_train"), ("sft", "chat_sft")):
            if word in self.path.stem.lower():
                return script
        return by.script or "mid_train"

    def _own_id(self, process: Process) -> str:
        """Return an id made of what is before the first result, which no growth changes."""
        texts = [self.path.stem, process.script or "", str(len(self.all))]
        texts += [line.text for line, _ in process.held]
        content = "\n".join(texts).encode("utf-8", "replace")
        return "console-" + hashlib.blake2b(content, digest_size=6).hexdigest()


def _continues(before: Facts, process: Process, wandb_id: str | None) -> bool:
    """Whether *process* goes on with the run of *before*: the same model, started again."""
    if wandb_id is not None and before.id_known:
        return wandb_id == before.run_id
    if not process.facts.get("resumed"):
        ended = before.finished and not before.exit_code
        if ended or not _agree(process.config, before.config, process.config.keys() - _MAY_CHANGE):
            return False
    return _agree(process.effective, before.effective, _SHAPE)


def _agree(now: dict[str, Any], then: dict[str, Any], names: Iterable[str]) -> bool:
    """Whether what both state of *names* is the same."""
    return all(now[name] == then[name] for name in names if name in now and name in then)


def _name(process: Process, path: Path) -> str:
    """Return what the run is called, by itself or else by its file or experiment."""
    said = process.facts.get("name") or process.config.get("run")
    if isinstance(said, str) and said != "dummy":
        return said
    parts = path.resolve().parts
    if len(parts) > 3 and parts[-4] == "experiments":  # experiments/NAME/d12/base_train.log
        sft = "_sft" if process.script in ("chat_sft", "chat_train") else ""
        return f"{parts[-3]}_{parts[-2]}{sft}"
    return path.stem


def _wandb_folder_id(path: Path) -> str | None:
    """Return the run id of the W&B folder that *path* lies in as its ``files/output.log``."""
    parts = path.parts
    match = _WANDB_FILES.fullmatch(parts[-3]) if parts[-2:-1] == ("files",) else None
    return match[1] if match else None


def _tag(depth: Any) -> str | None:
    """Return what nanochat calls a checkpoint of *depth* where it is told no other name."""
    return f"d{depth}" if isinstance(depth, int) else None


def _fits(tag: str | None, model_tag: str | None) -> bool:
    return tag is None or model_tag in (None, tag)


def _cursor(facts: Facts) -> dict[str, Any]:
    found = json.loads(facts.cursor) if facts.cursor else {}
    return found if isinstance(found, dict) else {}
