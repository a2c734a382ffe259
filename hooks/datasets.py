"""The examples that a training loop takes -> how far through each dataset it is, over all ranks.

    tracker = DatasetTracker(["SmolTalk", "MMLU"], [460_000, 100_000])
    tracker.increment("MMLU")      # in the loader, for each example
    tracker.end_batch()            # in the loader, before it yields a batch
    tracker.trained()              # in the loop, after a batch was trained on
    tracker.log_step(run, step)    # in the loop, on every rank

A loader is ahead of the training by what it prefetches. Without ``end_batch`` and ``trained``
nothing tells the two apart, and an example counts as soon as it is fetched.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hooks import across
from hooks.rows import log_of, never_raises, say_once

UNLISTED = "unlisted"  # examples of datasets that the tracker was not told of
MOST_WAITING = 4096  # batches; a loop that never calls trained() must not fill the memory


@never_raises(dict)
def log_dataset_metrics(
    dataset_name: str,
    dataset_index: int | None = None,
    dataset_size: int | None = None,
    examples_seen: int | None = None,
    prefix: str = "dataset",
) -> dict[str, Any]:
    """Return what is known of a dataset; coverage and epoch only where the examples were counted.

    More than one pass over the data is a coverage of 100 % and an epoch above 1.
    """
    found = {
        "name": dataset_name,
        "index": dataset_index,
        "size": dataset_size,
        "examples_seen": examples_seen,
        **_share(examples_seen, dataset_size),
    }
    return {f"{prefix}/{name}": value for name, value in found.items() if value is not None}


@never_raises(dict)
def log_task_mixture_metrics(
    task_names: Sequence[str],
    task_sizes: Sequence[int],
    examples_seen_per_task: Mapping[str, int] | None = None,
    prefix: str = "task_mixture",
) -> dict[str, Any]:
    """Return the make-up of a mixture and, of each task that was counted, how far through it is."""
    found = {
        f"{prefix}/task_names": ",".join(task_names),
        **_makeup(task_names, task_sizes, prefix),
    }
    return found | _progress(task_names, task_sizes, examples_seen_per_task or {}, prefix)


def _makeup(names: Sequence[str], sizes: Sequence[int], prefix: str) -> dict[str, Any]:
    """Return what does not change in the course of a run."""
    whole = sum(sizes)
    found: dict[str, Any] = {f"{prefix}/num_tasks": len(names), f"{prefix}/total_examples": whole}
    for name, size in zip(names, sizes, strict=True):
        if whole:
            found[f"{prefix}/{name.lower()}/ratio"] = size / whole
    return found


def _progress(
    names: Sequence[str], sizes: Sequence[int], seen: Mapping[str, int], prefix: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, size in zip(names, sizes, strict=True):
        if name in seen:
            place = f"{prefix}/{name.lower()}"
            found[f"{place}/examples_seen"] = seen[name]
            found |= {f"{place}/{key}": value for key, value in _share(seen[name], size).items()}
    return found


def _share(seen: int | None, size: int | None) -> dict[str, float]:
    if seen is None or not size:
        return {}
    return {"coverage_percent": 100 * min(seen / size, 1.0), "epoch": seen / size}


class DatasetTracker:
    """Counts the examples of a mixture of tasks that were fetched, and that were trained on."""

    made = 0  # every rank makes its trackers in the same order

    def __init__(self, task_names: Iterable[str], task_sizes: Iterable[int]) -> None:
        """Begin with nothing seen.

        Raises:
            ValueError: there are not as many sizes as names.
        """
        self.task_names, self.task_sizes = list(task_names), list(task_sizes)
        if len(self.task_names) != len(self.task_sizes):
            raise ValueError(f"{len(self.task_names)} tasks, {len(self.task_sizes)} sizes")
        self._sums = across.Sums(f"datasets{DatasetTracker.made}")
        DatasetTracker.made += 1
        self._before: Counter[str] = Counter()  # in processes that this run goes on from
        self._own: Counter[str] = Counter()  # trained on here, by this rank
        self._others: Counter[str] = Counter()  # by the others, as of the last log_step
        self._fetched: Counter[str] = Counter()  # of the batch that is being made
        self._waiting: deque[Counter[str]] = deque()  # whole batches, not trained on yet
        self._by_batch = False
        self._counted = False  # whether anybody calls increment: without it a 0 would be made up
        self._tag = (-1, 0)

    @never_raises(lambda: None)
    def increment(self, dataset_name: str, count: int = 1) -> None:
        """Count *count* examples of a dataset that the loader has fetched."""
        self._fetched[dataset_name] += count
        self._counted = True

    @never_raises(lambda: None)
    def end_batch(self) -> None:
        """Say that what was fetched since the last call is a batch, to be trained on later."""
        self._by_batch = True
        self._waiting.append(self._fetched)
        self._fetched = Counter()
        if len(self._waiting) > MOST_WAITING:
            say_once("trained() is not called: examples count as soon as they are fetched")
            self.trained()

    @never_raises(lambda: None)
    def trained(self, batches: int = 1) -> None:
        """Count the oldest *batches* of those that wait as trained on."""
        for _ in range(min(batches, len(self._waiting))):
            self._own += self._waiting.popleft()

    @property
    def examples_seen(self) -> dict[str, int]:
        """Examples trained on, by dataset: by all ranks as of the last log_step, and since by this.

        On ranks other than 0 this rank's own, and what was loaded.
        """
        if not self._counted:
            return {}
        own = self._trained()
        names = dict.fromkeys([*self.task_names, *self._before, *self._others, *own])
        return {name: self._before[name] + self._others[name] + own[name] for name in names}

    def _trained(self) -> Counter[str]:
        return self._own if self._by_batch else self._own + self._fetched

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs for the counting to go on from it; rank 0's is enough."""
        return {"examples_seen": self.examples_seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's ``state_dict``, without what was fetched and not trained on.

        All ranks may load the same state; it counts once.
        """
        self._before = Counter(state["examples_seen"])
        self._counted = bool(self._before)
        self._own, self._others, self._fetched = Counter(), Counter(), Counter()
        self._waiting.clear()

    @never_raises(lambda: None)
    def log_step(
        self,
        wandb_run: Any,
        step: int,
        current_dataset_name: str | None = None,
        log_every: int = 100,
    ) -> None:
        """Log how far through its data the training is, at every *log_every*-th step.

        The row is left open for ``enhance_wandb_logging`` of the same step. Call this on every
        rank: rank 0 logs the sums, another one whose run logs as well its own share.
        """
        if step % log_every:
            return
        ranks = self._share_counts(step)
        log = log_of(wandb_run)
        seen = self.examples_seen
        row = _progress(self.task_names, self.task_sizes, seen, "task_mixture")
        other = sum(count for name, count in seen.items() if name not in self.task_names)
        if other:
            row[f"task_mixture/{UNLISTED}/examples_seen"] = other
        if ranks > 1:
            row |= log.news("task_mixture/ranks", ranks)
        sizes = dict(zip(self.task_names, self.task_sizes, strict=True))
        if log.news("mixture", sizes):
            row |= _makeup(self.task_names, self.task_sizes, "task_mixture")
            log.configure(wandb_run, "task_mixture", sizes)
        if current_dataset_name:
            size = sizes.get(current_dataset_name)
            count = seen.get(current_dataset_name)
            row |= log_dataset_metrics("", dataset_size=size, examples_seen=count)
            del row["dataset/name"]
            row |= log.news("dataset/name", current_dataset_name)
        log.send(wandb_run, step, row, commit=False)

    def _share_counts(self, step: int) -> int:
        """Learn what the other ranks trained on; return how many ranks are in the counts."""
        self._tag = (step, self._tag[1] + 1) if self._tag[0] == step else (step, 0)
        own = self._trained()
        names = [*dict.fromkeys(self.task_names)]
        counts = [own[name] for name in names]
        counts.append(sum(own.values()) - sum(counts))
        sums, ranks = self._sums.of(f"{self._tag[0]}.{self._tag[1]}", counts)
        if ranks > 1:
            pairs = zip([*names, UNLISTED], sums, counts, strict=True)
            self._others = Counter({name: whole - mine for name, whole, mine in pairs})
        return ranks
