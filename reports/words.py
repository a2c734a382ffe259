"""Numbers and counts -> the words that people read. ``hover.js`` formats in the same way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

MISSING = "–"


def number(value: float | None, form: str = "g") -> str:  # noqa: PLR0911  one for each kind
    """Return *value* in words: ``int``, ``f3``/``f4`` (fixed decimals) or ``g`` (5 digits)."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if form == "int":
        return _grouped(value, 0)
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        mantissa, exponent = f"{value:.4e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if form.startswith("f"):
        return _grouped(value, int(form[1:]))
    if size >= 1e4 or value == 0:
        return _grouped(value, 0)
    decimals = 4 - math.floor(math.log10(size))
    text = _grouped(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _grouped(value: float, decimals: int) -> str:
    # halves go away from zero, as in JavaScript, so that table and hover never differ
    quantum = Decimal(1).scaleb(-decimals)
    rounded = Decimal(value).quantize(quantum, rounding=ROUND_HALF_UP)
    text = f"{rounded:,.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.,") else text


def short(value: float) -> str:
    """Return an axis tick: three digits, with k, M, G or T from ten thousand on."""
    size = abs(value)
    if size >= 1e15:
        return f"{value:.0e}".replace("e+", "e")
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            scale = limit / 10 if letter == "k" else limit
            return f"{value / scale:.3g}{letter}"
    if 0 < size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"


def count(amount: int, one: str, many: str | None = None) -> str:
    """Return ``1 run`` or ``2,000 runs``."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def clipped(text: str, most: int = 120) -> str:
    """Return *text*, or its first *most* characters and a sign that there were more."""
    return text if len(text) <= most else text[:most] + "…"


def setting(value: float | str | None) -> str:
    """Return a config value as a person would write it: no quotes about a text."""
    if isinstance(value, int | float):
        return number(value)
    return MISSING if value is None else clipped(plain(value) or "null")


def plain(value: str) -> str | None:
    """Return a JSON string without its quotes, ``null`` as None, and any other text as it is."""
    if value[:1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return None if value == "null" else value


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def listed_first(words: Sequence[str], most: int = 5) -> str:
    """Return ``a, b and 7 more``: the first *most*, and how many others there are."""
    more = [f"{len(words) - most:,} more"] if len(words) > most else []
    return listed([*words[:most], *more])


def moment(value: datetime | None) -> str:
    """Return a UTC time to the minute."""
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else MISSING
