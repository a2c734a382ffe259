"""The readings of one run -> its rows in every table, and its part of the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb
import polars as pl

from etl import (
    blocks,
    describe,
    history,
    ledger,
    machine,
    measured,
    merge,
    naming,
    sources,
    tables,
)
from etl.blocks import History
from etl.book import Book
from etl.describe import Row
from etl.project import Project, Settings
from etl.sources.facts import Facts
from etl.sources.reading import Piece
from etl.stitch import Segment, stitch, telling

# The tables of few rows a run, and with them all that hold rows of runs but history.
_SMALL = ("runs", "segments", "config", "summary", "keys", "measured", "parts", "slots")
_OF_RUN = (*_SMALL, "differing", "telemetry", "console")
# Each source's place, of its own also where two have the same precedence.
PRECEDENCE = {
    source.kind: place
    for place, source in enumerate(sorted(sources.ALL, key=lambda s: (s.precedence, s.kind)))
}


# What files hold of a run -> what they give from their beginnings, and those that give nothing.
ReadAgain = Callable[[Sequence[ledger.Holding]], tuple[list[Piece], list[ledger.Holding]]]


class Store:
    """Writes runs into an open database, inside the caller's transaction."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        project: Project,
        settings: Settings,
        book: Book,
    ) -> None:
        self.con, self.project, self.settings, self.book = con, project, settings, book
        self.rows: dict[str, list[Row]] = {table: [] for table in _SMALL}  # not written yet
        self.put_runs: list[str] = []
        # what a log that grows leaves as it was; nothing else is worth looking
        self.same = {"config", "telemetry", "disagreements", "quarantine"}
        # with the parents that etl.lineage found
        self.stored = dict(tables.rows(con, "select run_id, parent_run_id from store.runs"))
        self.cataloged = True  # whether the catalog has every metric and spelling there is
        self.writer = history.Writer(con)

    def put(
        self, run_id: str, pieces: Sequence[Piece] | None, read_again: ReadAgain
    ) -> tuple[int, list[str]]:
        """Merge *pieces*, or all files of the run read again; return new points, and notes.

        Without *pieces*, or where stored rows would have to move to other segments or steps, the
        run is made from its files anew. What only files hold that cannot be read is kept.
        """
        held = self.book.holdings(run_id)
        facts = describe.ordered([(h.kind, h.facts) for h in held], PRECEDENCE)
        segments = stitch(telling(facts, sources.BY_KIND))
        stored = run_id in self.stored
        places = history.places(self.con, run_id) if stored else {}
        before = history.read(self.con, run_id, places) if stored else blocks.NOTHING
        existing, anew = before, pieces is None
        anew = anew or (stored and self._moved(run_id, segments, len(facts)))
        if pieces is None or anew:
            pieces, lost = read_again(held)
            existing = self._kept(run_id, before, lost, segments)
        if len(pieces) > 1:  # whatever their paths are
            pieces = sorted(pieces, key=lambda piece: piece.facts.dump())
        fitting, notes = _fitting(run_id, pieces, facts)
        arriving = [self._history(piece, segments) for piece in fitting]
        merged = merge.merge(existing, arriving, segments, PRECEDENCE)
        self.rows["slots"] += self.writer.write(run_id, before, merged.history, places)
        self._write(run_id, facts, segments, merged, anew=anew)
        self.cataloged = self.cataloged and self._named(run_id, before, merged.history)
        if machine.write(self.con, run_id, pieces, segments, anew=anew):
            self.same.discard("telemetry")
        new_points = blocks.added(merged.history, before)
        return new_points, [*notes, *_notes(run_id, facts)]

    def flush(self) -> None:
        """Write what was put: statement by statement the small tables would cost 15 ms a run."""
        self.writer.flush()
        before = [run_id for run_id in self.put_runs if run_id in self.stored]
        for table, rows in self.rows.items():
            if table not in self.same or not tables.holds(self.con, table, before, rows):
                tables.forget(self.con, table, before)
                tables.add(self.con, table, rows)
                self.same.discard(table)
            rows.clear()
        self.stored = dict.fromkeys(self.put_runs) | self.stored
        self.put_runs.clear()

    def drop(self, run_id: str) -> None:
        """Forget a run that turned out to be another one."""
        history.drop(self.con, run_id)
        self.same.clear()
        self.cataloged = False
        self.stored.pop(run_id, None)
        for table in _OF_RUN:
            tables.rows(self.con, f"delete from store.{table} where run_id = ?", run_id)

    def _moved(self, run_id: str, segments: list[Segment], files: int) -> bool:
        """Whether rows that are stored already belong to other segment numbers or steps now."""
        attached = files > len(segments) > 1  # such rows belong to segments by step

        def known(segment: Segment) -> tuple[int | None, ...]:
            began = (segment.resume_step, segment.first_step) if attached else ()
            return (segment.index, segment.shift, *began)

        began = ", resume_step, first_step" if attached else ""
        query = f"select segment_id, rank, segment, shift{began} from store.segments"
        now = {(s.segment_id, s.rank): known(s) for s in segments}
        stored = tables.rows(self.con, query + " where run_id = ?", run_id)
        if attached and len(stored) != len(now):  # one began in the midst of theirs
            return True
        return any(now.get((i, rank)) != tuple(was) for i, rank, *was in stored)

    def _segments(self, run_id: str) -> dict[tuple[str, int], tuple[int, int]]:
        query = "select segment_id, rank, segment, shift from store.segments where run_id = ?"
        return {
            (i, rank): (at, shift) for i, rank, at, shift in tables.rows(self.con, query, run_id)
        }

    def _kept(
        self,
        run_id: str,
        stored: History,
        lost: Sequence[ledger.Holding],
        segments: list[Segment],
    ) -> History:
        """Return the points of *stored* that came from *lost* files, as they would be read now."""
        if not lost:
            return blocks.NOTHING
        before = stored.melted()
        old = self._segments(run_id)
        now = {(s.segment_id, s.rank): s for s in segments}
        query = (
            "select metric, key from store.keys where run_id = ? and source = ? and role = 'metric'"
        )
        frames = [before.clear()]
        for held in lost:
            place = (held.facts.segment_id, held.facts.rank)
            keys = {
                m: k for m, k in tables.rows(self.con, query, run_id, held.kind) if m is not None
            }
            metric_of = self._metric_of(held.facts)
            names = {metric: metric_of(key) for metric, key in keys.items()}
            index, shift = old.get(place, (None, 0))
            own = pl.lit(value=True) if index is None else pl.col("segment") == index
            segment = now.get(place)
            frames.append(
                before.filter(own & (pl.col("source") == held.kind)).with_columns(
                    metric=pl.col("metric").replace(names),
                    step=pl.col("step") + (segment.shift - shift if segment else 0),
                    segment=blocks.index_of(segment or segments),
                )
            )
        rows = pl.concat(frames).unique(["metric", "step"], keep="last", maintain_order=True)
        return History((), rows)

    def _history(self, piece: Piece, segments: list[Segment]) -> History:
        place = (piece.facts.segment_id, piece.facts.rank)
        own = [s for s in segments if (s.segment_id, s.rank) == place]
        segment = own[0] if own else segments
        return merge.of_piece(piece, segment, self._metric_of(piece.facts))

    def _metric_of(self, facts: Facts) -> Callable[[str], str]:
        return lambda key: naming.metric_of(key, facts, self.settings.aliases)

    def _write(
        self,
        run_id: str,
        facts: list[tuple[str, Facts]],
        segments: list[Segment],
        merged: merge.Merged,
        *,
        anew: bool,
    ) -> None:
        found, rows = merged.history, self.rows
        metric_of = self._metric_of(facts[0][1])
        row = describe.run_row(
            self.project.name, run_id, facts, segments, found, settings=self.settings
        )
        if run_id in self.stored:  # until etl.lineage finds it anew
            row["parent_run_id"] = self.stored[run_id]
        rows["runs"].append(row)
        rows["segments"] += describe.segment_rows(run_id, facts, segments, found)
        rows["config"] += describe.config_rows(run_id, facts)
        rows["summary"] += describe.summary_rows(run_id, facts, found, metric_of)
        rows["keys"] += describe.key_rows(run_id, facts, metric_of)
        rows["measured"] += [
            {"run_id": run_id, "metric": metric, "points": points}
            for metric, points in found.counts("metric").items()
        ]
        rows["parts"] += [
            {"run_id": run_id, "kind": kind, "digest": part.digest, "rows": part.rows}
            for kind, part in history.write_parts(self.project.parts, run_id, found)
        ]
        self.put_runs.append(run_id)
        self._write_differing(run_id, merged, anew=anew)

    def _write_differing(self, run_id: str, merged: merge.Merged, *, anew: bool) -> None:
        there = "select 1 from store.differing where run_id = ? limit 1"
        if not merged.differing.height and (
            run_id not in self.stored or not tables.rows(self.con, there, run_id)
        ):
            return
        self.same.discard("disagreements")
        names = ", ".join(merged.differing.columns)
        query = f"select {names} from store.differing where run_id = ?"
        known = tables.frame(self.con, query, run_id)
        rows = merged.differing if anew else pl.concat([known, merged.differing])
        if rows.height:  # against what stands now
            metrics = sorted(rows["metric"].unique())
            stands = merged.history.of(metrics).select("metric", "step", "source")
            rows = rows.join(stands, on=["metric", "step", "source"], how="semi")
            place = ["metric", "step", "source", "other"]
            rows = rows.unique(place, keep="last", maintain_order=True).sort(place)
        tables.replace_frame(self.con, "differing", run_id, rows)

    def _named(self, run_id: str, before: History, after: History) -> bool:
        """Whether the metrics and the keys of a run that was put are those that it has stored."""
        if (
            run_id not in self.stored
            or before.counts("metric").keys() != after.counts("metric").keys()
        ):
            return False
        keys = [row for row in self.rows["keys"] if row["run_id"] == run_id]
        summary = [row for row in self.rows["summary"] if row["run_id"] == run_id]
        return measured.names_stand(self.con, run_id, keys, summary)

    def write_catalog(self) -> None:
        """Write what is known of every metric that any run has, if that may have changed."""
        if self.cataloged:
            return
        self.cataloged = True
        measured.write(self.con)


def _fitting(
    run_id: str, pieces: Sequence[Piece], facts: Sequence[tuple[str, Facts]]
) -> tuple[list[Piece], list[str]]:
    """Return the pieces whose steps are those of the run, and a note on what was left out.

    An export whose steps only count log calls has no place beside a log that names its steps.
    """
    named = any(not f.log_index_steps and f.first_step is not None for _, f in facts)
    fitting, notes = [], []
    for piece in pieces:
        if named and piece.facts.log_index_steps and not sources.BY_KIND[piece.source].processes:
            count = piece.count
            notes.append(
                f"run {run_id}: {count:,} points of {piece.source} are left out: their steps count"
                " log calls, and other files of the run name its steps"
            )
        else:
            fitting.append(piece)
    return fitting, notes


def _notes(run_id: str, facts: Sequence[tuple[str, Facts]]) -> list[str]:
    stages = sorted({fact.stage for _, fact in facts if fact.stage})
    if len(stages) < 2:
        return []
    stated = " and ".join(stages)
    fix = "give each stage a run id of its own"
    return [f"run {run_id}: its logs state stages {stated}, of which the later stands; {fix}"]
