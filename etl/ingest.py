"""Files that changed -> readings of the runs that they hold, and from there into the tables."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from etl import (
    catalog,
    claims,
    discover,
    eras,
    identity,
    ledger,
    lineage,
    quarantine,
    sources,
    tables,
)
from etl.claims import Claim
from etl.discover import Found
from etl.errors import IncompleteError, was_stopped
from etl.ledger import Holding
from etl.project import Project, Settings
from etl.sources import foreign_jsonl
from etl.sources.reading import Facts, Part, Piece, Reading, Reject, Source
from etl.store import Store

# Rows held before the runs that they belong to are merged; about 1 GB.
HELD_POINTS = 20_000_000
# Faults of the machine, not of a file: the sync as a whole cannot go on.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(slots=True)
class Outcome:
    """What an ingest did. ``files`` are the ledger's entries for every file that was looked at."""

    files: list[ledger.Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    new_points: int = 0
    changed: bool = False


class Ingest:
    """One sync's way through its files."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        project: Project,
        settings: Settings,
        *,
        strict: bool,
        step_key: str | None,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.con, self.project, self.settings = con, project, settings
        self.step_key = step_key
        self.readers = sources.ALL
        self.told_anew = False  # another step key than the files were read with
        self.strict, self.progress = strict, progress
        self.store = Store(con, project, settings)
        self.held: dict[str, list[Piece]] = defaultdict(list)  # by the files' own ids
        self.holding = 0
        self.anew: set[str] = set()  # runs to be made from their files again
        self.claims: list[Claim] = []
        self.runs: dict[str, str] = {}  # own id -> run id
        self.ambiguous: list[str] = []
        self.outcome = Outcome()

    def run(self, found: Iterable[Found]) -> Outcome:
        """Read what changed of *found* and merge it.

        Raises:
            IncompleteError: something was rejected and the sync is strict.
            OSError: the machine has no room, or too few file descriptors.
        """
        self._take_step_key()
        self._apply_rules()
        known = ledger.entries(self.con)
        files = list(found)
        for count, file in enumerate(files):
            self.progress(count, len(files), file.path.name)
            entry = known.get(ledger.label(self.project, file.path))
            if entry is None or not entry.unchanged(file) or self._told(entry):
                entry = self._read(file, entry)
            self.outcome.files.append(entry)
            if self.holding > HELD_POINTS:
                self._flush()
        if self.held or self.anew:
            self._flush()
        if self.claims:
            self.store.write_catalog()
            self.outcome.notes += self.ambiguous
            lineage.write(self.con, self.claims, self.runs)
        return self.outcome

    def _take_step_key(self) -> None:
        """Read other programs' JSONL by the step key that was told, now or to an earlier sync."""
        ((before,),) = tables.rows(self.con, "select step_key from store.meta")
        key = before if self.step_key is None else self.step_key
        self.told_anew = key != before
        tables.rows(self.con, "update store.meta set step_key = ?", key)
        self.readers = sources.readers(key)

    def _told(self, entry: ledger.Entry) -> bool:
        """Whether *entry* has to be read again because of the step key that was told."""
        return self.told_anew and entry.kind in (None, foreign_jsonl.SOURCE.kind)

    def _apply_rules(self) -> None:
        """Make every run anew where the rules of names and stages have changed."""
        rules = _rules(self.settings)
        ((before,),) = tables.rows(self.con, "select rules from store.meta")
        if before != rules:
            for (run_id,) in tables.rows(self.con, "select run_id from store.runs"):
                self.anew.add(run_id)
            tables.rows(self.con, "update store.meta set rules = ?", rules)

    def _read(self, file: Found, before: ledger.Entry | None) -> ledger.Entry:
        """Read *file* from where it was read to, or anew, and note that in the ledger."""
        name = ledger.label(self.project, file.path)
        known = ledger.held_by(self.con, name) if before else []
        try:
            goes_on = before is not None and before.grown(file)
            grown = goes_on and sources.BY_KIND[before.kind].grows  # type: ignore[union-attr,index]
            start = before.read_to if before and grown else 0
            facts = tuple(held.facts for held in known) if grown else ()
            source, reading = attempt(file.path, start, facts, self.readers)
            grown = grown and not reading.anew
            entry = _entry(name, file, source, reading)
        except OSError as problem:
            return self._unreadable(name, file, before, problem)
        self._refuse(file.path, reading.rejects)
        held = self._held(name, source, reading, known if grown else ())
        if not grown:
            # what a file held when it was half written is no run of its own
            self._replaced(name, None if goes_on else before, known, held)
        self.outcome.changed |= source is not None or bool(known)
        ledger.put(self.con, entry, held)
        quarantine.put(self.con, name, reading.rejects, since=0 if reading.anew else start)
        for part in reading.parts if source else ():
            self.held[part.facts.run_id].append(Piece.of(source.kind, part))  # type: ignore[union-attr]
            self.holding += part.points.height
        return entry

    def _held(
        self, name: str, source: Source | None, reading: Reading, known: Sequence[Holding]
    ) -> list[Holding]:
        """Return what the file holds, whose runs are for now those of their own ids."""
        before = {(h.facts.run_id, h.facts.segment_id, h.facts.rank): h for h in known}
        held = []
        for part in reading.parts if source else ():
            facts = part.facts
            was = before.get((facts.run_id, facts.segment_id, facts.rank))
            sample = claims.sample(part.points, was.sample if was else {})
            run_id = was.run_id if was else ledger.run_of(self.con, facts.run_id)
            held.append(Holding(name, source.kind, run_id, facts, sample))  # type: ignore[union-attr]
        return held

    def _refuse(self, path: Path, rejects: Sequence[Reject]) -> None:
        if self.strict and rejects:
            raise IncompleteError(
                rejects[0].reason,
                where=f"{path}:{rejects[0].line or f'byte {rejects[0].at_byte}'}",
                done="nothing was changed, as --strict asks",
                fix="mend or move the file, or sync without --strict to keep everything else",
            )

    def _unreadable(
        self, name: str, file: Found, before: ledger.Entry | None, problem: OSError
    ) -> ledger.Entry:
        """Keep what was read of a file that cannot be read now; the next sync tries again."""
        if problem.errno in _MACHINE:
            raise problem
        reject = Reject(0, f"cannot be read now: {problem.strerror or type(problem).__name__}", b"")
        self._refuse(file.path, [reject])
        self.outcome.changed = True
        entry = before or _entry(name, file, None, Reading(()))
        entry = dataclasses.replace(entry, kind=entry.kind or "unknown", size=-1, status="failed")
        ledger.note(self.con, entry)
        quarantine.put(
            self.con,
            name,
            [dataclasses.replace(reject, at_byte=entry.read_to)],
            since=entry.read_to,
        )
        return entry

    def _replaced(
        self,
        name: str,
        before: ledger.Entry | None,
        known: Sequence[Holding],
        held: Sequence[Holding],
    ) -> None:
        """Read runs anew whose file was rewritten; keep one that its file no longer holds."""
        for run_id in sorted({was.run_id for was in known}):
            self.anew.add(run_id)
        now = {item.facts.run_id for item in held}
        if before is None:
            return
        for own_id in sorted({was.facts.run_id for was in known} - now):
            gone = f"{name} (as it held {own_id})"
            lost = [was for was in known if was.facts.run_id == own_id]
            entry = dataclasses.replace(before, path=gone, size=-1, status="gone")
            ledger.put(self.con, entry, lost)
            holds = f"run {min(now)}" if now else "no run"
            self.outcome.notes.append(
                f"{name}: now holds {holds}; what was read of run {own_id} is kept"
            )

    def _flush(self) -> None:
        self._identify()
        arrived: dict[str, list[Piece]] = defaultdict(list)
        for own_id, pieces in self.held.items():
            arrived[self.runs[own_id]] += pieces
        for run_id in sorted({*arrived, *self.anew}):
            pieces = arrived[run_id]
            whole = run_id in self.anew or self._twice(run_id, pieces)
            new, notes = self.store.put(run_id, None if whole else pieces, self._again)
            self.outcome.new_points += new
            self.outcome.notes += notes
            self.outcome.changed = True
        self.held.clear()
        self.anew.clear()
        self.holding = 0

    def _twice(self, run_id: str, pieces: Sequence[Piece]) -> bool:
        """Whether one of *pieces* adds to a file of its own kind that is read whole, too.

        Which of two exports is right where they differ must not depend on which came first.
        """
        whole = {p.source for p in pieces if not sources.BY_KIND[p.source].grows}
        files = [held.kind for held in ledger.holdings(self.con, run_id)] if whole else []
        return any(files.count(kind) > sum(p.source == kind for p in pieces) for kind in whole)

    def _identify(self) -> None:
        """Find out which files hold the same run, and move what turned out to be another one."""
        held = ledger.holdings(self.con)
        before = {item.facts.run_id: item.run_id for item in held}
        self.claims = claims.claims(held, self.settings)
        self.runs, self.ambiguous = identity.resolve(self.claims)
        readable = {p: ledger.place(self.project, p).exists() for p in {h.path for h in held}}
        for item in held:  # what cannot be read again stays where it is
            if not readable[item.path] and item.facts.run_id not in self.held:
                self.runs[item.facts.run_id] = before[item.facts.run_id]
        moved = {own: run for own, run in self.runs.items() if before.get(own, own) != run}
        ledger.assign(self.con, moved)
        kept = set(self.runs.values())
        for run_id in sorted(self.anew - kept):  # no file holds it any more
            self.store.drop(run_id)
        self.anew &= kept
        for own_id, run_id in moved.items():
            self.anew.add(run_id)
            if before[own_id] in kept:
                self.anew.add(before[own_id])
            else:
                self.anew.discard(before[own_id])
                self.store.drop(before[own_id])

    def _again(self, held: Sequence[Holding]) -> tuple[list[Piece], list[Holding]]:
        """Read files from their beginnings; return what they gave, and what gave nothing."""
        pieces: list[Piece] = []
        lost: list[Holding] = []
        wanted: dict[str, list[Holding]] = defaultdict(list)
        for item in held:
            wanted[item.path].append(item)
        for path, items in wanted.items():
            place = ledger.place(self.project, path)
            try:
                source, reading = attempt(place, 0, (), self.readers)
            except OSError as problem:
                if problem.errno in _MACHINE:
                    raise
                source, reading = None, Reading(())
            own_ids = {item.facts.run_id for item in items}
            parts = [part for part in reading.parts if part.facts.run_id in own_ids]
            pieces += [Piece.of(source.kind, part) for part in parts] if source else []
            given = {part.facts.run_id for part in parts}
            lost += [item for item in items if item.facts.run_id not in given]
        return pieces, lost


def attempt(
    path: Path, start: int, known: tuple[Facts, ...], readers: Sequence[Source]
) -> tuple[Source | None, Reading]:
    """Read *path*; a reader that fails on it costs this file alone.

    Raises:
        OSError: the file cannot be read.
        KeyboardInterrupt: the person stopped the sync.
    """
    source = discover.source_of(path, readers)
    if source is None:
        return None, Reading(())
    try:
        reading = source.read(path, start, known)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001  one strange file must not stop the others
        if was_stopped(problem):
            raise KeyboardInterrupt from None
        reason = f"the reader failed on it: {type(problem).__name__}: {problem}"
        failed = Reject(start, reason, b"")
        return source, Reading(tuple(Part(facts) for facts in known), (failed,), start)
    parts = tuple(
        dataclasses.replace(
            part, facts=dataclasses.replace(part.facts.normal(), read_to=reading.end)
        )
        for part in reading.parts
    )
    return source, dataclasses.replace(reading, parts=parts)


def _entry(name: str, file: Found, source: Source | None, reading: Reading) -> ledger.Entry:
    empty = not reading.parts and not reading.rejects
    status = "quarantined" if reading.rejects else "empty" if empty else "read"
    # a file that is written whole may yet be found half written
    read_to = reading.end if source and source.grows else file.size
    return ledger.Entry(
        path=name,
        kind=source.kind if source else None,
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode,
        marks=ledger.marks(file.path, read_to) if reading.parts else "",
        read_to=read_to,
        status=status if source else "not ours",
        points=sum(sum(part.facts.keys.values()) for part in reading.parts),
        notes="; ".join(reading.notes),
    )


def _rules(settings: Settings) -> str:
    """Return a hash of all that decides names and stages."""
    parts = (
        catalog.METRICS,
        catalog.COMMON,
        catalog.ENDINGS,
        catalog.BEGINNINGS,
        catalog.BESIDE,
        catalog.CONFIG_ALIASES,
        eras.CHANGES,
        eras.RELEASE,
        catalog.NANOCHAT_ALIASES,
        catalog.PROJECT_STAGES,
        catalog.SCRIPT_STAGES,
        catalog.STAGE_WORDS,
        sorted(settings.aliases.items()),
        sorted(settings.stages.items()),
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
