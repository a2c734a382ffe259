"""How coarsely a source prints numbers -> which differences from it are real ones.

A console log has a loss in six decimals and an accuracy in hundredths of a percent: its value is
that of a better source, rounded, and no contradiction. Figures: karpathy/nanochat's scripts.
"""

from __future__ import annotations

import polars as pl

_DEFAULT = ""
# Half of the last digit that is printed (of throughput, which is cut and not rounded, a whole one).
_HALF_UNITS: dict[str, dict[str, float]] = {
    "nanochat-console": {
        _DEFAULT: 5e-5,
        "train/loss": 5e-7,
        "train/lrm": 5e-3,
        "train/mfu": 5e-3,
        "train/dt": 5e-6,
        "train/tok_per_sec": 1.0,
        "total_training_time": 0.3,
    },
    "nanochat-report": {_DEFAULT: 5e-5, "train/mfu": 5e-3, "total_training_time": 0.3},
    "modded-nanogpt-log": {_DEFAULT: 5e-5},
}
_SLACK = 1.001  # what is half a unit in decimal is not quite that in binary


def beyond(differing: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of *differing* (metric, source, other, two values) beyond rounding."""
    if not differing.height:
        return differing
    allowed = pl.max_horizontal(*(_half_unit(name) for name in ("source", "other")))
    near = (pl.col("value") - pl.col("other_value")).abs() <= allowed * _SLACK
    return differing.filter(~near.fill_null(value=False))


def _half_unit(column: str) -> pl.Expr:
    found = pl.lit(0.0)
    for kind, units in sorted(_HALF_UNITS.items()):
        default = units[_DEFAULT]
        unit = pl.col("metric").replace_strict(units, default=default, return_dtype=pl.Float64)
        found = pl.when(pl.col(column) == kind).then(unit).otherwise(found)
    return found
