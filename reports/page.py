"""A report's charts, tables and sentences -> one HTML file that asks nothing of anyone.

Data enters the page in two ways, both of them here: as text that jinja escapes, and as that of
``reports.embed``, which holds no character that HTML knows. The content security policy names the
hashes of the page's own scripts and styles and allows nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reports import cells, flat, prose, theme, words
from reports.assets import (
    PLOTLY_VERSION,
    environment,
    plotly_packed,
    plotly_script,
    policy,
    read_template,
    script,
    style,
)
from reports.attributes import run_attributes
from reports.charts import spec
from reports.charts.spec import Chart, Json
from reports.embed import compressed, embedded
from reports.gather import Report, tables
from reports.origin import origin
from reports.pack import Packed, pack
from reports.posters import ROOMS, poster
from reports.straddles import straddles

PLAIN_ROWS = 200  # of the table of runs; more are packed


def render(report: Report) -> bytes:
    """Return the page. The same report gives the same bytes."""
    with ThreadPoolExecutor(1) as beside:  # most of packing is compressing, which lets others run
        packing = beside.submit(pack, tables(report.charts))
        table, posters = cells.runs_table(report), _posters(report)
        packed = packing.result()
    many = len(table.rows) > PLAIN_ROWS
    boot, code, style_text = read_template("boot.js"), script(), style()
    plotly_css = read_template(f"vendor/plotly-{PLOTLY_VERSION}.css")
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=report.project,
            policy=policy([boot, code, plotly_script().decode()], [style_text, plotly_css]),
            style=style_text,
            plotly_css=plotly_css,
            boot=boot,
            script=embedded(compressed(code)),
            plotly=embedded(plotly_packed()),
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
            panels={c.key: flat.filled(report, c) for c in report.charts if c.kind == "plane"},
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
