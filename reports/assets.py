"""What a page is made of beside its data: templates, style, scripts, and plotly as it is vendored.

Nothing here depends on a report; what does is in ``reports.page``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import jinja2
import jinja2.ext

from reports import theme, words
from reports.resolver import mixed

PLOTLY_VERSION = "4.1.1"
PLOTLY_SHA256 = "aab04dcd9c103a92b18723f8c837712fe820f325d0bcd2421e415e8124a75b9f"
_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)  # a tenth of what is compressed
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
# Of a style, which is not compressed, what only people need: 5 of 41 kB. A space before a colon is
# part of a selector; no string of ours has a space after a comma, colon or semicolon.
_SPARE = re.compile(r"/\*.*?\*/|\s+(?=[{}])|(?<=[{};:,])\s+|^\s+", re.DOTALL)


@cache
def templates() -> Path:
    """Return the folder of templates: beside this file in a wheel, else the repository's."""
    installed = Path(__file__).parent / "templates"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "templates"


class _Bytecode(jinja2.FileSystemBytecodeCache):
    """Compiled templates, kept where Python keeps compiled modules: a build is 0.1 s shorter."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "__pycache__"), f"%s.jinja-{jinja2.__version__}.pyc")

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        with suppress(OSError):  # a read-only installation or a full disk does without
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


class _Flush(jinja2.ext.Extension):
    """Templates without their indentation: it is a line break's worth of space on the page."""

    def preprocess(self, source: str, name: object, filename: object = None) -> str:  # noqa: ARG002
        """Return *source* with every line at the margin."""
        return _INDENT.sub("", source)


def environment() -> jinja2.Environment:
    """Return the templates' environment, which escapes what enters it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        bytecode_cache=None if sys.dont_write_bytecode else _Bytecode(templates()),
        autoescape=True,
        extensions=[_Flush],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = words.number
    environment.filters["many"] = words.count
    environment.filters["moment"] = words.moment
    environment.filters["clip"] = words.clipped
    environment.filters["setting"] = words.setting
    return environment


def read_template(name: str) -> str:
    """Return one of the templates' files."""
    return (templates() / name).read_text(encoding="utf-8")


def script() -> str:
    """Return the page's script: its files in their order, in one scope of their own."""
    return _COMMENT.sub("", f"(() => {{\n'use strict';\n{_joined('js')}}})();\n")


def _joined(kind: str, names: Sequence[str] = ()) -> str:
    """Return the files of one kind (``js``, ``css``) in their order: those *names*, or all."""
    files = sorted((templates() / kind).glob(f"*.{kind}"))
    wanted = [file for file in files if not names or file.stem in names]
    return "\n".join(file.read_text(encoding="utf-8") for file in wanted)


def style(*names: str) -> str:
    """Return a page's style: the themes' colours as variables, then the rules of these files."""
    light, dark = (_variables(name) for name in ("light", "dark"))
    whole = (
        f":root{{{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f":root[data-theme=dark]{{{dark}}}\n@media print{{:root:root:root{{{light}}}}}\n"
        f"{_joined('css', names)}"
    )
    return _SPARE.sub("", whole)


def _variables(name: str) -> str:
    colours = {**theme.THEMES[name]}
    colours |= {f"stage-{i}": colour for i, colour in enumerate(theme.STAGE_COLOURS[name])}
    last = theme.RAMP_STEPS - 1
    colours |= {f"ramp-{i}": mixed(theme.RAMPS[name], i / last) for i in range(last + 1)}
    listed = "".join(f"--{key}:{colour};" for key, colour in colours.items())
    return f"{listed}color-scheme:{name};--font:{theme.FONT}"


def plotly_packed() -> bytes:
    """Return the vendored plotly.js as it was compressed."""
    return (templates() / "vendor" / f"plotly-gl3d-{PLOTLY_VERSION}.min.js.gz").read_bytes()


@cache
def plotly_script() -> bytes:
    """Return the vendored plotly.js, after checking that it is what was vendored."""
    script = gzip.decompress(plotly_packed())
    digest = hashlib.sha256(script).hexdigest()
    if digest != PLOTLY_SHA256:
        raise ValueError(f"the vendored plotly.js is not {PLOTLY_VERSION}: sha256 {digest}")
    return script


def policy(scripts: list[str], styles: list[str]) -> str:
    """Return a content security policy that allows these scripts and styles and nothing else."""

    def hashes(texts: list[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        listed = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
        return " ".join(listed) or "'none'"

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src-elem {hashes(styles)};"
        " style-src-attr 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
