"""What a reader takes away of a chart: a picture, a table, a sheet of paper."""

from __future__ import annotations

import base64
import csv
import io
import re

import pytest
from pages import colours, settle


def saved(tab, chart, ending):
    """Save *chart* and return the file's bytes."""
    tab.click(f"#chart-{chart} .save")
    place = ("png", "svg", "csv").index(ending) + 1
    with tab.expect_download() as download:
        tab.click(f".popup .item:nth-child({place})")
    assert download.value.suggested_filename.endswith(f".{ending}")
    return download.value.path().read_bytes()


def test_a_chart_is_saved_as_it_stands(tab, mini):
    """A picture with title and snapshot, lines that are lines, and the rows of the shown runs."""
    tab.evaluate("__runatlas.change({ query: 'd8' })")
    settle(tab)
    picture = saved(tab, "trajectory", "png")
    scene = saved(tab, "trajectory", "svg").decode()
    flat = saved(tab, "curves", "svg").decode()
    rows = list(csv.reader(io.StringIO(saved(tab, "trajectory", "csv").decode())))
    drawn = tab.evaluate("__runatlas.drawn.trajectory")

    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) > 2000
    (drawing,) = re.findall(r'<image [^>]*href="data:image/png;base64,([^"]+)"', scene)
    assert colours(base64.b64decode(drawing)) > 40  # the scene itself, which WebGL drew
    assert mini.snapshot in flat
    assert "filter d8" in flat
    assert flat.count("<path") > 10
    assert "<image" not in flat
    assert mini.snapshot in rows[0][0]
    assert {row[0][:2] for row in rows[2:]} == {"d8"}
    assert len(rows) - 2 == drawn


@pytest.mark.parametrize(
    ("chart", "columns"),
    [
        ("space", "depth,model_dim,device_batch_size,learning_rate,best mean accuracy"),
        ("evaluations", "copy_acc,count_acc,parity_acc"),
        ("benchmarks", "step,copy_acc,parity_acc"),
        ("trajectory", "step,train/loss,mean accuracy"),
    ],
)
def test_a_saved_table_has_the_names_that_the_chart_has(tab, chart, columns):
    """Quantities by what they are called, not by where the drawing has them."""
    if chart == "evaluations":
        tab.locator("#plot-evaluations").scroll_into_view_if_needed()
    _, head, *rows = csv.reader(io.StringIO(saved(tab, chart, "csv").decode()))

    assert head[:3] == ["run", "run_id", "stage"]
    assert not [name for name in columns.split(",") if name not in head], head
    assert not {"x", "y", "z", "place", "a", "m0"} & set(head)
    assert rows


def test_nothing_is_cleared_on_paper(tab):
    """Chromium prints what was called on a canvas, and what was cleared as white over the rest."""
    cleared = tab.evaluate("""() => {
      const { prototype } = CanvasRenderingContext2D;
      const { clearRect, stroke } = prototype;
      const calls = { clearRect: 0, stroke: 0 };
      prototype.clearRect = function (...at) { calls.clearRect++; clearRect.apply(this, at); };
      prototype.stroke = function () { calls.stroke++; stroke.apply(this); };
      dispatchEvent(new Event('beforeprint'));
      Object.assign(prototype, { clearRect, stroke });
      dispatchEvent(new Event('afterprint'));
      return calls;
    }""")

    assert cleared["stroke"] > 50
    assert cleared["clearRect"] == 0
