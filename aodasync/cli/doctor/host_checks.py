# SPDX-License-Identifier: MIT
"""What the host has of what the agent uses, and can go without."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from aodasync import probes
from aodasync.captures import CAPTURES
from aodasync.cli.doctor.check import Check
from aodasync.config.model import Config
from aodasync.host.facts import host_facts
from aodasync.host.tracefs import TRACEFS, tracefs
from aodasync.process.launch import ENVIRONMENT

__all__ = ["captures", "client", "ftrace", "service", "stacks", "tools", "tracing", "types"]

_SYSTEMCTL_SEC: Final = 5.0
_TOOLS: Final = {
    "setpriv": "apt install util-linux: without it each child takes 15 ms longer to start",
    "journalctl": "the journalctl action needs systemd's journal",
    "smbinfo": "apt install cifs-utils: the smbinfo action needs it",
    "ss": "apt install iproute2: TCP figures need it",
}


def types(vmlinux: Path = Path("/sys/kernel/btf/vmlinux")) -> Check:
    """The kernel's types, by which functions are found."""
    if vmlinux.exists():
        return Check("kernel types (BTF)", "ok", f"{vmlinux}, kernel {os.uname().release}")
    return Check(
        "kernel types (BTF)",
        "warning",
        f"{vmlinux} is missing: only the client's tracepoints can be watched",
        "use a kernel with CONFIG_DEBUG_INFO_BTF; every current distribution's has it",
    )


def ftrace(switch: Path = Path("/proc/sys/kernel/ftrace_enabled")) -> Check:
    """Probes on functions attach all the same without it; then nothing ever calls them."""
    try:
        is_off = switch.read_text().strip() == "0"
    except OSError as error:
        return Check("function tracing", "ok", f"{switch}: {error.strerror}, so never off")
    if is_off:
        return Check(
            "function tracing",
            "failed",
            "it is switched off: probes attach, but are never called",
            "sysctl kernel.ftrace_enabled=1",
        )
    return Check("function tracing", "ok", "on")


def tracing(directory: Path | None = None) -> Check:
    """Where tracepoints are found, the last way to look."""
    directory = directory or tracefs()
    if (directory / "events").is_dir():
        return Check("tracefs", "ok", str(directory))
    return Check(
        "tracefs",
        "warning",
        f"{directory} has no events: the client's tracepoints cannot be watched",
        f"mount -t tracefs nodev {TRACEFS[0]}",
    )


def client() -> Check:
    """The kernel's SMB client."""
    if not probes.cifs_loaded():
        return Check(
            "SMB client",
            "warning",
            "the cifs module is not loaded; the agent waits for the first mount",
            probes.install_hint()
            or "mount a share, or modprobe cifs, and run doctor again to try the probe",
        )
    cifs = host_facts()["cifs"]
    return Check("SMB client", "ok", f"cifs {cifs['version']}, srcversion {cifs['srcversion']}")


def stacks(stack: Path = Path("/proc/self/stack")) -> Check:
    """Whether it can be seen what a thread waits for."""
    try:
        stack.read_bytes()
    except OSError as error:
        return Check(
            "kernel stacks",
            "warning",
            f"{stack}: {error.strerror}; operations that wait for credits or for a reconnect"
            " are not reported",
            "run it as root, on a kernel with CONFIG_STACKTRACE",
        )
    return Check("kernel stacks", "ok", "readable: they tell what an operation waits for")


def tools() -> list[Check]:
    """What actions and children run."""
    return [
        Check(f"tool: {tool}", "ok", path)
        if (path := shutil.which(tool, path=ENVIRONMENT["PATH"]))
        else Check(f"tool: {tool}", "warning", "not found", fix)
        for tool, fix in _TOOLS.items()
    ]


def captures(config: Config) -> list[Check]:
    """What configured captures run."""
    return [
        Check(f"capture: {name}", "ok", path)
        if (path := shutil.which(tool, path=ENVIRONMENT["PATH"]))
        else Check(
            f"capture: {name}",
            "warning",
            "not found",
            f"apt install {tool}, or take it out of watcher.captures",
        )
        for name, tool in ((name, CAPTURES[name].tool) for name in config.captures)
    ]


def service(booted: Path = Path("/run/systemd/system")) -> list[Check]:
    """Whether systemd starts the agent at boot; nothing on a host without systemd."""
    systemctl = shutil.which("systemctl", path=ENVIRONMENT["PATH"])
    if systemctl is None or not booted.is_dir():
        return []
    argv = [systemctl, "is-enabled", "aodasync.service"]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=_SYSTEMCTL_SEC,
            env=ENVIRONMENT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Check("service", "warning", f"systemctl: {error}")]
    state = done.stdout.strip() or "not installed"
    if done.returncode == 0:
        return [Check("service", "ok", f"aodasync.service is {state}")]
    return [
        Check(
            "service",
            "warning",
            f"aodasync.service is {state}: nothing starts the agent at boot",
            "systemctl enable --now aodasync",
        )
    ]
