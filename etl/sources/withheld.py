"""Points of a part whose values are texts -> the same without what is private."""

from __future__ import annotations

import dataclasses

import polars as pl

from etl.sources import private
from etl.sources.frames import KEY
from etl.sources.reading import Part


def from_texts(part: Part) -> Part:
    """Return *part* without texts under private keys; secrets and homes in others are left out."""
    points, rows = part.points, part.rows
    if points["text"].null_count() < points.height:
        points = _points(points)
    texts = [c.name for c in rows.get_columns() if c.dtype == pl.String] if rows is not None else []
    if rows is not None and texts:
        gone = [name for name in texts if private.is_private(name.removeprefix(KEY))]
        kept = [_column(rows[name], name.removeprefix(KEY)) for name in texts if name not in gone]
        rows = rows.drop(gone).with_columns(kept)
    return _named(dataclasses.replace(part, points=points, rows=rows))


def _named(part: Part) -> Part:
    """Return *part* with its keys as they may be called."""
    measured = part.telemetry["key"].unique().to_list() if part.telemetry is not None else []
    names = {key: now for key in (*part.facts.keys, *measured) if (now := private.name(key)) != key}
    if not names:
        return part
    columns = {KEY + key: KEY + now for key, now in names.items()}
    called = pl.col("key").replace(names)
    telemetry = None if part.telemetry is None else part.telemetry.with_columns(called)
    rows = None if part.rows is None else part.rows.rename(columns, strict=False)
    points = part.points.with_columns(called)
    return dataclasses.replace(part, points=points, telemetry=telemetry, rows=rows)


def _points(points: pl.DataFrame) -> pl.DataFrame:
    texts = points.filter(pl.col("text").is_not_null())
    odd = texts.filter(pl.col("text").str.contains(private.MAY)).select("key", "text").unique()
    hidden = [key for key in texts["key"].unique().to_list() if private.is_private(key)]
    if hidden:
        points = points.filter(~pl.col("key").is_in(hidden) | pl.col("text").is_null())
    changed = [
        (key, text, now)
        for key, text in odd.iter_rows()
        if (now := private.text(text, key)) != text
    ]
    if not changed:
        return points
    schema = {"key": pl.String, "text": pl.String, "now": pl.String}
    instead = pl.DataFrame(changed, schema=schema, orient="row")
    joined = points.join(instead, on=["key", "text"], how="left", maintain_order="left")
    return joined.with_columns(text=pl.coalesce("now", "text")).drop("now")


def _column(texts: pl.Series, key: str) -> pl.Series:
    odd = texts.filter(texts.str.contains(private.MAY).fill_null(value=False)).unique().to_list()
    public = {text: private.text(text, key) for text in odd}
    return texts.replace(public) if public else texts
