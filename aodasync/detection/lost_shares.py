# SPDX-License-Identifier: MIT
"""Shares that the server says are gone, until something of them is answered otherwise. Pure.

They are known by session id and tree id. A share that is given back gets another tree, so it
is the share's name that counts: one works again when any tree of that name does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from aodasync.detection.trouble_rows import TREE_CONNECT
from aodasync.events import ANSWERED, REQUEST, EventArray
from aodasync.smb.ntstatus import STATUS_CODES

__all__ = ["LostShares", "Tree"]

Tree: TypeAlias = tuple[int, int]
"""Session id and tree id."""

_DELETED: Final = STATUS_CODES["STATUS_NETWORK_NAME_DELETED"]
_MOST: Final = 4096


class LostShares:
    """At most 4,096 trees; beyond, the one lost longest ago is forgotten."""

    def __init__(self) -> None:
        self._lost_ns: dict[Tree, int] = {}
        self._works_ns: dict[Tree, int] = {}

    def __bool__(self) -> bool:
        return bool(self._lost_ns)

    def observe(self, rows: EventArray) -> None:
        """Take a batch in, of shape (N,), oldest first."""
        gone = rows["status"] == _DELETED
        if not self._lost_ns and not gone.any():
            return
        answered = (
            (rows["kind"] == REQUEST) & (rows["outcome"] == ANSWERED) & (rows["tree_id"] != 0)
        )
        answered &= rows["command"] != TREE_CONNECT
        for tree, at_ns in _last(rows[answered & ~gone], "issued_ns").items():
            self._works_ns[tree] = at_ns
        for tree, at_ns in _last(rows[answered & gone], "released_ns").items():
            self._lost_ns.setdefault(tree, at_ns)
        while len(self._lost_ns) > _MOST:
            del self._lost_ns[next(iter(self._lost_ns))]
        while len(self._works_ns) > _MOST:
            del self._works_ns[next(iter(self._works_ns))]

    def since_ns(self, shares: Mapping[Tree, str]) -> dict[str, int]:
        """The names of the shares that are gone now, in lower case, and since when each is.

        ``shares`` are names, ``//server/share``, by tree; a tree without one tells nothing.
        """
        works: dict[str, int] = {}
        for tree, at_ns in self._works_ns.items():
            name = shares.get(tree, "").casefold()
            works[name] = max(at_ns, works.get(name, 0))
        lost: dict[str, int] = {}
        for tree, at_ns in list(self._lost_ns.items()):
            name = shares.get(tree, "").casefold()
            if name and works.get(name, 0) > at_ns:
                del self._lost_ns[tree]
            elif name:
                lost[name] = min(at_ns, lost.get(name, at_ns))
        if not self._lost_ns:
            self._works_ns.clear()
        return lost


def _last(rows: EventArray, column: str) -> dict[Tree, int]:
    """The latest time in a column, by tree."""
    found: dict[Tree, int] = {}
    columns = (rows[name].tolist() for name in ("session_id", "tree_id", column))
    for session, tree, at_ns in zip(*columns, strict=True):
        found[session, tree] = max(at_ns, found.get((session, tree), 0))
    return found
