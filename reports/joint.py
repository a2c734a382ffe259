"""Several metrics of all runs -> one table of rows, each placed on four x axes.

    found = joint(db, facts, ["train/loss", "val/bpb"])
    found.frame     run, step, tokens, flops, time, "train/loss", "val/bpb"    by run and step

A row is one step of one run at which a drawn metric was measured. A metric's column has a number
where it was measured, NaN where it was not measured at that step, and infinity where it was
measured and is NaN or infinite: there its line ends, and a NaN is passed over.

``step`` is the run's own. ``tokens``, ``flops`` (floating point operations) and ``time`` (seconds)
are so far, NaN where the run does not say: a counter that it logged, on a straight line between
two of its values and never beyond them; tokens else as steps times the effective batch size; time
else since the first record. ``clocks`` says for each axis and run which of these it is.

Above a budget the rows are thinned as ``reports.thinning`` says. ``telemetry`` does the same with
what was measured of the machine, by time instead of step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from reports.load import Facts, Value, query
from reports.thinning import HISTORY, TELEMETRY, Points, widths

ROWS = 60_000
AXES = ("step", "tokens", "flops", "time")
# Counters that runs log of what they have used so far, by axis, the preferred one first.
COUNTERS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("total_tokens", "num_input_tokens_seen"),
    "flops": ("total_training_flops", "total_flos"),
    "time": ("total_training_time",),
}
TOKENS_A_STEP = "total_batch_size"
ELAPSED = "time since the first record"


@dataclass(frozen=True, slots=True)
class Joint:
    """The rows, and how many points were logged; by axis and run where its values come from."""

    frame: pl.DataFrame
    metrics: tuple[str, ...]
    logged: Mapping[str, Mapping[int, int]]  # metric -> run -> points
    clocks: Mapping[str, Mapping[int, str]]  # axis -> run -> a counter, or what stands for it
    thinned: bool

    @property
    def drawn(self) -> dict[str, int]:
        """How many points of each metric the frame holds."""
        return {metric: int(self.frame[metric].is_not_nan().sum()) for metric in self.metrics}


def joint(
    db: duckdb.DuckDBPyConnection, facts: Facts, metrics: Sequence[str], budget: int = ROWS
) -> Joint:
    """Return the rows of *metrics* by step, about *budget* of them at most."""
    counters = [name for names in COUNTERS.values() for name in names if name in facts.catalog]
    points = Points(db, facts, HISTORY, [*dict.fromkeys([*metrics, *counters])])
    every, spans = points.counted()
    logged = {metric: every[metric] for metric in metrics}
    wide = widths(spans, logged, budget)
    rows = points.thinned(spans, wide).rename({"x": "step"})
    frame, clocks = _with_axes(rows, facts, first_records(db))
    thinned = any(width > 1 for width in wide.values())
    return Joint(_measured(frame, AXES, metrics), tuple(metrics), logged, clocks, thinned)


def telemetry(
    db: duckdb.DuckDBPyConnection, facts: Facts, metrics: Sequence[str], budget: int = ROWS
) -> Joint:
    """Return the rows of machine *metrics*, whose only axis is ``time`` in seconds.

    It counts from the run's first step, so it may be negative, else from the first of these rows.
    """
    points = Points(db, facts, TELEMETRY, metrics)
    logged, spans = points.counted()
    wide = widths(spans, logged, budget)
    rows = points.thinned(spans, wide)
    starts = first_records(db)
    zeros = pl.DataFrame(
        {"run": range(len(facts.runs)), "zero": [starts.get(run.run_id) for run in facts.runs]},
        schema={"run": pl.Int64, "zero": pl.Float64},
    )
    zero = pl.coalesce("zero", pl.col("ts").min().over("run"))
    frame = rows.join(zeros, on="run", how="left", maintain_order="left").with_columns(
        (pl.col("ts") - zero).alias("time")
    )
    clocks = {"time": dict.fromkeys(sorted(spans), ELAPSED)}
    thinned = any(width > 1 for width in wide.values())
    return Joint(_measured(frame, ("time",), metrics), tuple(metrics), logged, clocks, thinned)


def _measured(frame: pl.DataFrame, axes: Sequence[str], metrics: Sequence[str]) -> pl.DataFrame:
    """Return the rows at which one of *metrics* was measured; a counter alone draws nothing."""
    there = pl.any_horizontal([pl.lit(value=False), *(pl.col(m).is_not_nan() for m in metrics)])
    return frame.filter(there).select("run", *axes, *metrics)


def first_records(db: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Return by run when its first step was logged, in seconds of the epoch."""
    rows = query(
        db,
        "select h.run_id, min(epoch_us(h.ts)) / 1e6 as ts from history h join runs r"
        " on h.run_id = r.run_id and h.step = r.first_step where h.ts is not null"
        " group by h.run_id order by h.run_id",
    )
    return dict(rows.iter_rows())


def _with_axes(
    frame: pl.DataFrame, facts: Facts, starts: Mapping[str, float]
) -> tuple[pl.DataFrame, dict[str, dict[int, str]]]:
    """Return the rows with tokens, flops and time, and where each run's come from."""
    clocks: dict[str, dict[int, str]] = {axis: {} for axis in COUNTERS}
    columns = {axis: np.full(frame.height, np.nan) for axis in COUNTERS}
    runs, steps = frame["run"].to_numpy(), frame["step"].to_numpy().astype(np.float64)
    first = np.flatnonzero(np.diff(runs, prepend=-1))
    for at, end in zip(first, np.append(first[1:], frame.height), strict=False):
        run = facts.runs[int(runs[at])]
        rows = frame[int(at) : int(end)]
        for axis, names in COUNTERS.items():
            values, source = _counted(rows, steps[at:end], names)
            if source is None and axis == "tokens":
                values, source = _trained_on(steps[at:end], run.config.get(TOKENS_A_STEP))
            if source is None and axis == "time":
                values, source = _elapsed(rows["ts"], starts.get(run.run_id))
            if source is not None:
                columns[axis][at:end] = values
                clocks[axis][run.index] = source
    return frame.with_columns(pl.Series(axis, of) for axis, of in columns.items()), clocks


_Axis = tuple[npt.NDArray[np.float64], str | None]  # its values, and where they come from


def _counted(rows: pl.DataFrame, steps: npt.NDArray[np.float64], names: Sequence[str]) -> _Axis:
    """Return a logged counter at *steps*, between two of its values on a straight line."""
    for name in names:
        values = rows[name].to_numpy() if name in rows.columns else np.empty(0)
        known = np.isfinite(values)
        if known.any():
            at = np.interp(steps, steps[known], values[known], left=np.nan, right=np.nan)
            return at, name
    return steps, None


def _trained_on(steps: npt.NDArray[np.float64], each: Value) -> _Axis:
    # nanochat's configs say -1 for "to be found out"
    if isinstance(each, float) and 0 < each < math.inf:
        return steps * each, f"steps × {TOKENS_A_STEP}"
    return steps, None


def _elapsed(ts: pl.Series, start: float | None) -> _Axis:
    values = ts.fill_null(math.nan).to_numpy()
    if start is None or np.isnan(values).all():
        return values, None
    return values - start, ELAPSED
