"""What stands in ``files/`` beside a ``.wandb`` -> the facts and the printed lines of its run.

config.yaml, wandb-summary.json, wandb-metadata.json and output.log, as the SDKs 0.10 to 0.31 write
them. Metadata is mostly about a person and a machine: only what a comparison of runs needs is kept.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from etl.sources import json_pieces, wandb_facts, wandb_run_json
from etl.sources.facts import Facts, clean
from etl.sources.frames import CONSOLE
from etl.sources.reading import Part, Reading, Reject

_FOLDER = "files"
EMPTY = "empty: W&B had written nothing yet"
# Copies of one file are often told apart by a word within the name: config.v1_a4ce3ad.yaml.
_NAME = re.compile(
    r"(?P<stem>config|wandb-summary|wandb-metadata|output)(\.[\w-]+)?\.(?P<suffix>yaml|json|log)"
)
_KINDS = {
    ("config", "yaml"): "config",
    ("wandb-summary", "json"): "summary",
    ("wandb-metadata", "json"): "metadata",
    ("output", "log"): "console",
}
_BLOCK = re.compile(rb"(?m)^(?=[^\s#-])")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


def recognises(path: Path, head: bytes) -> bool:  # noqa: ARG001  an empty one is W&B's as well
    """Whether *path* is one of the four, in the ``files`` folder of a W&B run folder.

    Or the output.log that ``etl.pull`` puts beside a run.json.
    """
    return _kind(path) is not None


def read(path: Path, start: int, known: tuple[Facts, ...]) -> Reading:  # noqa: ARG001
    """Return what *path* holds; it is always read whole."""
    data = path.read_bytes()
    kind, run_id = _kind(path), wandb_facts.run_folder(path)
    folder = path.parent.parent.name.removeprefix("offline-")
    pulled = wandb_run_json.beside(path) if run_id is None else None
    if pulled is not None:
        run_id = folder = pulled["id"]
    if run_id is None or kind is None:
        return Reading((), (), len(data))
    facts = Facts(run_id=run_id, segment_id=folder, tells_end=False)
    if kind == "console":
        facts = dataclasses.replace(facts, started_at=_started(path))
        return Reading((Part(facts, console=_console(data)),), (), len(data))
    readers: dict[str, Callable[[bytes, Facts], tuple[Facts, list[Reject]]]] = {
        "config": _config,
        "summary": _summary,
        "metadata": _metadata,
    }
    facts, rejects = readers[kind](data, facts)
    return Reading((Part(facts),), tuple(rejects), len(data))


def _started(path: Path) -> float | None:
    """Return when the process began whose lines these are, as the metadata beside them say."""
    try:
        data = path.with_name("wandb-metadata.json").read_bytes()
    except OSError:
        return None
    return wandb_facts.epoch(_members(data)[0].get("startedAt"))


def _kind(path: Path) -> str | None:
    match = _NAME.fullmatch(path.name)
    if path.name == "output.log" and wandb_run_json.beside(path) is not None:
        return "console"
    if match is None or path.parent.name != _FOLDER or wandb_facts.run_folder(path) is None:
        return None
    return _KINDS.get((match["stem"], match["suffix"]))


def _config(data: bytes, facts: Facts) -> tuple[Facts, list[Reject]]:
    values, rejects = _yaml(data)
    own = values.get("_wandb")
    inner = own.get("value") if isinstance(own, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    versions = {"python": inner.get("python_version"), "wandb": inner.get("cli_version")}
    facts = dataclasses.replace(facts, versions=wandb_facts.versions(versions))
    plain = {key: _unboxed(value) for key, value in values.items()}
    return wandb_facts.with_config(facts, wandb_facts.config(plain)), rejects


def _unboxed(value: Any) -> Any:
    """Return what W&B put as ``value``, in older files beside a ``desc``."""
    return value.get("value") if isinstance(value, dict) else value


def _summary(data: bytes, facts: Facts) -> tuple[Facts, list[Reject]]:
    values, rejects = _members(data)
    return dataclasses.replace(facts, summary=wandb_facts.summary(values)), rejects


def _metadata(data: bytes, facts: Facts) -> tuple[Facts, list[Reject]]:
    """Take the script, the commit, versions, the start and the accelerators; nothing else."""
    values, rejects = _members(data)
    git = values.get("git")
    versions = {
        "python": values.get("python"),
        "cuda": values.get("cudaVersion") or values.get("cuda"),
        "git": git.get("commit") if isinstance(git, dict) else None,
    }
    program = values.get("codePath") or values.get("program")
    facts = dataclasses.replace(
        facts,
        script=wandb_facts.script(program),
        started_at=wandb_facts.epoch(values.get("startedAt")),
        versions=wandb_facts.versions(versions),
        effective=wandb_facts.accelerators(values),
    )
    return facts, rejects


def _members(data: bytes) -> tuple[dict[str, Any], list[Reject]]:
    """Return the members of a JSON object, also of one that was cut."""
    pieces = json_pieces.read(data)
    if pieces.kind != "object":
        reason = EMPTY if not data.strip() else "no JSON object"
        return {}, [Reject(0, reason, data)]
    return dict(pieces.found), list(pieces.rejects)


def _yaml(data: bytes) -> tuple[dict[str, Any], list[Reject]]:
    """Return the top level entries of a YAML file; one that is damaged costs itself."""
    yaml, loader = _loader()
    values: dict[str, Any] = {}
    rejects = []
    if not data.strip():
        return {}, [Reject(0, EMPTY, data)]
    edges = sorted({0, *(match.start() for match in _BLOCK.finditer(data))})
    for begin, end in zip(edges, [*edges[1:], len(data)], strict=True):
        block = data[begin:end]
        if not block.endswith(b"\n"):
            reason = "the file ends without a line end, so its last entry may be cut"
            rejects.append(_place(data, begin, block, reason))
            continue
        try:
            value = yaml.load(block.decode("utf-8"), Loader=loader)
        except (yaml.YAMLError, ValueError, RecursionError) as problem:
            rejects.append(_place(data, begin, block, f"not YAML: {type(problem).__name__}"))
            continue
        if value is None:  # comments
            continue
        if isinstance(value, dict):
            values.update({str(key): inner for key, inner in value.items()})
        else:
            rejects.append(_place(data, begin, block, "no entry of a config"))
    return values, rejects


def _place(data: bytes, at: int, raw: bytes, reason: str) -> Reject:
    return Reject(at, reason, raw, data.count(b"\n", 0, at) + 1)


def _loader() -> tuple[Any, Any]:
    """Return (yaml, a loader that reads ``1e-08`` as a number and leaves a date a text)."""
    import yaml  # noqa: PLC0415  of all sources this one alone needs it

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] not in _LEFT_AS_TEXT]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    return yaml, Loader


_LEFT_AS_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")
_FLOAT = re.compile(
    r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?$|[-+]?\d+[eE][-+]?\d+$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)


def _console(data: bytes) -> pl.DataFrame:
    """Return the lines of an output.log as they stood on the screen in the end."""
    text = data.decode("utf-8", "replace")
    lines = text.removesuffix("\n").split("\n") if text else []
    shown = [_ANSI.sub("", line.removesuffix("\r").rsplit("\r", 1)[-1]) for line in lines]
    return pl.DataFrame(
        {
            "line": range(1, len(shown) + 1),
            "ts": [None] * len(shown),
            "text": [clean(line) for line in shown],
        },
        schema=CONSOLE,
    )
