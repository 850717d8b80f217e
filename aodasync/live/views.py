# SPDX-License-Identifier: MIT
"""How the requests of a window are grouped: by server, share, command or process. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aodasync.events import EventArray
from aodasync.live.frames import State
from aodasync.live.groups import Numbers, codes, named, text_codes
from aodasync.smb.commands import command_name

__all__ = ["VIEWS", "Columns", "Key", "Names", "name_of"]

Key: TypeAlias = tuple[Any, ...]
"""What the requests of a group have in common: a name, or a name and another one or a number."""


@dataclass(slots=True)
class Names:
    """Names of what rows hold as numbers, from the newest state.

    Those of ``shares``, by session id and tree id, are without their servers, which have a
    column of their own; ``listed`` is what they were made of.
    """

    servers: dict[int, str] = field(default_factory=dict)
    shares: dict[tuple[int, int], str] = field(default_factory=dict)
    listed: list[Mapping[str, Any]] = field(default_factory=list)

    def after(self, state: State) -> Names:
        """Those of the next state; shares are thousands, and hardly ever change."""
        listed = state.get("shares", [])
        same = listed == self.listed
        return Names(
            {int(c["connection_id"]): name_of(c) for c in state.get("connections", [])},
            self.shares if same else {_tree(s): _plain(str(s["share"])) for s in listed},
            self.listed if same else listed,
        )

    def server(self, connection_id: int) -> str:
        """That of a connection."""
        return self.servers.get(connection_id) or f"connection {connection_id}"


def _tree(share: Mapping[str, Any]) -> tuple[int, int]:
    return int(share["session_id"], 16), int(share["tree_id"])


def _plain(share: str) -> str:
    return share.rpartition("/")[2] or share


def name_of(connection: Mapping[str, Any]) -> str:
    """The name of a connection's server; its address, if it has none."""
    return str(connection["server"] or connection["address"])


@dataclass(frozen=True, slots=True)
class Columns:
    """The requests of the window that ended, and behind them, in the same arrays, those in flight.

    ``rows`` are those that ended, ``by_latency`` their places, the quickest first; ``servers``
    are names, ``server`` each request's place there.
    """

    rows: EventArray
    in_flight: EventArray
    latency_ns: npt.NDArray[np.uint64]
    by_latency: Numbers
    bad: npt.NDArray[np.bool_]
    servers: list[str]
    server: Numbers

    def column(self, name: str) -> npt.NDArray[Any]:
        """A field of all of them."""
        return np.concatenate([self.rows[name], self.in_flight[name]])


def _by_server(columns: Columns, _names: Names) -> _Keys:
    return _Keys(columns.server, columns.servers, np.zeros(len(columns.server), np.int64), None)


def _by_share(columns: Columns, names: Names) -> _Keys:
    sessions, session = codes(columns.column("session_id"))
    trees, tree = codes(columns.column("tree_id"))
    pairs, place = codes(session * len(trees) + tree)
    of_pairs = sessions[pairs // len(trees)].tolist(), trees[pairs % len(trees)].tolist()
    known = names.shares.get
    shares, share = named(place, [known(pair, "-") for pair in zip(*of_pairs, strict=True)])
    return _Keys(columns.server, columns.servers, share, shares.__getitem__)


def _by_command(columns: Columns, _names: Names) -> _Keys:
    command = columns.column("command").astype(np.int64)
    return _Keys(columns.server, columns.servers, command, _command)


def _by_process(columns: Columns, _names: Names) -> _Keys:
    comms, comm = text_codes(columns.column("comm"))
    return _Keys(comm, comms, columns.column("tgid").astype(np.int64), int)


def _command(code: int) -> str:
    return command_name(code).removeprefix("SMB2_")


@dataclass(frozen=True, slots=True)
class _Keys:
    """The two parts of each request's key: a place in ``names``, and a number.

    ``shown`` is what stands for the number; None: the key has one part.
    """

    first: Numbers
    names: list[str]
    second: Numbers
    shown: Callable[[int], Any] | None

    def groups(self) -> tuple[_Groups, Numbers]:
        """The different keys, and each request's place among them."""
        width = int(self.second.max(initial=0)) + 1
        table, place = codes(self.first * width + self.second)
        return _Groups(table // width, table % width, self.names, self.shown), place


@dataclass(frozen=True, slots=True)
class _Groups:
    """Different keys, made when asked for: of thousands, a screen shows a few."""

    first: Numbers
    second: Numbers
    names: list[str]
    shown: Callable[[int], Any] | None

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, n: int) -> Key:
        name = self.names[int(self.first[n])]
        return (name,) if self.shown is None else (name, self.shown(int(self.second[n])))


VIEWS: Final[Mapping[str, Callable[[Columns, Names], _Keys]]] = {
    "server": _by_server,
    "share": _by_share,
    "command": _by_command,
    "process": _by_process,
}
"""How requests are grouped, by the view's name."""
