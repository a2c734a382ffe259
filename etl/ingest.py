"""Files that changed -> the tables of the runs that they hold, inside one transaction."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl

from etl import (
    catalog,
    describe,
    discover,
    ledger,
    merge,
    naming,
    quarantine,
    schema,
    snapshot,
    sources,
    tables,
)
from etl.discover import Found
from etl.errors import IncompleteError
from etl.project import Project, Settings
from etl.sources.reading import Facts, Reading, Reject, Source, no_points
from etl.stitch import Segment, stitch

PRECEDENCE = {kind: source.precedence for kind, source in sources.BY_KIND.items()}
# Rows held before the runs that they belong to are merged; about 1 GB.
HELD_POINTS = 20_000_000
_RUN_TABLES = (
    "runs",
    "segments",
    "config",
    "summary",
    "keys",
    "history",
    "differing",
    "measured",
    "parts",
)


@dataclass(slots=True)
class Outcome:
    """What an ingest did. ``files`` are the ledger's entries for every file that was looked at."""

    files: list[ledger.Entry] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    new_points: int = 0
    read: int = 0


@dataclass(slots=True)
class _Held:
    """Readings of one run that are not merged yet."""

    pieces: list[tuple[Source, Facts, pl.DataFrame]] = field(default_factory=list)
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
        self.held: dict[str, _Held] = defaultdict(_Held)
        self.holding = 0
        self.outcome = Outcome()

    def run(self, found: Iterable[Found]) -> Outcome:
        """Read what changed of *found* and merge it.

        Raises:
            IncompleteError: something was rejected and the sync is strict.
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
            if (
                sum(p.height for held in self.held.values() for _, _, p in held.pieces)
                > HELD_POINTS
            ):
                self._flush()
        self._flush()
        if self.outcome.runs:
            self._write_catalog()
        return self.outcome

    def _apply_rules(self) -> None:
        """Make every run anew where the rules of names and stages have changed."""
        rules = _rules(self.settings)
        ((before,),) = tables.rows(self.con, "select rules from store.meta")
        if before != rules:
            for (run_id,) in tables.rows(self.con, "select run_id from store.runs"):
                self.held[run_id].from_scratch = True
            tables.rows(self.con, "update store.meta set rules = ?", rules)

    def _read(self, file: Found, entry: ledger.Entry | None) -> ledger.Entry:
        name = ledger.label(self.project, file.path)
        grown = entry is not None and entry.kind is not None and entry.grown(file)
        if entry is not None and not grown and entry.run_id is not None:
            self.held[entry.run_id].from_scratch = True
        start = entry.read_to if entry and grown else 0
        source, reading = _attempt(file.path, start, entry.loaded() if entry and grown else None)
        if self.strict and reading.rejects:
            reject = reading.rejects[0]
            raise IncompleteError(
                reject.reason,
                where=f"{file.path}:{reject.line or f'byte {reject.at_byte}'}",
                done="nothing was changed, as --strict asks",
                fix="mend or move the file, or sync without --strict to keep everything else",
            )
        facts = reading.facts
        failed = source is not None and facts is None and not reading.rejects
        entry = ledger.Entry(
            path=name,
            kind=source.kind if source else None,
            size=file.size,
            mtime_ns=file.mtime_ns,
            inode=file.inode,
            marks=ledger.marks(file.path, reading.end) if facts else "",
            read_to=reading.end,
            run_id=facts.run_id if facts else None,
            facts=facts.dump() if facts else None,
            status="quarantined" if reading.rejects else "empty" if failed else "read",
            points=sum(facts.keys.values()) if facts else 0,
            notes="; ".join(reading.notes),
        )
        ledger.put(self.con, entry)
        quarantine.put(self.con, name, reading.rejects, since=start)
        self.outcome.read += 1
        if facts and source:
            self.held[facts.run_id].pieces.append((source, facts, reading.points))
            self.holding += reading.points.height
        return entry

    def _flush(self) -> None:
        for run_id in sorted(self.held):
            self._merge(run_id, self.held[run_id])
            self.outcome.runs.add(run_id)
        self.held.clear()
        self.holding = 0

    def _merge(self, run_id: str, held: _Held) -> None:
        entries = ledger.of_run(self.con, run_id)
        if not entries:  # its only file now holds another run
            for table in _RUN_TABLES:
                tables.rows(self.con, f"delete from store.{table} where run_id = ?", run_id)
            return
        facts = describe.ordered(
            [(e.kind, f) for e in entries if e.kind and (f := e.loaded())], PRECEDENCE
        )
        segments = stitch(fact for _, fact in facts)
        names = ", ".join(merge.HISTORY)
        query = f"select {names} from store.history where run_id = ? order by metric, step"
        before = tables.frame(self.con, query, run_id)
        existing, pieces = before, held.pieces
        if held.from_scratch or self._moved(run_id, segments):
            existing, pieces = self._all_again(entries, before)
        arriving = [self._history(piece, segments) for piece in pieces]
        merged = merge.merge(existing, arriving, segments, PRECEDENCE)
        keys = ["metric", "step"]
        fresh = (
            merged.history.join(before, on=keys, how="anti") if before.height else merged.history
        )
        self.outcome.new_points += fresh.height
        self._store(run_id, facts, segments, merged)

    def _moved(self, run_id: str, segments: list[Segment]) -> bool:
        """Whether rows that are stored already belong to other segment numbers or steps now."""
        query = "select segment_id, rank, segment, shift from store.segments where run_id = ?"
        now = {(s.segment_id, s.rank): (s.index, s.shift) for s in segments}
        return any(
            now.get((segment_id, rank)) != (index, shift)
            for segment_id, rank, index, shift in tables.rows(self.con, query, run_id)
        )

    def _all_again(
        self, entries: list[ledger.Entry], before: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[tuple[Source, Facts, pl.DataFrame]]]:
        """Read every file of a run from its beginning; what only a lost file held is kept."""
        pieces = []
        lost = False
        for entry in entries:
            path = ledger.place(self.project, entry.path)
            if not path.exists():
                lost = True
                continue
            source, reading = _attempt(path, 0, None)
            if source and reading.facts:
                pieces.append((source, reading.facts, reading.points))
        return (before if lost else before.clear()), pieces

    def _history(
        self, piece: tuple[Source, Facts, pl.DataFrame], segments: list[Segment]
    ) -> pl.DataFrame:
        source, facts, points = piece
        segment = next(
            s for s in segments if (s.segment_id, s.rank) == (facts.segment_id, facts.rank)
        )
        return merge.from_points(points, source.kind, segment, self._metric_of(facts))

    def _metric_of(self, facts: Facts) -> Callable[[str], str]:
        return lambda key: naming.metric_of(key, facts.source_project, self.settings.aliases)

    def _store(
        self,
        run_id: str,
        facts: list[tuple[str, Facts]],
        segments: list[Segment],
        merged: merge.Merged,
    ) -> None:
        con, history = self.con, merged.history
        metric_of = self._metric_of(facts[0][1])
        row = describe.run_row(self.project.name, facts, segments, history, self.settings)
        tables.replace(con, "runs", run_id, [row])
        segment_rows = describe.segment_rows(run_id, facts, segments, history)
        tables.replace(con, "segments", run_id, segment_rows)
        tables.replace(con, "config", run_id, describe.config_rows(run_id, facts))
        summary = describe.summary_rows(run_id, facts, history, metric_of)
        tables.replace_frame(con, "summary", run_id, _small("summary", summary))
        keys = describe.key_rows(run_id, facts, metric_of)
        tables.replace(con, "keys", run_id, keys)
        tables.replace_frame(con, "history", run_id, history)
        self._store_differing(run_id, merged)
        measured = history.group_by("metric").len("points").sort("metric")
        tables.replace_frame(con, "measured", run_id, measured)
        part = snapshot.write_part(self.project.parts, run_id, part_frame(run_id, history))
        tables.rows(con, "delete from store.parts where run_id = ?", run_id)
        tables.rows(con, "insert into store.parts values (?, ?, ?)", run_id, part.digest, part.rows)

    def _store_differing(self, run_id: str, merged: merge.Merged) -> None:
        names = ", ".join(merged.differing.columns)
        query = f"select {names} from store.differing where run_id = ?"
        rows = pl.concat([tables.frame(self.con, query, run_id), merged.differing])
        if rows.height:  # against what stands now
            stands = merged.history.select("metric", "step", "source")
            rows = rows.join(stands, on=["metric", "step", "source"], how="semi")
            place = ["metric", "step", "source", "other"]
            rows = rows.unique(place, keep="last", maintain_order=True).sort(place)
        tables.replace_frame(self.con, "differing", run_id, rows)

    def _write_catalog(self) -> None:
        query = """
            select m.metric,
                to_json(list_sort(list(distinct k.key) filter (k.key <> m.metric)))::varchar
            from (select distinct metric from store.measured) m
            left join store.keys k on k.metric = m.metric
            group by m.metric order by m.metric
        """
        found = tables.rows(self.con, query)
        tables.rows(self.con, "delete from store.metrics")
        for metric, aliases in found:
            known = naming.describe(metric)
            values = (known.unit, known.direction, known.family) if known else (None, None, None)
            tables.rows(
                self.con,
                "insert into store.metrics"
                " (metric, unit, direction, family, known, description, aliases)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                *(
                    metric,
                    *values,
                    known is not None,
                    known.description if known else None,
                    aliases,
                ),
            )


def part_frame(run_id: str, history: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a run's history part, in canonical order."""
    return history.select(pl.lit(run_id).alias("run_id"), *merge.HISTORY)


def _attempt(path: Path, start: int, facts: Facts | None) -> tuple[Source | None, Reading]:
    """Read *path*; a reader that fails costs this file alone."""
    source = None
    try:
        source = discover.source_of(path)
        if source is None:
            return None, Reading(None, no_points(), (), 0)
        return source, source.read(path, start, facts)
    except OSError as problem:
        reason = f"cannot be read: {problem.strerror or type(problem).__name__}"
    except Exception as problem:  # noqa: BLE001  one strange file must not stop the others
        reason = f"the reader failed on it: {type(problem).__name__}: {problem}"
    reject = Reject(start, reason, b"")
    return source, Reading(facts, no_points(), (reject,), start)


def _small(table: str, values: list[describe.Row]) -> pl.DataFrame:
    """Return rows of a small table as a frame without its run id."""
    kinds = {"VARCHAR": pl.String, "DOUBLE": pl.Float64, "BIGINT": pl.Int64}
    columns = {name: kinds[kind] for name, kind in schema.TABLES[table].items()}
    return pl.DataFrame(values, schema=columns, orient="row").drop("run_id")


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
