"""A W&B run file (``run-ID.wandb``, SDK 0.10 to 0.31) -> a run's facts, points, telemetry, console.

Read without the SDK: its own reader is gone since 0.31, and importing its protobufs costs 0.9 s.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from etl.sources.facts import Facts
from etl.sources.reading import Part, Reading, Reject

HEADER = b":W&B\xe1\xbe\x00"  # version 0, the only one


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a W&B run file: a cut one may have no content to tell, but its name."""
    return path.suffix == ".wandb" or head.startswith(HEADER)


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known* is what came before."""
    from etl.sources import wandb_log, wandb_records  # noqa: PLC0415  numpy, if there is a file

    facts = known[0] if known else Facts(run_id="", segment_id="")
    with path.open("rb") as file:
        head = file.read(len(HEADER))
        bad = _bad_header(head)
        if bad:
            rest = head + file.read()
            return Reading(tuple(Part(fact) for fact in known), (Reject(0, bad, rest),))
        walk = wandb_log.Walk(file, max(start, len(head)))
        records = wandb_records.Records(facts)
        for batch in walk.batches():
            records.take(batch)
    part = records.part()
    rejects = sorted([*walk.rejects, *records.rejects], key=lambda reject: reject.at_byte)
    facts = part.facts
    if not facts.run_id:
        reason = "no run record: cut before the run began"
        if not facts.rows:
            reject = Reject(walk.end, reason, b"")
            return Reading((), tuple([*rejects, reject][:1]), 0, records.notes())
        # the block that held it is damaged; the name of the file holds the id
        facts = dataclasses.replace(facts, run_id=path.stem.removeprefix("run-"))
        rejects.append(Reject(walk.end, "no run record: the run is named after the file", b""))
    if not facts.finished and not any(_reaches(reject, walk.size) for reject in rejects):
        reason = "no exit record: the run is still being written, was killed, or the file was cut"
        rejects.append(Reject(walk.end, reason, b""))
    if not facts.segment_id:
        began = facts.started_at
        segment = f"{began:.6f}" if began is not None else path.stem
        facts = dataclasses.replace(facts, segment_id=segment)
    part = dataclasses.replace(part, facts=facts)
    return Reading((part,), tuple(rejects), walk.end, records.notes())


def _bad_header(head: bytes) -> str | None:
    if head == HEADER:
        return None
    if not head:
        return "empty: W&B had written nothing yet"
    if HEADER.startswith(head):
        return "cut within the file header"
    return "not a W&B run file: its first 7 bytes are not a W&B header of version 0"


def _reaches(reject: Reject, end: int) -> bool:
    return reject.at_byte + len(reject.raw) >= end
