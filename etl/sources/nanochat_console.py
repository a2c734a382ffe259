"""What nanochat's scripts print, of every era, prose and records -> a part for each training in it.

One log may hold a whole speedrun: tokenizer, base, mid, SFT, RL and the evaluations between, whose
results are points of the run that they evaluated. Times are as printed, and taken as UTC.
"""

from __future__ import annotations

import re
from pathlib import Path

from etl.sources import console_lines as known
from etl.sources import console_text
from etl.sources.console_log import Log
from etl.sources.console_runs import Runs
from etl.sources.facts import Facts
from etl.sources.reading import HEAD_BYTES, Reading, Reject

# Files of these kinds may quote a log; they are none.
_OTHERS = frozenset(
    (
        *(".md", ".rst", ".py", ".ipynb", ".sh", ".json", ".jsonl", ".ndjson", ".csv", ".tsv"),
        *(".html", ".svg", ".xml", ".yaml", ".yml", ".toml", ".wandb", ".parquet", ".duckdb"),
        *(".db", ".pt", ".pkl", ".png", ".gz", ".zip", ".patch", ".diff"),
    )
)
# At the beginning of a line, or behind colours or what a launcher puts there. A step line alone is
# not nanochat's for sure, with its neighbours' names it is.
_OURS = re.compile(
    rb"(?:^|[\r\n]|\x1b\[[0-9;]*[A-Za-z]|\^\[\[[A-D]|\d: ?)(?:"
    rb"step \d{5,}(?:/\d+)? (?:\(\d+\.\d\d%\) )?\| loss: [^|\n]+\| (?:lrm|grad norm): "
    rb"|Step \d{5,} \| (?:Validation (?:bpb|loss)|CORE metric|ChatCORE): "
    rb"|Step \d{5,}/\d{5,} \| Training loss: "
    rb"|Step \d+/\d+ \| (?:Average reward|Example step \d+ \| Pass) "
    rb"|Step \d+ \| Pass@1: "
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - nanochat\.\w+ - "
    rb"|Evaluating: \w+ \(\d+-shot, type: \w+\)\.\.\. "
    rb"|(?:ARC-Easy|ARC-Challenge|MMLU|GSM8K|HumanEval|SpellingBee) accuracy: [\d.]+%"
    rb"|ChatCORE metric: "
    rb"|argv script=scripts\.\w+ args="
    rb"|Reset report and wrote header to \S+header\.md"
    rb"|max_chars: [\d,]+\r?\ndoc_cap: "
    rb")" + rb"|" + re.escape(known.BANNER[:20].encode())
)
_NOTE = "its lines state times without a zone: taken as UTC"


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is such a log: by a line of its head, or, behind long chatter, of its end."""
    if path.suffix.lower() in _OTHERS:
        return False
    if _OURS.search(head):
        return True
    return (
        len(head) >= HEAD_BYTES
        and b"\0" not in head
        and bool(_OURS.search(console_text.tail(path)))
    )


def read(path: Path, start: int, known_facts: tuple[Facts, ...]) -> Reading:
    """Return what *path* holds from byte *start* on; *known_facts* are of what came before."""
    log, number, unended = Log.resume(Runs(path, known_facts), start)
    at = start if known_facts else 0
    with path.open("rb") as file:
        file.seek(at)
        data = file.read()
    if unended and (rest := data.find(b"\n") + 1):  # that line was whole without its end
        at, data = at + rest, data[rest:]
        unended = False
    elif unended:
        data = b""
    whole = data.rfind(b"\n") + 1
    for line in console_text.lines(data, at, number):
        log.take(line)
        number = line.number + 1
    at, rest_of = at + whole, data[whole:]
    if rest_of:
        last = console_text.line(rest_of, at, number)
        if known.WHOLE_TRAIN.fullmatch(last.text):
            log.take(last)
            at, number, unended = at + len(rest_of), number + 1, True
        elif re.match(r"[Ss]tep \d", last.text):
            log.rejects.append(_torn(rest_of, at, number))
    runs, end = log.end(at, number, unended=unended)
    parts = sorted((run.part() for run in runs), key=lambda p: (p.facts.run_id, p.facts.segment_id))
    notes = (_NOTE,) if any(run.facts.started_at is not None for run in runs) else ()
    return Reading(tuple(parts), tuple(log.rejects), end, notes)


def _torn(raw: bytes, at: int, number: int) -> Reject:
    reason = "torn last line: no newline yet; the next sync reads it again"
    return Reject(at, reason, raw, number)
