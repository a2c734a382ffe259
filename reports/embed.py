"""Bytes -> text that may stand in an element of a page. The other side is ``templates/boot.js``.

Thirteen bits are two of 91 printable characters, none of which means anything in HTML: a quarter
more text than bytes, where base64 takes a third, which for plotly.js alone is 55 kB.
"""

from __future__ import annotations

import gzip

import numpy as np
from markupsafe import Markup

_ALPHABET = np.array([code for code in range(33, 127) if chr(code) not in "&<>"], dtype=np.uint8)
_BITS = 13


def embedded(content: bytes) -> Markup:
    """Return *content* as text that need not be escaped; it begins with the number of bytes."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    groups = np.zeros(-(-bits.size // _BITS) * _BITS, dtype=np.uint16)
    groups[: bits.size] = bits
    weights = 1 << np.arange(_BITS - 1, -1, -1, dtype=np.uint16)
    values = groups.reshape(-1, _BITS) @ weights
    pairs = np.concatenate([np.array(divmod(len(content), 1 << _BITS), dtype=np.uint16), values])
    codes = np.stack(np.divmod(pairs, _ALPHABET.size), axis=1)
    return Markup(_ALPHABET[codes].tobytes().decode("ascii"))  # noqa: S704  see the alphabet


def compressed(text: str) -> bytes:
    """Return *text* as the page unpacks it; the same text gives the same bytes."""
    return gzip.compress(text.encode("utf-8", "surrogatepass"), 9, mtime=0)
