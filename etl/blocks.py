"""Points of one run <-> blocks: metrics that were logged at the same steps, beside each other.

Within a block every value is there and every step is once, so that what is true of a row is true of
each of its points, and work on points is work on columns. Pure frames.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.sources.frames import FEW, KEY
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
Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
AXES = ("step", "ts")

# Below this many points of a metric a row for each costs no more than a block's entries.
LEAST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Block:
    """Values of one segment and source.

    ``frame`` has step, ascending and unique, ts, and a Float64 column ``=metric`` without NULL for
    each metric.
    """

    segment: int
    source: str
    frame: pl.DataFrame

    @property
    def metrics(self) -> list[str]:
        """The metrics, in the order of their columns."""
        return [name.removeprefix(KEY) for name in self.frame.columns[len(AXES) :]]

    def only(self, metrics: Iterable[str]) -> Block:
        """Return the block of *metrics* alone."""
        names = [KEY + metric for metric in metrics]
        return Block(self.segment, self.source, self.frame.select(*AXES, *names))

    def long(self) -> pl.DataFrame:
        """Return a row for each point, with the columns of HISTORY."""
        frames = [
            self.frame.select(
                metric=pl.lit(metric),
                step="step",
                value=KEY + metric,
                text=pl.lit(None, dtype=pl.String),
                ts="ts",
                segment=pl.lit(self.segment, dtype=pl.Int32),
                source=pl.lit(self.source),
            )
            for metric in self.metrics
        ]
        return pl.concat([no_rows(), *frames])


@dataclass(frozen=True, slots=True)
class History:
    """A run's points, each once: those in ``blocks``, and in ``long`` (HISTORY) the others."""

    blocks: tuple[Block, ...]
    long: pl.DataFrame

    @property
    def points(self) -> int:
        """How many points there are."""
        wide = sum(block.frame.height * len(block.metrics) for block in self.blocks)
        return wide + self.long.height

    @property
    def steps(self) -> tuple[int | None, int | None]:
        """The first and the last step."""
        columns = [self.long["step"], *(block.frame["step"] for block in self.blocks)]
        ends = [(s.min(), s.max()) for s in columns if len(s)]
        least = min((low for low, _ in ends if isinstance(low, int)), default=None)
        return least, max((high for _, high in ends if isinstance(high, int)), default=None)

    def counts(self, column: str) -> dict[str | int, int]:
        """Return how many points there are of each metric, segment or source."""
        found: dict[str | int, int] = defaultdict(int)
        if self.long.height <= FEW:
            found.update(Counter(self.long[column].to_list()))
        else:
            found.update(self.long.group_by(column).len().iter_rows())
        for block in self.blocks:
            if column == "metric":
                for metric in block.metrics:
                    found[metric] += block.frame.height
            else:
                found[getattr(block, column)] += block.frame.height * len(block.metrics)
        return {value: found[value] for value in sorted(found)}

    def numbers(self) -> Iterator[tuple[str, Steps, Values]]:
        """Yield (metric, steps, values) of all numbers, by metric and then by step."""
        found: dict[str, list[tuple[Steps, Values]]] = defaultdict(list)
        for block in self.blocks:
            steps, *columns = (block.frame[name].to_numpy() for name in _but_ts(block.frame))
            for metric, values in zip(block.metrics, columns, strict=True):
                found[metric].append((steps, values))
        for metric, steps, values in _numbers(self.long):
            found[metric].append((steps, values))
        for metric in sorted(found):
            steps, values = map(np.concatenate, zip(*found[metric], strict=True))
            order = np.argsort(steps) if len(found[metric]) > 1 else slice(None)
            yield metric, steps[order], values[order]

    def melted(self) -> pl.DataFrame:
        """Return all points as rows (HISTORY), sorted by (metric, step)."""
        frames = [self.long, *(block.long() for block in self.blocks)]
        return pl.concat(frames).sort("metric", "step")

    def of(self, metrics: Sequence[str]) -> pl.DataFrame:
        """Return the points of *metrics* as rows (HISTORY)."""
        some = [block.only(m for m in block.metrics if m in metrics) for block in self.blocks]
        rows = self.long.filter(pl.col("metric").is_in(metrics))
        return pl.concat([rows, *(block.long() for block in some)])


def _numbers(long: pl.DataFrame) -> Iterator[tuple[str, Steps, Values]]:
    """Yield (metric, steps, values) of the numbers of history rows, in their order."""
    if long.height > FEW:
        numbers = long.filter(pl.col("value").is_not_null())
        for (metric,), rows in numbers.group_by("metric", maintain_order=True):
            yield str(metric), rows["step"].to_numpy(), rows["value"].to_numpy()
        return
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    columns = (long[name].to_list() for name in ("metric", "step", "value"))
    for metric, step, value in zip(*columns, strict=True):
        if value is not None:
            found[metric].append((step, value))
    for metric, points in found.items():
        steps, values = zip(*points, strict=True)
        yield metric, np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64)


def _but_ts(frame: pl.DataFrame) -> list[str]:
    return ["step", *frame.columns[len(AXES) :]]


@functools.cache
def no_rows() -> pl.DataFrame:
    """Return a frame of history without rows."""
    return pl.DataFrame(schema=HISTORY)


NOTHING = History((), no_rows())


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


def of_rows(
    rows: pl.DataFrame,
    source: str,
    segment: Segment | Sequence[Segment],
    metric_of: Callable[[str], str],
) -> list[Block]:
    """Return the blocks of one file's *rows* (``Part.rows``), of each step what came last.

    Two spellings of one metric come in blocks after each other, in an order of their own.
    """
    shift = segment.shift if isinstance(segment, Segment) else 0
    axes = rows.select(pl.col("step") + shift, ts=date("ts"))
    times: dict[str, int] = defaultdict(int)  # by metric: how many spellings of it were before
    groups: dict[tuple[int, bytes], list[pl.Series]] = defaultdict(list)
    for name in sorted(rows.columns[len(AXES) :]):
        column = rows[name]
        if column.null_count() == len(column):
            continue
        metric = metric_of(name.removeprefix(KEY))
        where = (
            np.packbits(column.is_not_null().to_numpy()).tobytes() if column.has_nulls() else b""
        )
        groups[times[metric], where].append(column.alias(KEY + metric))
        times[metric] += 1
    found = []
    for (_, where), columns in sorted(groups.items(), key=lambda item: item[0][0]):
        frame = axes.hstack(columns)
        if where:
            frame = frame.filter(columns[0].is_not_null())
        frame = once(frame)
        if isinstance(segment, Segment):
            found.append(Block(segment.index, source, frame))
        else:
            numbered = frame.with_columns(index_of(segment).alias("segment"))
            for (index,), part in numbered.group_by("segment", maintain_order=True):
                found.append(Block(int(str(index)), source, part.drop("segment")))
    return found


def once(frame: pl.DataFrame) -> pl.DataFrame:
    """Return *frame* by step, and of the rows of one step the last by time, then by place."""
    steps = frame["step"].to_numpy()
    if bool((steps[1:] > steps[:-1]).all()):
        return frame
    order = frame.select(*AXES, row=pl.int_range(pl.len()))
    order = order.sort(AXES, maintain_order=True, nulls_last=False)
    return frame[order.unique("step", keep="last", maintain_order=True)["row"]]


def of_long(rows: pl.DataFrame) -> list[Block]:
    """Return history rows that all are numbers as blocks, of metrics with the same axes one.

    By one query: to ask something of each of 22 metrics took 10 ms of a tail of 100 rows.
    """
    trail = ["metric", "segment", "source"]
    trails = rows.group_by(trail, maintain_order=True).agg(*AXES, "value")
    same: dict[tuple[int, str, bytes], list[pl.Series]] = {}
    for metric, segment, source, step, ts, value in zip(*trails.get_columns(), strict=True):
        axes = [step.alias("step"), ts.alias("ts")]
        at = segment, source, _place(step, ts)
        same.setdefault(at, axes).append(value.alias(KEY + metric))
    return [
        Block(segment, source, once(pl.DataFrame(found)))
        for (segment, source, *_), found in same.items()
    ]


def canonical(blocks: Sequence[Block], long: pl.DataFrame, least: int = LEAST_ROWS) -> History:
    """Return the same points in the one form that they have, however they came.

    What one metric has of one segment and source is in a block if it is *least* numbers or more
    and no text; all metrics with the same segment, source, steps and times are in the same block.
    """
    wide = [block for block in blocks if block.frame.height >= least]
    rest = pl.concat([long, *(b.long() for b in blocks if b.frame.height < least)])
    if rest.height >= least:
        trail = ["metric", "segment", "source"]
        fits = (pl.len().over(trail) >= least) & pl.col("text").is_null().all().over(trail)
        rest = rest.with_columns(fits=fits)
        wide += of_long(rest.filter("fits").drop("fits"))
        rest = rest.filter(~pl.col("fits")).drop("fits")
    return History(tuple(joined(wide)), rest.sort("metric", "step"))


def joined(blocks: Iterable[Block]) -> list[Block]:
    """Return *blocks* with those of the same axes as one, all sorted."""
    alike: dict[tuple[int, str, int], list[Block]] = defaultdict(list)
    for block in blocks:
        alike[block.segment, block.source, block.frame.height].append(block)
    found = []
    for (segment, source, _), some in alike.items():
        same: dict[bytes, list[pl.Series]] = defaultdict(list)
        axes: dict[bytes, pl.DataFrame] = {}
        for block in some:
            frame = block.frame
            place = b"" if len(some) == 1 else _place(frame["step"], frame["ts"])
            if place not in axes:
                axes[place] = frame.select(AXES)
            same[place] += frame.get_columns()[len(AXES) :]
        for place, columns in same.items():
            frame = axes[place].hstack(sorted(columns, key=lambda column: column.name))
            found.append(Block(segment, source, frame))
    return sorted(found, key=lambda b: (b.segment, b.source, b.frame.columns[len(AXES)]))


def _place(step: pl.Series, ts: pl.Series) -> bytes:
    """Return what two blocks with the same steps and times have alike."""
    times = ts.to_physical()
    if times.has_nulls():
        times = times.fill_null(np.iinfo(np.int64).min)
    return step.to_numpy().tobytes() + times.to_numpy().tobytes()


def added(after: History, before: History) -> int:
    """Return how many (metric, step) of *after* are not in *before*."""
    if not before.points:
        return after.points
    steps: dict[str, list[int]] = defaultdict(list)
    for at, block in enumerate(before.blocks):
        for metric in block.metrics:
            steps[metric].append(at)
    few = {str(m): rows["step"] for (m,), rows in before.long.group_by("metric")}
    count = 0
    for block in after.blocks:
        alike: dict[tuple[tuple[int, ...], str | None], int] = defaultdict(int)
        for metric in block.metrics:
            alike[tuple(steps[metric]), metric if metric in few else None] += 1
        for (places, name), metrics in alike.items():
            known = [before.blocks[at].frame["step"] for at in places]
            known += [few[name]] if name is not None else []
            old = np.isin(block.frame["step"].to_numpy(), np.concatenate(known)) if known else None
            count += metrics * (block.frame.height - (0 if old is None else int(old.sum())))
    texts = [block.only(set(block.metrics) & set(after.long["metric"])) for block in before.blocks]
    place = ["metric", "step"]
    there = pl.concat([before.long, *(block.long() for block in texts)])
    return count + after.long.join(there, on=place, how="anti").height
