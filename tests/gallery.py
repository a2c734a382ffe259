"""Pictures of the report as people see it, to be looked at: ``make gallery``.

The sample is synced in two portions, so that there is a snapshot before; the real nanochat files
are a second page where ``$RUNATLAS_FIXTURES`` has them. With ``--picture`` the picture in the
README is made anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
PICTURE = ROOT / "data" / "report.jpg"
REAL = ("nanochat", "nanochat_published_runs.csv", "wandb_runs_table")
TALL = 16_000  # pixels: all of the page is in view, so all of it is drawn
ALL_DRAWN = "window.__runatlas?.ready && __runatlas.idle"
FIRST_DRAWN = "performance.getEntriesByName('first-3d').length && __runatlas.idle"
VIEWS = {  # name: width, theme
    "light": (1400, "light"),
    "dark": (1400, "dark"),
    "phone": (390, "light"),
    "phone-dark": (390, "dark"),
    "wide": (2560, "light"),
}


def main() -> None:
    """Build the pages and photograph them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=str(ROOT / "data" / "gallery"), help="folder of pictures")
    parser.add_argument("--picture", action="store_true", help="make the README's picture anew")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with tempfile.TemporaryDirectory() as data, sync_playwright() as running:
        pages = _pages(Path(data))
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, page in pages.items():
            for view, (width, theme) in VIEWS.items():
                tab = _open(browser, page, width, theme)
                tab.screenshot(path=out / f"{name}-{view}.png", full_page=True)
                if view == "light":
                    _details(tab, out, name)
                    _print(tab, out, name)
                tab.context.close()
        if options.picture:
            _picture(browser, pages["sample"])
        browser.close()
    print(out)


def _pages(data: Path) -> dict[str, Path]:
    """Return the pages by name."""
    first = data / "first"
    first.mkdir()
    for file in sorted((SAMPLE / "raw").glob("*.jsonl"))[:24]:
        shutil.copy(file, first)
    _command("etl.sync", "sample", data, str(first))
    _command("etl.sync", "sample", data, str(SAMPLE))
    places = {"sample": _built("sample", data)}
    fixtures = Path(os.environ.get("RUNATLAS_FIXTURES", ROOT.parent / "shared" / "fixtures"))
    if fixtures.is_dir():
        _command("etl.sync", "nanochat", data, *(str(fixtures / name) for name in REAL))
        places["nanochat"] = _built("nanochat", data)
    return places


def _built(project: str, data: Path) -> Path:
    _command("reports.build", project, data)
    return data / project / "reports" / "latest.html"


def _command(module: str, project: str, data: Path, *more: str) -> None:
    command = [sys.executable, "-m", module, "--project", project, "--data-dir", str(data), *more]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):  # 3: the sample's killed run has a torn file by design
        sys.exit(done.returncode)


def _open(browser: Any, page: Path, width: int, theme: str, height: int = TALL) -> Any:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, offline=True
    )
    tab = context.new_page()
    tab.goto(f"file://{page}")
    until = ALL_DRAWN if height == TALL else FIRST_DRAWN
    for _ in range(900):
        if tab.evaluate(f"() => Boolean({until})"):
            break
        time.sleep(0.1)
    time.sleep(1)  # the last frame of a scene in software
    return tab


def _details(tab: Any, out: Path, name: str) -> None:
    """Photograph what changed, the first scene, and the section of a run."""
    tab.locator("#changed").screenshot(path=out / f"{name}-changed.png")
    tab.locator("#chart-trajectory").screenshot(path=out / f"{name}-scene.png")
    tab.set_viewport_size({"width": 1400, "height": 1000})
    tab.evaluate("location.hash = 'run-2'")
    time.sleep(1.5)
    tab.screenshot(path=out / f"{name}-run.png")


def _print(tab: Any, out: Path, name: str) -> None:
    """Print, and photograph the sheets where poppler is."""
    tab.evaluate("location.hash = ''")
    pdf = out / f"{name}-print.pdf"
    tab.pdf(path=pdf, format="A4", print_background=True)
    if shutil.which("pdftoppm"):
        subprocess.run(["pdftoppm", "-r", "50", "-png", pdf, pdf.with_suffix("")], check=True)


def _picture(browser: Any, page: Path) -> None:
    tab = _open(browser, page, 1280, "light", 1400)
    tab.screenshot(path=PICTURE, type="jpeg", quality=82)
    tab.context.close()


if __name__ == "__main__":
    main()
