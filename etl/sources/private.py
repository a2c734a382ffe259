"""What a file states -> the same without secrets, people, hosts and home folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from etl.sources import addresses

LEFT_OUT = "(left out)"
# What may hold something private at all: looking for it in every text would take seconds. Polars
# searches with it as well, whose patterns know no look-around.
MAY = (
    r"[/~@\\]|(?i:key|token|secret|passw|pwd|credential|bearer|akia|asia|host|node|eyj|xox|aiza|passphrase)"
    r"|[-_][A-Za-z0-9_-]{16}|^[0-9a-f]{40}$|(?:\d+\.){3}\d|:[0-9A-Fa-f]*:|\d[\w-]*\.[A-Za-z]"
    r"|^[A-Za-z0-9+/]{64}$|\bip-\d"
)
# Folders that a cluster shares: what stands below /scratch is a person's unless it is one of these.
_SHARED = (
    r"(?:data(?:sets?)?|tmp|temp|shared?|public|common|projects?|groups?|users?|home|models?"
    r"|checkpoints?|ckpts?|runs?|logs?|cache|hf|huggingface|nanochat|fineweb\w*|outputs?|results?"
    r"|exp(?:eriments?)?|\d+)"
)
_HOME = re.compile(
    r"(?<![\w.])(?<!:/)(?:(?:(?:/[\w.-]+)*/(?:home|[Uu]sers?)/|[A-Za-z]:[/\\]+Users[/\\]+)"
    r"[^/\\\s\"'`,;:)\]}>]+"
    rf"|/(?:[\w.-]+/)?scratch\d*/(?!{_SHARED}(?![\w.-])|[\w-]+\.\w{{1,6}}(?![\w./-]))[\w.-]*\w"
    r"|/root(?=/|$)|~\w+(?=/))"
)
_HOME_OF_ADDRESS = re.compile(r"(?<=://)([^\s\"'?#]{0,500}?/(?:home|users)/)[^/\s\"'?#]+")
# `num_tokens` and `tokenizer` are settings; `hf_token` is none
_SECRET_KEY = re.compile(
    r"(?i)(api_?key|access_?key|wandb_?key|secret|passw(or)?d|passphrase|credential"
    r"|(access|auth|hf|hub|bearer)_?token|private_?key|(^|_)token$|e_?mail|user_?name|host_?name"
    r"|node_?name|log_?name|node_?list|(^|_)host(_|$)|(^|_)user$|(^|_)ip(_?addr(ess)?)?$"
    r"|(^|_|master)addr(ess)?$|(^|_)fqdn$|(^|_)jwt$|webhook)"
)
_OF_TEXT = r"(?:pad|eos|bos|unk|sep|cls|mask|image|audio|start|end|stop|special|next|last|per)"
_TOKEN_OF_TEXT = re.compile(rf"(?i){_OF_TEXT}_?token")
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.DOTALL
)
_NAMED = (  # what the name of a value calls a secret, be it a variable, a field or a parameter
    r"(?:(?:api|access|secret|private|wandb|auth|account|signing)[_-]?key(?:[_-]id)?|secret|pwd"
    r"|passw(?:or)?d|passphrase|credentials?|(?:access|auth|hf|hub|bearer|api|refresh)[_-]?token)"
)
# No pattern may begin at many places and run on from each: a text of megabytes would take hours.
_SHAPES = (
    re.compile(r"(?<=://)[^/\s:@]+:(?!\d{1,5}/)[^@\s]+(?=@)"),  # name and password in an address
    re.compile(
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
        r"(?:[\s:,;=\"']+(?:\w*secret\w*[\s:=\"']+)?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))?"
    ),
    re.compile(r"\b(sk|hf|ghp|gho|ghs|ghu|glpat|github_pat|wandb_v1)[-_][A-Za-z0-9_-]{16,}"),
    re.compile(r"\blocal-[0-9a-f]{40}\b"),  # a key of a W&B server of one's own
    re.compile(r"\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{16,}"),
    re.compile(r"(?<=hooks\.slack\.com/services/)[\w/]+"),
    re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?"),  # a JSON web token
    re.compile(r"\bAIza[\w-]{35}"),
    re.compile(r"\bBearer\s+\S+"),
    re.compile(r"\b[\w.+-]{1,64}@([\w-]+\.)+[A-Za-z]{2,}\b"),  # an e-mail address
    re.compile(r"\b[A-Za-z][\w.-]{0,63}@[\w.-]{1,255}(?=:[/~])"),  # where scp copies to
)
_STATED = (  # the value that follows a name: the name stays
    re.compile(
        r"(?i)([?&][\w.-]*(?:key|token|secret|passw\w*|signature|\bsig|credential|\bauth)=)"
        r"(?!\(left)[^&#\s\"']+"
    ),
    # a name may end in what it says, as WANDB_API_KEY does, and may be quoted, as in JSON
    re.compile(
        rf"(?i)((?<![A-Za-z0-9]){_NAMED}[\"']?\s*(?:=|:(?!:))\s*)"
        r"(?!\(left|(?:none|null|true|false|not|is|required|missing)\b)"
        r"(?:\"[^\"]+\"|'[^']+'|[^\s\"',;&)\]}]+)"
    ),
    # `token` alone is a word of language models as well: only what is made up as no word is
    re.compile(
        rf"(?i)((?<![\w-])(?!{_OF_TEXT}_)(?:\w*_)?token[\"']?\s*[=:]\s*[\"']?)"
        r"(?![\d.]+(?:e[+-]?\d+)?\b)(?=[\w./+-]*[a-z])(?=[\w./+-]*[\d-])[\w./+-]{8,}"
    ),
    # 40 hex digits are a commit as a rule, and a key of W&B where that is what they are called
    re.compile(
        r"(?i)(\b\w*(?:key|token|secret|passw\w*|login|netrc)[\"']?(?:\s{1,9}is)?\s{0,9}[=:]?\s{0,9}[\"']?)"
        r"[0-9a-f]{40}\b"
    ),
)
_ARGUMENT = re.compile(
    r"(?i)(?<=[\s\"'])--?[\w-]*(key|token|secret|passw\w*)[= ]\S+|^--?[\w-]*key=\S+"
)
_FLAG = re.compile(r"(?i)--?[\w-]*(key|token|secret|passw\w*)")
_WANDB_KEY = re.compile(r"[0-9a-f]{40}")
_HASHED = re.compile(r"(?i)commit|sha|hash|rev|git|digest|checksum|oid|etag|snapshot")
# 40 characters of base64, which paths and names are too: only beside what is of AWS
_AWS = re.compile(r"(?i)s3://|aws|\bAKIA|\bASIA")
_AWS_SECRET = re.compile(
    r"(?<![\w/+=.-])(?=[a-z0-9/+]*[A-Z])(?=[A-Z0-9/+]*[a-z])(?=[A-Za-z/+]*\d)"
    r"[A-Za-z0-9+][A-Za-z0-9/+]{39}(?![\w/+=.-])"
)
_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z ]*KEY-----")
# a whole line within a private key, whose beginning may not have been kept
_KEY_LINE = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9+/]{64}")


def is_private(key: str) -> bool:
    """Whether an entry called *key* holds a secret, a person or a host."""
    key = key.replace("-", "_")
    return bool(_SECRET_KEY.search(key)) and not _TOKEN_OF_TEXT.fullmatch(key)


def public(value: Any, key: str = "") -> Any:
    """Return *value*, called *key*, without private entries; ``~`` stands for a home folder."""
    if isinstance(value, dict):
        return {name(str(k)): public(v, str(k)) for k, v in value.items() if not is_private(str(k))}
    if isinstance(value, (list, tuple)):
        flags = ["", *(item if isinstance(item, str) else "" for item in value)]
        return [
            LEFT_OUT if _FLAG.fullmatch(before) else public(item, key)
            for before, item in zip(flags, value, strict=False)
        ]
    return text(value, key) if isinstance(value, str) else value


def text(value: str, key: str = "") -> str:
    """Return *value*, called *key*, without what looks like a secret, a person or a host."""
    if _WANDB_KEY.fullmatch(value) and not _HASHED.search(key):
        return LEFT_OUT
    of_aws = bool(_AWS.search(value) or _AWS.search(key))
    value = _ARGUMENT.sub(LEFT_OUT, _PEM.sub(LEFT_OUT, value))
    value = _without_shapes(value)
    if of_aws:
        value = _AWS_SECRET.sub(LEFT_OUT, value)
    for pattern in _STATED:
        value = pattern.sub(rf"\1{LEFT_OUT}", value)
    return _without_homes(addresses.left_out(value, key, LEFT_OUT))


def name(key: str) -> str:
    """Return the name under which what is called *key* is kept.

    A home folder or a secret in it is left out; a digest of all of *key* then ends the name, so
    that two keys never become one. What this returned, it returns again as it is.
    """
    if not re.search(MAY, key):
        return key
    kept = _without_homes(_without_shapes(key))
    if kept == key:
        return key
    return f"{kept}#{hashlib.blake2b(key.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


def lines(texts: Iterable[str]) -> list[str]:
    """Return lines that follow each other, each without what is private.

    A private key spans lines, of which the first alone looks like one.
    """
    found: list[str] = []
    within = False
    for line in texts:
        begins, ends = bool(_BEGIN.search(line)), bool(_END.search(line))
        hidden = (within and not begins) or bool(_KEY_LINE.fullmatch(line.strip()))
        found.append(LEFT_OUT if hidden else text(line))
        within = (within or begins) and not ends
    return found


def _without_shapes(value: str) -> str:
    for pattern in _SHAPES:
        value = pattern.sub(LEFT_OUT, value)
    return value


def _without_homes(value: str) -> str:
    return _HOME.sub("~", _HOME_OF_ADDRESS.sub(rf"\1{LEFT_OUT}", value))
