"""nanochat's record lines of 2026, ``tag k=v ...`` -> points, config and summary.

The grammar is ``nanochat/logfmt.py``'s (July 2026; ``harness/experiment.py`` since September): the
words of a shell, each field ``key=value``. A line that is not that is prose. None, True and numbers
come as their Python text.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from etl.sources import console_lines as known
from etl.sources.console_meaning import Point, Value

TAGS = (
    "argv",
    "config",
    "params",
    "eval",
    "core",
    "chatcore",
    "task",
    "summary",
    "prefill",
    "bench",
    "compression",
)
_WORDS: dict[str, Value] = {"None": None, "True": True, "False": False}
# A summary's own names -> ours, and by what to multiply.
_SUMMARY: dict[str, tuple[str, float]] = {
    "train_time_sec": ("total_training_time", 1.0),
    "peak_vram_mib": ("peak_memory_mib", 1.0),
    "val_bpb": ("val/bpb", 1.0),
    "min_val_bpb": ("min_val_bpb", 1.0),
    "core": ("core_metric", 1.0),
    "chatcore": ("chatcore_metric", 1.0),
    "chatcore_cat": ("chatcore_cat", 1.0),
    "eflops": ("total_training_flops", 1e18),
    **{name: (key, 1.0) for name, key in known.TASKS.items()},
}
_IDENTITY = ("model_tag", "source", "step", "script", "args")
_EFFECTIVE = (
    *("depth", "model_dim", "num_params", "num_scaling_params", "num_iterations"),
    *("total_batch_size", "param_data_ratio", "target_flops"),
)
_STEPPED = ("eval", "core", "chatcore", "summary")
_MEASURED = ("prefill", "bench", "compression")


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its tag and its fields, typed."""

    tag: str
    fields: dict[str, Value]

    @property
    def script(self) -> str | None:
        """The script that says so of itself, or which alone prints such a record."""
        if self.tag == "argv":
            return str(self.fields.get("script", "")).removesuffix(".py").rsplit(".", 1)[-1] or None
        if self.tag == "params":
            return "base_train"
        if self.tag == "task":
            return "base_eval"
        if self.tag in ("prefill", "bench"):
            return "infer_bench"
        return None

    @property
    def evaluates(self) -> bool:
        """Whether this is a result of an evaluation of a checkpoint."""
        summed = self.tag == "summary" and "step" in self.fields
        return summed or self.tag in ("task", "prefill", "bench")

    def about(self) -> dict[str, Any]:
        """Return what it says of the run as a whole, by the names of ``Facts``."""
        if self.tag != "summary":
            return {}
        said: dict[str, Any] = {"finished": True}
        if self.evaluates:
            stage = known.CHECKPOINTS.get(str(self.fields.get("source", "base")))
            step = self.fields["step"]
            said["loads_stage"] = stage
            said["loads_step"] = step if isinstance(step, int) else None
            said["loads_tag"] = self.fields.get("model_tag")
        else:
            said["model_tag"] = self.fields.get("model_tag")
        return {name: value for name, value in said.items() if value is not None}


def parse(text: str) -> Record | None:
    """Return the record that *text* is, or None for prose."""
    tag, _, rest = text.partition(" ")
    if tag not in TAGS or "=" not in rest:
        return None
    try:
        words = shlex.split(rest)
    except ValueError:  # unbalanced quotes
        return None
    fields = [word.partition("=") for word in words]
    if any(not sign for _, sign, _ in fields):
        return None
    return Record(tag, {name: number(said) for name, _, said in fields})


def number(text: str) -> Value:
    """Return *text* as the number, truth value or nothing that it spells, else as it is."""
    if text in _WORDS:
        return _WORDS[text]
    digits = text.replace(",", "")
    for kind in (int, float):
        try:
            return kind(digits)
        except ValueError:
            continue
    return text.strip("'\"")


def points(record: Record) -> tuple[list[Point], int | None]:
    """Return (points, their step); an evaluation's summary has the step of its checkpoint."""
    fields = record.fields
    if record.tag == "task":
        task = fields.get("task")
        named = {"accuracy": f"results.{task}", "centered": f"centered_results.{task}"}
        return _points(fields, {name: (key, 1.0) for name, key in named.items()}), None
    step = fields.get("step")
    if record.tag not in _STEPPED or isinstance(step, bool) or not isinstance(step, int):
        return [], None
    names = dict(_SUMMARY)
    if "SpellingBee" in fields:
        names["chatcore"] = ("chatcore_spellingbee_metric", 1.0)
    return _points(fields, names), step


def _points(fields: dict[str, Value], names: dict[str, tuple[str, float]]) -> list[Point]:
    found: list[Point] = []
    for name, value in fields.items():
        number = _number(value)
        if name in names and number is not None:
            key, scale = names[name]
            found.append((key, number * scale, None))
    return found


def facts(record: Record) -> tuple[dict[str, Value], dict[str, Value], dict[str, Value]]:
    """Return (config, effective config, summary) as *record* states them, argv's text not."""
    fields = record.fields
    if record.tag == "config":
        return dict(fields), {}, {}
    if record.tag == "params":
        names = {name: "num_params" if name == "total" else f"params.{name}" for name in fields}
        return {}, {names[name]: value for name, value in fields.items()}, {}
    if record.tag in _MEASURED:
        which = str(fields.get("batch", fields.get("name", fields.get("text", ""))))
        place = ".".join(part for part in (record.tag, which) if part)
        return {}, {}, {f"{place}.{name}": v for name, v in fields.items() if name != "batch"}
    if record.tag != "summary":
        return {}, {}, {}
    effective = {name: value for name, value in fields.items() if name in _EFFECTIVE}
    summary: dict[str, Value] = {}
    for name, value in fields.items():
        if name in _EFFECTIVE or name in _IDENTITY or (record.evaluates and name in _SUMMARY):
            continue
        key, scale = _SUMMARY.get(name, (name, 1.0))
        number = _number(value)
        summary[key] = value if number is None or scale == 1.0 else number * scale
    return {}, effective, summary


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
