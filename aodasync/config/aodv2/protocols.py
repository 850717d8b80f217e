# SPDX-License-Identifier: MIT
"""Protocols, types and settings of AODv2's newer format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aodasync.config.anomalies.anomaly_type import acceptable_count
from aodasync.config.anomalies.latency import settings as latency_settings
from aodasync.config.anomalies.rules import Rules
from aodasync.config.aodv2.captures import TOOLS
from aodasync.config.aodv2.names import IO_OPERATIONS, NFS_COMMANDS, NFS_ERRORS
from aodasync.config.document import Entry, Fields, Node
from aodasync.config.kinds import Choice, Flag, Number, refuse
from aodasync.config.names import COMMAND, ERRNO, STATUS, Named
from aodasync.config.problems import Problems
from aodasync.config.section import ListOf, Section, Setting

__all__ = ["PROTOCOLS", "Anomalies", "Protocol", "any_key", "definitions", "section"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol: its names, and the tool that AODv2 has for each type of anomaly."""

    command: Named
    code: Named
    tools: Mapping[str, str]


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "smb": Protocol(
        COMMAND, STATUS, {"latency": "smbslower", "error": "smbiosnoop", "sockconn": "ss"}
    ),
    "nfs": Protocol(
        Named("nfs_command", "a command of NFS", NFS_COMMANDS),
        Named("nfs_error", "an error of NFS", NFS_ERRORS),
        {"latency": "nfsslower", "error": "nfsiosnoop", "sockconn": "ss"},
    ),
    "io": Protocol(
        Named("io_operation", "an operation of io", IO_OPERATIONS), ERRNO, {"error": "iosnoop"}
    ),
}


class Anomalies:
    """The kind of ``anomalies``: read by :class:`Reader`, here only passed through."""

    def read(self, node: Node, key: str, problems: Problems) -> Fields | None:
        """The mapping as it stands."""
        if isinstance(node, Fields):
            return node
        refuse(node, key, "a mapping", problems)
        return None

    def schema(self) -> dict[str, Any]:
        """Protocols and types in any capitalisation."""
        protocols = {
            _any_case(name): _object({_any_case(t): section(name, t).schema() for t in p.tools})
            for name, p in PROTOCOLS.items()
        }
        return _object(protocols)


def definitions() -> Iterable[Named]:
    """The names that the schema refers to."""
    return [kind for p in PROTOCOLS.values() for kind in (p.command, p.code)]


def _any_case(word: str) -> str:
    return rf"^\s*{''.join(f'[{c.upper()}{c}]' for c in word)}\s*$"


def _object(patterns: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "patternProperties": dict(patterns),
        "additionalProperties": False,
    }


class _Actions:
    """``actions`` as a mapping: read by :class:`Reader`, here only passed through."""

    def read(self, node: Node, key: str, problems: Problems) -> Mapping[str, Entry] | None:
        """Names and what stands under them."""
        if isinstance(node, Fields):
            return node.entries
        refuse(node, key, "a mapping", problems)
        return None

    def schema(self) -> dict[str, Any]:
        """Actions have no value, captures a list of texts."""
        captures = {tool: {"type": "array", "items": {"type": "string"}} for tool in TOOLS}
        nothing = {"type": ["null", "array", "object"], "maxItems": 0, "maxProperties": 0}
        return {
            "type": ["object", "null"],
            "properties": captures,
            "additionalProperties": nothing,
        }


def section(protocol: str, type_: str) -> Section:
    """The settings of a type: AODv2's, and ours that every anomaly has."""
    names = PROTOCOLS[protocol]
    common = (
        Setting("tool", Choice((names.tools[type_],)), "AODv2's tracing program. Ignored."),
        acceptable_count(1),
        Setting("actions", _Actions(), "What is collected; without it the requests alone.", {}),
        Setting("enabled", Flag(), "false turns the anomaly off.", default=True),
        Setting("cooldown_sec", Number(0, 86_400), "From one bundle to the next.", 60.0),
    )
    return Section((*common, *_own_settings(names, type_)))


def any_key() -> set[str]:
    """The settings of all types."""
    pairs = ((name, type_) for name, p in PROTOCOLS.items() for type_ in p.tools)
    return {key for pair in pairs for key in section(*pair).known_keys()}


def _own_settings(names: Protocol, type_: str) -> tuple[Setting, ...]:
    if type_ == "latency":
        return latency_settings(names.command)
    if type_ == "error":
        return (
            Setting("track_commands", ListOf(names.command), "Without it: every command.", ()),
            Setting("track_errors", ListOf(names.code), "Without it: every error.", ()),
            Setting(
                "rules",
                Rules(names.command, names.code, "track_errors"),
                "In place of the lists and acceptable_count: several, each with its own count.",
            ),
        )
    return ()
