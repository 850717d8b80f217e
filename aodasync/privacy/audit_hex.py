# SPDX-License-Identifier: MIT
"""What the audit system writes in hexadecimal: fields with a blank or a NUL, and addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

__all__ = ["plain_fields", "with_fields"]

_FIELD: Final = re.compile(
    r"\b(?P<name>proctitle|cmd|data|acct|exe|comm|cwd|name|path|key|a\d{1,4}(?:\[\d{1,4}\])?)="
    r"(?P<value>(?:[0-9A-Fa-f]{2}){3,4096}+)(?!\w)"
)
# struct sockaddr_in and sockaddr_in6, of a little-endian host: the family, the port, the address.
_SADDR: Final = re.compile(
    r"\bsaddr=(?:(?P<v4>0200[0-9A-Fa-f]{4})(?P<a4>[0-9A-Fa-f]{8})"
    r"|(?P<v6>0A00[0-9A-Fa-f]{12})(?P<a6>[0-9A-Fa-f]{32}))"
)


def plain_fields(text: str) -> Iterator[str]:
    """Each such field as ``NAME=TEXT``, its words separated by blanks."""
    for found in _FIELD.finditer(text):
        plain = _plain(found["value"])
        if plain:
            yield f"{found['name']}={plain.replace(chr(0), ' ')}"


def with_fields(
    text: str, replace: Callable[[str], str], replace_address: Callable[[str], str]
) -> str:
    """The text with what these make of each field and each address, encoded as before."""
    if "saddr=" in text:
        text = _SADDR.sub(lambda found: _address(found, replace_address), text)
    return _FIELD.sub(lambda found: _field(found, replace), text)


def _plain(value: str) -> str:
    try:
        plain = bytes.fromhex(value).decode("utf-8")
    except ValueError:
        return ""
    return plain if plain.replace("\0", "").isprintable() else ""


def _field(found: re.Match[str], replace: Callable[[str], str]) -> str:
    plain = _plain(found["value"])
    kept = replace(plain)
    if kept == plain:
        return found[0]
    return f"{found['name']}={kept.encode('utf-8', 'surrogateescape').hex().upper()}"


def _address(found: re.Match[str], replace: Callable[[str], str]) -> str:
    head, digits = found["v4"] or found["v6"], found["a4"] or found["a6"]
    kind = IPv4Address if found["v4"] else IPv6Address
    return f"saddr={head}{kind(replace(str(kind(bytes.fromhex(digits))))).packed.hex().upper()}"
