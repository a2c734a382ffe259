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

from etl import catalog, discover, ledger, quarantine, tables
from etl.discover import Found
from etl.errors import IncompleteError, was_stopped
from etl.project import Project, Settings
from etl.sources.reading import Facts, Reading, Reject, Source, no_points
from etl.store import Piece, Store

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


@dataclass(slots=True)
class _Held:
    """Readings of one run that are not merged yet."""

    pieces: list[Piece] = field(default_factory=list)
    from_scratch: bool = False


class Ingest:
    """One sync's way through its files."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        project: Project,
        settings: Settings,
        *,
        strict: bool,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.con, self.project, self.settings = con, project, settings
        self.strict, self.progress = strict, progress
        self.store = Store(con, project, settings)
        self.held: dict[str, _Held] = defaultdict(_Held)
        self.holding = 0
        self.outcome = Outcome()

    def run(self, found: Iterable[Found]) -> Outcome:
        """Read what changed of *found* and merge it.

        Raises:
            IncompleteError: something was rejected and the sync is strict.
            OSError: the machine has no room, or too few file descriptors.
        """
        self._apply_rules()
        known = ledger.entries(self.con)
        files = list(found)
        for count, file in enumerate(files):
            self.progress(count, len(files), file.path.name)
            entry = known.get(ledger.label(self.project, file.path))
            if entry is None or not entry.unchanged(file):
                entry = self._read(file, entry)
            if entry.kind is not None:
                self.outcome.files.append(entry)
            if self.holding > HELD_POINTS:
                self._flush()
        self._flush()
        if self.outcome.changed:
            self.store.write_catalog()
        return self.outcome

    def _apply_rules(self) -> None:
        """Make every run anew where the rules of names and stages have changed."""
        rules = _rules(self.settings)
        ((before,),) = tables.rows(self.con, "select rules from store.meta")
        if before != rules:
            for (run_id,) in tables.rows(self.con, "select run_id from store.runs"):
                self.held[run_id].from_scratch = True
            tables.rows(self.con, "update store.meta set rules = ?", rules)

    def _read(self, file: Found, before: ledger.Entry | None) -> ledger.Entry:
        """Read *file* from where it was read to, or anew, and note that in the ledger."""
        self.outcome.changed = True
        name = ledger.label(self.project, file.path)
        try:
            grown = before is not None and before.grown(file)
            start = before.read_to if before and grown else 0
            source, reading = attempt(
                file.path, start, before.loaded() if before and grown else None
            )
            entry = _entry(name, file, source, reading)
        except OSError as problem:
            return self._unreadable(name, file, before, problem)
        self._refuse(file.path, reading.rejects)
        if before is not None and not grown:
            self._replaced(before, entry)
        ledger.put(self.con, entry)
        quarantine.put(self.con, name, reading.rejects, since=start)
        if reading.facts and source:
            piece = Piece(source.kind, reading.facts, reading.points)
            self.held[reading.facts.run_id].pieces.append(piece)
            self.holding += reading.points.height
        return entry

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
        entry = before or _entry(name, file, None, Reading(None, no_points(), (), 0))
        entry = dataclasses.replace(entry, kind=entry.kind or "unknown", size=-1, status="failed")
        ledger.put(self.con, entry)
        quarantine.put(
            self.con,
            name,
            [dataclasses.replace(reject, at_byte=entry.read_to)],
            since=entry.read_to,
        )
        return entry

    def _replaced(self, before: ledger.Entry, entry: ledger.Entry) -> None:
        """Read a run anew whose file was rewritten; keep one whose file now holds another run."""
        if before.run_id is None:
            return
        if before.run_id == entry.run_id:
            self.held[before.run_id].from_scratch = True
            return
        gone = f"{before.path} (as it held {before.run_id})"
        ledger.put(self.con, dataclasses.replace(before, path=gone, size=-1, status="gone"))
        holds = f"run {entry.run_id}" if entry.run_id else "no run"
        self.outcome.notes.append(
            f"{before.path}: now holds {holds}; what was read of run {before.run_id} is kept"
        )

    def _flush(self) -> None:
        for run_id in sorted(self.held):
            held = self.held[run_id]
            pieces = None if held.from_scratch else held.pieces
            new, notes = self.store.put(run_id, pieces, self._again)
            self.outcome.new_points += new
            self.outcome.notes += notes
            self.outcome.changed = True
        self.held.clear()
        self.holding = 0

    def _again(self, entries: Sequence[ledger.Entry]) -> tuple[list[Piece], list[ledger.Entry]]:
        """Read files from their beginnings; return what they gave, and those that gave nothing."""
        pieces: list[Piece] = []
        lost: list[ledger.Entry] = []
        for entry in entries:
            try:
                source, reading = attempt(ledger.place(self.project, entry.path), 0, None)
            except OSError as problem:
                if problem.errno in _MACHINE:
                    raise
                source, reading = None, Reading(None, no_points(), (), 0)
            if source and reading.facts and reading.facts.run_id == entry.run_id:
                pieces.append(Piece(source.kind, reading.facts, reading.points))
            else:
                lost.append(entry)
        return pieces, lost


def attempt(path: Path, start: int, facts: Facts | None) -> tuple[Source | None, Reading]:
    """Read *path*; a reader that fails on it costs this file alone.

    Raises:
        OSError: the file cannot be read.
        KeyboardInterrupt: the person stopped the sync.
    """
    source = discover.source_of(path)
    if source is None:
        return None, Reading(None, no_points(), (), 0)
    try:
        reading = source.read(path, start, facts)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001  one strange file must not stop the others
        if was_stopped(problem):
            raise KeyboardInterrupt from None
        reason = f"the reader failed on it: {type(problem).__name__}: {problem}"
        return source, Reading(facts, no_points(), (Reject(start, reason, b""),), start)
    if reading.facts is not None:
        normal = dataclasses.replace(reading.facts.normal(), read_to=reading.end)
        reading = dataclasses.replace(reading, facts=normal)
    return source, reading


def _entry(name: str, file: Found, source: Source | None, reading: Reading) -> ledger.Entry:
    facts = reading.facts
    empty = source is not None and facts is None and not reading.rejects
    return ledger.Entry(
        path=name,
        kind=source.kind if source else None,
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode,
        marks=ledger.marks(file.path, reading.end) if facts else "",
        read_to=reading.end,
        run_id=facts.run_id if facts else None,
        facts=facts.dump() if facts else None,
        status="quarantined" if reading.rejects else "empty" if empty else "read",
        points=sum(facts.keys.values()) if facts else 0,
        notes="; ".join(reading.notes),
    )


def _rules(settings: Settings) -> str:
    """Return a hash of all that decides names and stages."""
    parts = (
        catalog.METRICS,
        catalog.ENDINGS,
        catalog.NANOCHAT_ALIASES,
        catalog.PROJECT_STAGES,
        catalog.SCRIPT_STAGES,
        catalog.STAGE_WORDS,
        sorted(settings.aliases.items()),
        sorted(settings.stages.items()),
    )
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()
