# SPDX-License-Identifier: MIT
"""The settings of anomalies, one table a type."""

from __future__ import annotations

from typing import Final

from aodasync.config.codes import CODE_NAMES, COMMAND_NAMES
from aodasync.config.kinds import Flag, Number, Text
from aodasync.config.names import Choice, Named
from aodasync.config.section import ListOf, Section, Setting

__all__ = [
    "ACTION",
    "ANOMALIES",
    "ANOMALY",
    "ANOMALY_TYPE",
    "BUILTIN_ACTIONS",
    "CODE",
    "COMMAND",
    "DEFAULT_ACTIONS",
    "MODE",
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

BUILTIN_ACTIONS: Final = frozenset(
    {
        *DEFAULT_ACTIONS,
        *("sockets", "stacks", "pressure", "netstat"),
        *("open_files", "dfscache", "module", "versions"),
    }
)
"""Actions that need no definition; the registry of actions holds exactly these."""

ACTION: Final = Named(
    "action", "an action", {name: name for name in sorted(BUILTIN_ACTIONS)}, open_ended=True
)
"""Unknown actions are only warned of, so any name passes here."""

CODE: Final = Named("code", "an errno or NTSTATUS error", CODE_NAMES)
COMMAND: Final = Named("command", "an SMB2 command", COMMAND_NAMES)

_DAY_MS: Final = 86_400_000

MODE: Final = Setting(
    "mode",
    Choice(("all", "trackonly", "excludeonly")),
    "all: everything but what is excluded. trackonly: only what is tracked. "
    "excludeonly: as all, but the list of what is tracked is ignored.",
    "all",
)

_TYPES: Final = ("latency", "error", "hang", "connection", "drift")

ANOMALY_TYPE: Final = Choice(_TYPES, any_case=True)

_COMMON: Final = (
    Setting(
        "type",
        ANOMALY_TYPE,
        "What is looked for. May be left out where the anomaly's name says it.",
    ),
    Setting("tool", Text(), "AODv2's tracing program. Accepted, and ignored."),
    Setting("enabled", Flag(), "false turns the anomaly off.", default=True),
    Setting("actions", ListOf(ACTION), "What is collected. Without it: watcher.actions."),
    Setting(
        "cooldown_sec",
        Number(0, 86_400),
        "After a bundle, time during which this anomaly gives no other one.",
        60.0,
    ),
)


def _acceptable_count(default: int) -> Setting:
    return Setting(
        "acceptable_count",
        Number(0, 1_000_000, whole=True, advised=1, remark="it is taken as 1"),
        "So many within watch_interval_sec are an anomaly.",
        default,
    )


_LATENCY: Final = (
    MODE,
    _acceptable_count(10),
    Setting(
        "default_threshold_ms",
        Number(0, _DAY_MS),
        "A request that takes so long or longer is slow, unless its command has its own threshold.",
        10.0,
    ),
    Setting(
        "track_commands",
        ListOf(
            Section(
                (
                    Setting("command", COMMAND, "SMB2 command.", required=True),
                    Setting("threshold", Number(0, _DAY_MS), "In ms; else the default one."),
                )
            )
        ),
        "Commands, each with its own threshold.",
        (),
    ),
    Setting("exclude_commands", ListOf(COMMAND), "Commands that may be slow.", ()),
    Setting(
        "emergency_threshold_ms",
        Number(1, _DAY_MS),
        "One request that takes so long is an anomaly, whatever acceptable_count says.",
        1000.0,
    ),
)

_ERROR: Final = (
    MODE,
    _acceptable_count(10),
    Setting(
        "track_codes", ListOf(CODE), "errno names (EACCES) or NTSTATUS (STATUS_ACCESS_DENIED).", ()
    ),
    Setting("exclude_codes", ListOf(CODE), "Codes that are no errors here.", ()),
)

_HANG: Final = (
    Setting("age_ms", Number(1, _DAY_MS), "A request without an answer for so long hangs.", 5000.0),
)

ANOMALIES: Final[dict[str, Section]] = {
    "latency": Section(_COMMON + _LATENCY),
    "error": Section(_COMMON + _ERROR),
    "hang": Section(_COMMON + _HANG),
    "connection": Section((*_COMMON, _acceptable_count(1))),
    "drift": Section(_COMMON),
}
"""The settings of an anomaly, by its type."""

ANOMALY: Final = Section(
    tuple({setting.key: setting for setting in (*_COMMON, *_HANG, *_ERROR, *_LATENCY)}.values())
)
"""The settings that any of the types has."""
