"""Points of one run from every source -> one value for each (metric, step). Pure frames.

Of several values of one logical point the latest segment's stands, then that of the source with the
greatest precedence, then the one logged last. This is a maximum over rows, so merging in any order,
in any portions and any number of times gives the same history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from etl.stitch import Segment

_TYPES: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "step": pl.Int64(),
    "value": pl.Float64(),
    "text": pl.String(),
    "ts": pl.Datetime("us"),
    "segment": pl.Int32(),
    "source": pl.String(),
}
HISTORY = pl.Schema(_TYPES)

# Wider than any shortest-round-trip or float32 printing, narrower than any real difference.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Merged:
    """A run's history and what was decided against.

    ``history`` has the columns of HISTORY, sorted by (metric, step); ``differing`` has one row for
    each value that lost against a different one of another source.
    """

    history: pl.DataFrame
    differing: pl.DataFrame
    new_points: int


def from_points(
    points: pl.DataFrame,
    source: str,
    segment: Segment | Sequence[Segment],
    metric_of: Callable[[str], str],
) -> pl.DataFrame:
    """Return *points* of one file as history rows, each metric's in file order.

    The points of a file that shows no segments belong to the last of those given that had begun.
    """
    names = {key: metric_of(key) for key in points["key"].unique().to_list()}
    if len(set(names.values())) < len(names):  # two spellings of one metric, in an order of its own
        points = points.sort("key", maintain_order=True)
    return points.select(
        metric=pl.col("key").replace_strict(names, return_dtype=pl.String)
        if names
        else pl.col("key"),
        step=pl.col("step") + (segment.shift if isinstance(segment, Segment) else 0),
        value="value",
        text="text",
        ts=date("ts"),
        segment=index_of(segment),
        source=pl.lit(source),
    )


def date(column: str) -> pl.Expr:
    """Return seconds since the epoch as a time; a clock that cannot be a date is no date."""
    seconds = pl.col(column)
    micros = pl.when(seconds.is_between(0.0, 2.0**33)).then((seconds * 1e6).round())
    return micros.cast(pl.Int64).cast(pl.Datetime("us"))


def index_of(segment: Segment | Sequence[Segment]) -> pl.Expr:
    """Return the number of the segment that a row belongs to, by its step where there are many."""
    if isinstance(segment, Segment):
        return pl.lit(segment.index, dtype=pl.Int32)
    own = [s for s in segment if s.rank == min(s.rank for s in segment)]
    found = pl.lit(own[0].index, dtype=pl.Int32)
    for later in own[1:]:
        began = later.first_step if later.resume_step is None else later.resume_step
        if began is not None:
            index = pl.lit(later.index, dtype=pl.Int32)
            found = pl.when(pl.col("step") >= began).then(index).otherwise(found)
    return found


def merge(
    existing: pl.DataFrame,
    arriving: Sequence[pl.DataFrame],
    segments: Sequence[Segment],
    precedence: Mapping[str, int],
) -> Merged:
    """Return *existing* history of a run with the *arriving* rows of its files merged in."""
    cutoffs = {s.index: s.abandoned_from for s in segments if s.abandoned_from is not None}
    frames = [frame for frame in (existing, *arriving) if frame.height]
    if not frames:
        return Merged(pl.DataFrame(schema=HISTORY), _differing(), 0)
    rows = pl.concat(
        [frame.with_columns(arrival=pl.lit(at, dtype=pl.Int32)) for at, frame in enumerate(frames)]
    )
    if cutoffs:
        cutoff = pl.col("segment").replace_strict(cutoffs, default=None, return_dtype=pl.Int64)
        rows = rows.filter(cutoff.is_null() | (pl.col("step") < cutoff))
    # sorting numbers instead of texts takes half the time
    names = sorted(rows["metric"].unique().to_list())
    order = pl.col("metric").replace_strict(names, range(len(names)), return_dtype=pl.UInt32)
    rank = pl.col("source").replace_strict(dict(precedence), return_dtype=pl.Int32)
    # by time before by place in the file, as a file may have arrived in portions
    keys = ["name", "step", "ts"]
    if len(frames) > 1:
        rows = rows.with_columns(rank=rank)
        keys = ["name", "step", "segment", "rank", "ts", "arrival"]
    rows = rows.with_columns(name=order).sort(keys, maintain_order=True, nulls_last=False)
    last = (pl.col("name") != pl.col("name").shift(-1)) | (
        pl.col("step") != pl.col("step").shift(-1)
    )
    history = rows.filter(last.fill_null(value=True))
    differing = _losers(rows, history) if len(frames) > 1 else _differing()
    history = history.select(list(HISTORY))
    fresh = (
        history.join(existing, on=["metric", "step"], how="anti") if existing.height else history
    )
    return Merged(history, differing, fresh.height)


def _differing() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "metric": pl.String,
            "step": pl.Int64,
            "source": pl.String,
            "other": pl.String,
            "value": pl.Float64,
            "other_value": pl.Float64,
        }
    )


def _losers(rows: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """Return the values of *rows* that another source's, of the same segment, contradicts."""
    kept = history.select("metric", "step", "segment", "source", "value")
    place = ["metric", "step", "segment", "source"]
    stated = rows.unique(
        place, keep="last", maintain_order=True
    )  # what each source says in the end
    pairs = stated.select("metric", "step", "segment", other="source", other_value="value").join(
        kept, on=["metric", "step", "segment"]
    )
    a, b = pl.col("value"), pl.col("other_value")
    same = (a == b) | ((a - b).abs() <= TOLERANCE * pl.max_horizontal(a.abs(), b.abs()))
    return (
        pairs.filter((pl.col("source") != pl.col("other")) & ~same.fill_null(value=False))
        .filter(a.is_not_null() | b.is_not_null())
        .unique(["metric", "step", "source", "other"], keep="last", maintain_order=True)
        .select(list(_differing().columns))
    )
