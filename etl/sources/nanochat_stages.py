"""The entries of a report's sections -> config, what was resolved, and metrics at their steps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from etl.sources import nanochat_sections as sections
from etl.sources import nanochat_words as words
from etl.sources.nanochat_sections import Item, Section
from etl.sources.reading import Reject

_RESOLVED = {
    "Number of parameters": "num_params",
    "Number of FLOPs per token": "num_flops_per_token",
    "Calculated number of iterations": "num_iterations",
    "Number of iterations": "num_iterations",
    "Number of training tokens": "tokens_trained",
    "Tokens : Params ratio": "param_data_ratio",
    "Tokens : Scaling params ratio": "param_data_ratio",
    "DDP world size": "ddp_world_size",
    "Training rows": "training_rows",
}
# What came of a training: (metric, factor to its unit, how many steps before the end it was
# logged, or None for a value of the whole run).
_OUTCOMES: dict[str, tuple[str, float, int | None]] = {
    "Final validation bpb": ("val/bpb", 1.0, 0),
    "CORE metric estimate": ("core_metric", 1.0, 0),
    "Total training flops": ("total_training_flops", 1.0, 0),
    "Total training time": ("total_training_time", 60.0, 0),
    "Validation loss": ("val/loss", 1.0, 0),
    "Training loss": ("train/loss", 1.0, 1),
    "Minimum validation bpb": ("min_val_bpb", 1.0, 0),
    "MFU %": ("train/mfu", 1.0, None),
    "Peak memory usage": ("peak_memory_mib", 1.0, None),
}
# Below this, 0.01 minutes are more than the four digits to which values of two files agree.
_SHORT_MIN = 25.0
# 0.00 of these is of a process that found nothing left to train
_MEASURED = ("Total training time", "MFU %", "Peak memory usage")
# What base_eval and base_loss measured anew: (metric, whose outcome it stands for where none is)
_MEASURED_ANEW: dict[str, tuple[str, str | None]] = {
    "CORE metric": ("base_eval/core_metric", "CORE metric estimate"),
    "val bpb": ("base_eval/val_bpb", "Final validation bpb"),
    "train bpb": ("train/bpb", None),
}
_TASKS = {
    "ARC-Easy": "arc_easy_acc",
    "ARC-Challenge": "arc_challenge_acc",
    "MMLU": "mmlu_acc",
    "GSM8K": "gsm8k_acc",
    "HumanEval": "humaneval_acc",
    "SpellingBee": "spellingbee_acc",
}
_CHATCORE = "ChatCORE metric"
_STEP = re.compile(r".*\(step (\d{1,12})\)")
_UNIT = re.compile(r"(?<=\d)(?:%|m|MiB)$")


@dataclass(slots=True)
class Run:
    """The sections of one run and what they say; ``training`` is that of its own script."""

    stage: str
    training: Section | None
    evaluations: list[Section] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    rows: list[words.Row] = field(default_factory=list)

    @property
    def all(self) -> list[Section]:
        """Its sections, the one that its id is made of first."""
        return [*([self.training] if self.training else []), *self.evaluations]

    @property
    def run_id(self) -> str:
        """An id of ours, made of what its first section says."""
        return words.own_id("report", self.stage, "\n".join(self.all[0].lines).strip())

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments of its training script."""
        return dict(sections.settings(self.training)) if self.training else {}

    @property
    def last_step(self) -> int | None:
        """The step of its last evaluation and checkpoint."""
        for item in sections.findings(self.training) if self.training else ():
            if item.key in ("Calculated number of iterations", "Number of iterations"):
                count = words.whole(sections.value_of(item.key, item.value))
                # chat_sft of 2025 evaluated before its last step and ended there
                early = self.training is not None and self.training.title == "Chat SFT"
                return count - 1 if count and early else count
        return None

    def put(self, key: str, step: int | None, value: float | str) -> None:
        """Keep a value at its step, or as one of the whole run where no step is known."""
        if step is None:
            self.summary[key] = value
        elif isinstance(value, str):
            self.rows.append((key, step, None, value))
        else:
            self.rows.append((key, step, value, None))


def model_from_elsewhere(section: Section) -> str | None:
    """Return the model that base_eval was given from elsewhere, None if it was nanochat's own."""
    for item in section.items if section.title == "Base model evaluation" else ():
        if item.key.lower() == "model" and not _STEP.fullmatch(item.value):
            return item.value.strip() or None
    return None


def understand(run: Run, written: list[Section]) -> list[Reject]:
    """Add to *run* what the sections *written* in one file say; return what is damaged."""
    rejects: list[Reject] = []
    for section in written:
        if section.stage == "tokenizer":
            _tokenizer(run, section)
        elif section.training:
            rejects += _training(run, section)
        elif section.title.startswith("Base model"):
            rejects += _base_evaluation(run, section)
        else:
            rejects += _chat_evaluation(run, section)
    return rejects


def _float(item: Item) -> float | None:
    """Return the number of an entry without its unit, None for a "None".

    Raises:
        ValueError: it is neither.
    """
    text = _UNIT.sub("", item.value.strip())
    return None if text == "None" else float(text.replace(",", ""))


def _damaged(item: Item) -> Reject:
    raw = f"- {item.key}: {item.value}".encode()
    return Reject(item.at_byte, f"{item.key[:40]!r} is no number", raw, item.line)


def _training(run: Run, section: Section) -> list[Reject]:
    rejects = []
    run.config.update(sections.settings(section))
    last = run.last_step
    for item in sections.findings(section):
        try:
            if item.key in _RESOLVED:
                if _float(item) is not None:
                    value = sections.value_of(item.key, item.value)
                    run.effective[_RESOLVED[item.key]] = value
            elif item.key in _OUTCOMES:
                metric, factor, before = _OUTCOMES[item.key]
                number = _float(item)
                if number is None or (number == 0.0 and item.key in _MEASURED):
                    continue
                short = item.key == "Total training time" and number < _SHORT_MIN
                at = None if before is None or last is None or short else last - before
                # 172.57 * 60 is 10354.199999999999
                run.put(metric, at, round(number * factor, 6) if factor != 1.0 else number)
            else:
                run.summary[item.key] = sections.value_of(item.key, item.value)
        except ValueError:
            rejects.append(_damaged(item))
    return rejects


def _base_evaluation(run: Run, section: Section) -> list[Reject]:
    """Take CORE, its tasks, and the losses that base_eval or base_loss measured anew.

    They are of more data than what base_train logged of the same step, so they have keys of their
    own and stand for the logged ones only where the report has none.
    """
    rejects = []
    logged = sections.findings(run.training) if run.training else ()
    given = {item.key for item in logged if item.value.strip() != "None"}
    step = run.last_step
    for item in section.items:
        if item.key.lower() == "model":
            place = _STEP.fullmatch(item.value)
            step = int(place[1]) if place else step
            continue
        if item.key.startswith(("sample ", "unconditioned ")):
            run.put(item.key.replace(" ", "/"), step, item.value.strip())
            continue
        try:
            number = _float(item)
        except ValueError:
            rejects.append(_damaged(item))
            continue
        if number is None:
            continue
        key, instead_of = _MEASURED_ANEW.get(item.key, (f"base_eval/{item.key}/centered", None))
        run.put(key, step, number)
        if instead_of and instead_of not in given:
            run.put(_OUTCOMES[instead_of][0], step, number)
    return rejects


def _chat_evaluation(run: Run, section: Section) -> list[Reject]:
    """Take the accuracies of chat tasks; ChatCORE with SpellingBee among them is another metric."""
    rejects = []
    asked = {key: value for key, value in sections.settings(section) if value is not None}
    run.config["chat_eval"] = {**run.config.get("chat_eval", {}), **asked}
    step = words.whole(asked.get("step"))
    step = run.last_step if step is None else step
    tasks = {item.key for item in section.items}
    for item in sections.findings(section):
        key = _TASKS.get(item.key, f"chat_eval/{item.key}")
        if item.key == _CHATCORE:
            key = "chatcore_spellingbee_metric" if "SpellingBee" in tasks else "chatcore_metric"
        try:
            number = _float(item)
        except ValueError:
            rejects.append(_damaged(item))
            continue
        if number is not None:
            run.put(key, step, number)
    return rejects


def _tokenizer(run: Run, section: Section) -> None:
    """Take a tokenizer's arguments, its token lengths, and its bytes per token on each text."""
    for item in section.items:
        kept = run.config if item.key in ("max_chars", "doc_cap", "vocab_size") else run.summary
        kept[item.key] = sections.value_of(item.key, item.value)
    for heading, cells in section.rows:
        other = heading.removeprefix("Comparison with ").lower().replace("-", "")
        if len(cells) != 7 or not re.fullmatch(r"\d+\.\d+", cells[5]):
            continue  # the header and the line below it
        run.summary[f"tok_eval/{cells[0]}/bytes_per_token"] = float(cells[5])
        run.summary[f"tok_eval/{cells[0]}/bytes_per_token_{other}"] = float(cells[3])
