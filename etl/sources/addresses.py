"""A text -> the same without addresses and names of machines; versions look like addresses."""

from __future__ import annotations

import re

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(
    rf"(?<![\w.-])(?<![=<>~!]=)({_OCTET}(?:\.{_OCTET}){{3}})(:\d{{2,5}})?(?![\w.-]*\w)"
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:.]*\w)")
_VERSION = re.compile(
    r"(?i)(version|release|driver|firmware|cuda|cudnn|nccl|cu\d\d|cu[a-z]+|nvidia[\w-]*|\bver|\bv)"
    r"[\"']?[\s:=(]*$"
)
_MACHINE = r"(?:host(?:_?name)?|node(?:_?name|_?list)?|master_?addr(?:ess)?)"
_BEFORE_ADDRESS = re.compile(r"(?i)(\b(?:ip|addr(?:ess)?|peer|at|on|from|to)[\s:=]+|//|@|\[)$")
_NAMED = re.compile(
    rf"(?i)(\b(?:\w+_)?{_MACHINE}[\"']?\s*[=:]\s*[\"']?)(?=[\w.\[\],-]*[\d.])"
    r"[A-Za-z][\w.\[\],-]*\w\]?"
)
# A name that a domain ends: one label of it counts machines, as gpu17 and node-3 do.
_DOMAINS = (
    r"(?:internal|local|localdomain|lan|corp|intra|intranet|example|cluster|hpc|com|net|org|edu|gov"
    r"|io|ai|cloud|dev|de|ch|at|fr|uk|nl|se|fi|no|dk|it|es|eu|jp|cn|kr|in|au|ca|us)"
)
_COUNTED = (
    r"(?:(?:gpu|node|dgx|hgx|host|worker|compute|login|server|srv|nid|cn|gn|vm|ec2|ip)[\w-]{0,60}\d"
    r"[\w-]{0,60}|[A-Za-z][\w-]{0,60}\d{2,9})"
)
_HOST = re.compile(
    rf"(?i)(?<![\w./-])(?:{_COUNTED}(?:\.[\w-]+)+\.{_DOMAINS}|{_COUNTED}\.(?:internal|local|lan))"
    r"\b(?![\w.-]*[\w(])"
    rf"|(?<=://){_COUNTED}(?:\.[\w-]+)+\.{_DOMAINS}\b|\bip-\d+-\d+-\d+-\d+\b"
)
_SMALL = 32  # the parts of a version are, but those of a driver
_NOWHERE = ("0.", "127.")
_WITHIN = re.compile(r"10\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|169\.254\.")  # an organisation
_GROUPS = 8  # of an IPv6 address


def left_out(value: str, key: str, instead: str) -> str:
    """Return *value*, called *key*, with *instead* of each address and each name of a machine."""
    if value.count(".") >= 3 and not _VERSION.search(key):
        value = _IPV4.sub(lambda found: instead if _is_address(found) else found[0], value)
    if value.count(":") > 1:
        value = _IPV6.sub(lambda found: instead if _is_ipv6(found[0]) else found[0], value)
    value = _NAMED.sub(rf"\1{instead}", value)
    return _HOST.sub(instead, value) if "." in value or "ip-" in value else value


def _is_address(found: re.Match[str]) -> bool:
    """Whether four numbers are an address and no version."""
    before = found.string[: found.start()]
    if found[1].startswith(_NOWHERE) or _VERSION.search(before):
        return False
    if found[2] or _BEFORE_ADDRESS.search(before) or _WITHIN.match(found[1]):
        return True
    return any(int(part) >= _SMALL for part in found[1].split("."))


def _is_ipv6(found: str) -> bool:
    groups = [group for group in found.split(":") if group]
    if len(groups) < 3 or max(map(len, groups)) < 3:
        return False
    return len(groups) == _GROUPS or found.count("::") == 1
