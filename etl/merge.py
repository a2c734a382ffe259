"""Points of one run from every source -> one value for each (metric, step). Pure frames.

Of several values of one logical point the latest segment's stands, then that of the source with the
greatest precedence, then the one logged last. This is a maximum over rows, so merging in any order,
in any portions and any number of times gives the same history.

That is said in rows (``merge_rows``) for text and for few points, and once more in columns
(``_merge_blocks``) for the many: a metric that one block alone holds needs no merging, and those
that the same blocks hold are merged together, by their steps. A test holds both against each other.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from etl import blocks, printing
from etl.blocks import HISTORY, Block, History, no_rows
from etl.sources.frames import FEW, KEY
from etl.sources.reading import Piece
from etl.stitch import Segment

# Wider than any shortest-round-trip or float32 printing, narrower than any real difference.
TOLERANCE = 1e-6
_NEVER = datetime.min  # noqa: DTZ901  as the tables have times
_DIFFERING: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "step": pl.Int64(),
    "source": pl.String(),
    "other": pl.String(),
    "value": pl.Float64(),
    "other_value": pl.Float64(),
}


@dataclass(frozen=True, slots=True)
class Merged:
    """A run's history and what was decided against.

    ``differing`` has one row for each value that lost against a different one of another source.
    """

    history: History
    differing: pl.DataFrame


def of_piece(
    piece: Piece, segment: Segment | Sequence[Segment], metric_of: Callable[[str], str]
) -> History:
    """Return what one file gave as history, not merged yet.

    What comes of a file that shows no segments belongs to the last of those given that had begun.
    """
    wide = (
        [] if piece.rows is None else blocks.of_rows(piece.rows, piece.source, segment, metric_of)
    )
    return History(tuple(wide), from_points(piece.points, piece.source, segment, metric_of))


def from_points(
    points: pl.DataFrame,
    source: str,
    segment: Segment | Sequence[Segment],
    metric_of: Callable[[str], str],
) -> pl.DataFrame:
    """Return *points* of one file as history rows, each metric's in file order."""
    keys = points["key"].to_list() if points.height <= FEW else points["key"].unique().to_list()
    names = {key: metric_of(key) for key in dict.fromkeys(keys)}
    renamed = any(key != metric for key, metric in names.items())
    if len(set(names.values())) < len(names):  # two spellings of one metric, in an order of its own
        points = points.sort("key", maintain_order=True)
    if len(points) <= FEW and isinstance(segment, Segment):
        return _few_from_points(points, source, segment, [names[key] for key in points["key"]])
    return points.select(
        metric=pl.col("key").replace_strict(names, return_dtype=pl.String)
        if renamed
        else pl.col("key"),
        step=pl.col("step") + (segment.shift if isinstance(segment, Segment) else 0),
        value="value",
        text="text",
        ts=blocks.date("ts"),
        segment=blocks.index_of(segment),
        source=pl.lit(source),
    )


def _few_from_points(
    points: pl.DataFrame, source: str, segment: Segment, metrics: Sequence[str]
) -> pl.DataFrame:
    """Return few points as ``from_points`` does, without a query, which costs 0.1 ms."""
    ts = points["ts"]
    there = ts.null_count() < len(ts)
    columns = {
        "metric": metrics,
        "step": points["step"] + segment.shift if segment.shift else points["step"],
        "value": points["value"],
        "text": points["text"],
        "ts": points.select(ts=blocks.date("ts"))["ts"] if there else [None] * len(ts),
        "segment": [segment.index] * len(ts),
        "source": [source] * len(ts),
    }
    return pl.DataFrame(columns, schema=HISTORY)


def merge(
    existing: History,
    arriving: Sequence[History],
    segments: Sequence[Segment],
    precedence: Mapping[str, int],
    least: int = blocks.LEAST_ROWS,
) -> Merged:
    """Return *existing* history of a run with what *arriving* files hold merged in.

    *least* is how many points of a metric make a block.
    """
    cutoffs = {s.index: s.abandoned_from for s in segments if s.abandoned_from is not None}
    given = [existing, *arriving]
    # a metric is merged either in rows or in columns, whichever way each file gave it
    in_columns = {metric for part in given for block in part.blocks for metric in block.metrics}
    if not in_columns:
        long, differing = merge_rows([part.long for part in given], cutoffs, precedence)
        differing = printing.beyond(differing)
        few = long.height < least
        return Merged(History((), long) if few else blocks.canonical((), long, least), differing)
    texts = {m for part in given for m in _with_text(part.long)}
    rows, columns = [], []
    for part in given:
        many = pl.col("metric").is_in(sorted(in_columns - texts))
        numbers = blocks.of_long(part.long.filter(many)) if part.long.height else []
        long = part.long.filter(~many) if numbers else part.long
        melted = [b.only(own).long() for b in part.blocks if (own := _among(b, texts))]
        rows.append(pl.concat([long, *melted]) if melted else long)
        columns += [
            b.only(own) if len(own) < len(b.metrics) else b
            for b in (*part.blocks, *numbers)
            if (own := _beyond(b, texts))
        ]
    found, differing = _merge_blocks(columns, cutoffs, precedence)
    long, others = merge_rows(rows, cutoffs, precedence)
    differing = printing.beyond(pl.concat([differing, others]))
    return Merged(blocks.canonical(found, long, least), differing)


def _with_text(rows: pl.DataFrame) -> list[str]:
    text = rows.filter(pl.col("text").is_not_null()) if rows.height else rows
    return text["metric"].unique().to_list()


def _among(block: Block, metrics: set[str]) -> list[str]:
    return [metric for metric in block.metrics if metric in metrics] if metrics else []


def _beyond(block: Block, metrics: set[str]) -> list[str]:
    return [metric for metric in block.metrics if metric not in metrics]


def _merge_blocks(
    found: Sequence[Block], cutoffs: Mapping[int, int], precedence: Mapping[str, int]
) -> tuple[list[Block], pl.DataFrame]:
    """Return *found*, in order of arrival, with every (metric, step) once, and what differs."""
    holders: dict[str, list[int]] = defaultdict(list)
    for at, block in enumerate(found):
        for metric in block.metrics:
            holders[metric].append(at)
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for metric, places in holders.items():
        alike[tuple(places)].append(metric)
    result: list[Block] = []
    differing = [_no_differing()]
    for together, metrics in alike.items():
        stated: dict[tuple[int, int, str], list[pl.DataFrame]] = defaultdict(list)
        for at in together:
            block = found[at].only(metrics) if len(found[at].metrics) > len(metrics) else found[at]
            frame, cutoff = block.frame, cutoffs.get(block.segment)
            if cutoff is not None:
                frame = frame.filter(pl.col("step") < cutoff)
            stated[block.segment, precedence[block.source], block.source].append(frame)
        whole = {place: _stated(frames) for place, frames in stated.items()}
        kept, lost = _standing(whole)
        result += [block for block in kept if block.frame.height]
        differing += lost
    return result, pl.concat(differing)


def _stated(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return what one source says of one segment in the end, of files in order of arrival."""
    if len(frames) == 1:
        return frames[0]
    columns = frames[0].columns
    return blocks.once(pl.concat([frame.select(columns) for frame in frames]))


def _standing(
    whole: Mapping[tuple[int, int, str], pl.DataFrame],
) -> tuple[list[Block], list[pl.DataFrame]]:
    """Return what stands of each (segment, rank, source), and what others of its segment say."""
    kept: list[Block] = []
    differing: list[pl.DataFrame] = []
    taken: list[np.ndarray] = []
    for (segment, _, source), frame in sorted(whole.items(), key=lambda i: i[0], reverse=True):
        steps = frame["step"].to_numpy()
        differing += [_differing(b, source, frame) for b in kept if b.segment == segment]
        if any(np.array_equal(steps, known) for known in taken):
            continue
        free = frame.filter(~np.isin(steps, np.concatenate(taken))) if taken else frame
        taken.append(steps)
        kept.append(Block(segment, source, free))
    return kept, differing


def _differing(kept: Block, other: str, theirs: pl.DataFrame) -> pl.DataFrame:
    """Return where *theirs*, what source *other* says, is not what was *kept*."""
    ours = kept.frame
    if not np.array_equal(ours["step"].to_numpy(), theirs["step"].to_numpy()):
        a, b = ours["step"].to_numpy(), theirs["step"].to_numpy()
        _, mine, its = np.intersect1d(a, b, assume_unique=True, return_indices=True)
        ours, theirs = ours[mine], theirs[its]
    frames = [_no_differing()]
    for metric in kept.metrics:
        a, b = ours[KEY + metric].to_numpy(), theirs[KEY + metric].to_numpy()
        if a.tobytes() == b.tobytes() if len(a) < 4096 else np.array_equal(a, b):
            continue
        with np.errstate(all="ignore"):
            near = np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), np.abs(b))
            near &= np.isfinite(a) & np.isfinite(b)
        odd = np.flatnonzero(~((a == b) | near | (np.isnan(a) & np.isnan(b))))
        if len(odd):
            frames.append(
                pl.DataFrame(
                    {
                        "metric": [metric] * len(odd),
                        "step": ours["step"].to_numpy()[odd],
                        "source": [kept.source] * len(odd),
                        "other": [other] * len(odd),
                        "value": a[odd],
                        "other_value": b[odd],
                    },
                    schema=_DIFFERING,
                )
            )
    return pl.concat(frames)


def merge_rows(
    arriving: Iterable[pl.DataFrame], cutoffs: Mapping[int, int], precedence: Mapping[str, int]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return history rows, each (metric, step) once, sorted by it, and what differs."""
    frames = [frame for frame in arriving if frame.height]
    if not frames:
        return no_rows(), _no_differing()
    if len(frames) == 1 and not cutoffs and frames[0].height <= FEW:
        return _merge_few(frames[0]), _no_differing()
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
    keys = ["name", "step", "segment", "rank", "ts", "arrival"]
    rows = rows.with_columns(rank=rank, name=order)
    rows = rows.sort(keys, maintain_order=True, nulls_last=False)
    last = (pl.col("name") != pl.col("name").shift(-1)) | (
        pl.col("step") != pl.col("step").shift(-1)
    )
    history = rows.filter(last.fill_null(value=True))
    differing = _losers(rows, history) if len(frames) > 1 else _no_differing()
    return history.select(list(HISTORY)), differing


def _merge_few(rows: pl.DataFrame) -> pl.DataFrame:
    """Return as ``merge_rows`` does the few rows of one file."""
    columns = (rows[name].to_list() for name in ("metric", "step", "segment", "ts"))
    places = [
        (metric, step, segment, ts is not None, ts or _NEVER, at)
        for at, (metric, step, segment, ts) in enumerate(zip(*columns, strict=True))
    ]
    last = {place[:2]: place[-1] for place in sorted(places)}
    order = list(last.values())
    return rows if order == list(range(rows.height)) else rows[order]


@functools.cache
def _no_differing() -> pl.DataFrame:
    return pl.DataFrame(schema=_DIFFERING)


def _losers(rows: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """Return the values of *rows* that another source's, of the same segment, contradicts."""
    kept = history.select("metric", "step", "segment", "source", "value")
    place = ["metric", "step", "segment", "source"]
    # what each source says in the end
    stated = rows.unique(place, keep="last", maintain_order=True)
    pairs = stated.select("metric", "step", "segment", other="source", other_value="value").join(
        kept, on=["metric", "step", "segment"]
    )
    a, b = pl.col("value"), pl.col("other_value")
    near = (a - b).abs() <= TOLERANCE * pl.max_horizontal(a.abs(), b.abs())
    same = (a == b) | (near & a.is_finite() & b.is_finite())
    return (
        pairs.filter((pl.col("source") != pl.col("other")) & ~same.fill_null(value=False))
        .filter(a.is_not_null() | b.is_not_null())
        .unique(["metric", "step", "source", "other"], keep="last", maintain_order=True)
        .select(list(_DIFFERING))
    )
