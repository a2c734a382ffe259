"""One line that a nanochat script printed -> what it means: points, facts, where a process begins.

A line that means nothing here is chatter; it stays a line of the console.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from etl.sources import console_lines as known
from etl.sources import console_results as results
from etl.sources import console_setup as setup
from etl.sources import nanochat_logfmt as logfmt
from etl.sources.console_meaning import Meaning
from etl.sources.console_text import message

# A line of steps may be glued to what another process printed without ending its line.
_GLUED = re.compile(r"[Ss]tep \d{5,}(?:/\d+)? (?:\(|\|)")


def of(text: str) -> Meaning | None:
    """Return what the line *text* means, or None for chatter."""
    if text.startswith("step "):
        return results.train(text)
    said = message(text)
    meant = _plain(said)
    if meant is None and "tep " in said and (glued := _GLUED.search(said)) and glued.start():
        return of(said[glued.start() :])
    return meant


def _plain(text: str) -> Meaning | None:
    word = text.split(None, 1)[0] if text else ""
    for reader in _BY_WORD.get(word, ()):
        if meant := reader(text):
            return meant
    for test, reader in _BY_SIGN:
        if test in text and (meant := reader(text)):
            return meant
    return None


def _record(text: str) -> Meaning | None:
    record = logfmt.parse(text)
    if record is None:
        return None
    points, step = logfmt.points(record)
    config, effective, summary = logfmt.facts(record)
    about = record.about()
    meant = Meaning(points, step, script=record.script, facts=about)
    meant.config, meant.effective = setup.kept(config), setup.kept(effective)
    meant.summary = summary
    meant.begins = "argv" if record.tag == "argv" else None
    meant.evaluates = record.evaluates
    return meant


Reader = Callable[[str], Meaning | None]
_BY_WORD: dict[str, tuple[Reader, ...]] = {
    "Step": (results.step,),
    "Evaluating:": (results.evaluating,),
    "Evaluating": (results.model_step,),
    "Model:": (results.model_step,),
    "accuracy:": (results.accuracy,),
    **{name + end: (results.task,) for name in known.TASKS for end in ("", ":")},
    **{word: (results.result,) for word, *_ in known.RESULTS},
    **{one.word: (setup.setup,) for one in known.SETUP},
    **dict.fromkeys(logfmt.TAGS, (_record,)),
    "Overriding:": (setup.overriding,),
    "Inherited": (setup.inherited,),
    "NOTE:": (setup.inherited,),
    "Using": (setup.setup, setup.inherited),
    "Total": (setup.setup, setup.training_time),
    "Building": (setup.building,),
    "Loading": (setup.loading,),
    "Resuming": (setup.resuming,),
    "Reset": (setup.opener,),
    "wandb:": (setup.wandb,),
    "exitcode": (setup.exit_code,),
    "File": (setup.script_file,),
    "░░███░░███": (setup.banner,),
}
_BY_SIGN: tuple[tuple[str, Reader], ...] = (
    ("Saved ", setup.saved),
    (" FAILED", setup.failed),
    (" , ", results.csv_row),
    (" : ", setup.params),
    ('": ', setup.model_row),
    ("Error", setup.raised),
    ("Exception", setup.raised),
    ("Interrupt", setup.raised),
)
