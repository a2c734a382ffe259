"""Columns to a blob and back."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import pack, words
from reports.embed import embedded


@given(st.lists(st.integers(-(2**62), 2**62)), st.lists(st.floats(), min_size=1))
def test_small_tables_come_back_exactly(whole, real):
    """Integers up to 2**53 and every float64, NaN and infinities among them."""
    whole = [value for value in whole if abs(value) <= 2**53]
    packed = pack.pack({"i": pl.DataFrame({"c": whole}), "f": pl.DataFrame({"c": real})})
    back = pack.decode(packed)

    assert back["i"]["c"].tolist() == whole
    np.testing.assert_array_equal(back["f"]["c"], np.array(real))


def test_large_tables_keep_seven_digits():
    """A float32 says more digits than a hover shows; steps stay whole."""
    count = pack.EXACT_ROWS + 1
    values = np.random.default_rng(1).lognormal(size=count)
    frame = pl.DataFrame({"step": range(count), "loss": values})
    packed = pack.pack({"t": frame})
    back = pack.decode(packed)["t"]

    assert packed.index["t"]["loss"]["kind"] == "f4"
    assert back["step"].tolist() == list(range(count))
    assert back["loss"] == pytest.approx(values, rel=1e-7)


@pytest.mark.parametrize("value", [1e300, 1e-300, 10**12])
def test_what_a_float32_or_an_int32_cannot_hold_is_kept_in_full(value):
    """Steps go to 1e12 and losses to 1e300."""
    frame = pl.DataFrame({"c": [value] * (pack.EXACT_ROWS + 1)})

    assert pack.decode(pack.pack({"t": frame}))["t"]["c"][0] == value


def test_what_is_missing_becomes_nan_and_never_zero():
    """Also in a column of integers."""
    back = pack.decode(pack.pack({"t": pl.DataFrame({"i": [1, None], "f": [None, 0.0]})}))

    assert math.isnan(back["t"]["i"][1])
    assert math.isnan(back["t"]["f"][0])
    assert back["t"]["f"][1] == 0


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "g", "–"),
        (math.nan, "f4", "NaN"),
        (-math.inf, "g", "−∞"),
        (0.0, "g", "0"),
        (-0.00001, "f4", "-1e-5"),
        (0.03125, "f4", "0.0313"),
        (0.25, "g", "0.25"),
        (1234.5678, "g", "1,234.6"),
        (1_234_567.2, "g", "1,234,567"),
        (3e20, "g", "3e20"),
        (6e-4, "g", "0.0006"),
        (400.0, "int", "400"),
        (100.0, "g", "100"),
    ],
)
def test_numbers_read_as_a_person_would_write_them(value, form, text):
    """Five digits, grouped by thousands, no digit that nobody asked for."""
    assert words.number(value, form) == text


def test_what_grows_evenly_with_the_step_is_two_numbers_for_each_run():
    """Also NaN for a run that has none; a column that bends is stored as it is."""
    count = 2 * pack.EXACT_ROWS
    steps = np.concatenate([np.arange(count), 7 + np.arange(count)])
    run = np.repeat([0, 1], count)
    tokens = np.where(run == 0, steps * 524_288.0, math.nan)
    tokens[[0, 1, count - 1]] = math.nan  # it does not say them from its first step to its last
    frame = pl.DataFrame(
        {"run": run, "step": steps, "tokens": tokens, "total": steps + 10**6 * run}
    )
    frame = frame.with_columns(pl.Series("time", np.sqrt(steps)))
    packed = pack.pack({"t": frame})
    back = pack.decode(packed)["t"]

    kinds = {name: entry["kind"] for name, entry in packed.index["t"].items()}
    assert kinds == {"run": "i4", "step": "i4", "tokens": "line", "total": "line", "time": "f4"}
    np.testing.assert_allclose(back["tokens"], tokens, rtol=1e-7)
    np.testing.assert_array_equal(back["total"], frame["total"])


def test_a_column_that_two_tables_have_is_stored_once():
    """Charts of one metric share its rows."""
    noise = pl.DataFrame({"a": np.random.default_rng(2).lognormal(size=9_000)})
    once, twice = pack.pack({"t": noise}), pack.pack({"t": noise, "u": noise, "v": noise})

    assert len(twice.blob) == len(once.blob)
    assert (pack.decode(twice)["v"]["a"] == pack.decode(once)["t"]["a"]).all()


def test_a_column_with_gaps_is_its_finite_values_and_their_rows():
    """So it is one with a table of these values alone; infinity is no gap."""
    values = np.random.default_rng(3).lognormal(size=1_000)
    wide = np.full(4_000, math.nan)
    wide[::4] = values
    wide[[1, 2]] = math.inf, -math.inf
    alone = pack.pack({"t": pl.DataFrame({"a": values})})
    both = pack.pack({"t": pl.DataFrame({"a": values}), "u": pl.DataFrame({"b": wide})})

    assert both.index["u"]["b"]["kind"] == "sparse"
    assert len(both.blob) < len(alone.blob) + 150
    np.testing.assert_allclose(pack.decode(both)["u"]["b"], wide, rtol=1e-7)


def test_a_value_that_holds_for_some_rows_is_stored_once_for_them():
    """An accuracy between two evaluations, and the step of the first of them."""
    accuracy = np.random.default_rng(4).normal(size=1_000)
    alone = pack.pack({"t": pl.DataFrame({"a": accuracy})})
    held = pl.DataFrame({"b": np.repeat(accuracy, 5), "since": np.repeat(np.arange(1_000), 5) * 7})
    both = pack.pack({"t": pl.DataFrame({"a": accuracy}), "u": held})
    back = pack.decode(both)["u"]

    assert {entry["kind"] for entry in both.index["u"].values()} == {"held"}
    assert len(both.blob) < len(alone.blob) + 150
    np.testing.assert_allclose(back["b"], held["b"], rtol=1e-7)
    np.testing.assert_array_equal(back["since"], held["since"])


def test_steps_that_another_table_has_too_are_its_rows():
    """Only where it has all of them, and each once."""
    steps = np.cumsum(np.random.default_rng(5).integers(1, 99, 3_000))
    every = pl.DataFrame({"run": np.repeat([0, 1, 2], 1_000), "step": steps})
    some = every[::3]
    odd = some.with_columns(pl.col("step") + pl.Series([0] * 999 + [10**6]))
    packed = pack.pack({"a": every, "b": some, "c": odd, "d": pl.concat([every, every])})
    kinds = {table: columns["step"]["kind"] for table, columns in packed.index.items()}
    back = pack.decode(packed)

    assert kinds == {"a": "i4", "b": "pick", "c": "i4", "d": "i4"}
    for table, frame in {"a": every, "b": some, "c": odd}.items():
        np.testing.assert_array_equal(back[table]["step"], frame["step"])


@given(st.binary(max_size=200))
def test_bytes_become_text_without_a_character_that_html_knows(content):
    """Thirteen bits are two characters; the number of bytes stands before them."""
    text = str(embedded(content))
    codes = [code for code in range(33, 127) if chr(code) not in "&<>"]
    digits = [codes.index(ord(letter)) for letter in text]
    groups = [high * 91 + low for high, low in zip(digits[::2], digits[1::2], strict=True)]
    bits = "".join(f"{group:013b}" for group in groups[2:])
    back = bytes(int(bits[at : at + 8], 2) for at in range(0, 8 * len(content), 8))

    assert groups[0] * 8_192 + groups[1] == len(content)
    assert back == content
