# SPDX-License-Identifier: MIT
"""Names of actions and captures, and the actions that a file defines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Final

from aodasync.actions import BUILTIN, UserAction
from aodasync.captures import CAPTURES
from aodasync.config.document import Entry, key_path, quoted
from aodasync.config.kinds import Number, Program, Text
from aodasync.config.names import Name, Named
from aodasync.config.problems import Problems
from aodasync.config.section import ListOf, Section, Setting

__all__ = [
    "DEFAULT_ACTIONS",
    "USER_ACTION",
    "action_name",
    "report_unused",
    "reserved_names",
    "runnable",
    "user_actions",
]

DEFAULT_ACTIONS: Final = (
    "dmesg",
    "journalctl",
    "syslogs",
    "debugdata",
    "stats",
    "mounts",
    "smbinfo",
)
"""AODv2's seven, which run where a file names none."""

USER_ACTION: Final = Section(
    (
        Setting(
            "command",
            ListOf(Text(), at_least=1, first=Program()),
            "Program and arguments, one item each; no shell sees them.",
            required=True,
        ),
        Setting(
            "timeout_sec",
            Number(0.1, 600),
            "It is ended after so long. Without it: collector.action_timeout_sec.",
        ),
    )
)

_OTHER_FILES: Final = frozenset({"events", "inflight", "manifest", "operations"})
"""Files of a bundle that no action writes."""


def action_name() -> Named:
    """The kind of an action's name; unknown ones are only warned of, so any name passes."""
    return Named("action", "an action", {name: name for name in sorted(BUILTIN)}, open_ended=True)


def reserved_names() -> frozenset[str]:
    """Names that no user's action may have: its file would replace another one in the bundle."""
    files = {PurePath(action.file).stem for action in BUILTIN.values()}
    return frozenset({*BUILTIN, *files, *CAPTURES, *_OTHER_FILES})


def user_actions(
    entries: Mapping[str, Entry], action_timeout_sec: float, problems: Problems
) -> tuple[UserAction, ...]:
    """The actions defined under ``actions``, in file order."""
    defined = []
    reserved = reserved_names()
    for name, entry in entries.items():
        key = key_path("actions", name)
        if name in reserved:
            message = "expected a name of your own, found the name of a built-in action"
            problems.error(entry, key, message)
        values = USER_ACTION.read(entry.value, key, problems)
        if values is not None and values["command"] is not None:
            timeout_sec = values["timeout_sec"]
            if timeout_sec is None:
                timeout_sec = action_timeout_sec
            defined.append(UserAction(name, values["command"], timeout_sec))
    return tuple(defined)


def runnable(
    names: Iterable[Name], defined: AbstractSet[str], problems: Problems
) -> tuple[str, ...]:
    """The names of actions that exist, each once; AODv2, too, only warns of the others."""
    known = BUILTIN.keys() | defined
    chosen: list[str] = []
    for name in names:
        if name.text not in known:
            near = problems.suggestion(name.text, known)
            message = f"unknown action {quoted(name.text)} is left out"
            said = near or f"; expected one of {', '.join(sorted(known))}"
            if name.text in CAPTURES:
                said = "; it records all the time, and belongs below watcher.captures"
            problems.warn(name, name.key, message + said)
        elif name.text in chosen:
            problems.warn(name, name.key, f"found '{name.text}' again; once is enough")
        else:
            chosen.append(name.text)
    return tuple(chosen)


def report_unused(entries: Mapping[str, Entry], used: AbstractSet[str], problems: Problems) -> None:
    """Warn of the user's actions that nothing runs."""
    for name in entries.keys() - used:
        message = "never run: neither watcher.actions nor an anomaly names it"
        problems.warn(entries[name], key_path("actions", name), message)
