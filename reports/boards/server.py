"""The environment and W&B's own files -> which servers boards can go to, and whether they answer.

The key is looked for where W&B puts it (``WANDB_API_KEY``, netrc) and goes to no file, line or URL
of ours. The clients wait up to 91 s for a server that swallows packets (measured, weave 0.54), so
that a server answers is asked here, with an end to the whole wait.
"""

from __future__ import annotations

import configparser
import netrc
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from etl.pulling.connect import AnswerError, within
from reports.boards.target import UnreachableError

CLOUD = "https://api.wandb.ai"
CLOUD_TRACES = "https://trace.wandb.ai"
TIMEOUT_SEC = 7.0  # for one answer; two are asked for at most, so it takes 15 s at most
_ENOUGH = 65_536  # bytes of an answer to know whose it is
# Where a person names the certificates to trust; the clients look at the first two.
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Server:
    """A W&B server, and the Weave trace server beside it."""

    base_url: str
    trace_url: str
    entity: str | None  # None: the key's own
    key: str | None = field(repr=False)
    chosen: bool  # whether a person has set it up in any way


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a GET."""

    status: int  # of HTTP
    body: bytes  # its beginning, or nothing where the status is an error's


def configured(environment: Mapping[str, str] = os.environ) -> Server:
    """Return the server that W&B is set up for; its key is None where there is none."""
    settings = _settings(environment)
    given = environment.get("WANDB_BASE_URL") or settings.get("base_url")
    base_url = plain(given or CLOUD)
    public = plain(environment.get("WANDB_PUBLIC_BASE_URL") or base_url)
    traces = CLOUD_TRACES if public == CLOUD else f"{public}/traces"
    own_traces = environment.get("WF_TRACE_SERVER_URL")
    key = environment.get("WANDB_API_KEY") or _netrc_key(base_url, environment)
    return Server(
        base_url=base_url,
        trace_url=plain(own_traces or traces),
        entity=environment.get("WANDB_ENTITY") or settings.get("entity"),
        key=key or None,
        chosen=bool(given or own_traces or key),
    )


def plain(url: str) -> str:
    """Return *url* in one spelling, without what it may hold of a user."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1].lower()
    return urlunsplit((parts.scheme.lower(), host, parts.path.rstrip("/"), "", ""))


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what ``wandb login`` has kept: the nearer file wins."""
    home = environment.get("WANDB_CONFIG_DIR") or Path("~/.config/wandb").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        parser.read([Path(home) / "settings", Path("wandb") / "settings"])
    return dict(parser["default"]) if parser.has_section("default") else {}


def _netrc_key(base_url: str, environment: Mapping[str, str]) -> str | None:
    named = environment.get("NETRC")
    paths = [named] if named else ["~/.netrc", "~/_netrc"]
    for path in paths:
        with suppress(OSError, netrc.NetrcParseError):
            found = netrc.netrc(Path(path).expanduser()).authenticators(urlsplit(base_url).netloc)
            if found and found[2]:
                return found[2]
    return None


def ask(url: str, timeout_sec: float = TIMEOUT_SEC) -> Answer:
    """Return what *url* answers, whatever it is.

    Raises:
        UnreachableError: nothing answers there within *timeout_sec*, names and proxies included.
    """
    if not url.startswith(("http://", "https://")):
        raise _unreachable(url, "not an http or https address")
    request = urllib.request.Request(url, headers={"User-Agent": "runatlas"})  # noqa: S310

    def get() -> Answer:
        handler = urllib.request.HTTPSHandler(context=_context())
        opener = urllib.request.build_opener(handler, _Stay)
        try:
            with opener.open(request, timeout=timeout_sec) as answer:
                return Answer(answer.status, answer.read(_ENOUGH))
        except urllib.error.HTTPError as problem:
            return Answer(problem.code, b"")

    try:
        return within(timeout_sec, get)
    except AnswerError as problem:
        raise _unreachable(url, _reason(problem, timeout_sec)) from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer; where it leads is not asked."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def bundle(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the file of certificates that a person has named, if any."""
    return next((environment[name] for name in _BUNDLES if environment.get(name)), None)


def _context() -> ssl.SSLContext:
    named = bundle()
    if named and Path(named).is_dir():
        return ssl.create_default_context(capath=named)
    return ssl.create_default_context(cafile=named)


def _reason(problem: AnswerError, timeout_sec: float) -> str:
    """Return why there was no answer, in a few words."""
    cause: object = problem.__cause__
    while getattr(cause, "reason", None):  # urllib puts it into its own error
        cause = getattr(cause, "reason", None)
    if cause is None or isinstance(cause, TimeoutError):
        return f"no answer within {timeout_sec:g} s"
    return getattr(cause, "strerror", None) or str(cause)


def _unreachable(url: str, why: str) -> UnreachableError:
    fix = "check WANDB_BASE_URL, WF_TRACE_SERVER_URL, the proxy and the network"
    if "CERTIFICATE" in why:
        fix = "name the file of the certificates to trust, SSL_CERT_FILE=/path/to/ca.pem"
    return UnreachableError(f"cannot be reached: {why}", where=plain(url), fix=fix)
