"""What every test may use: the command line, the folders, real logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure():
    # a property holds however slow the machine is
    settings.register_profile("unhurried", deadline=None)
    settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def fixtures():
    """The folder of real files from public repositories, which are not committed."""
    folder = Path(os.environ.get("RUNATLAS_FIXTURES", ROOT.parent / "shared" / "fixtures"))
    if not (folder / "manifest.json").exists():
        pytest.skip("no real files here: set RUNATLAS_FIXTURES to the folder with manifest.json")
    return folder


@pytest.fixture(scope="session")
def truths(fixtures):
    """What was measured of each real file."""
    return json.loads((fixtures / "manifest.json").read_text(encoding="utf-8"))["files"]


@pytest.fixture
def run_module():
    """Run ``python -m MODULE ARGUMENTS`` as a process of its own."""

    def run(module, *arguments, cwd=ROOT, **environment):
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(autouse=True)
def no_service_of_wandb_left_in_the_environment():
    """W&B leaves the address of a service that has ended to every process started later."""
    yield
    os.environ.pop("WANDB_SERVICE", None)


def pytest_addoption(parser):
    parser.addoption(
        "--write-golden", action="store_true", help="make what is found now the expected output"
    )
