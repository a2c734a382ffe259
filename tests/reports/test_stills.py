"""The stills: those in the page, which need nothing, and those that kaleido draws."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import snapshots

from reports import images
from reports.attributes import run_attributes
from reports.camera import projector, shares
from reports.gather import gather
from reports.posters import ROOMS, poster

GROUP = re.compile(r'<g data-run="(\d+)"')


@pytest.fixture(scope="module")
def report(mini):
    return gather(mini.project, "latest", lambda text: None)


@pytest.fixture(scope="module")
def scenes(report):
    return {chart.key: chart for chart in report.charts if chart.kind == "scene"}


def drawn_of(report, chart, room="wide"):
    return poster(report, chart, room, run_attributes(report))


def test_a_still_shows_every_run_that_its_scene_has_and_no_other(report, scenes):
    """Found again in the chart's own tables."""
    tables = {"trajectory": "trajectory0", "space": "space", "landscape": "landscape"}
    for key, table in tables.items():
        runs = set(scenes[key].tables[table]["run"].to_list())

        assert {int(run) for run in GROUP.findall(drawn_of(report, scenes[key]))} == runs, key


def test_the_same_report_gives_the_same_still(report, scenes):
    """And one for little room differs from one for much."""
    chart = scenes["trajectory"]

    assert drawn_of(report, chart) == drawn_of(report, chart)
    assert drawn_of(report, chart) != drawn_of(report, chart, "narrow")


def test_a_still_has_no_colour_of_its_own(report, scenes):
    """Every colour is a variable of the theme, so that one serves light, dark and paper."""
    for chart in scenes.values():
        for room in ROOMS:
            made = drawn_of(report, chart, room)

            assert not re.search(r"#[0-9a-f]{3,8}\b|rgba?\(", made), chart.key
            assert "var(--" in made or "stage-" in made


def test_a_hostile_name_is_text_in_a_still(report, scenes):
    """A name that stands beside a line's end is escaped there too."""
    runs = tuple(dataclasses.replace(run, name=snapshots.HOSTILE[:20]) for run in report.facts.runs)
    facts = dataclasses.replace(report.facts, runs=runs)
    made = drawn_of(dataclasses.replace(report, facts=facts), scenes["trajectory"])

    assert "<img" not in made
    assert "&lt;/script&gt;" in made


def test_a_chart_with_nothing_to_draw_has_no_still(report, scenes):
    """The page says instead why it is empty."""
    empty = dataclasses.replace(scenes["space"], counts={"logged": 0, "drawn": 0})

    assert not drawn_of(report, empty)


def test_the_camera_sees_the_middle_of_what_it_looks_at_in_the_middle():
    """And what is nearer to it has the smaller distance; a log axis has no place for 0."""
    axis = {"range": [0, 2], "type": "log"}
    flat = {"range": [-1, 1]}
    camera = {"eye": {"x": 0, "y": -2, "z": 0}, "center": {"x": 0, "y": 0, "z": 0}}
    scene = {"xaxis": axis, "yaxis": flat, "zaxis": flat, "camera": camera}
    scene["aspectratio"] = {"x": 1, "y": 1, "z": 1}
    points = shares([[10, 0, 0], [10, 1, 0], [100, 0, 1], [0, 0, 0]], scene)
    across, down, depth = projector(scene, 100)(points)

    assert (across[0], down[0]) == pytest.approx((0, 0))
    assert depth[0] < depth[1]
    assert across[2] > 0 > down[2]
    assert np.isnan(across[3])


@pytest.mark.slow
def test_stills_of_every_form_are_drawn_and_come_out_the_same_again(report, scenes, tmp_path):
    """A PNG, an SVG and a PDF of one scene and one plane, by kaleido and a real browser."""
    pytest.importorskip("kaleido", reason="kaleido is not installed: pip install 'runatlas[png]'")
    charts = tuple(chart for chart in report.charts if chart.key in {"space", "scaling"})
    report = dataclasses.replace(report, charts=charts)
    said, runs = [], []
    for _ in range(2):
        made = {}
        paths = images.stills(
            report, tmp_path, tuple(images.FORMATS), lambda p, b, into=made: into.update({p: b}),
            said.append,
        )  # fmt: skip
        if said and "Chrome" in said[0]:
            pytest.skip(said[0])
        assert said == []
        assert sorted(made) == sorted(paths)
        runs.append(made)

    heads = {".png": b"\x89PNG", ".svg": b"<svg", ".pdf": b"%PDF"}
    assert len(runs[0]) == 2 * (2 + 2 + 1)
    for path, drawn in runs[0].items():
        assert drawn.startswith(heads[path.suffix]), path
        assert drawn == runs[1][path], path
