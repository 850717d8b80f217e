# SPDX-License-Identifier: MIT
"""``aodasync check``: one line and an exit code, as Nagios plug-ins have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TextIO

from aodasync.cli.ask_agent import ask, understood
from aodasync.errors import AgentAnswerError, AgentUnreachableError, NotPermittedError
from aodasync.host.printable import printable

__all__ = ["check", "judge_facts"]

_MAX_CHARACTERS: Final = 80
_TIMEOUT_SEC: Final = 5.0
_WORDS: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_OK, _WARNING, _CRITICAL, _UNKNOWN = range(4)


def check(out: TextIO) -> int:
    """Ask the running agent and print the line; returns 0, 1, 2 or 3."""
    try:
        with understood():
            code, text = judge_facts(ask("metrics", timeout_sec=_TIMEOUT_SEC))
    except (NotPermittedError, AgentAnswerError) as error:
        code, text = _UNKNOWN, error.what
    except AgentUnreachableError as error:
        code, text = _CRITICAL, error.what
    line = printable(f"{_WORDS[code]} - {text}").replace("|", "/")  # figures follow a "|"
    out.write(line[:_MAX_CHARACTERS] + "\n")
    return code


def judge_facts(facts: Mapping[str, Any]) -> tuple[int, str]:
    """The exit code, and what it is about: the gravest first."""
    mounts = facts["mounts"]
    down = [mount for mount in mounts if not mount["usable"]]
    if down:
        others = f" and {len(down) - 1} more" if len(down) > 1 else ""
        return _CRITICAL, f"{down[0]['mount_point']} not usable{others}: {down[0]['why']}"
    if facts["blind"]:
        return _CRITICAL, "blind: the client sends requests that are not recorded"
    if facts["episodes_open"]:
        first = facts["episodes_open"][0]
        count = sum(entry["count"] for entry in facts["episodes_open"])
        others = f" and {count - 1} more" if count > 1 else ""
        return _WARNING, f"{first['anomaly']} on {first['server']}{others}"
    if not facts["attached"]:
        return _OK, "waiting for the first SMB mount"
    oldest = f", oldest request {facts['oldest_sec']:.1f} s" if facts["oldest_sec"] >= 1 else ""
    usable = f"{len(mounts)} mount{'s' * (len(mounts) != 1)} usable"
    return _OK, f"{usable}, {facts['recorded']} requests seen{oldest}"
