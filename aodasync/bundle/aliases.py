# SPDX-License-Identifier: MIT
"""Other names for addresses, hosts, users, domains and shares: the same one everywhere. Pure.

Names are first gathered from all of a bundle's texts (:meth:`Aliases.learn`), then
replaced in each (:meth:`Aliases.replace`), as whole words, whatever their case: a name
that one file gives away as a share's is replaced in the logs as well. A share that is
called like a common word costs that word; better so than the other way round.
Addresses become ones reserved for documentation (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

__all__ = ["Aliases"]

_NAME: Final = r"[^\s,;:\"'<>|()\[\]{}=]+"
_UNC: Final = re.compile(r"(?<![A-Za-z]:)(?:\\\\|//)([^\s,;\"'\\/]+)[\\/]([^\s,;:\"'\\/]+)")
_HOSTNAME: Final = re.compile(r"\bHostname: (\S+)")
_USERS: Final = (
    re.compile(rf"\b(?:user(?:name)?|logname|cruser)=({_NAME})", re.IGNORECASE),
    re.compile(rf"\bfor user ({_NAME})", re.IGNORECASE),
    re.compile(rf"\bsudo(?:\[\d+\])?:\s+({_NAME}) : "),
    re.compile(r"/home/([^/\s,;:\"']+)"),
)
_DOMAINS: Final = re.compile(rf"\b(?:domain|dom|workgroup|realm)=({_NAME})", re.IGNORECASE)

_IPV4: Final = r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)"
_IPV6: Final = r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:.])"
_MAC: Final = r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])"
_ADDRESS: Final = re.compile(rf"(?P<mac>{_MAC})|{_IPV4}|{_IPV6}")

# Names that tell nobody apart.
_KEPT: Final = frozenset(
    ["root", "nobody", "guest", "localhost", "ipc$", "(none)", "none", "null", "unknown", "daemon"]
)


class Aliases:
    """What was replaced by what; ``mapping`` is kept by who anonymised the bundle."""

    def __init__(self) -> None:
        self.mapping: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def learn(self, text: str) -> None:
        """Gather the names that a text gives away."""
        for server, share in _UNC.findall(text):
            self.host(server)
            self._name("share", share)
        for host in _HOSTNAME.findall(text):
            self.host(host)
        for pattern in _USERS:
            for user in pattern.findall(text):
                self._user(user)
        for domain in _DOMAINS.findall(text):
            self._name("domain", domain)

    def host(self, name: str) -> None:
        """Learn a host's name; the first label of a full one stands for the same host."""
        if _is_address(name):
            return
        label, _, domain = name.partition(".")
        self._name("host", label)
        if domain:
            self._name("domain", domain)

    def replace(self, text: str) -> str:
        """The text with other names; no name is learnt here, but addresses are."""
        if self._pattern is None:
            # The longest first: a name may be the beginning of another one.
            names = sorted(self._names, key=len, reverse=True)
            words = "|".join(map(re.escape, names)) or "(?!)"
            self._pattern = re.compile(
                rf"(?<![A-Za-z0-9_])(?:{words})(?![A-Za-z0-9_])", re.IGNORECASE
            )
        text = _ADDRESS.sub(self._address, text)
        # A few letters fold in ways that lower() does not know.
        return self._pattern.sub(lambda m: self._names.get(m[0].lower(), "name"), text)

    def _user(self, name: str) -> None:
        domain, slash, user = name.partition("\\")
        user, at, realm = (user if slash else name).partition("@")
        self._name("user", user)
        if slash or at:
            self._name("domain", domain if slash else realm)

    def _name(self, kind: str, name: str) -> None:
        name = name.strip(".\\/")
        key = name.lower()
        if len(name) < 2 or key in _KEPT or key in self._names or name.isdigit():
            return
        if _is_address(name) or set(name) == {"*"}:
            return
        self._names[key] = self.mapping[name] = self._next(kind, lambda n: f"{kind}{n}")
        self._pattern = None

    def _address(self, match: re.Match[str]) -> str:
        found = match[0]
        if match["mac"]:
            key = found.lower()
            if key in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
                return found
            return self._address_alias(key, "mac", _mac)
        try:
            address = ip_address(found)
        except ValueError:
            return found  # a time, a version
        if address.is_loopback or address.is_unspecified:
            return found
        make = _ipv4 if address.version == 4 else "2001:db8::{:x}".format
        return self._address_alias(str(address), f"ipv{address.version}", make)

    def _address_alias(self, key: str, kind: str, make: Callable[[int], str]) -> str:
        if key not in self.mapping:
            self.mapping[key] = self._next(kind, make)
        return self.mapping[key]

    def _next(self, kind: str, make: Callable[[int], str]) -> str:
        self._counts[kind] += 1
        return make(self._counts[kind])


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _ipv4(n: int) -> str:
    nets = ("192.0.2", "198.51.100", "203.0.113")
    if n <= 254 * len(nets):
        return f"{nets[(n - 1) // 254]}.{(n - 1) % 254 + 1}"
    return f"198.18.{n // 256 % 256}.{n % 256}"  # RFC 2544


def _mac(n: int) -> str:
    return "02:00:00:" + ":".join(f"{n >> shift & 255:02x}" for shift in (16, 8, 0))
