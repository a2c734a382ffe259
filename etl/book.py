"""The ledger in memory while a sync works on it -> the ledger's tables, at once in the end.

Statement by statement each file would cost 4 ms, and the more the longer the tables are; to find
out which files are of one run takes all that they hold anyway.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from etl import ledger, tables
from etl.ledger import Entry, Holding
from etl.sources.facts import Facts


class Book:
    """Every file, and what it holds, as the sync has it by now."""

    def __init__(self, con: duckdb.DuckDBPyConnection, known: Mapping[str, Entry]) -> None:
        self.con = con
        self.entries = dict(known)
        self.stored = set(self.entries)
        self.touched: set[str] = set()
        self.held: dict[str, list[Holding]] = {}  # by path, sorted by own id and facts
        self.unread: set[str] = set()  # paths whose holdings nobody asked for yet
        self.texts: dict[str, list[str]] = {}  # the facts of what was put, as they are written
        self.paths: dict[str, set[str]] = defaultdict(set)  # by run id
        self.runs: dict[str, str] = {}  # own id -> run id
        self.own: set[str] = set()  # own ids that are of our own making
        query = "select path, own_id, run_id, id_known from store.holds order by path, own_id"
        for path, own_id, run_id, id_known in tables.rows(con, query):
            self.unread.add(path)
            self._index(path, own_id, run_id, id_known=id_known)

    def _index(self, path: str, own_id: str, run_id: str, *, id_known: bool) -> None:
        self.paths[run_id].add(path)
        self.runs.setdefault(own_id, run_id)
        if not id_known:
            self.own.add(own_id)

    def _placed(self, item: Holding) -> None:
        facts = item.facts
        self._index(item.path, facts.run_id, item.run_id, id_known=facts.id_known)

    def _read(self, paths: Iterable[str]) -> None:
        """Have in memory what *paths* hold: to parse what 200 files hold takes 30 ms."""
        wanted = sorted(self.unread.intersection(paths))
        if wanted:
            for item in ledger.holdings(self.con, wanted):
                self.held.setdefault(item.path, []).append(item)
            self.unread.difference_update(wanted)

    def holdings(self, run_id: str | None = None) -> list[Holding]:
        """Return what all files hold, or what they hold of *run_id*, sorted by path."""
        self._read(self.unread if run_id is None else self.paths.get(run_id, ()))
        if run_id is None:
            return [item for path in sorted(self.held) for item in self.held[path]]
        paths = sorted(self.paths.get(run_id, ()))
        return [item for path in paths for item in self.held[path] if item.run_id == run_id]

    def held_by(self, path: str) -> Sequence[Holding]:
        """Return what the file *path* holds."""
        self._read([path])
        return self.held.get(path, [])

    def run_of(self, own_id: str) -> str:
        """Return the run that files of *own_id* were found to be of, or *own_id* itself."""
        return self.runs.get(own_id, own_id)

    def put(self, entry: Entry, held: Iterable[Holding]) -> None:
        """Take *entry* and what it holds in place of the file's earlier ones."""
        self._read([entry.path])
        for item in self.held.pop(entry.path, []):
            self.paths[item.run_id].discard(entry.path)
        dumped = sorted(((i.facts.run_id, i.facts.dump(), i) for i in held), key=lambda d: d[:2])
        # as the next sync will have it, so that nothing depends on which sync read the file
        items = [
            dataclasses.replace(item, path=entry.path, facts=Facts.load(text))
            for _, text, item in dumped
        ]
        if items:
            self.held[entry.path] = items
            self.texts[entry.path] = [text for _, text, _ in dumped]
        for item in items:
            self._placed(item)
        self._took(entry)

    def note(self, entry: Entry) -> None:
        """Take *entry* in place of the file's earlier one; what it holds stays."""
        self._took(entry)

    def _took(self, entry: Entry) -> None:
        self.entries[entry.path] = entry
        self.touched.add(entry.path)

    def assign(self, runs: Mapping[str, str]) -> None:
        """Make every holding whose own id is in *runs* one of the run that it is mapped to."""
        if not runs:
            return
        self._read(self.unread)
        self.paths.clear()
        self.runs.clear()
        for path, items in self.held.items():
            for at, item in enumerate(items):
                run_id = runs.get(item.facts.run_id, item.run_id)
                if run_id != item.run_id:
                    items[at] = dataclasses.replace(item, run_id=run_id)
                    self.touched.add(path)
                self._placed(items[at])

    def write(self) -> None:
        """Write what was put."""
        touched = sorted(self.touched)
        self._read(touched)
        for table in ("files", "holds"):
            tables.forget(self.con, table, [p for p in touched if p in self.stored], "path")
        entries = [self.entries[path] for path in touched]
        tables.add(self.con, "files", [dataclasses.asdict(entry) for entry in entries])
        rows = []
        for path in touched:
            items = self.held.get(path, [])
            texts = self.texts.get(path) or [item.facts.dump() for item in items]
            rows += [
                {
                    "path": path,
                    "kind": item.kind,
                    "own_id": item.facts.run_id,
                    "run_id": item.run_id,
                    "id_known": item.facts.id_known,
                    "facts": text,
                    "sample": json.dumps(item.sample, sort_keys=True),
                }
                for item, text in zip(items, texts, strict=True)
            ]
        tables.add(self.con, "holds", rows)
        self.stored |= self.touched
        self.touched.clear()
        self.texts.clear()
