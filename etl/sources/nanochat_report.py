"""nanochat's ``report.md``, or one section file of its report folder -> a run for each stage.

A section names no run. All sections of one stage are of one run, whose id is made of the text that
its training wrote; so a section file and the report.md assembled of it later are the same run. For
that a section file is read with its neighbours, as nanochat assembles them; an evaluation that is
older than the training beside it is of another run. Values are printed with four decimals.
"""

from __future__ import annotations

import re
from pathlib import Path

from etl.sources import nanochat_sections as sections
from etl.sources import nanochat_stages as stages
from etl.sources import nanochat_words as words
from etl.sources.facts import Facts
from etl.sources.nanochat_sections import Report, Section
from etl.sources.nanochat_stages import Run
from etl.sources.private import public
from etl.sources.reading import Part, Reading

_MOST_BYTES = 1 << 20  # of a neighbour; a report has 7 KB
_COUNTED = ("tokenizer", "pretraining", "midtraining", "sft")


def recognises(path: Path, head: bytes) -> bool:  # noqa: ARG001
    """Whether it begins as a nanochat report or as one of the sections that nanochat writes."""
    lines = [line.decode("utf-8", "replace").rstrip("\r") for line in head[:4096].split(b"\n", 3)]
    return lines[0] == sections.TITLE or sections.begins_section(lines, 0) in sections.KINDS


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return a part for each stage that *path* tells of; the file is read whole each time."""
    raw = path.read_bytes()
    report = sections.parse(raw)
    own = list(report.sections)
    notes = list(report.notes)
    if not own:
        notes.append("the beginning of a report: no stage has written its section yet")
    elif not raw.startswith(sections.TITLE.encode()):
        _add_neighbours(report, path)
    runs = _runs(report.sections)
    rejects = list(report.rejects)
    parts = []
    for run in runs:
        written = [section for section in run.all if section in own]
        if written:
            rejects += stages.understand(run, written)
            parts.append(_part(report, run, runs, written))
    parts.sort(key=lambda part: part.facts.run_id)
    rejects.sort(key=lambda reject: reject.at_byte)
    return Reading(tuple(parts), tuple(rejects), len(raw), tuple(notes))


def _add_neighbours(report: Report, path: Path) -> None:
    """Add what the other section files of the folder hold, in the order of a report."""
    titles = {section.title for section in report.sections}
    for name in ("header.md", *(sections.slug(t) for t in sections.KINDS if t not in titles)):
        neighbour = path.with_name(name)
        try:
            if neighbour.stat().st_size > _MOST_BYTES:
                continue
            other = sections.parse(neighbour.read_bytes())
        except OSError:
            continue
        report.sections += other.sections
        if name == "header.md":
            report.versions, report.started_at = other.versions, other.started_at
    order = list(sections.KINDS)
    report.sections.sort(key=lambda section: order.index(section.title))


def _runs(found: list[Section]) -> list[Run]:
    """Return the runs that *found* tells of; a folder holds the last training of each stage."""
    runs = []
    for stage in dict.fromkeys(section.stage for section in found):
        trained = [s for s in found if s.stage == stage and s.training]
        run = Run(stage, max(trained, key=lambda section: section.time or 0.0, default=None))
        runs.append(run)
        for section in (s for s in found if s.stage == stage and not s.training):
            if stages.model_from_elsewhere(section):
                runs.append(Run("eval", None, [section]))
            elif run.all and _before(section, run.all[0]):
                runs.append(Run(stage, None, [section]))
            else:
                run.evaluations.append(section)
    return [run for run in runs if run.all]


def _before(section: Section, other: Section) -> bool:
    return section.time is not None and other.time is not None and section.time < other.time


def _part(report: Report, run: Run, runs: list[Run], written: list[Section]) -> Part:
    parent, source = _parent(run, runs)
    asked = run.asked
    resume = words.whole(asked.get("resume_from_step"))
    run_id = run.run_id
    # of the whole report, as nanochat counts it: up to the last stage before RL
    wall = report.wall_clock_sec if _ends(run, runs) else None
    facts = Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=False,
        name=words.run_name(asked) or stages.model_from_elsewhere(run.all[0]),
        source_project=words.PROJECTS.get(run.stage),
        stage=run.stage,
        stage_from=f"the report's section {run.all[0].title!r}",
        script=words.SCRIPTS.get(run.stage, "base_eval"),
        # that of a later stage is nowhere stated, only when it was over
        started_at=report.started_at if run.stage == "tokenizer" else None,
        ended_at=run.training.time if run.training else None,
        finished=run.training is not None,
        tells_end=False,
        parent_run_id=parent.run_id if parent else None,
        model_tag=_tag(run, runs),
        loads_stage=source,
        loads_tag=_loaded_tag(run, parent, runs) if source else None,
        loads_step=words.whole(asked.get("model_step", asked.get("step"))) if source else None,
        config=public(run.config),
        effective=run.effective,
        summary=run.summary | ({} if wall is None else {"report/wall_clock_time": wall}),
        versions=_environment(report, written),
        resumed=resume is not None,
        resume_step=resume,
    )
    points = words.frame(run.rows)
    return Part(facts.counted(sum(len(s.items) for s in written), points, {}), points)


def _ends(run: Run, runs: list[Run]) -> bool:
    return run is next((other for other in reversed(runs) if other.stage in _COUNTED), None)


def _environment(report: Report, written: list[Section]) -> dict[str, str]:
    """Return what the header says of the machine, if it was there before these sections."""
    began = report.started_at
    stale = began is not None and any(s.time is not None and s.time < began for s in written)
    return {} if stale else dict(report.versions)


def _parent(run: Run, runs: list[Run]) -> tuple[Run | None, str | None]:
    """Return (the run that this one began from, its stage)."""
    if run.training is None:
        return None, None
    source = words.loaded_stage(run.stage, run.asked.get("source"))
    # the runs before it in a report are of earlier stages, so no lineage can run in a circle
    for other in runs[: runs.index(run)]:
        earlier = other.training and not _before(run.training, other.training)
        if other.stage == source and earlier:
            return other, source
    return None, source


def _tag(run: Run, runs: list[Run]) -> str | None:
    """Return what the checkpoints are called: as asked for, else by the depth of the base model."""
    if run.asked.get("model_tag"):
        return str(run.asked["model_tag"])
    if run.stage == "pretraining" and words.whole(run.asked.get("depth")):
        return f"d{run.asked['depth']}"
    return _loaded_tag(run, _parent(run, runs)[0], runs)


def _loaded_tag(run: Run, parent: Run | None, runs: list[Run]) -> str | None:
    """Return what the checkpoint it began from is called; unasked, only a default name is found."""
    if run.asked.get("model_tag"):
        return str(run.asked["model_tag"])
    tag = _tag(parent, runs) if parent else None
    return tag if tag and re.fullmatch(r"d\d+", tag) else None
