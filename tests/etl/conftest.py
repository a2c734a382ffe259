"""A project in a folder of its own, and a way to sync it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

import hooks
from etl import sync as command


@dataclass
class Synced:
    """What one sync printed and left."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def document(self):
        return json.loads(self.out.splitlines()[-1])


class Workplace:
    """A data folder, logs to sync, and the tables that came of them."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.data = folder / "projects"
        self.logs = folder / "logs"
        self.logs.mkdir()

    def sync(self, *paths, project="demo", options=()):
        arguments = ["--project", project, "--data-dir", str(self.data), "--json", *options]
        code = command.main([*arguments, *map(str, paths)])
        out, err = self.capsys.readouterr()
        return Synced(code, out, err, self.data / project)

    def rows(self, query, *values, project="demo"):
        with duckdb.connect(str(self.data / project / "runs.duckdb"), read_only=True) as con:
            return con.execute(query, list(values)).fetchall()

    def history(self, project="demo"):
        """Every value of a project: (run, metric, step) -> value or text."""
        query = "select run_id, metric, step, coalesce(value::varchar, text) from history"
        return {row[:3]: row[3] for row in self.rows(query, project=project)}

    def log(self, run_id="r1", steps=range(10), *, finish=True, folder=None, **options):
        """Write a real log through our hooks and return its path."""
        run = hooks.init(
            "demo",
            run_id=run_id,
            dir=folder or self.logs,
            stage="pretraining",
            wandb=False,
            **options,
        )
        for step in steps:
            run.log({"train/loss": 3.0 - step / 100, "val/bpb": 1.0 + step / 1000}, step=step)
        if finish:
            run.finish()
        return run.path


@pytest.fixture
def place(tmp_path, capsys):
    return Workplace(tmp_path, capsys)
