"""A project's name -> where its files are, and what its person's ``project.toml`` says."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl.errors import UsageError

MOST_CONSOLE_LINES = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Project:
    """A project and the places of its files, none of which need exist."""

    name: str
    folder: Path

    @property
    def database(self) -> Path:
        """The DuckDB file."""
        return self.folder / "runs.duckdb"

    @property
    def inbox(self) -> tuple[Path, Path]:
        """The folders that every sync reads: what hooks wrote, what was exported."""
        return self.folder / "raw", self.folder / "exports"

    def inbox_found(self) -> list[Path]:
        """Return the folders of ``inbox`` that exist."""
        return [folder for folder in self.inbox if folder.is_dir()]

    @property
    def quarantine(self) -> Path:
        """The folder of rejected lines."""
        return self.folder / "quarantine"

    @property
    def parts(self) -> Path:
        """The folder of content-addressed Parquet parts."""
        return self.folder / "parts"

    @property
    def snapshots(self) -> Path:
        """The folder of snapshot manifests."""
        return self.folder / "snapshots"

    @property
    def reports(self) -> Path:
        """The folder of reports."""
        return self.folder / "reports"

    @property
    def lock(self) -> Path:
        """The file that the one writing process holds."""
        return self.folder / "sync.lock"

    @property
    def settings_file(self) -> Path:
        """The person's own settings."""
        return self.folder / "project.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``project.toml`` says; every table of it is optional.

    ``[axes]`` names metrics for the report (``loss``, ``accuracy``, ``mfu``, ``throughput``, and
    ``benchmarks``, a list of four); ``[aliases]`` maps a key to the metric that it is; ``[stages]``
    maps a source project or a script to a stage; ``baseline`` is the id or the name of the run that
    the others are measured against; ``console_lines`` how many of the last lines that each run
    printed a snapshot keeps, redacted: by default none, since they may hold anything.
    """

    axes: Mapping[str, Any] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    console_lines: int = 0


def data_dir(given: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the data folder: what was given, else ``$RUNATLAS_DATA``, else ``data``."""
    return Path(given or environment.get("RUNATLAS_DATA") or "data")


def locate(name: str, folder: Path) -> Project:
    """Return project *name* under data folder *folder*.

    Raises:
        UsageError: *name* is no name for a folder.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no project name",
            done="nothing was changed",
            fix="use letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )
    return Project(name, folder / name)


def command(module: str, project: Project | Path, *words: str) -> str:
    """Return the command line of *module* that works on *project*, wherever its data folder is.

    Of a data folder alone the project is to be named; *words* in capitals stand for a person's own.
    """
    folder = project.folder.parent if isinstance(project, Project) else project
    name = project.name if isinstance(project, Project) else "NAME"
    chosen = () if folder == data_dir(None) else ("--data-dir", shlex.quote(str(folder)))
    return " ".join(("python -m", module, "--project", name, *words, *chosen))


def with_snapshots(folder: Path) -> list[Project]:
    """Return the projects under data folder *folder* that have a snapshot, sorted by name."""
    return [
        Project(path.parent.name, path.parent)
        for path in sorted(folder.glob("*/snapshots"))
        if any(path.glob("*.json"))
    ]


def settings(project: Project) -> Settings:
    """Return what the project's ``project.toml`` says.

    Raises:
        UsageError: the file is not TOML, or one of its tables has values of another kind.
    """
    path = project.settings_file
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except (OSError, ValueError) as problem:
        raise UsageError(
            f"not readable as TOML: {problem}",
            where=str(path),
            done="nothing was changed",
            fix=f"mend or remove {path}",
        ) from None
    names = ("axes", "aliases", "stages")
    single = _single(path, tables)
    strange = sorted(set(tables) - set(names))
    if strange:
        raise UsageError(
            f"[{strange[0]}] is no table of it",
            where=str(path),
            done="nothing was changed",
            fix=f"its tables are {', '.join(f'[{name}]' for name in names)}",
        )
    known = {name: tables.get(name, {}) for name in names}
    for name, table in known.items():
        texts = table.values() if isinstance(table, dict) and name != "axes" else ()
        if not isinstance(table, dict) or not all(isinstance(text, str) for text in texts):
            raise UsageError(
                f"[{name}] is not a table of texts",
                where=str(path),
                done="nothing was changed",
                fix=f'write it as [{name}] and lines like "key" = "value"',
            )
    return Settings(**known, **single)


def _single(path: Path, tables: dict[str, Any]) -> dict[str, Any]:
    """Take out of *tables* what is no table, and return it by name."""
    names = ("baseline", "console_lines")
    found: dict[str, Any] = {name: tables.pop(name) for name in names if name in tables}
    lines = found.get("console_lines", 0)
    if type(lines) is not int or not 0 <= lines <= MOST_CONSOLE_LINES:
        problem = f"console_lines is not a number from 0 to {MOST_CONSOLE_LINES}"
        fix = "write it above all tables as console_lines = 40, the last lines to keep of each run"
    elif not isinstance(found.get("baseline", ""), str):
        problem = "baseline is not a text"
        fix = 'write it above all tables as baseline = "d20", the id or the name of a run'
    else:
        return found
    raise UsageError(problem, where=str(path), done="nothing was changed", fix=fix)
