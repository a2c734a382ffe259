"""Where a file lies -> the names that tell its run from others, nothing of whose machine it was.

A log that names no run is called after its folder. Folders of names that every run uses tell
nothing, so the names go up to the first that does: ``tb_logs_at_2022-09-25/train`` and not
``train``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# Folder names that many runs share: what a tool makes by itself, or the word for any such folder.
_SHARED = frozenset(
    """
    artifacts checkpoint checkpoints ckpt ckpts data eval evaluation events experiment experiments
    history lightning_logs log logdir logs model models out output outputs result results run runs
    save saved summaries summary tb tb_logs tensorboard test tf_logs tmp train training val valid
    validation
    """.split()  # noqa: SIM905  forty words
)
_NUMBERED = re.compile(r"(version|run|trial|fold|seed|rank|exp|experiment)[-_]?\d*|\d{1,6}")
# Where homes and mounts are: a name up there is a person's or a machine's, not a run's.
_HOMES = frozenset(("home", "Users", "mnt", "media", "scratch", "data", "u", "nfs"))
_ROOTS = frozenset(("root", "tmp", "var", "opt", "srv", "content", "workspace", "usr", "private"))
_MOST = 5  # names in one


def telling(folder: Path) -> str:
    """Return the names of *folder* and those above it, up to the first that tells runs apart.

    Joined by ``/``; ``run`` where no name is left to use.
    """
    names: list[str] = []
    for name in reversed(_below_home(Path(os.path.abspath(folder)))):
        names.insert(0, name)
        lowered = name.lower()
        if not (lowered in _SHARED or _NUMBERED.fullmatch(lowered)) or len(names) == _MOST:
            break
    return "/".join(names) or "run"


def _below_home(folder: Path) -> list[str]:
    """Return the names of *folder* from the root on, without those of a home or a mount."""
    names = list(folder.parts[1:])
    home = Path.home().parts[1:]
    if home and tuple(names[: len(home)]) == home:
        return names[len(home) :]
    if len(names) >= 2 and names[0] in _HOMES:
        return names[2:]
    return names[1:] if names and names[0] in _ROOTS else names


def last_name(path: str) -> str | None:
    """Return the last part of a path of any system, None if there is none."""
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or None
