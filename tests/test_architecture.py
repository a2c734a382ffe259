"""Who may import whom, and what an import may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "hooks": {"hooks"},
    "etl": {"etl", "hooks.record"},
    "reports": {
        *("reports", "etl.schema", "etl.snapshot", "etl.project", "etl.errors", "etl.eras"),
        *("etl.points", "etl.whole_file"),
        *("etl.diff", "etl.noise", "etl.reach", "etl.state", "etl.naming"),
        *("etl.catalog", "etl.lock", "etl.pulling.connect"),
    },
}
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _imports(path):
    """Return the modules that *path* names in its imports, whole."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_from_reports_to_etl_to_hooks_and_never_back(path):
    """A room imports its own modules and the few doors of the rooms to its left."""
    allowed = ROOMS[path.relative_to(ROOT).parts[0]]
    own = {name for name in _imports(path) if name.split(".")[0] in ROOMS}

    wrong = {n for n in own if not any(n == door or n.startswith(f"{door}.") for door in allowed)}
    assert not wrong


def test_the_hooks_load_nothing_outside_the_standard_library():
    """A training environment has no duckdb, polars or plotly, and pays for no import."""
    code = "import sys, hooks; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) - set(sys.stdlib_module_names) - {"__main__", "hooks"} == set()


def test_a_sync_with_nothing_new_loads_neither_polars_nor_numpy(tmp_path):
    """They take 0.3 s to import, which is more than all else that it does."""
    log = tmp_path / "run.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n')
    run = f"['--project', 'p', '--data-dir', {str(tmp_path / 'data')!r}, {str(log)!r}]"
    code = (
        f"import sys; from etl import sync; sync.main({run}); print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    first, second = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr.split()
        for _ in range(2)
    )

    assert "polars" in first
    assert not {"polars", "numpy", "pyarrow"} & set(second)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_does_nothing_when_it_is_imported(path):
    """Its top level holds definitions, constants, imports and the command line's guard alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef)
    definitions += (ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        guards = ("__name__ == '__main__'", "TYPE_CHECKING")
        guard = isinstance(node, ast.If) and ast.unparse(node.test) in guards

        assert isinstance(node, definitions) or docstring or guard, ast.unparse(node)
