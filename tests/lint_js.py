"""Lint the page's script as the browser gets it: its files in one scope, said by file and line.

``python tests/lint_js.py``, which ``make lint`` does. A name that another file declares is known,
and one that nobody uses is found, as neither would be in a file alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOUND = re.compile(r"^.*?page\.js:(\d+):(\d+): (.*)$")


def main() -> int:
    """Print what oxlint finds and return 1 if that is anything."""
    lines: list[str] = []
    places: list[str] = []
    for file in sorted((ROOT / "templates" / "js").glob("*.js")):
        own = file.read_text(encoding="utf-8").splitlines()
        lines += own
        places += [f"{file.relative_to(ROOT)}:{number}" for number in range(1, len(own) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "page.js")
        script.write_text("\n".join(["(() => {", *lines, "})();\n"]), encoding="utf-8")
        linter = Path(sys.executable).with_name("oxlint")
        config = ROOT / "tests" / "oxlint.json"
        done = subprocess.run(
            [linter, "--config", config, "--format", "unix", script],
            capture_output=True,
            text=True,
            check=False,
        )
    for line in done.stdout.splitlines():
        match = FOUND.match(line)
        if match:
            print(f"{places[int(match[1]) - 2]}:{match[2]}: {match[3]}")
    if done.returncode and not any(map(FOUND.match, done.stdout.splitlines())):
        print(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
