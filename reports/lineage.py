"""Which run started from which -> an order, where a run's steps go on from, what it inherits.

A parent that is not among the runs counts as none. A circle of parents, which nobody trained, is
cut where it is met.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What a checkpoint fixes for every run that starts from it. A batch size or a learning rate
# belongs to one training: taking the parent's would invent it.
MODEL_KEYS = ("depth", "n_layer", "model_dim", "n_embd", "num_params", "n_params", "params")


@dataclass(frozen=True, slots=True)
class Node:
    """A run's place among its relatives."""

    root: str
    generation: int
    offset: int  # the step at which its first step stands when counted on through its parents


def trace(
    parents: Mapping[str, str | None], last_steps: Mapping[str, int | None]
) -> dict[str, Node]:
    """Return each run's root, generation and offset, from its parent and everyone's last step."""
    nodes: dict[str, Node] = {}
    for run in sorted(parents):
        path = [run]
        parent = parents[run]
        while parent is not None and parent in parents and not (parent in path or parent in nodes):
            path.append(parent)
            parent = parents[parent]
        _settle(path, parent if parent in nodes else None, last_steps, nodes)
    return nodes


def _settle(
    path: Sequence[str],
    above: str | None,
    last_steps: Mapping[str, int | None],
    nodes: dict[str, Node],
) -> None:
    for run in reversed(path):
        if above is None:
            nodes[run] = Node(run, 0, 0)
        else:
            node = nodes[above]
            # a parent that logged no step moves nothing
            steps = last_steps.get(above) or 0
            nodes[run] = Node(node.root, node.generation + 1, node.offset + steps)
        above = run


def ancestors(run: str, parents: Mapping[str, str | None]) -> list[str]:
    """Return the run's parent, that one's parent and so on, nearest first."""
    found: list[str] = []
    parent = parents.get(run)
    while parent is not None and parent in parents and parent not in found and parent != run:
        found.append(parent)
        parent = parents[parent]
    return found


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts d2 before d10."""
    pieces = re.split(r"(\d+)", name.casefold())
    return tuple((int(p) if p.isdecimal() else -1, p) for p in pieces)
