"""Counts of each rank -> their sums, through the store that torch.distributed already has.

No collective: one that a single rank calls hangs the training, and on a GPU reading its result
waits for all that is queued there. A store's counter is added to from the host, and rank 0 waits a
moment for the others, who are at the same step.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hooks.rows import say_once

WAIT = timedelta(seconds=5)


class Sums:
    """Sums over the ranks of what each of them gives; each rank makes one of the same *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._given_up = False

    def of(self, tag: str, counts: Sequence[int]) -> tuple[list[int], int]:
        """Return (sums of *counts*, of how many ranks); every rank calls this with the same *tag*.

        Ranks other than 0 only give, and get what they gave. Where a rank is not heard of in time,
        this one's are returned, then and from then on, and that is said.
        """
        own = list(counts)
        if self._given_up:
            return own, 1
        try:
            return self._exchange(tag, own)
        except Exception as problem:  # noqa: BLE001  whatever a store raises, the counts go on
            self._given_up = True
            what = f"{type(problem).__name__}: {problem}".splitlines()[0]
            say_once(f"what other ranks trained on is not counted ({what})")
            return own, 1

    def _exchange(self, tag: str, own: list[int]) -> tuple[list[int], int]:
        group = _group()
        if group is None:
            return own, 1
        store, rank, world = group
        place = f"runatlas/{self._name}/{tag}"
        keys = [f"{place}/{index}" for index in range(len(own))]
        for key, count in zip(keys, own, strict=True):
            store.add(key, count)
        if store.add(f"{place}/ranks", 1) == world:
            store.set(f"{place}/all", "")
        if rank:
            return own, 1
        store.wait([f"{place}/all"], WAIT)
        sums = [store.add(key, 0) for key in keys]
        for key in (*keys, f"{place}/ranks", f"{place}/all"):
            store.delete_key(key)
        return sums, world


def _group() -> tuple[Any, int, int] | None:
    """Return (store, rank, ranks) of the process group, or None for a process on its own."""
    torch = sys.modules.get("torch")
    dist = getattr(torch, "distributed", None)
    if dist is None or not dist.is_available() or not dist.is_initialized():
        return None
    if dist.get_world_size() == 1:
        return None
    # there is no public way to the store that init_process_group made (torch 1.7 to 2.13 have it)
    store = dist.distributed_c10d._get_default_store()  # noqa: SLF001
    return store, dist.get_rank(), dist.get_world_size()
