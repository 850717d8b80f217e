# SPDX-License-Identifier: MIT
"""The rules of actions: which names can run, and what users define."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from aodasync.config.anomaly_settings import BUILTIN_ACTIONS
from aodasync.config.document import Entry, key_path, quoted
from aodasync.config.findings import Findings, suggestion
from aodasync.config.model import CAPTURES, UserAction
from aodasync.config.names import Name
from aodasync.config.settings import USER_ACTION

__all__ = ["RESERVED_ACTIONS", "report_unused", "runnable", "user_actions"]

RESERVED_ACTIONS: Final = BUILTIN_ACTIONS | {
    *CAPTURES,
    "cifsstats",
    "debug_data",
    "events",
    "inflight",
    "manifest",
    "operations",
}
"""Names that no action of the user's may have: its file would be another one's in the bundle."""


def user_actions(
    entries: Mapping[str, Entry], action_timeout_sec: float, findings: Findings
) -> tuple[UserAction, ...]:
    """The actions defined under ``actions``, in file order."""
    defined = []
    for name, entry in entries.items():
        key = key_path("actions", name)
        if name in RESERVED_ACTIONS:
            findings.error(entry, key, "found the name of a built-in action; another name is right")
        values = USER_ACTION.read(entry.value, key, findings)
        if values is not None and values["command"] is not None:
            timeout_sec = values["timeout_sec"]
            if timeout_sec is None:
                timeout_sec = action_timeout_sec
            defined.append(UserAction(name, values["command"], timeout_sec))
    return tuple(defined)


def runnable(
    names: Iterable[Name], defined: AbstractSet[str], findings: Findings
) -> tuple[str, ...]:
    """The names of actions that exist, each once; AODv2, too, only warns of the others."""
    known = BUILTIN_ACTIONS | defined
    chosen: list[str] = []
    for name in names:
        if name.text not in known:
            near = suggestion(name.text, known) or f"; known are {', '.join(sorted(known))}"
            message = f"unknown action {quoted(name.text)} is left out{near}"
            findings.warn(name, name.key, message)
        elif name.text in chosen:
            findings.warn(name, name.key, f"found '{name.text}' again; once is enough")
        else:
            chosen.append(name.text)
    return tuple(chosen)


def report_unused(entries: Mapping[str, Entry], used: AbstractSet[str], findings: Findings) -> None:
    """Warn of the user's actions that nothing runs."""
    for name in entries.keys() - used:
        message = "never run: neither watcher.actions nor an anomaly names it"
        findings.warn(entries[name], key_path("actions", name), message)
