"""A Weave trace server as a process of its own, that a test can kill and start again."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "local-" + "5ec4e7" * 6 + "0000"
SQLITE, CLICKHOUSE = ".venv-trace", ".venv-clickhouse"  # virtual environments of its own
STARTING_SEC = 90


def python(venv):
    return ROOT / venv / "bin" / "python"


def required(venv=SQLITE):
    """Skip unless the server can be started."""
    if importlib.util.find_spec("weave") is None:
        pytest.skip("the weave client is not installed: pip install '.[weave]'")
    if not python(venv).exists():
        pytest.skip(f"no Weave trace server: make {venv}/.ready builds one")


class TraceServer:
    """One server on one SQLite file; ``environment`` is what points the clients at it."""

    def __init__(self, folder, *options, venv=SQLITE):
        self.path, self.options, self.venv = folder / "trace.db", options, venv
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    @property
    def environment(self):
        return {
            "WANDB_BASE_URL": self.url,
            "WF_TRACE_SERVER_URL": self.url,
            "WANDB_API_KEY": KEY,
            "WANDB_ERROR_REPORTING": "false",
            "WEAVE_USE_SERVER_CACHE": "false",
        }

    def start(self):
        serve = ROOT / "tests" / "trace_server" / "serve.py"
        command = [
            python(self.venv),
            serve,
            "--path",
            self.path,
            "--port",
            self.port,
            *self.options,
        ]
        with (self.path.parent / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log, cwd=self.path.parent
            )
        return self

    def wait(self):
        end = time.monotonic() + STARTING_SEC
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.path.parent / "serve.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except ConnectionError:
                time.sleep(0.1)
            else:
                return self
        raise AssertionError(f"no trace server within {STARTING_SEC} s")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
