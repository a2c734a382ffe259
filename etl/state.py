"""A snapshot as a comparison reads it: its small tables, and the history of named runs alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from etl import snapshot
from etl.project import Project
from etl.snapshot import HISTORY, Manifest

Series = Mapping[tuple[str, str], tuple[list[int], list[float]]]


@dataclass(frozen=True)
class State:
    """One snapshot of a project, of which only what is asked for is read."""

    project: Project
    manifest: Manifest

    def digests(self, table: str) -> list[str]:
        """Return the content hashes of a table's parts."""
        return sorted(part.digest for part in self.manifest.tables if part.key == table)

    def history_digests(self) -> dict[str, list[str]]:
        """Return by run id the content hashes of its history; equal ones are equal histories."""
        found: dict[str, list[str]] = {}
        for kind in HISTORY:
            for part in self.manifest.history[kind]:
                found.setdefault(part.key, []).append(part.digest)
        return found

    @cached_property
    def runs(self) -> dict[str, dict[str, Any]]:
        """The rows of ``runs`` by run id."""
        return {row["run_id"]: row for row in self._table("runs").to_dicts()}

    @cached_property
    def summary(self) -> pl.DataFrame:
        """The numbers of ``summary``: run_id, metric, rule, value, step."""
        rows = self._table("summary", "run_id", "metric", "rule", "value", "step")
        return rows.filter(pl.col("value").is_not_null())

    @cached_property
    def directions(self) -> dict[str, str]:
        """Which direction is better, by metric, of the metrics where that is known."""
        ways = {metric: row["direction"] for metric, row in self.metrics.items()}
        return {metric: way for metric, way in ways.items() if way in ("min", "max")}

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The rows of ``metrics`` by metric."""
        return {row["metric"]: row for row in self._table("metrics").to_dicts()}

    def fingerprints(self, without: Collection[str] = ()) -> dict[str, int]:
        """Return by run id a number that is the same for equal configs, but for keys *without*."""
        rows = self.config_rows.filter(~pl.col("key").is_in(list(without)))
        entry = pl.struct("kind", "key", "value").hash(seed=0)
        sums = rows.select("run_id", entry.alias("sum")).group_by("run_id").agg(pl.sum("sum"))
        return dict(sums.iter_rows())

    def setting(self, key: str) -> dict[str, float]:
        """Return a config key's number by run id: what came of it, else what was asked for."""
        rows = self.config_rows.filter(pl.col("key") == key).sort("kind", descending=True)
        numbers = rows.with_columns(pl.col("value").cast(pl.Float64, strict=False)).drop_nulls()
        return dict(numbers.select("run_id", "value").iter_rows())  # effective comes last, and wins

    @cached_property
    def config_rows(self) -> pl.DataFrame:
        """The table ``config``: run_id, kind, key, value."""
        return self._table("config", "run_id", "kind", "key", "value")

    def series(self, runs: Collection[str], metrics: Collection[str]) -> Series:
        """Return steps and values, in the order of the steps, by run id and metric."""
        found = self.ask(
            "select run_id, metric, list(step order by step), list(value order by step)"
            " from history where value is not null"
            " and metric in (select unnest(?::varchar[])) group by run_id, metric",
            runs,
            sorted(metrics),
        )
        return {(run, metric): (steps, values) for run, metric, steps, values in found}

    def ask(self, sql: str, runs: Collection[str], *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query over ``history``, in which *runs* alone are."""
        wanted = set(runs)
        small = replace(
            self.manifest,
            tables=tuple(part for part in self.manifest.tables if part.key == "slots"),
            history={
                kind: tuple(part for part in self.manifest.history[kind] if part.key in wanted)
                for kind in HISTORY
            },
        )
        if not any(small.history.values()):
            return []
        with closing(snapshot.connect(self.project, small)) as db:
            return db.execute(sql, list(values)).fetchall()

    def _table(self, name: str, *columns: str) -> pl.DataFrame:
        paths = [self.project.parts / f"{digest}.parquet" for digest in self.digests(name)]
        return pl.read_parquet(paths, columns=list(columns) or None)
