# SPDX-License-Identifier: MIT
"""Which mounts a verdict is about, and their names in the commands to run. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aodasync.detection.usability import server_and_share

__all__ = ["Mounts", "mounts_of"]

_MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Mounts:
    """The mounts of one server: what, where, and as whom; "" where that is not known."""

    sources: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Names them, at most three; empty if there are none."""
        named = [
            f"{source} on {point}" + (f" (username={username})" if username else "")
            for source, point, username in zip(
                self.sources, self.points, self.usernames, strict=True
            )
        ]
        more = len(named) - _MOST
        listed = ", ".join(named[:_MOST]) + (f" and {more} more" if more > 0 else "")
        is_ = "is" if len(named) == 1 else "may be"  # others of the server may work
        return f"It {is_} about {listed}." if named else ""

    def shares(self) -> tuple[str, ...]:
        """The shares that they show, ``//server/share``."""
        return tuple(filter(None, map(_share_of, self.sources)))

    def of_shares(self, names: Collection[str]) -> Mounts:
        """Those that show one of these shares; all of them, if none does."""
        wanted = {name.casefold() for name in names}
        shares = (_share_of(source).casefold() for source in self.sources)
        places = [place for place, share in enumerate(shares) if share in wanted]
        columns = self.sources, self.points, self.usernames
        return Mounts(*(tuple(each[n] for n in places) for each in columns)) if places else self

    def filled_in(self, text: str) -> str:
        """The text with USER and SHARE replaced, where all mounts agree on them."""
        shares = {server_and_share(source)[1] for source in self.sources}
        for word, names in (("USER", {*self.usernames}), ("SHARE", shares)):
            if len(names) == 1 and (name := shlex.quote(next(iter(names)))) != "''":
                text = re.sub(rf"\b{word}\b", name.replace("\\", r"\\"), text)
        return text


def mounts_of(states: Any, names: Collection[str]) -> Mounts:
    """Those of the servers of these names or addresses, in whatever case.

    ``states`` are objects of the manifest (``mounts``); odd ones are left out.
    """
    wanted = {name.casefold() for name in names if name}
    found = [each for each in _whole(states) if each["server"].casefold() in wanted]
    return Mounts(
        tuple(_shown(each["source"]) for each in found),
        tuple(_shown(each["mount_point"]) for each in found),
        tuple(_shown(each.get("username", "")) for each in found),
    )


def _share_of(source: str) -> str:
    server, share = server_and_share(source)
    return f"//{server}/{share}" if share else ""


def _shown(text: str) -> str:
    """Without the bytes that are no UTF-8: names are what somebody mounted."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _whole(states: Any) -> Iterable[Mapping[str, str]]:
    keys: Sequence[str] = ("source", "mount_point", "server")
    for each in states if isinstance(states, (list, tuple)) else ():
        texts = isinstance(each, Mapping) and all(isinstance(each.get(k), str) for k in keys)
        if texts and isinstance(each.get("username", ""), str):
            yield each
