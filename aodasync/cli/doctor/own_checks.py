# SPDX-License-Identifier: MIT
"""What the configuration names on this host: commands of the user's, and the file for metrics.

Nothing on a network's file system is looked at: it hangs when its server does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from aodasync.bundle.output_path import network_of
from aodasync.cli.doctor.check import Check
from aodasync.config.model import Config
from aodasync.host.mountinfo import read_mounts
from aodasync.process.launch import ENVIRONMENT
from aodasync.tasks.textfile import problem_of

__all__ = ["commands", "textfile"]


def commands(config: Config) -> list[Check]:
    """The programs of hooks and of actions."""
    return [_program(key, program) for key, program in _programs(config)]


def _programs(config: Config) -> Iterator[tuple[str, str]]:
    for key, command in (("on_bundle", config.on_bundle), ("on_episode", config.on_episode)):
        if command:
            yield key, command[0]
    for action in config.user_actions:
        yield f"action: {action.name}", action.command[0]


def _program(key: str, program: str) -> Check:
    where = Path("/", program) if "/" in program else None  # a child starts in /
    if where and (hangs := _on_a_network(where)):
        return Check(key, "warning", hangs, "put it into a local directory")
    path = shutil.which(where or program, path=ENVIRONMENT["PATH"])
    if path:
        return Check(key, "ok", str(path))
    if where and where.exists():
        return Check(
            key, "warning", f"{program} cannot be executed", "name a file, and chmod +x it"
        )
    return Check(key, "warning", f"{program} is not there", "install it, or name another")


def textfile(config: Config) -> list[Check]:
    """Where metrics are written, if they are."""
    path = Path(config.metrics.textfile)
    if not config.metrics.textfile or os.geteuid() != 0:
        return []
    problem = _on_a_network(path) or problem_of(path)
    if problem:
        return [Check("metrics", "warning", problem, "until then there are none for node_exporter")]
    return [Check("metrics", "ok", str(path))]


def _on_a_network(path: Path) -> str:
    mount = network_of(path, read_mounts())
    if mount is None:
        return ""
    return f"{path} is on {mount.mount_point} ({mount.kind}), which hangs when its server does"
