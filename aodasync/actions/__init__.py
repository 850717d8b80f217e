# SPDX-License-Identifier: MIT
"""Quick actions: each collects one file of evidence.

:data:`BUILTIN` is the table of them. An action needs the host it looks at; in a
replay none is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from aodasync.actions.action import Action, ActionContext, ActionResult, Collected, Cost, UserAction
from aodasync.actions.command import user_action
from aodasync.actions.debugdata import DEBUGDATA
from aodasync.actions.dfscache import DFSCACHE
from aodasync.actions.dmesg import DMESG
from aodasync.actions.journalctl import JOURNALCTL
from aodasync.actions.module import MODULE
from aodasync.actions.mounts import MOUNTS
from aodasync.actions.netstat import NETSTAT
from aodasync.actions.open_files import OPEN_FILES
from aodasync.actions.pressure import PRESSURE
from aodasync.actions.smbinfo import SMBINFO
from aodasync.actions.sockets import SOCKETS
from aodasync.actions.stacks import STACKS
from aodasync.actions.stats import STATS
from aodasync.actions.syslogs import SYSLOGS
from aodasync.actions.versions import VERSIONS

__all__ = [
    "BUILTIN",
    "Action",
    "ActionContext",
    "ActionResult",
    "Collected",
    "Cost",
    "UserAction",
    "select",
]

BUILTIN: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        SOCKETS,
        STACKS,
        PRESSURE,
        STATS,
        NETSTAT,
        MOUNTS,
        OPEN_FILES,
        DFSCACHE,
        MODULE,
        DMESG,
        JOURNALCTL,
        SYSLOGS,
        VERSIONS,
        SMBINFO,
        DEBUGDATA,
    )
}
"""Actions by name, in the order in which they are begun: what decays soonest comes first."""

_ORDER: Final = {name: place for place, name in enumerate(BUILTIN)}


def select(names: Iterable[str], declared: Iterable[UserAction]) -> tuple[Action, ...]:
    """The actions of these names, each once: by cost, then in :data:`BUILTIN`'s order.

    A name that the configuration declares as an action of its own is that one;
    any other is built in; an unknown one becomes an action that reports it.
    """
    own = {action.name: user_action(action) for action in declared}
    chosen = [own.get(name) or BUILTIN.get(name) or _unknown(name) for name in dict.fromkeys(names)]
    return tuple(sorted(chosen, key=lambda a: (a.cost, _ORDER.get(a.name, len(_ORDER)))))


def _unknown(name: str) -> Action:
    async def collect(_context: ActionContext) -> Collected:
        return Collected(error="unknown action")

    return Action(name, "", Cost.TABLE, collect)
