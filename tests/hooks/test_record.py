"""The line grammar: strict, flat, lossless."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import uuid

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks import record

SCALARS = st.one_of(
    st.floats(), st.integers(-(2**53), 2**53), st.booleans(), st.text(max_size=20), st.none()
)
METRICS = st.dictionaries(st.text(max_size=20), SCALARS, max_size=8)


class Colour(enum.Enum):
    RED = 1.5


class Level(enum.IntEnum):
    HIGH = 3


class Share(float):
    """What numpy's float64 is as well: a float of another make."""


@dataclasses.dataclass
class Point:
    x: float = 1.0


ODD = st.sampled_from(
    (
        *(Colour.RED, Level.HIGH, Share(0.5), Share("nan"), Point(), uuid.UUID(int=5), 1j),
        *(b"bytes", dt.date(2026, 1, 1), 2**64, -(2**63), 10**400, 1e308),
        *("null", "_x", "é", "\ud800"),
    )
)
VALUES = st.one_of(
    SCALARS,
    ODD,
    st.lists(st.one_of(SCALARS, ODD), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(SCALARS, ODD), max_size=3),
)
NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["step", "_ts", "_kind", "_", "train/loss", "a_b", "null", "_=step"]),
    st.integers(0, 3),
)
ROWS = st.dictionaries(NAMES, VALUES, max_size=8)


def _back(value):
    """What a reader makes of a decoded value: the words for NaN are numbers again."""
    return record.number(value) if value in ("NaN", "Infinity", "-Infinity") else value


@given(METRICS, st.integers(0, 2**53), st.floats(0, 2**33))
def test_a_history_line_comes_back_as_it_was_logged(metrics, step, ts):
    """decode(encode(row)) is the row, whatever its keys and values."""
    line, left_out = record.encode_history(step, ts, metrics)
    found = record.decode(line)

    assert left_out == []
    assert found.pop("step") == step
    assert abs(found.pop("_ts") - ts) < 1e-5
    back = {record.unescape(key): _back(value) for key, value in found.items()}
    assert back.keys() == metrics.keys()
    for key, value in metrics.items():
        same = back[key] == value or (isinstance(value, float) and math.isnan(value))
        assert same or value in ("NaN", "Infinity", "-Infinity")


@given(METRICS)
def test_every_line_is_strict_json_in_ascii_on_one_line(metrics):
    """A strict parser of another make reads it, and no cut can split a character."""
    line, _ = record.encode_history(1, 1.0, metrics)

    assert line.isascii()
    assert line.count(b"\n") == 1
    text = line.decode("ascii")
    if "\\ud8" not in text.lower() and "\\ud" not in text.lower():  # orjson refuses lone surrogates
        assert orjson.loads(line)["step"] == 1


def test_nested_metrics_are_flattened_as_wandb_flattens_them():
    line, _ = record.encode_history(1, 0.0, {"a": {"b": 1, "c": {"d": math.nan}}})

    assert json.loads(line) == {"step": 1, "_ts": 0.0, "a.b": 1, "a.c.d": "NaN"}


def test_a_value_without_a_json_form_is_named_and_the_rest_is_kept():
    line, left_out = record.encode_history(1, 0.0, {"model": object(), "loss": 2.0})

    assert json.loads(line) == {"step": 1, "_ts": 0.0, "loss": 2.0}
    assert left_out == ["'model' is a object, which has no JSON form"]


def test_numpy_scalars_and_arrays_are_numbers_and_lists():
    import numpy as np

    metrics = {
        "a": np.float32(1.5),
        "b": np.int64(3),
        "c": np.array([1, 2]),
        "d": np.float64("nan"),
    }
    line, left_out = record.encode_history(1, 0.0, metrics)

    assert left_out == []
    assert json.loads(line) == {"step": 1, "_ts": 0.0, "a": 1.5, "b": 3, "c": [1, 2], "d": "NaN"}


ENCODER = record.fast_encoder()  # one for all examples: it remembers names


@pytest.mark.skipif(ENCODER is None, reason="orjson is not installed")
@given(ROWS, st.integers(-(2**60), 2**60), st.floats(0, 2**33))
def test_the_fast_way_writes_what_the_careful_way_does_or_leaves_the_row_to_it(row, step, ts):
    """Whatever the names and values are; the row's own step is the row's step on the fast way."""
    line = ENCODER(step, ts, row)
    if line is None:
        return

    rest = {key: value for key, value in row.items() if key != "step"}
    careful, left_out = record.encode_history(step, ts, rest)
    assert left_out == []
    assert repr(json.loads(line)) == repr(json.loads(careful))
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1


@pytest.mark.skipif(ENCODER is None, reason="orjson is not installed")
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_/]{0,9}", fullmatch=True).filter(lambda name: name != "step"),
        st.one_of(st.floats(allow_nan=False, allow_infinity=False, width=32), st.booleans()),
    ),
    st.integers(0, 2**53),
)
def test_a_row_of_finite_numbers_goes_the_fast_way(row, step):
    assert ENCODER(step, 1.0, row) is not None
    assert ENCODER(step, 1.0, {"step": step, **row, "note": "text"}) is not None


def test_without_orjson_there_is_no_fast_way(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "orjson", None)

    assert record.fast_encoder() is None
