"""A package of the invented project, and servers on the loopback that it is published to."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from reports import publish

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "local-key-that-must-be-nowhere-0123456789abcdef"


@dataclass
class Done:
    """How a publish ended."""

    code: int
    out: str
    err: str

    @property
    def board(self):
        (board,) = json.loads(self.out.splitlines()[-1])["boards"]
        return board


class Publisher:
    """An outbox of its own, and what W&B is told of one server."""

    def __init__(self, folder, outbox, server, **environment):
        self.folder = folder
        self.outbox = folder / "carried"
        shutil.copytree(outbox, self.outbox)
        hidden = ("WANDB_", "WEAVE_", "WF_", "SSL_", "REQUESTS_", "CURL_")
        proxies = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(hidden) and name.upper() not in proxies
            },
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT),
            "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": server if isinstance(server, str) else server.url,
            **environment,
        }
        (folder / "home").mkdir()

    @contextmanager
    def told(self):
        """Until the block ends this process's environment says of the server what ours does."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            yield

    @property
    def arguments(self):
        return ["--outbox", str(self.outbox), "--to", "wandb", "--now", "--json"]

    def publish(self):
        """Publish in this process, which has the client loaded."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = publish.main(self.arguments)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Done(code, out.getvalue(), err.getvalue())

    def start(self, *before):
        """Publish in a process of its own, and do not wait for it."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", "reports.publish", *self.arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def publish_apart(self):
        """Publish in a process of its own: W&B's service keeps the CA and proxy it began with."""
        process = self.start()
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    def forget(self):
        """Remove the record of what was pushed where."""
        shutil.rmtree(self.outbox / "pushed", ignore_errors=True)
