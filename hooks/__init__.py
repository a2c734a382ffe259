"""A training loop -> a log that survives the process: ``run = hooks.init(...)``, ``run.log(...)``.

Importing this package loads the standard library alone, so that it fits into any training
environment.
"""

from __future__ import annotations

from hooks.session import Run, init

__all__ = ["Run", "init"]
