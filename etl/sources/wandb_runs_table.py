"""The runs table that W&B's interface saves as CSV, a row a run -> facts of each run, no history.

Also a table of nanochat runs that a person made: a column with the run's name beside columns that
are plainly nanochat's. Columns are config or summary; W&B's file does not say which.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from etl import catalog
from etl.sources import csv_table, nanochat_keys, wandb_facts
from etl.sources.facts import Facts
from etl.sources.reading import Part, Reading

_NAME = "Name"
_STATES = (
    "finished",
    "failed",
    "crashed",
    "killed",
    "running",
    "pending",
    "preempted",
    "preempting",
)
# What W&B knows of a run; what tells a person or a machine is never kept.
_KEPT = {
    "State",
    "Notes",
    "Tags",
    "Created",
    "Runtime",
    "ID",
    "Group",
    "Job Type",
    "Project",
    "Commit",
}
_DROPPED = {
    *("User", "Username", "Hostname", "Host", "Entity", "Email", "Command", "Agent", "Sweep"),
    *("Updated", "End Time", "Start Time", "Heartbeat", "Description", "GitHub", "Github", "Git"),
    *("Relative Time", "Last Updated", "Report", "Artifacts", "OS", "Python"),
}
_TELLING = _KEPT | {"User", "Sweep"}
_RESULT = re.compile(
    r"(?i)(^|[_./ -])(loss|acc|accuracy|ppl|perplexity|bpb|score|reward|grad_?norm|mfu|f1|bleu"
    r"|rouge|metric|runtime|tok(ens)?_per_sec(ond)?|throughput|time|elapsed|epoch|flops)([_./ -]|$)"
    r"|^_|/|@"
)
_RUN_NAMES = ("run", "run_name", "run name", "name")
# A table that a person made: what its columns are called, and what nanochat calls the same.
_SAME = {"val_bpb": "val/bpb", "core": "core_metric", "mfu_pct": "train/mfu"}
_MINUTES = {"train_minutes": "total_training_time"}
_RESOLVED = {"iterations": "num_iterations", "gpu": "gpu", "world_size": "world_size"}
# Columns of what a later stage of the row's run came to, by the beginning of their names.
_LATER = {"mid_": "midtraining", "sft_": "sft", "rl_": "rl"}
_SAID = ("date", "format", "note", "source_repo", "source_path", "source_commit", "wall_clock")


def recognises(path: Path, head: bytes) -> bool:
    """Whether *path* is a table of runs: by W&B's own columns, or by nanochat's."""
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    header = csv_table.header_of(head)
    return header is not None and (_of_wandb(header) or _of_nanochat(header))


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return what *path* holds, a part for each row; it is always read whole."""
    table = csv_table.read(path)
    # of two columns of one name the first, as everywhere
    rows = [dict(zip(table.header[::-1], row[::-1], strict=True)) for row in table.rows()]
    if _of_wandb(table.header):
        config, unsure = _config_columns(table.header)
        found = [_of_table(row, config, set(table.header) - config) for row in rows]
    else:
        unsure = []
        found = [facts for row in rows for facts in _of_person(row)]
    notes = [f"by their place or type taken as config: {', '.join(unsure)}"] if unsure else []
    distinct = {facts.run_id: facts for facts in found}
    if len(distinct) < len(found):
        notes.append(f"{len(found) - len(distinct)} rows say the same as another one")
    parts = tuple(Part(distinct[run_id]) for run_id in sorted(distinct))
    return Reading(parts, table.rejects, table.size, tuple(notes))


def _of_wandb(header: tuple[str, ...]) -> bool:
    return _NAME in header and len(_TELLING.intersection(header)) >= 2


def _of_nanochat(header: tuple[str, ...]) -> bool:
    names = [name.lower() for name in header]
    results = {*_SAME, *_MINUTES, *catalog.METRICS}.intersection(header)
    settings = nanochat_keys.CONFIG.intersection(header) - {"run"}
    return any(name in _RUN_NAMES for name in names) and len(settings) >= 3 and bool(results)


def _config_columns(header: tuple[str, ...]) -> tuple[set[str], list[str]]:
    """Return the columns of the config, and those of them that no name tells to be so.

    W&B writes the config's columns in alphabetical order and then the summary's: where the order
    begins anew, and the columns known by name agree, the place decides over those that are not.
    """
    keys = [key for key in header if key != _NAME and key not in _KEPT | _DROPPED]
    sure = {key: _known(key) for key in keys}
    edge = _edge(keys, sure)
    config: set[str] = set()
    unsure: list[str] = []
    for at, key in enumerate(keys):
        kind = sure[key]
        if kind is None and edge is not None:
            kind = "config" if at < edge else "summary"
        elif kind is None and _RESULT.search(key):
            kind = "summary"
        if kind != "summary":
            config.add(key)
        if kind is None:
            unsure.append(key)
    return config, unsure


def _edge(keys: list[str], sure: dict[str, str | None]) -> int | None:
    """Return where the summary's columns begin, or None where that does not show."""
    edges = [at for at in range(1, len(keys)) if keys[at].lower() < keys[at - 1].lower()]
    if len(edges) != 1:
        return None
    before, after = keys[: edges[0]], keys[edges[0] :]
    if any(sure[key] == "summary" for key in before) or any(sure[key] == "config" for key in after):
        return None
    results = any(sure[key] == "summary" or _RESULT.search(key) for key in after)
    return edges[0] if results else None


def _known(key: str) -> str | None:
    """Return ``config`` or ``summary`` where the name alone tells, or None."""
    if key in nanochat_keys.CONFIG:
        return "config"
    outer = key.split(".", 1)[0]
    names = (*catalog.METRICS, *catalog.NANOCHAT_ALIASES)
    if key in names or outer in nanochat_keys.RESULTS or key.startswith(("_", "pass@")):
        return "summary"
    return None


def _of_table(row: dict[str, str | None], config: set[str], others: set[str]) -> Facts:
    """Return the facts of a row of W&B's table."""
    asked = _cells(row, config)
    results = {key for key in others if key != _NAME and key not in _KEPT | _DROPPED}
    created = wandb_facts.epoch(row.get("Created"))
    seconds = csv_table.plain(row.get("Runtime"))
    ended = created + seconds if created is not None and isinstance(seconds, (int, float)) else None
    stated = row.get("ID")
    run_id = stated or wandb_facts.own_id(
        "wandb-table", row.get(_NAME), row.get("Created") or asked
    )
    notes = row.get("Notes")
    commit = row.get("Commit")
    facts = Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=bool(stated),
        name=row.get(_NAME),
        source_project=row.get("Project"),
        started_at=created,
        job_type=row.get("Job Type"),
        group=row.get("Group"),
        tags=_tags(row.get("Tags")),
        notes=notes if notes != "-" else None,
        summary=wandb_facts.summary(_cells(row, results)),
        versions={"git": commit} if commit else {},
        tells_end=row.get("State") in _STATES,
    )
    facts = wandb_facts.with_config(_of_script(facts, asked), wandb_facts.config(asked))
    return wandb_facts.with_state(facts, row.get("State"), ended)


def _of_script(facts: Facts, config: dict[str, Any]) -> Facts:
    """Return *facts* with the stage of nanochat's whose config this plainly is, if one's."""
    scripts = [name for name, keys in nanochat_keys.TELLING.items() if set(keys) & set(config)]
    if len(scripts) != 1:
        return facts
    stage = catalog.SCRIPT_STAGES[scripts[0]]
    return dataclasses.replace(
        facts,
        stage=stage,
        stage_from=f"its config, which has the keys of {scripts[0]}",
        model_tag=str(config["model_tag"])
        if stage == "pretraining" and config.get("model_tag")
        else None,
    )


def _of_person(row: dict[str, str | None]) -> list[Facts]:
    """Return the facts of a row that a person wrote, under nanochat's names and units.

    One run, and one more for each later stage whose results the row has: what it was trained to.
    """
    name = next((row[key] for key in row if key.lower() in _RUN_NAMES), None)
    cells = sorted(row.items(), key=lambda cell: cell[0])
    run_id = wandb_facts.own_id("table", cells)
    settings = nanochat_keys.CONFIG.intersection(row) - {"run"}
    said = [f"{key}: {row[key]}" for key in _SAID if row.get(key)]
    first = Facts(
        run_id=run_id,
        segment_id=run_id,
        id_known=False,
        name=name,
        notes="; ".join(said) or None,
        config=_cells(row, settings),
        effective={_RESOLVED[key]: value for key, value in _cells(row, set(_RESOLVED)).items()},
        summary=_results(row, settings),
        tells_end=False,
    )
    later = {begins: results for begins in _LATER if (results := _later(row, begins))}
    if later:
        why = "the table's columns of later stages"
        first = dataclasses.replace(first, stage="pretraining", stage_from=why)
    runs = [first]
    for begins, results in later.items():
        own = wandb_facts.own_id("table", _LATER[begins], cells)
        runs.append(
            Facts(
                run_id=own,
                segment_id=own,
                id_known=False,
                name=name,
                stage=_LATER[begins],
                stage_from=f"the table's columns {begins}*",
                parent_run_id=runs[-1].run_id,
                notes=first.notes,
                summary=results,
                tells_end=False,
            )
        )
    return runs


def _results(row: dict[str, str | None], settings: frozenset[str]) -> dict[str, Any]:
    """Return what *row* says of its run that is neither a setting nor of a later stage."""
    results: dict[str, Any] = {}
    for key, cell in row.items():
        value = csv_table.plain(cell)
        if key in settings or key in _SAID or key in _RESOLVED or isinstance(value, (str, bool)):
            continue
        if key in _MINUTES and value is not None:
            results[_MINUTES[key]] = round(value * 60, 3)
        elif value is not None and key.lower() not in _RUN_NAMES and _benchmark(key) is None:
            results[_SAME.get(key, key)] = value
    return results


def _later(row: dict[str, str | None], begins: str) -> dict[str, Any]:
    """Return by metric what *row* says of the stage whose columns begin so."""
    cells = _cells(row, {key for key in row if key.startswith(begins) and _benchmark(key)})
    bee = f"{begins}spellingbee" in cells
    found = {str(_benchmark(key)): value for key, value in cells.items()}
    if bee and "chatcore_metric" in found:  # with that task it is another metric
        found["chatcore_spellingbee_metric"] = found.pop("chatcore_metric")
    return found


def _benchmark(key: str) -> str | None:
    """Return the metric that a column ``sft_mmlu`` means, or None where it is not of that kind."""
    begins = next((begins for begins in _LATER if key.startswith(begins)), None)
    if begins is None:
        return None
    task = key.removeprefix(begins)
    name = "chatcore_metric" if task == "chatcore" else f"{task}_acc"
    return name if name in catalog.METRICS else None


def _cells(row: dict[str, str | None], keys: set[str] | frozenset[str]) -> dict[str, Any]:
    """Return the cells of *keys* that hold something, as what they were."""
    values = {key: csv_table.plain(row.get(key)) for key in sorted(keys)}
    return {key: value for key, value in values.items() if value is not None}


def _tags(cell: str | None) -> tuple[str, ...]:
    if cell is None or cell == "-":
        return ()
    value = csv_table.plain(cell)
    words = value if isinstance(value, list) else cell.split(",")
    return tuple(sorted(word for word in (str(word).strip() for word in words) if word))
