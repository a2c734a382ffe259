"""What a test does with a page: unpack it, open it in the browser, wait for it, type into it."""

from __future__ import annotations

import gzip
import re
import struct
import time
import zlib

import numpy as np

PACKED = re.compile(rb'(<script type="application/octet-stream"[^>]*>)([^<]*)')
ALPHABET = [code for code in range(33, 127) if chr(code) not in "&<>"]

# Where on the screen a vertex of a scene is drawn.
WHERE = """([key, curve, point]) => {
  const plot = document.getElementById('plot-' + key);
  const scene = plot._fullLayout.scene._scene;
  const { projection, view, model } = scene.glplot.cameraParams;
  const times = (m, v) => [0, 1, 2, 3].map(r => v.reduce((sum, c, k) => sum + m[k * 4 + r] * c, 0));
  const at = ['x', 'y', 'z'].map((axis, i) => {
    const value = plot.data[curve][axis][point];
    const log = plot._fullLayout.scene[axis + 'axis'].type === 'log';
    return (log ? Math.log10(value) : value) * scene.dataScale[i];
  });
  const [x, y, , w] = times(projection, times(view, times(model, [...at, 1])));
  const box = scene.container.getBoundingClientRect();
  return [box.left + (x / w / 2 + 0.5) * box.width, box.top + (0.5 - y / w / 2) * box.height];
}"""


def unpacked(page):
    """Return the bytes of a page with what is packed in it as it is when unpacked."""
    return PACKED.sub(lambda found: found[1] + _bytes_of(found[2]), page)


def _bytes_of(text):
    digits = np.searchsorted(ALPHABET, np.frombuffer(text, np.uint8)).astype(int)
    high, low, *groups = digits[::2] * len(ALPHABET) + digits[1::2]
    bits = np.array(groups)[:, None] >> np.arange(12, -1, -1) & 1
    return gzip.decompress(np.packbits(bits.astype(np.uint8))[: high * 8_192 + low].tobytes())


def open_page(context, path, *, script=True):
    """Open *path* and keep its requests and errors."""
    tab = context.new_page()
    tab.asked, tab.errors = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda line: line.type == "error" and tab.errors.append(line.text))
    tab.on("pageerror", lambda problem: tab.errors.append(str(problem)))
    tab.on("dialog", lambda dialog: (tab.errors.append(dialog.message), dialog.dismiss()))
    tab.goto(f"file://{path}")
    if script:
        wait(tab, "window.__runatlas")  # the page unpacks it
    return tab


def wait(tab, condition, seconds=60):
    """Wait until *condition* holds in the page, whose policy forbids wait_for_function's eval."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if tab.evaluate(f"() => Boolean({condition})"):
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


def settle(tab):
    """Wait until everything that was asked for is drawn."""
    time.sleep(0.2)  # longer than the filter's patience
    wait(tab, "__runatlas.idle")


def search(tab, query):
    """Type *query* into the filter and wait for the charts."""
    tab.fill("#filter", query)
    wait(tab, f"__runatlas.state.query === {query!r}")
    settle(tab)


def colours(png):
    """Return about how many different pixels a PNG has."""
    at, packed = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        packed += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return len(set(zlib.decompress(packed)[::7]))


def traces(tab, chart):
    """Return the chart's traces as lists, with NaN as None."""
    return tab.evaluate(
        """key => document.getElementById('plot-' + key).data.map(t => ({
            x: Array.from(t.x, v => Number.isNaN(v) ? null : v),
            y: Array.from(t.y, v => Number.isNaN(v) ? null : v),
            z: Array.from(t.z, v => Number.isNaN(v) ? null : v),
            mode: t.mode, symbol: t.marker && t.marker.symbol,
            size: t.marker && Array.from(t.marker.size.length ? t.marker.size : [t.marker.size]),
            colour: (t.line && t.line.color) || (t.marker && t.marker.color)}))""",
        chart,
    )


def said(tab, chart):
    """Return what the hover says of each vertex of the trace that holds the chart's data."""
    return tab.evaluate(
        "key => __runatlas.hoverTexts(key, __runatlas.report.charts.find(c => c.key === key)"
        ".traces.findIndex(t => t.role === 'data'))",
        chart,
    )


def data(tab, chart):
    """Return the trace of the chart that holds its data."""
    place = tab.evaluate(
        "key => __runatlas.report.charts.find(c => c.key === key)"
        ".traces.findIndex(t => t.role === 'data')",
        chart,
    )
    return traces(tab, chart)[place]
