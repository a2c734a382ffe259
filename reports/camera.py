"""Plotly's camera in numpy: where on the picture a point of a scene stands, and how far away."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from reports.charts.spec import Json

Floats = npt.NDArray[np.float64]
Project = Callable[[npt.ArrayLike], tuple[Floats, Floats, Floats]]

AXES = ("xaxis", "yaxis", "zaxis")


def step_back(camera: Json, times: float) -> None:
    """Move the eye of *camera* to *times* its distance from what it looks at."""
    for axis, center in camera["center"].items():
        camera["eye"][axis] = center + (camera["eye"][axis] - center) * times


def shares(points: npt.ArrayLike, scene: Json) -> Floats:
    """Return *points*, n x 3 in data values, as shares of their axes: 0 at one end, 1 at the other.

    What a logarithmic axis has no place for becomes NaN.
    """
    columns = np.asarray(points, dtype=np.float64).reshape(-1, 3).T
    placed = []
    for values, axis in zip(columns, (scene[key] for key in AXES), strict=True):
        low, high = axis["range"]
        logged = axis.get("type") == "log"
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = np.log10(values) if logged else values
        placed.append((shown - low) / (high - low))
    return np.where(np.isfinite(placed), placed, np.nan).T


def projector(scene: Json, height: float) -> Project:
    """Return what maps shares of the axes (n x 3) to their places on a picture of that height.

    Places are across and down from the middle of the picture, in its own unit; the third value is
    the distance along the line of sight, for the order in which to draw.
    """
    eye, center = (np.array([*scene["camera"][key].values()]) for key in ("eye", "center"))
    forward = (center - eye) / np.linalg.norm(center - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    half = height / 2 / math.tan(math.pi / 8)  # the field of view is 45 degrees
    aspect = np.array([*scene["aspectratio"].values()])

    def project(points: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        rays = (np.asarray(points).reshape(-1, 3) - 0.5) * aspect - eye
        depth = rays @ forward
        return half * (rays @ right) / depth, -half * (rays @ up) / depth, depth

    return project
