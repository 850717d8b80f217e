# SPDX-License-Identifier: MIT
"""All checks in the order in which ``aodasync run`` would meet what they find."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from aodasync.cli.doctor import host_checks, own_checks, start_checks
from aodasync.cli.doctor.check import Check
from aodasync.config.model import Config
from aodasync.errors import AodasyncError, ExitCode
from aodasync.host.facts import host_facts

__all__ = ["as_json", "as_text", "diagnose", "exit_code"]


async def diagnose(
    load: Callable[[], Config], find_output_dir: Callable[[], Path], cache_dir: Path
) -> list[Check]:
    """All checks; never raises for what it finds.

    ``load`` reads the configuration, ``find_output_dir`` as much of a bad one as can be used.
    """
    configuration, config = start_checks.configuration(load)
    agent, is_running = await start_checks.agent()
    checks = [start_checks.root(), configuration, agent]
    try:
        directory = config.output_dir if config else find_output_dir()
    except AodasyncError:
        pass  # the configuration's finding says why
    else:
        checks.append(start_checks.output_directory(directory, config, in_use=is_running))
    return [
        *checks,
        host_checks.types(),
        host_checks.ftrace(),
        host_checks.tracing(),
        host_checks.client(),
        *await start_checks.probe(cache_dir),
        host_checks.stacks(),
        *host_checks.tools(),
        *(host_checks.captures(config) if config else ()),
        *(own_checks.commands(config) if config else ()),
        *(own_checks.textfile(config) if config else ()),
        *host_checks.service(),
    ]


def exit_code(checks: Sequence[Check]) -> int:
    """What ``aodasync run`` would end with: the first failure's; 0 where the agent can work."""
    for check in checks:
        if check.state == "failed":
            return check.exit_code or ExitCode.UNAVAILABLE
    return ExitCode.OK


def as_json(checks: Sequence[Check]) -> str:
    """The checks and the host, as JSON."""
    found = {
        "host": host_facts(),
        "checks": [asdict(check) for check in checks],
        "exit_code": int(exit_code(checks)),
    }
    return json.dumps(found, indent=2)


def as_text(checks: Sequence[Check]) -> str:
    """The checks, one a line, with their fixes; what they come to in the last line."""
    lines = []
    for check in checks:
        first, *others = check.detail.splitlines() or [""]
        lines.append(f"{check.state:8} {check.name}: {first}")
        lines += [f"{'':8}   {line}" for line in others]
        if check.fix:
            lines.append(f"{'':8}   fix: {check.fix}")
    return "\n".join([*lines, "", _summary(checks)])


def _summary(checks: Sequence[Check]) -> str:
    failed = [check.name for check in checks if check.state == "failed"]
    if failed:
        return f"The agent cannot work here: {', '.join(failed)}."
    warnings = sum(check.state == "warning" for check in checks)
    noun = "warning" if warnings == 1 else "warnings"
    return f"The agent can work here, with {warnings} {noun}." if warnings else "All is well."
