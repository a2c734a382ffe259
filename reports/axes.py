"""The metrics and config keys that a project has -> the ones that stand on the charts' axes.

What ``project.toml`` names comes first, then nanochat's own names, then whatever the runs cover
best. A choice that cannot be met is said in a note, never made up for in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from etl.errors import UsageError

BENCHMARKS = ("mmlu_acc", "arc_easy_acc", "gsm8k_acc", "humaneval_acc")
LOSSES = ("train/loss", "val/bpb")
# one number made of many tasks: no benchmark of its own
AGGREGATES = frozenset(
    {"core_metric", "chatcore_metric", "chatcore", "evaluation/mean_accuracy", "mean_accuracy"}
)
CONFIG_KEYS: Mapping[str, tuple[str, ...]] = {
    "depth": ("depth", "n_layer"),
    "dim": ("model_dim", "n_embd"),
    "batch": ("device_batch_size", "total_batch_size", "batch_size"),
    "lr": ("learning_rate", "matrix_lr", "embedding_lr", "lr"),
    "params": ("num_params", "n_params", "params"),
}
_LABELS = {
    "mmlu_acc": "MMLU",
    "arc_easy_acc": "ARC-Easy",
    "gsm8k_acc": "GSM8K",
    "humaneval_acc": "HumanEval",
    "core_metric": "CORE",
    "arc_challenge_acc": "ARC-Challenge",
    "spellingbee_acc": "SpellingBee",
    "base_eval/core_metric": "CORE, all examples",
    "chatcore_metric": "ChatCORE",
    "chatcore_spellingbee_metric": "ChatCORE with SpellingBee",
    "train/mfu": "MFU",
    "train/tok_per_sec": "throughput",
    "train/dt": "step time",
    "gpu.busy": "GPU busy",
    "gpu.memory": "GPU memory",
    "gpu.power": "GPU power",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the metric catalog."""

    name: str
    unit: str | None
    direction: str | None
    family: str | None
    known: bool
    runs: int
    points: int  # 0 where runs only reported a value of it

    @property
    def label(self) -> str:
        """How a chart calls it."""
        return _LABELS.get(self.name, self.name)

    @property
    def unit_words(self) -> str:
        """Its unit, or that nobody said."""
        return self.unit or ("" if self.known else "unit not known")

    @property
    def titled(self) -> str:
        """Its label with its unit in brackets."""
        return f"{self.label} ({self.unit_words})" if self.unit_words else self.label


# What telemetry is drawn of, and the names that it has in any of a machine's GPUs.
MACHINE: Mapping[Metric, str] = {
    Metric(f"gpu.{name}", unit, direction, "system", known=True, runs=0, points=0): pattern
    for name, unit, direction, pattern in (
        ("busy", "%", "max", r"(^|[/.])gpu\.\d+\.gpu$"),
        ("memory", "%", None, r"(^|[/.])gpu\.\d+\.memoryAllocated$"),
        ("power", "W", None, r"(^|[/.])gpu\.\d+\.powerWatts$"),
    )
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What "accuracy" means on this page: one metric, or the mean of several at shared steps."""

    metrics: tuple[str, ...]
    label: str
    explained: str


@dataclass(frozen=True, slots=True)
class Axes:
    """What stands on which axis; None where the project has nothing for it."""

    losses: tuple[Metric, ...]
    accuracy: Accuracy | None
    mfu: Metric | None
    throughput: Metric | None
    benchmarks: tuple[Metric, ...]
    keys: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def height(self) -> Accuracy | None:
        """What stands upright along training: accuracy, or the loss that all models share."""
        shared = any(metric.name == "val/bpb" and metric.points for metric in self.losses)
        if self.accuracy or not shared:
            return self.accuracy
        explained = "no accuracy was measured, so the height is val/bpb: lower is better"
        return Accuracy(("val/bpb",), "val/bpb", explained)

    @property
    def accuracies(self) -> tuple[str, ...]:
        """The metrics that accuracy is made of."""
        return self.accuracy.metrics if self.accuracy else ()


def losses(catalog: Mapping[str, Metric], wanted: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return the losses to choose from on the trajectory, the default one first."""
    rest = sorted((m for m in catalog.values() if m.family == "loss"), key=_coverage)
    names = [*_texts(wanted, "loss"), *LOSSES, *(metric.name for metric in rest)]
    found = [catalog[name] for name in dict.fromkeys(names) if name in catalog]
    return tuple(sorted(found, key=lambda metric: not metric.points))[:4]  # a line needs points


def benchmarks(catalog: Mapping[str, Metric], wanted: Mapping[str, Any]) -> tuple[Metric, ...]:
    """Return up to four benchmarks: three axes and a size."""
    named = _texts(wanted, "benchmarks", four=True)
    if named and all(name in catalog for name in named):
        return tuple(catalog[name] for name in named)
    own = sorted(
        (m for m in catalog.values() if m.family == "accuracy" and m.name not in AGGREGATES),
        key=_coverage,
    )
    # a value that a run only reported never displaces a benchmark that was measured by step
    only_reported = not any(metric.points for metric in own)
    if all(name in catalog if only_reported else _has_points(catalog, name) for name in BENCHMARKS):
        return tuple(catalog[name] for name in BENCHMARKS)
    return tuple(own[:4])


def accuracy(
    catalog: Mapping[str, Metric],
    wanted: Mapping[str, Any],
    four: tuple[Metric, ...],
    with_loss: Callable[[tuple[str, ...]], int],
) -> Accuracy | None:
    """Return what accuracy means; *four* benchmarks were once all measured at one step, or none.

    *with_loss* counts the runs that have all of the given metrics and the loss drawn first.
    """
    for name in _texts(wanted, "accuracy"):
        if _has_points(catalog, name):
            return Accuracy((name,), name, f"accuracy is {name}, as project.toml says")
    drawable = [m for m in catalog.values() if m.points]
    found = [[m for m in drawable if m.family == f] for f in ("accuracy", "aggregate")]
    drawn = [m for m in sorted(found[1], key=_coverage) if with_loss((m.name,))]
    mean = tuple(metric.name for metric in four)
    if len(four) == 4 and (with_loss(mean) or not drawn):
        names = ", ".join(metric.name for metric in four)
        return Accuracy(
            mean,
            "mean accuracy",
            f"accuracy is the mean of {names}, at steps where all four were measured",
        )
    # a project that has only been pretrained has CORE and no benchmark
    known = [m for m in sorted(found[0], key=_coverage) if with_loss((m.name,))] or drawn
    known = known or sorted(found[0] or found[1], key=_coverage)
    if not known:
        return None
    best = known[0].name
    return Accuracy((best,), best, f"accuracy is {best}, which most runs with a loss measured")


def single(
    catalog: Mapping[str, Metric], wanted: Mapping[str, Any], setting: str, default: str
) -> Metric | None:
    """Return the metric that *setting* names, else the default one, if the project has it."""
    for name in (*_texts(wanted, setting), default):
        if name in catalog:
            return catalog[name]
    return None


def steady(catalog: Mapping[str, Metric], chosen: Axes) -> tuple[Metric, ...]:
    """Return how fast and how well training used the machine: up to five metrics of history."""
    families = ("throughput", "efficiency", "memory")
    rest = [m for m in catalog.values() if m.family in families and m.points]
    first = [m for m in (chosen.throughput, chosen.mfu) if m and m.points]
    return tuple(dict.fromkeys([*first, *sorted(rest, key=_coverage)]))[:5]


def evaluated(catalog: Mapping[str, Metric], chosen: Axes) -> tuple[Metric, ...]:
    """Return the losses by which runs compare: those of held-out data, else the one drawn first."""
    held_out = [m for m in catalog.values() if m.family == "loss" and "val" in m.name]
    listed = sorted(held_out, key=lambda m: (m.name != "val/bpb", *_coverage(m)))
    return tuple(listed[:3]) or chosen.losses[:1]


def config_keys(coverage: Mapping[str, int]) -> dict[str, str]:
    """Return for depth, dim, batch, lr and params the key that most runs have a number for."""
    found = {}
    for role, names in CONFIG_KEYS.items():
        present = [name for name in names if coverage.get(name)]
        if present:  # max keeps the first of equals: the order above is the preference
            found[role] = max(present, key=lambda name: coverage[name])
    return found


def unmet(catalog: Mapping[str, Metric], wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note for each metric that ``project.toml`` names and that cannot be drawn so."""
    return tuple(
        f"project.toml names {name} as {setting}, which no run in this snapshot"
        + (" measured by step" if name in catalog else " measured")
        for setting in ("loss", "accuracy", "mfu", "throughput", "benchmarks")
        for name in _texts(wanted, setting, four=setting == "benchmarks")
        if name not in catalog or (setting != "benchmarks" and not catalog[name].points)
    )


def _has_points(catalog: Mapping[str, Metric], name: str) -> bool:
    return name in catalog and catalog[name].points > 0


def _coverage(metric: Metric) -> tuple[bool, int, int, str]:
    return not metric.points, -metric.runs, -metric.points, metric.name


def _texts(wanted: Mapping[str, Any], setting: str, *, four: bool = False) -> tuple[str, ...]:
    value = wanted.get(setting)
    if value is None:
        return ()
    items: Iterable[Any] = value if four and isinstance(value, list) else [value]
    texts = tuple(items)
    if not all(isinstance(text, str) for text in texts) or (four and len(texts) != 4):
        expected = "a list of four metric names" if four else "a metric's name"
        raise UsageError(
            f"[axes] {setting} is {value!r}, not {expected}",
            where="project.toml",
            done="nothing was changed",
            fix=f"write {setting} as {expected}",
        )
    return texts
