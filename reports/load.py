"""A snapshot -> what is known of its runs, metrics and origin, as typed values.

Reads only through the views that ``etl.snapshot.connect`` makes. Runs come in the order of the
page: a family of runs together, stage after stage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from etl.snapshot import Manifest
from reports import lineage, theme, words
from reports.axes import Metric

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run, with what it was asked to be and where it stands among its relatives."""

    index: int
    run_id: str
    name: str
    stage: str
    stage_reason: str
    state: str
    source_project: str | None
    tags: tuple[str, ...]
    era: str | None  # which changes to what it logs its code had; None where that is not known
    parent: int | None  # among the runs of this snapshot
    parent_id: str | None  # as the run says, in the snapshot or not
    root: str
    generation: int
    offset: int
    points: int
    first_step: int | None
    last_step: int | None
    config: Mapping[str, Value]
    inherited: Mapping[str, str]  # key -> the name of the run that it comes from


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything of a snapshot but its history."""

    manifest: Manifest
    runs: tuple[Run, ...]
    catalog: Mapping[str, Metric]
    sources: pl.DataFrame  # source, runs, metrics, points, newest: the time of its last point
    quarantine: pl.DataFrame
    disagreements: pl.DataFrame
    resumed: Mapping[str, int]  # run id -> the step from which its last segment went on

    @property
    def newest(self) -> datetime | None:
        """The time of the newest point, None where no source states times."""
        times = [time for time in self.sources["newest"].to_list() if time is not None]
        return max(times, default=None)


# from the wide rows' own times, once for up to eight metrics, and never from the view of all points
_SOURCES = """
    with stamped as (
        select run_id, place, max(ts) as ts from wide group by run_id, place
    ), named as (
        select s.source, s.run_id, s.metric, s.points, w.ts
        from slots s left join stamped w on s.run_id = w.run_id and s.place = w.place
        union all
        select source, run_id, metric, count(*) as points, max(ts) as ts from long
        group by source, run_id, metric
        union all
        select source, run_id, metric, 0 as points, null as ts from keys where role = 'summary'
    )
    select source, count(distinct run_id) as runs, count(distinct metric) as metrics,
        sum(points)::bigint as points, max(ts) as newest
    from named group by source order by points desc, source
"""


def query(db: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any] = ()) -> pl.DataFrame:
    """Return a statement's rows; NULL stays null and NaN stays NaN."""
    columns: dict[str, npt.NDArray[Any]] = db.execute(sql, list(values)).fetchnumpy()
    return pl.DataFrame([_series(name, column) for name, column in columns.items()])


def _series(name: str, column: npt.NDArray[Any]) -> pl.Series:
    missing = np.ma.getmaskarray(column)
    data = np.ma.getdata(column)
    if data.dtype == object:
        values = [None if gone else item for item, gone in zip(data.tolist(), missing, strict=True)]
        return pl.Series(name, values, strict=False)
    series = pl.Series(name, data, nan_to_null=False)
    return series.set(pl.Series(missing), None) if missing.any() else series


def load(db: duckdb.DuckDBPyConnection, manifest: Manifest) -> Facts:
    """Return everything of the snapshot but its history."""
    return Facts(
        manifest=manifest,
        runs=_runs(db),
        catalog=_catalog(db),
        sources=query(db, _SOURCES),
        quarantine=query(
            db,
            "select file, line, at_byte, reason, bytes from quarantine"
            " order by file, at_byte, line, reason",
        ),
        disagreements=query(
            db,
            "select d.run_id, coalesce(r.name, d.run_id) as name, d.metric, d.source, d.other,"
            " d.points, d.largest from disagreements d left join runs r using (run_id)"
            " order by d.run_id, d.metric, d.source, d.other",
        ),
        resumed=_resumed(db),
    )


def _resumed(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = query(
        db,
        "select run_id, max(resume_step) as step from segments"
        " where resume_step > 0 group by run_id order by run_id",
    )
    return dict(rows.iter_rows())


def _catalog(db: duckdb.DuckDBPyConnection) -> dict[str, Metric]:
    rows = query(
        db,
        "select metric, unit, direction, family, coalesce(known, false) as known,"
        " coalesce(runs, 0) as runs, coalesce(points, 0) as points from metrics order by metric",
    )
    return {row[0]: Metric(*row) for row in rows.iter_rows()}


def _runs(db: duckdb.DuckDBPyConnection) -> tuple[Run, ...]:
    rows = query(
        db,
        "select run_id, coalesce(name, run_id) as name, stage, stage_reason, state,"
        " source_project, tags, era, parent_run_id, coalesce(points, 0) as points, first_step,"
        " last_step from runs order by run_id",
    ).to_dicts()
    parents = {row["run_id"]: row["parent_run_id"] for row in rows}
    nodes = lineage.trace(parents, {row["run_id"]: row["last_step"] for row in rows})
    names = {row["run_id"]: row["name"] for row in rows}

    def place(row: Mapping[str, Any]) -> tuple[Any, ...]:
        root = nodes[row["run_id"]].root
        stage = theme.stage_index(row["stage"])
        return (
            lineage.natural(names[root]),
            root,
            stage,
            lineage.natural(row["name"]),
            row["run_id"],
        )

    rows.sort(key=place)
    family = _Family(
        places={row["run_id"]: index for index, row in enumerate(rows)},
        nodes=nodes,
        parents=parents,
        names=names,
        config=_config(db),
    )
    return tuple(_run(row, family) for row in rows)


@dataclass(frozen=True, slots=True)
class _Family:
    """What every run needs to know of the others, by run id."""

    places: Mapping[str, int]
    nodes: Mapping[str, lineage.Node]
    parents: Mapping[str, str | None]
    names: Mapping[str, str]
    config: Mapping[str, Mapping[str, Value]]

    def config_of(self, run_id: str) -> tuple[dict[str, Value], dict[str, str]]:
        """Return a run's config with its parents' shape, and whose each inherited key is."""
        own = dict(self.config.get(run_id, {}))
        inherited: dict[str, str] = {}
        for ancestor in lineage.ancestors(run_id, self.parents):
            for key in lineage.MODEL_KEYS:
                value = self.config.get(ancestor, {}).get(key)
                if own.get(key) is None and value is not None:
                    own[key] = value
                    inherited[key] = self.names[ancestor]
        return own, inherited


def _run(row: Mapping[str, Any], family: _Family) -> Run:
    run_id = row["run_id"]
    node = family.nodes[run_id]
    config, inherited = family.config_of(run_id)
    parent = row["parent_run_id"]
    return Run(
        index=family.places[run_id],
        run_id=run_id,
        name=row["name"],
        stage=row["stage"] or "unknown",
        stage_reason=row["stage_reason"] or "",
        state=row["state"] or "unknown",
        source_project=row["source_project"],
        tags=tuple(json.loads(row["tags"] or "[]")),
        era=row["era"],
        parent=family.places.get(parent) if parent != run_id else None,
        parent_id=parent,
        root=node.root,
        generation=node.generation,
        offset=node.offset,
        points=row["points"],
        first_step=row["first_step"],
        last_step=row["last_step"],
        config=config,
        inherited=inherited,
    )


def _config(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Value]]:
    # "requested" sorts after "effective", so what a run resolved wins over what was asked
    rows = query(
        db, "select run_id, key, value, number from config order by run_id, key, kind desc"
    )
    config: dict[str, dict[str, Value]] = {}
    for run_id, key, value, number in rows.iter_rows():
        config.setdefault(run_id, {})[key] = _plain(value) if number is None else number
    return config


def _plain(value: str | None) -> str | None:
    return None if value is None else words.plain(value)
