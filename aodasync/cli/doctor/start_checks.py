# SPDX-License-Identifier: MIT
"""What ``aodasync run`` asks for, in its order, by the very calls that it makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from aodasync import probes
from aodasync.bundle.output_path import examine, refuse_network
from aodasync.bundle.retention import MEGABYTE
from aodasync.cli.ask_agent import ask
from aodasync.cli.doctor.check import Check
from aodasync.cli.doctor.probe_checks import probe_checks
from aodasync.cli.run import require_root
from aodasync.config.model import Config
from aodasync.errors import AodasyncError, NotPermittedError
from aodasync.host.instance_lock import single_instance
from aodasync.host.mountinfo import read_mounts
from aodasync.host.threads import in_thread

__all__ = ["agent", "configuration", "output_directory", "probe", "root"]

_ASK_SEC: Final = 5.0


def root() -> Check:
    """Whether the caller may run the agent at all."""
    try:
        require_root()
    except NotPermittedError as error:
        return Check.of("root", error)
    return Check("root", "ok", "running as root")


def configuration(load: Callable[[], Config]) -> tuple[Check, Config | None]:
    """Whether the configuration is right, and what it says."""
    try:
        config = load()
    except AodasyncError as error:
        return Check.of("configuration", error), None
    detail = str(config.source)
    if config.warnings:
        warnings = "\n".join(map(str, config.warnings))
        return Check("configuration", "warning", f"{detail}\n{warnings}"), config
    return Check("configuration", "ok", detail), config


async def agent() -> tuple[Check, bool]:
    """The running agent, and whether there is one; without it, whether another one could start."""
    try:
        status = await in_thread(partial(ask, "status", timeout_sec=_ASK_SEC))
    except AodasyncError as error:
        if os.geteuid() == 0:
            try:
                await in_thread(_try_lock)
            except AodasyncError as held:
                return Check.of("agent", held), True
        return Check("agent", "warning", error.what, error.hint), False
    return _running(status), True


def _try_lock() -> None:
    with single_instance():
        pass


def _running(status: dict[str, Any]) -> Check:
    if status.get("blind"):
        return Check(
            "agent",
            "warning",
            "it is running but blind: it records far fewer requests than the client sends",
            "report it with the output of aodasync doctor --json",
        )
    restarts = status.get("restarts") or {}
    if restarts:
        tasks = ", ".join(f"{task} {count}" for task, count in restarts.items())
        return Check(
            "agent",
            "warning",
            f"it is running, and had to start parts of it again: {tasks}",
            "look for task_restarted in its log: journalctl -u aodasync",
        )
    return Check("agent", "ok", f"running, probe {status.get('probe')}")


def output_directory(directory: Path, config: Config | None, *, in_use: bool) -> Check:
    """Whether bundles can be written; ``in_use`` by a running agent it is that agent's already."""
    if os.geteuid() != 0:
        return Check("output directory", "warning", f"{directory}: only root can tell")
    try:
        if in_use:
            refuse_network(directory, read_mounts())
        else:
            examine(directory)
    except AodasyncError as error:
        return Check.of("output directory", error)
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{directory} ({free_bytes // MEGABYTE} MB free)"
    least_mb = config.cleanup.min_free_mb if config else 0
    if free_bytes < max(least_mb * MEGABYTE, 1):
        return Check(
            "output directory",
            "warning",
            f"{detail}, less than cleanup.min_free_mb ({least_mb:g})",
            "free some space: bundles are shortened, and old ones deleted, until there is",
        )
    return Check("output directory", "ok", detail)


async def probe(cache_dir: Path) -> list[Check]:
    """The probe, really attached for a moment; what it needs, before the client is there."""
    if os.geteuid() != 0:
        return []
    try:
        if not probes.cifs_loaded():
            await probes.require_host()
            return [Check("probe", "ok", "BPF programs can be compiled and loaded")]
        attached = await probes.open_probe(cache_dir=cache_dir)
    except AodasyncError as error:
        return [Check.of("probe", error)]
    try:
        plan = attached.plan
    finally:
        attached.close()
    return probe_checks(plan)
