"""A record log of modded-nanogpt or llm.c, often behind its own source code -> points of one run.

``step:125/1670 val_loss:4.3341 train_time:11038ms step_avg:88.30ms`` since October 2024, before
that ``s:128 tel:6.03`` (loss on held-out text), ``trl`` (training loss) and ``hel`` (HellaSwag).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from etl.sources import console_text
from etl.sources.facts import Facts
from etl.sources.frames import CONSOLE, POINTS
from etl.sources.reading import HEAD_BYTES, Part, Reading, Reject

_SUFFIXES = (".txt", ".log")
_OURS = re.compile(
    rb"(?:^|\n)(?:s:\d+ (?:tel|trl):[\d.]+\s|step:\d+/\d+ (?:\w+_loss|train_time):\d)"
)
_STEP = re.compile(r"(?:step:(\d+)/(\d+)|s:(\d+))((?: \w+:[^\s:]+)+)")
# name -> key, ending of its unit, scale to the key's unit
_FIELDS: dict[str, tuple[str, str, float]] = {
    "val_loss": ("val/loss", "", 1.0),
    "tel": ("val/loss", "", 1.0),
    "train_loss": ("train/loss", "", 1.0),
    "trl": ("train/loss", "", 1.0),
    "hel": ("hellaswag_acc", "", 1.0),
    "train_time": ("total_training_time", "ms", 1000.0),
    "step_avg": ("train/dt_mean", "ms", 1000.0),  # over the steps so far
}
_CUT = re.compile(r"step:\d|s:\d")
_WHOLE = re.compile(r"ms$|\.\d{6}$")  # with its unit or all of its digits a last line is whole
_NUMBER = re.compile(r"\d+(?:\.\d+)?|nan|inf")
_VERSION = re.compile(r"Running (Python|PyTorch) (\S+)")
_PEAK = re.compile(r"peak memory (?:allocated|consumption): (\d+) MiB")
_RULE = "=" * 60  # a longer one parts the source code from what the run printed
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is such a log: by a line of its head, or, behind source code, of its end."""
    if path.suffix.lower() not in _SUFFIXES:
        return False
    if _OURS.search(head):
        return True
    return len(head) >= HEAD_BYTES and bool(_OURS.search(console_text.tail(path)))


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001  read whole
    """Return what *path* holds."""
    data = path.read_bytes()
    rows: list[tuple[str, int, float, None, None]] = []
    printed: list[tuple[int, None, str]] = []
    rejects: list[Reject] = []
    said: dict[str, str] = {}
    last = total = None
    for line in console_text.lines(data if data.endswith(b"\n") else data + b"\n", 0, 1):
        printed.append((line.number, None, line.text))
        match = _STEP.fullmatch(line.text)
        unended = line.at + len(line.text) == len(data)
        if match is None or (unended and not _WHOLE.search(line.text)):
            _note(line.text, said)
            if _CUT.match(line.text):
                reason = "a line of a step that was cut or is mixed with another"
                rejects.append(Reject(line.at, reason, line.text.encode(), line.number))
            continue
        last = int(match[1] or match[3])
        total = int(match[2]) if match[2] else total
        rows += [(key, last, value, None, None) for key, value in _values(match[4])]
    points = pl.DataFrame(rows, schema=POINTS, orient="row")
    console = pl.DataFrame(_printed(printed), schema=CONSOLE, orient="row")
    facts = _facts(path, data, said, last, total).counted(console.height, points, {})
    return Reading((Part(facts, points, None, console),), tuple(rejects), len(data))


def _values(fields: str) -> Iterator[tuple[str, float]]:
    for field in fields.split():
        name, _, text = field.partition(":")
        key, ending, scale = _FIELDS.get(name, (name, "", 1.0))
        value = text.removesuffix(ending)
        if _NUMBER.fullmatch(value):
            yield key, float(value) / scale


def _note(text: str, said: dict[str, str]) -> None:
    if match := _VERSION.match(text):
        said[match[1].lower()] = match[2]
    elif match := _PEAK.match(text):
        said["peak"] = match[1]


def _printed(lines: list[tuple[int, None, str]]) -> list[tuple[int, None, str]]:
    """Return what the run itself printed: without source code, which ends at the first rule."""
    first = next((at for at, (_, _, text) in enumerate(lines) if text.startswith(_RULE)), None)
    return lines if first is None else lines[first + 1 :]


def _facts(
    path: Path, data: bytes, said: dict[str, str], last: int | None, total: int | None
) -> Facts:
    known_id = _ID.fullmatch(path.stem)
    first = _OURS.search(data)
    began = data[: data.find(b"\n", first.start() + 1) + 1 if first else 0]  # up to a step's line
    content = path.stem.encode("utf-8", "surrogatepass") + b"\n" + began
    own_id = "log-" + hashlib.blake2b(content, digest_size=5).hexdigest()
    peak = {"peak_memory_mib": int(said["peak"])} if "peak" in said else {}
    return Facts(
        run_id=path.stem if known_id else own_id,
        segment_id=path.stem if known_id else own_id,
        id_known=known_id is not None,
        name=path.resolve().parent.name if known_id else path.stem,
        stage="pretraining",
        stage_from="the kind of its log: modded-nanogpt trains from scratch",
        effective={"num_iterations": total} if total is not None else {},
        summary=peak,
        versions={name: text for name, text in said.items() if name != "peak"},
        finished=last is not None and last == total,
        tells_end=total is not None,
    )
