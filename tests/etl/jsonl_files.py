"""Small logs as other programs write them, for the tests of their reader."""

from __future__ import annotations

import json


def rows(steps, start=3.0, **more):
    """Return rows of a run whose loss falls from *start*."""
    return [{"step": step, "loss": start - step / 100, **more} for step in steps]


def put(path, *pieces):
    """Write *pieces*, each a list of objects, as one file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for piece in pieces for row in piece))
    return path
