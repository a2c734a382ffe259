"""The processes of one training -> which of them this is, and the run id that all of them share.

Every rank writes a file of its own; only a common run id makes one run of them. Nobody is asked to
choose it, and no collective is called for it: a rank that logs nothing must not hold up the others.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

from hooks.capture import say

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 8
_BOOT = "/proc/sys/kernel/random/boot_id"
_begun = itertools.count().__next__  # runs of this process; each rank begins them in one order


def rank() -> int:
    """Return the rank of this process: the launcher's word, else that of ``torch.distributed``."""
    return _environment("RANK", _distributed("get_rank", 0))


def world_size() -> int:
    """Return how many processes train together."""
    return _environment("WORLD_SIZE", _distributed("get_world_size", 1))


def restarts() -> int:
    """Return how often torchrun has started the processes of this training anew."""
    return _environment("TORCHELASTIC_RESTART_COUNT", 0)


def new_id() -> str:
    """Return an id for a run that this process begins: the same in all of its ranks if it can be.

    Where nothing tells the ranks of one training from those of another, as on several nodes before
    their process group is there, each rank gets an id of its own: give a run id then.
    """
    return shared_id() or random_text(ID_LENGTH)


def shared_id() -> str | None:
    """Return an id that all ranks of this training find for the run they begin now, or None."""
    number = _begun()
    if world_size() <= 1:
        return None
    said = _launcher() or _slurm_step()
    return _short(f"{said} {number}") if said else _agreed(f"runatlas/run/{number}")


def random_text(length: int) -> str:
    """Return *length* random characters of base 36, as W&B's run ids are made of."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _launcher() -> str | None:
    """Return what only the processes of one launcher on one machine have in common."""
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ.get("WORLD_SIZE", ""):
        return None
    parent = os.getppid()
    try:
        with open(_BOOT, encoding="ascii") as boot, open(f"/proc/{parent}/stat", "rb") as stat:
            # the name of a process, in brackets, may hold anything; its start is field 22
            started = stat.read().rsplit(b")", 1)[1].split()[19].decode()
            return f"{boot.read()} {parent} {started}"
    except (OSError, IndexError, ValueError):
        return None


def _slurm_step() -> str | None:
    words = [os.environ.get(f"SLURM_{name}") for name in ("JOB_ID", "STEP_ID")]
    return None if None in words else f"slurm {words} {os.environ.get('SLURM_RESTART_COUNT')}"


def _agreed(key: str) -> str | None:
    """Return the id that the first of the ranks put into the store of their process group."""
    torch = sys.modules.get("torch.distributed")
    try:
        store: Any = torch.distributed_c10d._get_default_store()  # type: ignore[union-attr]  # noqa: SLF001
        found = store.compare_set(key, "", random_text(ID_LENGTH))
        return str(found, "ascii") if isinstance(found, bytes) else str(found)
    except Exception:  # noqa: BLE001  no process group, or a store that cannot compare
        return None


def _short(text: str) -> str:
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return "".join(ALPHABET[digest // 36**place % 36] for place in range(ID_LENGTH))


def _distributed(name: str, default: int) -> int:
    """Return what ``torch.distributed`` says, if the script has it and its process group is up."""
    module = sys.modules.get("torch.distributed")
    try:
        if module is not None and module.is_available() and module.is_initialized():
            ask: Callable[[], int] = getattr(module, name)
            return int(ask())
    except Exception:  # noqa: BLE001, S110  half imported, or half torn down
        pass
    return default


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        say(f"{name} is no number; taken as {default}")
        return default
