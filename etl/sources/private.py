"""What a file states -> the same without secrets, people and their home folders."""

from __future__ import annotations

import re
from typing import Any

_HOME = re.compile(
    r"(?<![\w.])(?:(?:/home/|/Users/|[A-Za-z]:[/\\]+Users[/\\]+)[^/\\\s\"']+|/root(?=/|$))"
)
# `num_tokens` and `tokenizer` are settings; `hf_token` is none
_SECRET_KEY = re.compile(
    r"(?i)(api_?key|secret|passw(or)?d|credential|(access|auth|hf|hub|bearer)_?token|private_?key"
    r"|(^|_)token$|e_?mail|user_?name|host_?name|^host$|^user$)"
)
_SECRET_VALUE = re.compile(r"(sk|hf|ghp|gho|glpat|wandb_v1)[-_][A-Za-z0-9_-]{16,}")


def is_private(key: str) -> bool:
    """Whether an entry called *key* holds a secret, a person or a host."""
    return bool(_SECRET_KEY.search(key.replace("-", "_")))


def public(value: Any) -> Any:
    """Return *value* without private entries, and with ``~`` for anyone's home folder."""
    if isinstance(value, dict):
        return {str(k): public(inner) for k, inner in value.items() if not is_private(str(k))}
    if isinstance(value, (list, tuple)):
        return [public(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return "(left out)" if _SECRET_VALUE.fullmatch(value) else _HOME.sub("~", value)
