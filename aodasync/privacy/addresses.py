# SPDX-License-Identifier: MIT
"""Finding addresses in text, and other ones for them: reserved for documentation.

Ranges: RFC 5737 (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24), RFC 2544 (198.18.0.0/15)
beyond them, RFC 3849 (2001:db8::/32); hardware addresses are locally administered ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, MutableMapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

__all__ = ["AddressAliases", "is_address"]

_OCTETS: Final = r"(?:\d{1,3}\.){3}\d{1,3}"
# A fifth number is a port, as tcpdump writes it. With more it is no address; with a suffix
# (5.15.153.1-2.cm2, 6.12.0.1.fc41) or behind a letter or "version" (v5.15.153.1) it is a
# version, unless a range follows. 1.3.6.1.x is an object identifier; what begins with 255 is
# a network's mask or a broadcast, the same everywhere.
_IPV4: Final = (
    rf"(?:(?<![\w.])|(?<=\\[nrt]))(?<![A-Za-z_]-)(?<!modules/)"
    rf"(?<!vers=)(?<!ver=)(?<!ersion )(?<!ersion=)(?<!ersion: )(?<!irmware )(?<!evision )"
    rf"(?<!BIOS )(?<!river )(?<!build )(?!1\.3\.6\.1\.)(?!255\.)"
    rf"{_OCTETS}(?![\w+~])(?!\.\d+[./-])(?!\.[a-z]{{1,4}}\d)(?!-(?!{_OCTETS}(?![\w.]))[\w.])"
)
_IPV6: Final = (
    rf"(?<![\w:.])(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{_OCTETS}|[0-9A-Fa-f]{{0,4}})(?![\w:])"
    r"(?!\.(?!\d{1,5}(?:[ :,]|$))\w)"
)
_MAC: Final = (
    r"(?<![\w:-])(?:(?:[0-9A-Fa-f]{2}:){5}|(?:[0-9A-Fa-f]{2}-){5})[0-9A-Fa-f]{2}(?![\w:-])"
)
_ADDRESS: Final = re.compile(rf"(?P<mac>{_MAC})|{_IPV6}|{_IPV4}")
# The header of a frame, as the packet filter logs it: to, from, and a type of two bytes.
_FRAME: Final = re.compile(
    r"(?<=\bMAC=)(?P<to>(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})"
    r":(?P<by>(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2})(?=(?::[0-9A-Fa-f]{2}){2}\b)"
)
_DOTTED: Final = re.compile(_OCTETS)
_NO_HARDWARE: Final = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


class AddressAliases:
    """One substitute for each address, however it is written; ``mapping`` is filled."""

    def __init__(self, mapping: MutableMapping[str, str]) -> None:
        self._mapping = mapping
        self._counts: Counter[str] = Counter()
        self._kept: set[str] = set()

    def keep(self, version: str) -> None:
        """What looks like an address in this version is none anywhere."""
        self._kept.update(_DOTTED.findall(version))

    def replace(self, text: str) -> str:
        """The text with the substitutes; loopback, unspecified addresses and masks stay."""
        if "MAC=" in text:
            text = _FRAME.sub(self._frame, text)
        return _ADDRESS.sub(self._substitute, text)

    def _frame(self, match: re.Match[str]) -> str:
        return ":".join(self._hardware(match[part], match[part]) for part in ("to", "by"))

    def _substitute(self, match: re.Match[str]) -> str:
        found = match[0]
        if match["mac"]:
            return self._hardware(found.lower().replace("-", ":"), found)
        address = None if found in self._kept else _address(found)
        return found if address is None else self._alias_of(address, found)

    def _hardware(self, key: str, found: str) -> str:
        return found if key in _NO_HARDWARE else self._alias(key.lower(), "mac", _mac)

    def _alias_of(self, address: IPv4Address | IPv6Address, found: str) -> str:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # Whether such a one is loopback, and how it is written, depends on Python's version.
            inner = self._ipv4_alias(address.ipv4_mapped)
            return self._alias(f"::ffff:{address.ipv4_mapped}", "mapped", lambda _: _mapped(inner))
        if address.is_loopback or address.is_unspecified:
            return found
        if isinstance(address, IPv4Address):
            return self._ipv4_alias(address)
        return self._alias(str(address), "ipv6", "2001:db8::{:x}".format)

    def _ipv4_alias(self, address: IPv4Address) -> str:
        return self._alias(str(address), "ipv4", _ipv4)

    def _alias(self, key: str, kind: str, make: Callable[[int], str]) -> str:
        if key not in self._mapping:
            self._counts[kind] += 1
            self._mapping[key] = make(self._counts[kind])
        return self._mapping[key]


def is_address(name: str) -> bool:
    """Whether a host's name is an address, with brackets or without."""
    return _address(name.strip("[]")) is not None


_DIGITS: Final = re.compile(r"[0-9A-Fa-f:.]+(?:%.+)?")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None for a name, a time, a version."""
    if not _DIGITS.fullmatch(text):
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def _mapped(ipv4: str) -> str:
    return f"2001:db8::ffff:{ipv4}"


def _ipv4(n: int) -> str:
    nets = ("192.0.2", "198.51.100", "203.0.113")
    if n <= 254 * len(nets):
        return f"{nets[(n - 1) // 254]}.{(n - 1) % 254 + 1}"
    return f"198.{18 + n // 65536 % 2}.{n // 256 % 256}.{n % 256}"


def _mac(n: int) -> str:
    return "02:00:00:" + ":".join(f"{n >> shift & 255:02x}" for shift in (16, 8, 0))
