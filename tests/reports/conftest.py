"""One invented project, one built page and one browser for all the report's tests."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import snapshots
import trace_servers
from logged import Logged
from pages import open_page, settle, wait
from trace_servers import TraceServer

from etl import snapshot
from reports import build, publish

SOFTWARE_GL = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """The invented project as a snapshot on disk, and its page."""
    data = tmp_path_factory.mktemp("data")
    project, identity = snapshots.mini(data)

    assert build.main(["--project", "mini", "--data-dir", str(data)]) == 0

    page = project.reports / f"{identity}.html"
    return SimpleNamespace(data=data, project=project, snapshot=identity, page=page)


@pytest.fixture(scope="session")
def sql(mini):
    """Ask the snapshot itself, past everything in reports."""
    with closing(snapshot.connect(mini.project, snapshot.read_manifest(mini.project))) as db:
        yield lambda text, *values: db.execute(text, list(values)).fetchall()


@pytest.fixture(scope="session")
def playwright():
    """Playwright, with the machine's own Chromium or not at all."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium():
    """The path of the machine's Chromium."""
    named = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    found = shutil.which(named) or shutil.which("chromium-browser")
    if not found:
        pytest.skip(f"no Chromium at {named}: install it, or set CHROMIUM to its path")
    return found


@pytest.fixture(scope="session")
def browser(playwright, chromium):
    """A browser that draws WebGL in software."""
    running = playwright.chromium.launch(executable_path=chromium, args=list(SOFTWARE_GL))
    yield running
    running.close()


@pytest.fixture(scope="session")
def opened(browser, mini):
    """The page with every scene drawn, and what it asked for and complained about meanwhile."""
    size = {"width": 1300, "height": 8000}  # all of the page is in view
    context = browser.new_context(viewport=size, offline=True, color_scheme="light")
    tab = open_page(context, mini.page)
    wait(tab, "__runatlas.ready")
    yield tab
    context.close()


@pytest.fixture
def tab(opened):
    """The drawn page, put back to its first state afterwards."""
    yield opened
    # a fragment of which the page knows no part: the first view
    opened.evaluate("location.hash = `first=${performance.now()}`")
    settle(opened)


@pytest.fixture
def no_servers(monkeypatch, tmp_path):
    """A machine on which W&B is not set up, whatever this one is."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "WEAVE_", "WF_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def logged(tmp_path, capsys, no_servers):
    """A project of two logged runs, and its first snapshot."""
    project = Logged(tmp_path / "data")
    project.log("d4", 0.25)
    project.log("d8", 0.5, depth=8)
    project.first = project.sync(capsys)
    return project


@pytest.fixture(scope="session")
def weave_servers(tmp_path_factory):
    """Two Weave trace servers."""
    trace_servers.required()
    both = [TraceServer(tmp_path_factory.mktemp(name)).start() for name in ("one", "two")]
    yield [server.wait() for server in both]
    for server in both:
        server.kill()


@pytest.fixture(scope="session")
def outbox(mini, tmp_path_factory):
    """The outbox in which the invented project's package waits, made where no server is set up."""
    hidden = dict.fromkeys(("WANDB_API_KEY", "WANDB_BASE_URL", "WF_TRACE_SERVER_URL"), "")
    hidden["NETRC"] = hidden["WANDB_CONFIG_DIR"] = str(tmp_path_factory.mktemp("nobody"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in hidden.items():
            patch.setenv(name, value)

        assert publish.main(["--project", "mini", "--data-dir", str(mini.data)]) == 0

    return mini.project.folder / "outbox"
