"""The page's and the stills' colours, symbols and type, by name and theme. Data only.

Colours that tell runs apart were searched for, and tests/reports/test_palette.py computes it anew:
a contrast of at least 3:1 on the card, and between any two, under normal, protan, deutan and tritan
vision, a distance in CAM02-UCS of at least 24 (the four stages), 19 (categories) and 13 (all
stages; 1 is what can just be seen). A stage's colour never stands without its symbol. Viridis loses
its dark end on dark and its light end on white.
"""

from __future__ import annotations

from collections.abc import Mapping

THEMES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "paper": "#f8f7f3",
        "card": "#ffffff",
        "pane": "#f6f4ef",
        "ink": "#1a1a1f",
        "soft": "#494850",
        "muted": "#6d6b66",
        "line": "#e6e2d9",
        "grid": "#dcd7cc",
        "shade": "#b9b4a8",
        "shadow": "#c6c0b2",
        "accent": "#3d35b8",
        "warn": "#a8203a",
        "none": "#8d8a83",
    },
    "dark": {
        "paper": "#0f1013",
        "card": "#16171b",
        "pane": "#1b1d22",
        "ink": "#f0eee9",
        "soft": "#c3c0b9",
        "muted": "#9a9790",
        "line": "#2a2c32",
        "grid": "#33363e",
        "shade": "#4a4d56",
        "shadow": "#343842",
        "accent": "#a9a3ff",
        "warn": "#f5808d",
        "none": "#85827b",
    },
}

STAGES: tuple[str, ...] = (
    "pretraining",
    "midtraining",
    "sft",
    "rl",
    "tokenizer",
    "eval",
    "unknown",
)

STAGE_COLOURS: Mapping[str, tuple[str, ...]] = {
    "light": ("#a8203a", "#0fa3a0", "#3d35b8", "#a6930a", "#9b6efa", "#4b0d36", "#737370"),
    "dark": ("#f0596b", "#5cf0e6", "#7a74ff", "#f4e04d", "#8d5a0f", "#786b8f", "#aeaeac"),
}

# gl3d draws markers as glyphs of a font: these exist in every font; "x" draws an empty box.
STAGE_SYMBOLS: tuple[str, ...] = (
    "circle",
    "diamond",
    "square",
    "circle-open",
    "square-open",
    "square-open",
    "square-open",
)
NOT_MEASURED_SYMBOL = "diamond-open"

VIRIDIS: tuple[str, ...] = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
RAMPS: Mapping[str, tuple[str, ...]] = {"light": VIRIDIS[:-1], "dark": VIRIDIS[2:]}

# Perceptual scales that read the same under protan, deutan and tritan vision, trimmed where the
# card would swallow them; the last one has its middle at the baseline.
SCALES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "viridis": RAMPS,
    "cividis": {
        "light": (
            *("#00204d", "#00336f", "#39486b", "#575d6d", "#707173"),
            *("#8a8779", "#a69d75", "#c4b56c", "#e4cf5b"),
        ),
        "dark": (
            *("#39486b", "#575d6d", "#707173", "#8a8779"),
            *("#a69d75", "#c4b56c", "#e4cf5b", "#ffea46"),
        ),
    },
    "magma": {
        "light": ("#180f3d", "#440f76", "#721f81", "#9e2f7f", "#cd4071", "#f1605d", "#fd9668"),
        "dark": ("#721f81", "#9e2f7f", "#cd4071", "#f1605d", "#fd9668", "#feca8d", "#fcfdbf"),
    },
    "diverging": {
        "light": ("#1b4f9c", "#6688bd", "#a9a69e", "#cf8a4a", "#a5470b"),
        "dark": ("#7fb2ff", "#587cb8", "#696762", "#b97d43", "#ffae5e"),
    },
}
RAMP_STEPS = 24  # how finely a still in the page shows a scale

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "light": (
        "#5c04ff",
        "#ed5b10",
        "#6d977a",
        "#a41103",
        "#4d2a6f",
        "#a883ca",
        "#601f30",
        "#7f5774",
    ),
    "dark": (
        "#b696fa",
        "#de9113",
        "#45b997",
        "#e9f27e",
        "#8f1df1",
        "#a4fded",
        "#8d5c2e",
        "#497380",
    ),
}

# No system-ui: on Linux it is whatever the desktop says, often a wide screen font of 2002.
FONT = (
    '-apple-system, "Segoe UI Variable Text", "Segoe UI", Inter, Roboto, "Helvetica Neue", '
    '"Liberation Sans", Arial, sans-serif'
)


def stage_index(stage: str | None) -> int:
    """Return the stage's place in ``STAGES``; one that is not known there counts as unknown."""
    return STAGES.index(stage) if stage in STAGES else STAGES.index("unknown")
