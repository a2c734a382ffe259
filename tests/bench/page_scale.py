"""Snapshots of many runs -> their pages: size, time and memory, and how fast they are in a browser.

The peer in the same browser is a plain page of plotly's own (the same bundle inlined, one scatter3d
of a hundred points); of a change it is ``Plotly.react`` of all scenes with the data that they hold.
Extremes are looked for in the page's own tables, against the snapshot's summary.

Measured: 0.99 MB in 0.8 s for 4 runs of 2k steps, of which 0.5 s are imports (DuckDB, Polars,
numpy, jinja); 1.40 MB in 1.4 s for 50 of 20k; 2.61 MB in 15 s for 1,000 of 100k, of which 13 are
reading and thinning. Of the first two shapes the first 3D picture comes after 1.1 to 1.6 times the
peer's; a recolouring takes 0.3 to 0.5 of a react, a filter 0.3 to 0.4, a frame of the playback 60
to 90 ms. Of the third a recolouring takes 0.4, the first 3D picture 2.3 and a frame 160 to 190 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import page_data
from page_data import ROOT

from etl import snapshot
from etl.project import Project
from reports.assets import plotly_script

SHAPES = {"4 x 2k": (4, 2_000), "50 x 20k": (50, 20_000), "1000 x 100k": (1_000, 100_000)}
WANTED = {"4 x 2k": (1.0, 1), "50 x 20k": (1.4, 2), "1000 x 100k": (3.2, 20)}  # MB, s
# who builds twice has our modules compiled, whatever this environment says of bytecode
WITH_BYTECODE = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PEER = """<!doctype html><meta charset="utf-8">
<div id="plot" style="width:900px;height:600px"></div>
<script>%s</script><script>
const s = [...Array(100).keys()].map((i) => Math.sin(i));
Plotly.newPlot('plot', [{type: 'scatter3d', mode: 'markers', x: s, y: s, z: s}], {})
  .then(() => performance.mark('first-3d'));
</script>"""
MARK = "performance.getEntriesByName('first-3d').length"
# A frame that was asked for is not one that was drawn: reading a pixel waits for the GPU.
DRAWN = """
globalThis.frame = () => new Promise(requestAnimationFrame);
globalThis.drawn = async () => {
  await frame();
  await frame(); // the first comes before the picture
  for (const plot of document.querySelectorAll('.js-plotly-plot')) {
    const { gl } = plot._fullLayout.scene._scene.glplot;
    const { readPixels } = Object.getPrototypeOf(gl); // the page has shut its own
    readPixels.call(gl, 0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }
};"""
REACT = """async () => {
  const began = performance.now();
  for (const plot of document.querySelectorAll('.js-plotly-plot')) {
    const places = ({ x, y, z }) => ({ x: x?.slice(), y: y?.slice(), z: z?.slice() });
    const fresh = plot.data.map((trace) => ({ ...trace, ...places(trace) }));
    const { gl } = plot._fullLayout.scene._scene.glplot;
    for (const name of ['readPixels', 'isBuffer']) delete gl[name]; // as plotly has it
    await Plotly.react(plot, fresh, { ...plot.layout });
  }
  await drawn();
  return performance.now() - began;
}"""
CHANGE = """async (patch) => {
  const began = performance.now();
  __runatlas.change(patch);
  do await frame(); while (!__runatlas.idle);
  await drawn();
  return performance.now() - began;
}"""
PLAY = """async () => {
  document.getElementById('play').click();
  for (let i = 0; i < 5; i++) await frame();
  const seen = new Set();
  const began = performance.now();
  while (performance.now() - began < 3000) { await frame(); seen.add(__runatlas.state.at); }
  const took = (performance.now() - began) / seen.size;
  document.getElementById('play').click();
  return took;
}"""
# By table and column what it is a metric of; benchmarks stand in the order of their names.
COLUMNS = (
    *(("trajectory0", "loss", "train/loss"), ("trajectory1", "loss", "val/bpb")),
    *(("landscape", "mfu", "train/mfu"), ("landscape", "throughput", "train/tok_per_sec")),
    *(("benchmarks", column, task) for column, task in zip("abcd", page_data.TASKS, strict=True)),
)
ENDS = """(columns) => columns.map(([table, column]) => {
  const { run, [column]: values } = __runatlas.tables[table];
  const ends = {};
  values.forEach((value, row) => {
    if (Number.isNaN(value)) return;
    const [low, high] = ends[run[row]] || [Infinity, -Infinity];
    ends[run[row]] = [Math.min(low, value), Math.max(high, value)];
  });
  const ids = __runatlas.report.columns.id.values;
  return Object.entries(ends).map(([of, pair]) => [ids[of], ...pair]);
})"""


def build(project: Project) -> tuple[float, float, float]:
    """Build the page in a process of its own; return wall and CPU seconds, and the peak in MB."""
    command = [sys.executable, "-m", "reports.build", "--project", project.name]
    command += ["--data-dir", str(project.folder.parent)]
    began = time.perf_counter()
    child = os.posix_spawn(
        command[0],
        command,
        {**WITH_BYTECODE, "PYTHONPATH": str(ROOT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)
        ],
    )
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


@contextmanager
def browser() -> Iterator[Any]:
    """Give a browser that draws WebGL in software."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


def opened(chromium: Any, path: Path, condition: str) -> Any:
    """Return the page of *path* where *condition* holds."""
    tab = chromium.new_page(viewport={"width": 1300, "height": 900})
    tab.add_init_script(DRAWN)
    tab.goto(f"file://{path}")
    end = time.monotonic() + 120
    while not tab.evaluate(f"() => Boolean({condition})"):
        if time.monotonic() > end:
            raise SystemExit(f"{path}: not within 120 s: {condition}")
        time.sleep(0.02)
    return tab


def times(tab: Any) -> tuple[float, float]:
    """Return when the first paint and the first 3D picture came, in seconds."""
    paint, drawn = tab.evaluate(
        "() => [performance.getEntriesByType('paint')[0].startTime,"
        " performance.getEntriesByName('first-3d')[0].startTime]"
    )
    return paint / 1e3, drawn / 1e3


def lost(tab: Any, project: Project) -> list[str]:
    """Return the extremes of the snapshot that the page does not draw."""
    with closing(snapshot.connect(project, snapshot.read_manifest(project))) as db:
        rows = db.execute(
            "select metric, run_id, max(value) filter (rule = 'min'),"
            " max(value) filter (rule = 'max') from summary group by all"
        ).fetchall()
    told = {(metric, run): ends for metric, run, *ends in rows}
    pairs = [[table, column] for table, column, _ in COLUMNS]
    missing = []
    for (_, _, metric), ends in zip(COLUMNS, tab.evaluate(ENDS, pairs), strict=True):
        drawn = {(metric, run): pair for run, *pair in ends}
        for place, expected in told.items():
            pair = drawn.get(place, [float("nan")] * 2)
            close = all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(pair, expected, strict=True))
            if place[0] == metric and not close:
                missing.append(f"{place}: {expected} drawn as {pair}")
    return missing


def in_browser(chromium: Any, project: Project, peer: Path, repeats: int) -> dict[str, Any]:
    """Return what a reader waits for on the page of *project*, and on the peer's."""
    page = project.reports / "latest.html"
    found: list[tuple[float, float, float, float]] = []
    for _ in range(repeats):
        plain = opened(chromium, peer, MARK)
        ours = opened(chromium, page, f"window.__runatlas && {MARK}")
        found.append((*times(ours), *times(plain)))
        plain.close()
        ours.close()
    paint, first, _, plain_first = (min(column) for column in zip(*found, strict=True))
    tab = opened(chromium, page, f"window.__runatlas && {MARK}")
    for plot in tab.locator(".scene, .plot").all():  # every scene is made when it comes into view
        plot.scroll_into_view_if_needed()
    opened_at = time.monotonic()
    while not tab.evaluate("() => __runatlas.ready && __runatlas.idle"):
        if time.monotonic() - opened_at > 120:
            raise SystemExit(f"{page}: not all scenes were drawn")
        time.sleep(0.1)
    tab.evaluate("() => scrollTo(0, 0)")
    recolour = min(tab.evaluate(CHANGE, {"colour": key}) for key in ("depth", "lr", "stage"))
    narrowed = min(tab.evaluate(CHANGE, {"query": q}) for q in ("depth>=12", "lr>0.001", ""))
    react = min(tab.evaluate(REACT) for _ in range(3))
    return {
        "first paint s": round(paint, 2),
        "first 3D s": round(first, 2),
        "first 3D / plain plotly": round(first / plain_first, 2),
        "recolour / react": round(recolour / react, 2),
        "filter / react": round(narrowed / react, 2),
        "react ms": round(react),
        "playback ms a frame": round(tab.evaluate(PLAY)),
        "extremes lost": lost(tab, project),
        "errors": tab.evaluate("() => __runatlas.errors"),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--shape", action="append", choices=SHAPES, help="by default the first two")
    add("--large", action="store_true", help="also 100M points: 2.5 GB on disk")
    add("--data", type=Path, help="keep the snapshots there, and use those that are")
    add("--repeats", type=int, default=3, help="of which the least counts")
    options = parser.parse_args()
    shapes = options.shape or [*SHAPES][: 3 if options.large else 2]
    data = options.data or Path(tempfile.mkdtemp())
    peer = data / "peer.html"
    data.mkdir(parents=True, exist_ok=True)
    peer.write_text(PEER % plotly_script().decode(), encoding="utf-8")
    try:
        for shape in shapes:
            project = page_data.there(data, *SHAPES[shape])
            wall, cpu, peak = min(build(project) for _ in range(options.repeats))
            size = (project.reports / "latest.html").stat().st_size / 1e6
            most, longest = WANTED[shape]
            line = f"{shape:12} {size:.2f} MB of {most}, {wall:.1f} s of {longest}"
            print(f"{line}, {cpu:.1f} CPU s, peak {peak:.0f} MB", flush=True)
            with browser() as chromium:
                told = in_browser(chromium, project, peer, options.repeats)
            print(f"{'':12} {json.dumps(told, ensure_ascii=False)}", flush=True)
    finally:
        if not options.data:
            shutil.rmtree(data)


if __name__ == "__main__":
    main()
