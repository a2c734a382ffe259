"""Files that changed -> readings of the runs that they hold, and from there into the tables."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import duckdb

from etl import (
    claims,
    identity,
    ledger,
    lineage,
    quarantine,
    sources,
    tables,
)
from etl.book import Book
from etl.claims import Claim
from etl.discover import Found
from etl.errors import IncompleteError
from etl.ledger import Holding
from etl.project import Project, Settings
from etl.readahead import Job, ReadAhead, attempt
from etl.settled import Outcome
from etl.settled import rules as rules_of
from etl.sources.facts import Facts
from etl.sources.reading import Piece, Reading, Reject, Source
from etl.store import Store

# Points held before the runs that they belong to are merged: 100 MB in columns, 500 in rows.
HELD_POINTS = 10_000_000
# Faults of the machine, not of a file: the sync as a whole cannot go on.
_REPORT = "nanochat-report"
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Ingest:
    """One sync's way through its files."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        project: Project,
        settings: Settings,
        known: Mapping[str, ledger.Entry],
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
        self.book = Book(con, known)
        self.quarantined = quarantine.paths(con)
        self.store = Store(con, project, settings, self.book)
        self.held: dict[str, list[Piece]] = defaultdict(list)  # by the files' own ids
        self.holding = 0
        self.put_ids = set(self.book.runs)  # not of held alone
        self.alike = True  # whether files say of their runs what they said
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
        self._take_rules()
        known = dict(self.book.entries)
        files = list(found)
        names = ledger.labels(self.project, [file.name for file in files])
        beside = _changed_reports(files, names, known)
        wanted: dict[int, bool] = {}  # by place: whether what it held may have moved
        for count, (file, name) in enumerate(zip(files, names, strict=True)):
            entry = known.get(name)
            whole = entry is not None and entry.kind == _REPORT
            again = whole and os.path.dirname(file.name) in beside
            if entry is None or not entry.unchanged(file) or self._told(entry) or again:
                wanted[count] = again
        jobs = (self._job(files[at], names[at], moved=moved) for at, moved in wanted.items())
        with ReadAhead(jobs, self.readers, [files[at] for at in wanted]) as ahead:
            for count, (file, name) in enumerate(zip(files, names, strict=True)):
                self.progress(count, len(files), os.path.basename(file.name))
                entry = self._read(file, name, ahead) if count in wanted else known[name]
                self.outcome.files.append(entry)
                if self.holding > HELD_POINTS:
                    self._flush()
        if self.held or self.anew:
            self._flush()
        self.store.write_catalog()
        if self.claims:
            self.outcome.notes += self.ambiguous
            if lineage.write(self.con, self.claims, self.runs):
                self.store.same.discard("config")
        self.book.write()
        self.outcome.same = frozenset(self.store.same)
        return self.outcome

    def _take_rules(self) -> None:
        """Read other programs' JSONL by the step key that was told, now or to an earlier sync.

        Where the rules of names and stages have changed, every run is made anew.
        """
        ((rules, told),) = tables.rows(self.con, "select rules, step_key from store.meta")
        key = told if self.step_key is None else self.step_key
        self.told_anew = key != told
        self.readers = sources.readers(key)
        now = rules_of(self.settings)
        if rules != now:
            for (run_id,) in tables.rows(self.con, "select run_id from store.runs"):
                self.anew.add(run_id)
            self.store.cataloged = False
        if (rules, told) != (now, key):
            tables.rows(self.con, "update store.meta set rules = ?, step_key = ?", now, key)

    def _told(self, entry: ledger.Entry) -> bool:
        """Whether *entry* has to be read again because of the step key that was told."""
        return self.told_anew and entry.kind in (None, sources.FOREIGN)

    def _job(self, file: Found, name: str, *, moved: bool) -> Job:
        """Return how *file* is to be read: on from where it was read to, or anew.

        What it held may have *moved* to other runs although it says what it said.
        """
        before = self.book.entries.get(name)
        if before is None:
            return Job(file.path, file.size)
        try:
            same = moved or before.grown(file)
        except OSError as problem:
            return Job(file.path, file.size, problem=problem)
        if not same or before.kind is None or not sources.BY_KIND[before.kind].grows:
            return Job(file.path, file.size, same=same)
        facts = tuple(held.facts for held in self.book.held_by(name))
        return Job(file.path, file.size, before.read_to, facts, same=True, grown=True)

    def _read(self, file: Found, name: str, ahead: ReadAhead) -> ledger.Entry:
        """Take in what was read of *file*, and note that in the ledger."""
        before = self.book.entries.get(name)
        known = list(self.book.held_by(name)) if before else []
        try:
            job, source, reading = ahead.take()
            entry = _entry(name, file, source, reading)
        except OSError as problem:
            return self._unreadable(name, file, before, problem)
        grown = job.grown and not reading.anew
        self._refuse(file.path, reading.rejects)
        held = self._held(name, source, reading, known if grown else ())
        if not grown:
            # what a file held when it was half written is no run of its own
            self._replaced(name, None if job.same else before, known, held)
        self.alike &= grown and _lasting(known) == _lasting(held)
        self.outcome.changed |= source is not None or bool(known)
        self.book.put(entry, held)
        self._quarantine(name, reading.rejects, since=0 if reading.anew else job.start)
        for part in reading.parts if source else ():
            piece = Piece.of(source.kind, part)  # type: ignore[union-attr]
            self.held[part.facts.run_id].append(piece)
            self.holding += piece.count
        return entry

    def _quarantine(self, name: str, rejects: Sequence[Reject], since: int) -> None:
        if rejects or name in self.quarantined:
            self.quarantined.add(name)
            self.store.same.discard("quarantine")
            quarantine.put(self.con, name, rejects, since)

    def _held(
        self, name: str, source: Source | None, reading: Reading, known: Sequence[Holding]
    ) -> list[Holding]:
        """Return what the file holds, whose runs are for now those of their own ids."""
        before = {(h.facts.run_id, h.facts.segment_id, h.facts.rank): h for h in known}
        held = []
        for part in reading.parts if source else ():
            facts = part.facts
            was = before.get((facts.run_id, facts.segment_id, facts.rank))
            sample = claims.sample(part.points, was.sample if was else {}, part.rows)
            run_id = was.run_id if was else self.book.run_of(facts.run_id)
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
        self.book.note(entry)
        at = entry.read_to
        self._quarantine(name, [dataclasses.replace(reject, at_byte=at)], since=at)
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
            self.book.put(entry, lost)
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
        self.store.flush()
        self.put_ids.update(self.held)
        self.held.clear()
        self.anew.clear()
        self.holding = 0

    def _twice(self, run_id: str, pieces: Sequence[Piece]) -> bool:
        """Whether one of *pieces* adds to a file of its own kind that is read whole, too.

        Which of two exports is right where they differ must not depend on which came first.
        """
        whole = {p.source for p in pieces if not sources.BY_KIND[p.source].grows}
        files = [held.kind for held in self.book.holdings(run_id)] if whole else []
        return any(files.count(kind) > sum(p.source == kind for p in pieces) for kind in whole)

    def _identify(self) -> None:
        """Find out which files hold the same run, and move what turned out to be another one.

        That is as it was where only rows came to files that all name their runs.
        """
        if self.alike and not self.anew and not self.book.own:
            self.runs |= {own_id: self.book.run_of(own_id) for own_id in self.held}
            return
        held = self.book.holdings()
        before = {item.facts.run_id: item.run_id for item in held}
        self.claims = claims.claims(held, self.settings)
        self.runs, self.ambiguous = identity.resolve(self.claims)
        for item in held:  # what cannot be read again stays where it is
            own_id = item.facts.run_id
            moves = own_id not in self.held and self.runs.get(own_id) != before[own_id]
            if moves and not ledger.place(self.project, item.path).exists():
                self.runs[own_id] = before[own_id]
        moved = {own: run for own, run in self.runs.items() if before.get(own, own) != run}
        self.book.assign(moved)
        kept = set(self.runs.values())
        for run_id in sorted(self.anew - kept):  # no file holds it any more
            self.store.drop(run_id)
        self.anew &= kept
        counting = {self.runs[h.facts.run_id] for h in held if h.facts.log_index_steps}
        for own_id, run_id in moved.items():
            if own_id not in self.put_ids and run_id not in counting:
                continue  # it is held whole, and no row of it is stored
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


def _lasting(held: Sequence[Holding]) -> list[Facts]:
    found = [item.facts.lasting() for item in held]
    return sorted(found, key=lambda facts: (facts.run_id, facts.segment_id, facts.rank))


def _changed_reports(
    files: Sequence[Found], names: Sequence[str], known: Mapping[str, ledger.Entry]
) -> set[str]:
    """Return the folders of nanochat reports in which a section is new or has changed.

    The sections of one folder are one document: which run each is of, the others say.
    """
    return {
        os.path.dirname(file.name)
        for file, name in zip(files, names, strict=True)
        if file.name.endswith(".md")
        and not ((entry := known.get(name)) is not None and entry.unchanged(file))
    }


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
