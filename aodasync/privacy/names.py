# SPDX-License-Identifier: MIT
"""The names of hosts, shares, users and domains that a text shows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aodasync.privacy.mount_options import is_option
from aodasync.privacy.name_table import ACCOUNT, TABLE

__all__ = [
    "Candidate",
    "Found",
    "hexadecimal",
    "member_candidates",
    "names_in",
    "octal",
    "unescaped",
]

Found = tuple[str, str]
"""A kind and a name as it was written.

Kinds are ``host``, ``share``, ``user``, ``domain``, ``group``; ``user?``, a word of prose that
may be one; ``home`` and ``path``, what follows /home/ or a share's name.
"""

Candidate = tuple[str, str, str]
"""A kind, a name, and a domain: it is a name if the domain is known to be one."""

_FULL_HOST: Final = re.compile(
    r"(?<![\w.@/\\-])([A-Za-z0-9][\w-]{0,62})\.([A-Za-z][\w.-]{1,250}[A-Za-z])(?![\w-])"
)
_DOMAIN_USER: Final = re.compile(
    r"(?<![\w+/.\\-])([A-Za-z][\w.-]{1,62})[+/\\]([A-Za-z][\w.$-]{0,63})(?![\w+/\\])"
)
_PHRASE: Final = re.compile(
    r"^[ \t-]{0,32}username: ([^\s:#\"']{1,32}(?: [^\s:#\"']{1,32}){1,3})$"
    r"|\"user_?(?:name)?\"[ \t]?:[ \t]?\"([^\\\"\n]{1,64} [^\\\"\n]{1,64})\"",
    re.IGNORECASE | re.MULTILINE,
)
_FULL_NAME: Final = re.compile(
    r"\buser(?:name)?=(?:([^,=\n\"']{1,64})|[\"']([^,=\n\"']{1,64})[\"']),"
    r"(?=([A-Za-z0-9_.-]{1,40})(=?))",
    re.IGNORECASE,
)
# A member of JSON or of YAML, and a map that Go printed.
_MEMBERS: Final = {
    **dict.fromkeys(("server", "servername", "host", "hostname", "netbiosname"), "host"),
    **dict.fromkeys(("node", "nodename", "workstation"), "host"),
    **dict.fromkeys(("storageaccount", "storageaccountname"), "host"),
    **dict.fromkeys(("share", "sharename"), "share"),
    **dict.fromkeys(("user", "username", "clientaccount", "mappedaccount"), "user"),
    **dict.fromkeys(("domain", "workgroup", "realm", "clientdomain", "mappeddomain"), "domain"),
    "resourcegroup": "group",
}
_MEMBER: Final = re.compile(
    r"(?:(?P<quoted>[\"'])|^[ \t-]{0,64})"
    r"_?(?P<name>(?:server|host|netbios|node|share|storage_?account|user)(?:_?name)?"
    r"|(?:client|mapped)(?:account|domain)|domain|resource_?group|workgroup|workstation|realm)"
    r"(?(quoted)\\{0,3}[\"'][ \t]?:[ \t]?\\{0,3}[\"']|: (?=\S{1,255}$))"
    rf"(?P<value>{ACCOUNT})",
    re.IGNORECASE | re.MULTILINE,
)
_GO_MAP: Final = re.compile(r"map\[([^\[\]\n]{1,512})")
_OCTETS: Final = re.compile(r"(?:\\{1,4}[23][0-7]{2}){2,64}")
_ESCAPE: Final = re.compile(r"\\{1,4}([0-3][0-7]{2})|\\{1,4}x([0-9A-Fa-f]{2})|%([0-9A-Fa-f]{2})")


def names_in(text: str) -> Iterator[Found]:
    """The names that a text shows."""
    kept, at = [], 0
    for name, begin, end in sorted(_with_blanks(text), key=lambda found: found[1:]):
        yield "user", name
        kept.append(text[at:begin])
        at = max(at, end)
    blanked = ",".join([*kept, text[at:]])
    for member, value in _members(blanked):
        if value and (kind := _MEMBERS.get(member.lower().replace("_", ""))):
            yield kind, unescaped(value)
    low = blanked.lower()
    for row in TABLE:
        if not any(needle in low for needle in row.needles):
            continue
        for found in row.pattern.finditer(blanked):
            names = [name for name in found.groups() if name is not None]
            for kind, name in zip(row.kinds, names, strict=True):
                yield kind, unescaped(name)


def _with_blanks(text: str) -> Iterator[tuple[str, int, int]]:
    """Users' names that hold blanks, and where the option or member is that has them."""
    for found in _FULL_NAME.finditer(text):
        # Only in a list of mount options is what follows a blank part of the name.
        name = found[1] or found[2]
        if " " in name and is_option(found[3].lower().encode(), has_value=bool(found[4])):
            yield name, *found.span()
    for found in _PHRASE.finditer(text):
        yield found[1] or found[2], *found.span()


def _members(text: str) -> Iterator[tuple[str, str]]:
    for found in _MEMBER.finditer(text):
        yield found["name"], found["value"]
    for found in _GO_MAP.finditer(text):
        for part in found[1].split(" "):
            name, _, value = part.partition(":")
            yield name, value


def member_candidates(text: str) -> Iterator[Candidate]:
    """Names that are some only if what they are said to belong to is a domain."""
    for found in _FULL_HOST.finditer(text):
        yield "host", found[1], found[2]
    for found in _DOMAIN_USER.finditer(text):
        yield "user", found[2], found[1]


def octal(name: str) -> str:
    """As the kernel escapes it in mount tables: each byte beyond ASCII by its digits."""
    data = name.encode("utf-8", "replace")
    return "".join(chr(byte) if byte < 128 else f"\\{byte:03o}" for byte in data)


def hexadecimal(name: str) -> str:
    """As systemd escapes it in the names of units, and Python in those of bytes."""
    data = name.encode("utf-8", "replace")
    return "".join(chr(byte) if byte < 128 else f"\\x{byte:02x}" for byte in data)


def unescaped(name: str) -> str:
    r"""``\040``, ``\x20`` and ``%20`` as the characters that they stand for: ASCII.

    Beyond it, only octal, and what is UTF-8.
    """
    name = _OCTETS.sub(_characters, name)
    return _ESCAPE.sub(_character, name)


def _characters(match: re.Match[str]) -> str:
    digits = re.findall(r"[23][0-7]{2}", match[0])
    return bytes(int(digit, 8) for digit in digits).decode("utf-8", "surrogateescape")


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 8) if match[1] else int(match[2] or match[3], 16)
    return chr(number) if 32 <= number < 127 else match[0]
