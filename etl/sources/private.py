"""What a file states -> the same without secrets, people and their home folders."""

from __future__ import annotations

import re
from typing import Any

_LEFT_OUT = "(left out)"
_HOME = re.compile(
    r"(?<![\w.])(?:(?:(?:/[\w.-]+)*/home/|/Users/|[A-Za-z]:[/\\]+Users[/\\]+)[^/\\\s\"']+"
    r"|/root(?=/|$)|~\w+(?=/))"
)
# `num_tokens` and `tokenizer` are settings; `hf_token` is none
_SECRET_KEY = re.compile(
    r"(?i)(api_?key|access_?key|wandb_?key|secret|passw(or)?d|credential"
    r"|(access|auth|hf|hub|bearer)_?token|private_?key|(^|_)token$|e_?mail|user_?name|host_?name"
    r"|node_?name|log_?name|(^|_)host(_|$)|(^|_)user$)"
)
_SECRETS = (
    re.compile(r"\b(sk|hf|ghp|gho|glpat|github_pat|wandb_v1)[-_][A-Za-z0-9_-]{16,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bBearer\s+\S+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^@\s]+(?=@)"),  # a name and password in an address
    re.compile(r"(?i)(?<=[\s\"'])--?[\w-]*(key|token|secret|passw\w*)[= ]\S+|^--?[\w-]*key=\S+"),
    re.compile(r"\b[\w.+-]+@([\w-]+\.)+[A-Za-z]{2,}\b"),  # an e-mail address
)
_FLAG = re.compile(r"(?i)--?[\w-]*(key|token|secret|passw\w*)")
_WANDB_KEY = re.compile(r"[0-9a-f]{40}")
_HASHED = re.compile(r"(?i)commit|sha|hash|rev|git|digest|checksum")


def is_private(key: str) -> bool:
    """Whether an entry called *key* holds a secret, a person or a host."""
    return bool(_SECRET_KEY.search(key.replace("-", "_")))


def public(value: Any, key: str = "") -> Any:
    """Return *value*, called *key*, without private entries; ``~`` stands for a home folder."""
    if isinstance(value, dict):
        return {str(k): public(v, str(k)) for k, v in value.items() if not is_private(str(k))}
    if isinstance(value, (list, tuple)):
        flags = ["", *(item if isinstance(item, str) else "" for item in value)]
        return [
            _LEFT_OUT if _FLAG.fullmatch(before) else public(item, key)
            for before, item in zip(flags, value, strict=False)
        ]
    return text(value, key) if isinstance(value, str) else value


def text(value: str, key: str = "") -> str:
    """Return *value*, called *key*, without what looks like a secret or a person."""
    if _WANDB_KEY.fullmatch(value) and not _HASHED.search(key):
        return _LEFT_OUT
    for pattern in _SECRETS:
        value = pattern.sub(_LEFT_OUT, value)
    return _HOME.sub("~", value)
