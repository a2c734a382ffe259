"""A report's charts, tables and sentences -> one HTML file that asks nothing of anyone.

Data enters the page in two ways, both of them here: as text that jinja escapes, and as that of
``reports.embed``, which holds no character that HTML knows. The content security policy names the
hashes of the page's own scripts and styles and allows nothing else.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from reports import cells, prose, theme, words
from reports.attributes import run_attributes
from reports.charts import spec
from reports.charts.spec import Chart, Json
from reports.embed import compressed, embedded
from reports.gather import Report, tables
from reports.origin import origin
from reports.pack import Packed, pack
from reports.posters import ROOMS, poster
from reports.resolver import mixed
from reports.straddles import straddles

PLOTLY_VERSION = "4.1.1"
_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)  # a tenth of what is compressed
PLAIN_ROWS = 200  # of the table of runs; more are packed
PLOTLY_SHA256 = "aab04dcd9c103a92b18723f8c837712fe820f325d0bcd2421e415e8124a75b9f"


@cache
def templates() -> Path:
    """Return the folder of templates: beside this file in a wheel, else the repository's."""
    installed = Path(__file__).parent / "templates"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "templates"


def render(report: Report) -> bytes:
    """Return the page. The same report gives the same bytes."""
    with ThreadPoolExecutor(1) as beside:  # most of packing is compressing, which lets others run
        packing = beside.submit(pack, tables(report.charts))
        table, posters = cells.runs_table(report), _posters(report)
        packed = packing.result()
    many = len(table.rows) > PLAIN_ROWS
    boot, script, style_text = read_template("boot.js"), _script(), style()
    plotly_css = read_template(f"vendor/plotly-{PLOTLY_VERSION}.css")
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=report.project,
            policy=policy([boot, script, plotly_script().decode()], [style_text, plotly_css]),
            style=style_text,
            plotly_css=plotly_css,
            boot=boot,
            script=embedded(compressed(script)),
            plotly=embedded(_plotly()),
            data=embedded(packed.blob),
            details=embedded(report.details.document),
            details_data=embedded(report.details.packed.blob),
            document=embedded(compressed(_json(_document(report, packed)))),
            plotly_version=PLOTLY_VERSION,
            report=report,
            lede=prose.lede(report),
            figures=prose.figures(report),
            newest=words.moment(report.facts.newest),
            points=sum(run.points for run in report.facts.runs),
            stages=_stages(report),
            sections=_sections(report),
            groups=cells.colour_groups(report),
            table=table,
            many=many,
            late=embedded(compressed(_json(_late(table, posters)))),
            most_rows=PLAIN_ROWS,
            best=cells.best_by_stage(report),
            sources=cells.sources(report),
            origin=origin(report),
            metrics=sorted(report.facts.catalog.values(), key=lambda metric: metric.name),
            trays={chart.key: cells.tray(report, chart) for chart in report.charts},
            straddles={chart.key: straddles(report, chart) for chart in report.charts},
            posters={} if many else {key: stills["wide"] for key, stills in posters.items()},
            symbols=sorted({*theme.STAGE_SYMBOLS, theme.NOT_MEASURED_SYMBOL}),
        )
    )
    return page.encode("utf-8", "surrogatepass")


def _late(table: cells.Table, posters: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return by selector the markup that the page unpacks before its script runs.

    It is what few readers see first: stills for little room and, of many runs, all stills and the
    rows of the table. 1,000 rows are 1 MB, packed 60 kB.
    """
    many = len(table.rows) > PLAIN_ROWS
    late = {
        f"#frame-{key}": "".join(stills.values()) if many else stills["narrow"]
        for key, stills in posters.items()
    }
    if many:
        rows = environment().get_template("parts/run_rows.html.j2").render(table=table)
        late["#runs-table tbody"] = rows
    return late


def _sections(report: Report) -> list[tuple[str, str, list[Chart]]]:
    """Return key, title and charts of each section that has any, in the order of the page."""
    by_key = {key: [c for c in report.charts if c.section == key] for key in spec.SECTIONS}
    return [(key, key.capitalize(), charts) for key, charts in by_key.items() if charts]


def _posters(report: Report) -> dict[str, dict[str, str]]:
    """Return the stills of each scene by room, for much and for little of it."""
    attributes = run_attributes(report)
    return {
        chart.key: {room: poster(report, chart, room, attributes) for room in ROOMS}
        for chart in report.charts
        if chart.kind == "scene"
    }


def _stages(report: Report) -> list[tuple[int, str, str, int]]:
    """Return place, name, symbol and number of runs of each stage that is there."""
    places = [theme.stage_index(run.stage) for run in report.facts.runs]
    return [
        (place, theme.STAGES[place], theme.STAGE_SYMBOLS[place], places.count(place))
        for place in sorted(set(places))
    ]


def _document(report: Report, packed: Packed) -> Json:
    """Return what the page's script is told; the rows of the charts are in the blob."""
    return {
        "project": report.project,
        "snapshot": report.snapshot,
        "runs": run_attributes(report),
        "columns": {
            key: {
                "label": column.label,
                "unit": column.unit,
                "numeric": column.numeric,
                "values": list(column.values),
            }
            for key, column in report.results.columns.items()
        },
        "charts": [_chart(chart) for chart in report.charts],
        "index": packed.index,
        "themes": theme.THEMES,
        "stages": {
            "names": theme.STAGES,
            "symbols": theme.STAGE_SYMBOLS,
            "colours": theme.STAGE_COLOURS,
        },
        "scales": theme.SCALES,
        "categories": theme.CATEGORIES,
    }


def _chart(chart: Chart) -> Json:
    return {
        "key": chart.key,
        "kind": chart.kind,
        "section": chart.section,
        "title": chart.title,
        "traces": chart.traces,
        "layout": chart.layout,
        "colour": chart.colour,
        "sizes": chart.sizes,
        "sizes_title": chart.sizes_title,
        "counts": chart.counts,
        "options": [
            {"key": option.key, "choices": option.choices}
            for option in chart.options
            if option.choices  # none of a chart that has nothing to draw
        ],
    }


def _json(document: Json) -> str:
    return json.dumps(
        _strict(document), ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _strict(value: Any) -> Any:
    # JSON has no NaN; the columns of runs show it as text, and nothing compares with it
    if isinstance(value, float):
        return value if math.isfinite(value) else words.number(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return value


def policy(scripts: list[str], styles: list[str]) -> str:
    """Return a content security policy that allows these scripts and styles and nothing else."""

    def hashes(texts: list[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        listed = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
        return " ".join(listed) or "'none'"

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src-elem {hashes(styles)};"
        " style-src-attr 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def environment() -> jinja2.Environment:
    """Return the templates' environment, which escapes what enters it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    environment.filters["many"] = words.count
    environment.filters["moment"] = words.moment
    environment.filters["clip"] = words.clipped
    environment.filters["setting"] = words.setting
    return environment


def read_template(name: str) -> str:
    """Return one of the templates' files."""
    return (templates() / name).read_text(encoding="utf-8")


def _script() -> str:
    """Return the page's script: its files in their order, in one scope of their own."""
    script = f"(() => {{\n'use strict';\n{_joined('js')}}})();\n"
    return _COMMENT.sub("", script)


def _joined(kind: str, names: Sequence[str] = ()) -> str:
    """Return the files of one kind (``js``, ``css``) in their order: those *names*, or all."""
    files = sorted((templates() / kind).glob(f"*.{kind}"))
    wanted = [file for file in files if not names or file.stem in names]
    return "\n".join(file.read_text(encoding="utf-8") for file in wanted)


def style(*names: str) -> str:
    """Return a page's style: the themes' colours as variables, then the rules of these files."""
    light, dark = (_variables(name) for name in ("light", "dark"))
    return (
        f":root{{{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f":root[data-theme=dark]{{{dark}}}\n@media print{{:root:root:root{{{light}}}}}\n"
        f"{_joined('css', names)}"
    )


def _variables(name: str) -> str:
    colours = {**theme.THEMES[name]}
    colours |= {f"stage-{i}": colour for i, colour in enumerate(theme.STAGE_COLOURS[name])}
    last = theme.RAMP_STEPS - 1
    colours |= {f"ramp-{i}": mixed(theme.RAMPS[name], i / last) for i in range(last + 1)}
    listed = "".join(f"--{key}:{colour};" for key, colour in colours.items())
    return f"{listed}color-scheme:{name};--font:{theme.FONT}"


def _plotly() -> bytes:
    """Return the vendored plotly.js as it was compressed."""
    return (templates() / "vendor" / f"plotly-gl3d-{PLOTLY_VERSION}.min.js.gz").read_bytes()


@cache
def plotly_script() -> bytes:
    """Return the vendored plotly.js, after checking that it is what was vendored."""
    script = gzip.decompress(_plotly())
    digest = hashlib.sha256(script).hexdigest()
    if digest != PLOTLY_SHA256:
        raise ValueError(f"the vendored plotly.js is not {PLOTLY_VERSION}: sha256 {digest}")
    return script
