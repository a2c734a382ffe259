"""The lines of a nanochat log, one after another -> which process printed them, and for which run.

What a process prints first does not tell whose it is; so its lines are held until it trains,
evaluates or fails. State at any line is the runs so far and the process that prints (``Process``),
and both fit into the runs' ``Facts``, so that a log can be read on where reading ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from etl.sources import console_lines as known
from etl.sources import console_records as records
from etl.sources.console_meaning import Meaning, Point
from etl.sources.console_process import Process, Run
from etl.sources.console_runs import Runs
from etl.sources.console_text import Line
from etl.sources.reading import Reject

_CHATCORE, _WITH_SPELLING = "chatcore_metric", "chatcore_spellingbee_metric"
_AGGREGATES = frozenset(("core_metric", _CHATCORE, _WITH_SPELLING))
# These write their checkpoint once, at their end.
_SAVED_LAST = frozenset(("mid_train", "chat_sft", "chat_train"))


@dataclass(slots=True)
class Log:
    """A log that is being read, line by line."""

    runs: Runs
    process: Process
    rejects: list[Reject] = field(default_factory=list)

    @classmethod
    def resume(cls, runs: Runs, start: int) -> tuple[Log, int, bool]:
        """Return the log as it was at byte *start*, the number of its next line, and ``unended``.

        ``unended`` tells that the line before was taken before its end was written.
        """
        state = runs.state()
        if state is None:
            return cls(runs, Process(0, 1)), 1, False
        process = Process(start, state["number"], run=runs.all[state["of"]])
        process.restore(state)
        return cls(runs, process), state["number"], bool(state["unended"])

    def take(self, line: Line) -> None:
        """Take the next line."""
        meant = [m for text in line.said if (m := records.of(text)) is not None]
        begins = next((m.begins for m in meant if m.begins), None)
        if begins and self.process.run is not None:
            self._another(Process(line.at, line.number))
        if begins:
            self.process.begins(begins)
        self.process.ranked |= line.text.startswith("[rank")
        if line.ts is not None:
            self.process.ts = line.ts
            self.process.facts.setdefault("started_at", line.ts)
        if self.process.run is None:
            self._hold(line, meant)
        else:
            self._shown(line, meant)

    def _hold(self, line: Line, meant: list[Meaning]) -> None:
        process = self.process
        process.held.append((line, meant))
        for one in meant:
            process.learn(one)
            if process.run is None and (kind := _decides(process, one)):
                self._open(kind, one)

    def _open(self, kind: str, by: Meaning) -> None:
        """Give *process* its run, and the run what was held."""
        process = self.process
        if kind == "training":
            self.runs.open_training(process, by)
        else:
            self.runs.open_evaluation(process, by)
        held, process.held = process.held, []
        for line, meant in held:
            self._shown(line, meant, learnt=True)

    def _shown(self, line: Line, meant: list[Meaning], *, learnt: bool = False) -> None:
        for one in meant:
            if not learnt:
                self._turn(line, one)
                self.process.learn(one)
            self._points(line, one)
            if one.bad:
                self.reject(line, one.bad)
        run = self.process.run
        if run is not None:
            run.console.append((line.number, line.ts, line.text))

    def _turn(self, line: Line, one: Meaning) -> None:
        """Begin another process where *one* cannot be of this one though none was announced."""
        process = self.process
        last, step = process.last, one.step
        back = one.trains and last is not None and step is not None and step < last
        trains = back or (one.trains and process.evaluating)
        result = one.evaluates or (one.waits and process.finished)
        if not trains and (process.evaluating or not result):
            return
        self._another(Process(line.at, line.number, script=process.script if back else None))
        self.process.held = [(line, [one])]
        self.process.learn(one)
        if trains:
            if back and last is not None and process.run is not None:
                before = process.run.facts.effective
                self.process.other = last + 1
                self.process.effective = before | self.process.effective
            self.runs.open_training(self.process, one)
        else:
            self.runs.open_evaluation(self.process, one)
            self._give(process.waiting, self.process.step)
        self.process.held = []

    def _another(self, process: Process) -> None:
        self.runs.leave(self.process)
        self.process = process

    def _points(self, line: Line, one: Meaning) -> None:
        process = self.process
        points = one.points
        if one.label:
            process.label = one.label
        if points and points[0][0].endswith("."):  # of the task that was named
            points = [(key + (process.label or "?"), v, text) for key, v, text in points]
        if one.trains and one.step is not None and not self._ours(line, one.step):
            return
        if one.step is not None:
            self._at_step(one, points)
        elif process.evaluating:
            self._give(points, process.step)
        elif one.waits:
            process.waiting.extend(points)
        if "saved_stage" in one.facts:
            self._saved()

    def _ours(self, line: Line, step: int) -> bool:
        """Whether a training line is of this process and not of another that writes to the log."""
        process = self.process
        if step == process.other and process.last is not None and step > process.last + 1:
            process.other = step + 1
            self.reject(line, "two processes write to this log by turns; this is the other's step")
            return False
        process.last = step
        return True

    def _at_step(self, one: Meaning, points: list[Point]) -> None:
        process = self.process
        step = one.step
        if one.evaluates and process.evaluating:
            process.step = step if process.step is None else process.step
        if any(key in _AGGREGATES for key, *_ in points):
            points = [*process.waiting, *points]
            process.waiting = []
        elif one.trains:
            process.waiting = []  # of an evaluation whose result line was lost
        self._give(points, step)

    def _give(self, points: list[Point], step: int | None) -> None:
        """Add *points* to the run: to its summary where it is not known of which step they are."""
        process, run = self.process, self.process.run
        if run is None or not points:
            return
        process.tasks.update(key for key, *_ in points if key == "spellingbee_acc")
        for key, value, text in points:
            name = _WITH_SPELLING if key == _CHATCORE and process.tasks else key
            name = _anew(name) if process.evaluating else name
            if step is None:
                process.summary[name] = value
            else:
                run.add(name, step, value, text)
        if any(key in _AGGREGATES for key, *_ in points):
            process.tasks.clear()
            if process.evaluating:
                process.finish()

    def _saved(self) -> None:
        process = self.process
        last = process.settled("num_iterations")
        if process.script in _SAVED_LAST or (
            process.script == "chat_rl" and isinstance(last, int) and process.last == last - 1
        ):
            process.finish()

    def reject(self, line: Line, reason: str) -> None:
        """Quarantine *line*."""
        raw = line.text.encode("utf-8", "replace")
        self.rejects.append(Reject(line.at, reason, raw, line.number))

    def end(self, at: int, number: int, *, unended: bool) -> tuple[list[Run], int]:
        """Return the runs, and the byte to read on from: *at*, or where what is held begins."""
        process = self.process
        if not self.runs.all:
            return [], 0
        self.runs.leave(process)
        if process.run is None:
            at, number, unended = process.at, process.number, False
        self.runs.keep(process, number, unended=unended)
        return self.runs.all, at


def _anew(key: str) -> str:
    """Return the name of what base_eval and base_loss measure: of all examples, not of some.

    The training itself takes 500 of a task (0.2284 of one log) where base_eval takes all (0.2200).
    """
    for beginning, end in (("centered_results.", "/centered"), ("results.", "/accuracy")):
        if key.startswith(beginning):
            return f"base_eval/{key.removeprefix(beginning)}{end}"
    return {"core_metric": "base_eval/core_metric", "val/bpb": "base_eval/val_bpb"}.get(key, key)


def _decides(process: Process, one: Meaning) -> str | None:
    """Return what *process* is found to do by *one*: training, evaluation, or nothing yet."""
    trains = process.script in known.TRAINING
    if one.evaluates:
        return "evaluation"
    if one.trains or ("train_time" in one.summary and process.script == "tok_train"):
        return "training"
    # of several ranks one may raise before rank 0 has told all; the launcher sums up
    died = process.facts.get("traced") and not process.ranked
    if one.raised and process.script and (one.script or died):
        return "training" if trains else "evaluation"
    if one.facts.get("finished") and trains and "exit_code" not in one.facts:
        return "training"  # resumed at its last step
    return "evaluation" if one.waits and one.points and one.script and not trains else None
