"""The colours, by computation: readable on their ground, told apart whatever the eyes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from reports import theme

colorspacious = pytest.importorskip("colorspacious", reason="colorspacious is not installed")

EYES = (None, "protanomaly", "deuteranomaly", "tritanomaly")
LIGHT_OF = np.array([0.2126, 0.7152, 0.0722])  # WCAG 2.2, relative luminance


def _rgb(text):
    return np.array([int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)])


def _contrast(one, other):
    low, high = sorted(
        np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ LIGHT_OF
        for c in (_rgb(one), _rgb(other))
    )
    return (high + 0.05) / (low + 0.05)


def _seen(text, eyes):
    """Return a colour as such eyes see it, by Machado, Oliveira and Fernandes (2009)."""
    if eyes is None:
        return _rgb(text)
    space = {"name": "sRGB1+CVD", "cvd_type": eyes, "severity": 100}
    return np.clip(colorspacious.cspace_convert(_rgb(text), space, "sRGB1"), 0, 1)


def _closest(colours, eyes):
    """Return the two colours that lie next to each other in CAM02-UCS, and how far apart."""
    return min(
        (float(colorspacious.deltaE(_seen(a, eyes), _seen(b, eyes), input_space="sRGB1")), a, b)
        for a, b in combinations(colours, 2)
    )


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("name", ["light", "dark"])
def test_colours_that_tell_runs_apart_do_so_for_all_eyes(name, eyes):
    """Stages, the four of the original further than the rest, and eight categories."""
    stages = theme.STAGE_COLOURS[name]

    assert _closest(stages[:4], eyes)[0] >= 24
    assert _closest(stages, eyes)[0] >= 13, _closest(stages, eyes)
    assert _closest(theme.CATEGORIES[name], eyes)[0] >= 19, _closest(theme.CATEGORIES[name], eyes)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(name):
    """WCAG 2.2: 4.5:1 for text wherever it stands, 3:1 for what is drawn on a card."""
    colours = theme.THEMES[name]
    for ink in ("ink", "soft", "muted", "accent", "warn"):
        for ground in ("card", "paper", "pane"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for drawn in (*theme.STAGE_COLOURS[name], *theme.CATEGORIES[name], colours["none"]):
        assert _contrast(drawn, colours["card"]) >= 3, drawn


@pytest.mark.parametrize("scale", sorted(theme.SCALES))
@pytest.mark.parametrize("name", ["light", "dark"])
def test_a_scale_goes_one_way_in_lightness_for_all_eyes(name, scale):
    """Else two of its values would look alike; a diverging one turns in its middle."""
    colours = theme.SCALES[scale][name]
    halves = (colours,)
    if scale == "diverging":
        middle = len(colours) // 2
        halves = colours[: middle + 1], colours[middle:]
    for half in halves:
        for eyes in EYES:
            seen = [_seen(colour, eyes) for colour in half]
            lightness = colorspacious.cspace_convert(np.array(seen), "sRGB1", "CAM02-UCS")[:, 0]
            assert (np.diff(lightness) > 0).all() or (np.diff(lightness) < 0).all(), eyes
