"""The processes of a nanochat log -> runs: which is new, which goes on, which was evaluated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from etl.sources import console_lines as known
from etl.sources.console_meaning import Meaning, Point
from etl.sources.console_text import Line
from etl.sources.reading import CONSOLE, POINTS, Facts, Part

_SHAPE = ("depth", "model_dim", "num_params", "num_iterations", "total_batch_size")
_WANDB_FILES = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-([a-z0-9]+)")
_MAY_CHANGE = frozenset(("device_batch_size", "device_type", "resume_from_step", "save_every"))
_TOLD = ("model_tag", "finished", "ended_at", "exit_code")
_LOADED = ("loads_stage", "loads_tag", "loads_step", "finished", "ended_at")
_CHAT = frozenset(("mid_train", "chat_sft", "chat_train"))
_REPEATED = frozenset(("Overriding:", "wandb:", "Loading"))  # a process prints several


@dataclass(slots=True)
class Run:
    """A part that is being filled: its facts before this read, and what this read adds."""

    facts: Facts
    keys: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    console: list[tuple[int, float | None, str]] = field(default_factory=list)
    last: int | None = None

    def add(self, key: str, step: int, value: float | None, text: str | None) -> None:
        """Add one point."""
        self.keys.append(key)
        self.steps.append(step)
        self.values.append(value)
        self.texts.append(text)
        if self.last is None or step > self.last:
            self.last = step

    def part(self) -> Part:
        """Return the facts, and the new points and lines."""
        columns = {"key": self.keys, "step": self.steps, "value": self.values, "text": self.texts}
        ts = [None] * len(self.keys)
        points = pl.DataFrame({**columns, "ts": ts}, schema=POINTS)
        console = pl.DataFrame(self.console, schema=CONSOLE, orient="row")
        return Part(self.facts.counted(len(self.console), points, {}), points, None, console)


@dataclass(slots=True)
class Process:
    """One process that prints into the log. It begins at byte ``at``, line ``number``.

    ``run`` is None until it is known whose lines these are; up to then they are ``held``.
    """

    at: int
    number: int
    run: Run | None = None
    script: str | None = None
    other: int | None = None  # the next step of another process that writes by turns
    held: list[tuple[Line, list[Meaning]]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    evaluating: bool = False
    finished: bool = False
    step: int | None = None  # the one that is evaluated
    last: int | None = None  # the one trained last
    waiting: list[Point] = field(default_factory=list)
    label: str | None = None
    tasks: set[str] = field(default_factory=set)
    ts: float | None = None
    ranked: bool = False  # whether ranks other than 0 have printed

    _STATE: ClassVar = ("script", "other", "evaluating", "finished", "step", "last", "label", "ts")

    def state(self) -> dict[str, Any]:
        """Return what has to be known to read on within this process, as JSON can hold it."""
        kept = {name: getattr(self, name) for name in self._STATE}
        return kept | {"waiting": self.waiting, "tasks": sorted(self.tasks)}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the process whose state it was."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.waiting = [(key, value, text) for key, value, text in state["waiting"]]
        self.tasks = set(state["tasks"])

    def begins(self, word: str) -> None:
        """Note one of a process's first lines; a second of a kind is another process's."""
        if word in self.seen and word not in _REPEATED:
            self.seen, self.script = set(), None
            self.facts, self.effective, self.summary = {}, {}, {}
        self.seen.add(word)

    def learn(self, one: Meaning) -> None:
        """Note what *one* tells of the process."""
        guess = one.evaluates or one.waits or one.trains
        if one.script and (self.script is None or not guess):
            self.script = one.script
        self.facts.update({k: v for k, v in one.facts.items() if v is not None})
        self.config.update(one.config)
        self.effective.update(one.effective)
        self.summary.update(one.summary)
        if one.facts.get("finished") or "train_time" in one.summary:
            self.finish()

    def finish(self) -> None:
        """Note that it ended here."""
        self.finished = True
        self.facts |= {"finished": True, "ended_at": self.ts}

    def settled(self, name: str) -> Any:
        """Return what the run made of its setting *name*, as far as it has said so."""
        known_before = self.run.facts.effective if self.run else {}
        return self.effective.get(name, known_before.get(name))


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
            process = Process(0, 0, run=self.all[-1])
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
