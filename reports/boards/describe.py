"""A report -> what its board says in words: what there is, and what changed since the last one."""

from __future__ import annotations

from reports import prose, words
from reports.gather import Report
from reports.results import Column

MOST_LINES = 12  # of each list; the page has them all


def description(report: Report) -> str:
    """Return the board's description as Markdown."""
    since = report.changed
    lede = prose.lede(report).replace("listed below", "listed in the report")
    parts = [lede, f"**What changed.** {since.headline}"]
    if since.against is not None:
        parts.append(f"Compared with snapshot `{since.against}`.")
    runs = [f"{line.run.name} ({line.run.stage}), {line.kind}: {line.words}" for line in since.runs]
    values = [
        f"{line.stage} {line.label}: {line.before} → {line.after} {line.unit}".rstrip()
        + f" ({line.delta}, {line.verdict})"
        for line in since.records
    ]
    parts += [_listed("Runs", runs), _listed("Best values", values)]
    best = [f"{f.label} {f.value} {f.unit} ({f.run.name})" for f in prose.figures(report)]
    parts.append(_listed("Best so far", best))
    return "\n\n".join(part for part in parts if part) + "\n"


def direction(report: Report, column: Column) -> str:
    """Return which end of *column* is the better one: min, max, or nothing where none is known."""
    if column.group != "result":
        return ""
    if column.key == "accuracy":
        return "max"
    metric = report.facts.catalog.get(column.explained)
    return (metric.direction if metric else None) or ""


def _listed(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    rest = len(lines) - MOST_LINES
    more = [f"and {words.count(rest, 'more line')} in the report"] if rest > 0 else []
    shown = [f"- {_escaped(line)}" for line in lines[:MOST_LINES]]
    return "\n".join([f"**{title}**", "", *shown, *(f"- {line}" for line in more)])


def _escaped(text: str) -> str:
    """Return *text* so that Markdown shows it as it is, whatever runs are called."""
    one_line = " ".join(text.split())
    for sign in "\\`*_{}[]<>#|":
        one_line = one_line.replace(sign, f"\\{sign}")
    return one_line
