"""The Markdown of a nanochat report -> its sections: items, tables and when each was written.

The grammar is that of nanochat/report.py (October 2025 to July 2026): ``## Title``, a line
``timestamp: YYYY-MM-DD HH:MM:SS`` of the machine's own clock, then ``- key: value`` for each entry
of a dict. Floats are printed with four decimals, whole numbers from 10,000 on with commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from etl.sources.private import public
from etl.sources.reading import Reject

TITLE = "# nanochat training report"
# (stage, whether it is written at the end of the training itself), in the order of a report
KINDS: dict[str, tuple[str, bool]] = {
    "Tokenizer training": ("tokenizer", True),
    "Tokenizer evaluation": ("tokenizer", False),
    "Base model training": ("pretraining", True),
    "Base model loss": ("pretraining", False),
    "Base model evaluation": ("pretraining", False),
    "Midtraining": ("midtraining", True),
    "Chat evaluation mid": ("midtraining", False),
    "Chat SFT": ("sft", True),
    "SFT": ("sft", True),
    "Chat evaluation sft": ("sft", False),
    "Chat RL": ("rl", True),
    "Chat evaluation rl": ("rl", False),
}

# The colon before a value; that of "Tokens : Params ratio" has a space before it.
_ITEM = re.compile(r"- (?P<key>.+?(?<! )):(?: (?P<value>.*)|$)")
_SAMPLE = re.compile(r"(?:sample|unconditioned) \d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_WALL = re.compile(r"Total wall clock time: (?P<hours>\d+)h(?P<minutes>\d+)m")
_FLOAT = re.compile(r"-?\d+\.\d{4}")
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)")
# Words, whatever they look like: a run may be called 20.
_TEXTS = frozenset(("run", "wandb_run_name", "model_tag", "source", "device_type", "dtype"))
_WORDS = {"None": None, "True": True, "False": False, "": None}
_ENVIRONMENT = {
    "Branch": "git_branch",
    "Commit": "git_commit",
    "Platform": "platform",
    "CPUs": "cpus",
    "Memory": "memory",
    "GPUs": "gpus",
    "GPU Memory": "gpu_memory",
    "CUDA Version": "cuda",
    "Python": "python",
    "PyTorch": "torch",
}


@dataclass(slots=True)
class Item:
    """One ``- key: value`` and its place in the file."""

    key: str
    value: str
    line: int
    at_byte: int


@dataclass(slots=True)
class Section:
    """One section as its script wrote it. ``rows`` are the cells of tables under a heading."""

    title: str
    time: float | None
    items: list[Item] = field(default_factory=list)
    rows: list[tuple[str, list[str]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)  # the whole of it, for an id

    @property
    def stage(self) -> str:
        """The stage it is about."""
        return KINDS[self.title][0]

    @property
    def training(self) -> bool:
        """Whether a training wrote it at its end."""
        return KINDS[self.title][1]


@dataclass(slots=True)
class Report:
    """A report, or one section file of it. ``started_at`` is when its folder was reset."""

    sections: list[Section] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    started_at: float | None = None
    wall_clock_sec: float | None = None
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def slug(title: str) -> str:
    """Return the file name of a section as nanochat makes it."""
    return title.lower().replace(" ", "-") + ".md"


def begins_section(lines: list[str], at: int) -> str | None:
    """Return the title of the section that begins at *at*: a heading with a timestamp below."""
    if not lines[at].startswith("## ") or at + 1 >= len(lines):
        return None
    return lines[at][3:].strip() if lines[at + 1].startswith("timestamp:") else None


def parse(raw: bytes) -> Report:
    """Return what *raw* holds, with a reject for every line that is damaged."""
    report = Report()
    lines = [line.decode("utf-8", "replace").rstrip("\r") for line in raw.split(b"\n")]
    cut = None if raw.endswith(b"\n") or not raw else len(lines) - 1
    section: Section | None = None
    known = True
    heading = ""
    at_byte = 0
    for number, (line, data) in enumerate(zip(lines, raw.split(b"\n"), strict=True)):
        title = begins_section(lines, number)
        place = (line, number + 1, at_byte)
        at_byte += len(data) + 1
        if title is not None:
            known = title in KINDS
            section = Section(title, time_of(lines[number + 1].partition(":")[2]))
            if known:
                report.sections.append(section)
            else:
                report.notes.append(f"a section that is not nanochat's own: {title[:60]}")
        elif line.strip() == "## Summary":
            section = None
        if number == cut and line and not _complete(line):
            # what a section holds of this line may be half a value, of a sample half a text
            if section and known and _SAMPLE.fullmatch(_last_key(section)):
                section.items.pop()
            report.rejects.append(
                Reject(place[2], "the file ends within this line", data, place[1])
            )
        elif section is None:
            _outside(report, line)
        elif known:
            heading = line[4:].strip() if line.startswith("### ") else heading
            _inside(report, section, heading, place)
    return report


def _complete(line: str) -> bool:
    """Whether a last line without its end is whole: floats are printed with four decimals."""
    match = _ITEM.fullmatch(line)
    return bool(_WALL.fullmatch(line) or (match and _FLOAT.fullmatch(match["value"] or "")))


def _last_key(section: Section) -> str:
    return section.items[-1].key if section.items else ""


def time_of(text: str) -> float | None:
    """Return a time of a clock whose zone is not stated, read as UTC; None if it is none."""
    if not _TIME.fullmatch(text.strip()):  # fromisoformat and strptime take half of one too
        return None
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _outside(report: Report, line: str) -> None:
    """Take what the header or the end of a report says."""
    match = _ITEM.fullmatch(line)
    if match and match["key"] in _ENVIRONMENT and match["value"]:
        name = _ENVIRONMENT[match["key"]]
        if name == "git_commit":
            commit, _, state = match["value"].partition(" ")
            report.versions |= {name: commit}
            report.versions |= {"git_dirty": str(state == "(dirty)").lower()} if state else {}
        else:
            report.versions[name] = match["value"]
    elif line.startswith("Run started:"):
        report.started_at = time_of(line.partition(":")[2])
    elif wall := _WALL.fullmatch(line.strip()):
        report.wall_clock_sec = int(wall["hours"]) * 3600.0 + int(wall["minutes"]) * 60.0


def _inside(report: Report, section: Section, heading: str, place: tuple[str, int, int]) -> None:
    """Take one line of a section: an entry, a table's row, or more of a sample of the model."""
    line, number, at_byte = place
    section.lines.append(line)
    match = _ITEM.fullmatch(line)
    sampling = bool(_SAMPLE.fullmatch(_last_key(section)))
    if sampling and not (match and _SAMPLE.fullmatch(match["key"])):
        section.items[-1].value += "\n" + line  # whatever it looks like
    elif match:
        section.items.append(Item(match["key"], match["value"] or "", number, at_byte))
    elif line.startswith("- "):
        reason = "an entry of a report without a value"
        report.rejects.append(Reject(at_byte, reason, line.encode(), number))
    elif line.startswith("|") and line.endswith("|"):
        section.rows.append((heading, [cell.strip() for cell in line.strip("|").split("|")]))


def settings(section: Section) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of the script: what is spelled as an identifier."""
    for item in section.items:
        if re.fullmatch(r"[a-z_][a-z0-9_]*", item.key):
            yield item.key, value_of(item.key, item.value)


def findings(section: Section) -> Iterator[Item]:
    """Yield what the script found out: what is spelled in words."""
    for item in section.items:
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", item.key):
            yield item


def value_of(key: str, text: str) -> Any:
    """Return what Python value was printed as *text*."""
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if key in _TEXTS:
        return text
    if _NUMBER.fullmatch(text):
        return int(text.replace(",", ""))
    try:
        return float(text)
    except ValueError:
        return public({key: text}).get(key)
