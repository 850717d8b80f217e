# SPDX-License-Identifier: MIT
"""What works on this host and what does not, each with the mend.

The probe is really attached, for a moment: nothing else proves that it can be.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from aodasync import probes
from aodasync.config.model import Config
from aodasync.control import ask
from aodasync.errors import AodasyncError, ProbeError, RequirementError
from aodasync.host import host_facts
from aodasync.probes.interface import Attachment, Candidate, ProbePlan
from aodasync.programs import ENVIRONMENT

__all__ = ["Check", "as_json", "as_text", "diagnose", "failed", "probe_checks"]

_ASK_SEC = 5.0
_TROUBLE = "trouble"
_TOOLS = {
    "setpriv": "apt install util-linux: without it children may outlive a killed agent",
    "journalctl": "the journalctl action needs systemd's journal",
    "smbinfo": "apt install cifs-utils: the smbinfo action needs it",
    "ss": "apt install iproute2: TCP figures need it",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``state`` is ok, warning (goes without) or failed (the agent cannot work)."""

    name: str
    state: str
    detail: str
    mend: str = ""


async def diagnose(config: Config, cache_dir: Path) -> list[Check]:
    """All checks; never raises for what it finds."""
    return [
        _root(),
        _types(),
        _ftrace(),
        _client(),
        *await _probe(cache_dir),
        _stacks(),
        *_tools(),
        *_captures(config),
        _output(config.output_dir),
        await _agent(),
    ]


def failed(checks: Iterable[Check]) -> bool:
    """Whether the agent cannot work here."""
    return any(check.state == "failed" for check in checks)


def _root() -> Check:
    if os.geteuid() == 0:
        return Check("root", "ok", "running as root")
    return Check("root", "failed", f"running as uid {os.geteuid()}", "sudo aodasync doctor")


def _types(vmlinux: Path = Path("/sys/kernel/btf/vmlinux")) -> Check:
    if vmlinux.exists():
        return Check("kernel types (BTF)", "ok", f"{vmlinux}, kernel {os.uname().release}")
    return Check(
        "kernel types (BTF)",
        "warning",
        f"{vmlinux} is missing: only the client's tracepoints can be watched",
        "use a kernel with CONFIG_DEBUG_INFO_BTF; every current distribution's has it",
    )


def _ftrace(switch: Path = Path("/proc/sys/kernel/ftrace_enabled")) -> Check:
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


def _client() -> Check:
    if not probes.cifs_loaded():
        return Check(
            "SMB client",
            "warning",
            "the cifs module is not loaded; the agent waits for the first mount",
            "mount a share, or modprobe cifs, and run doctor again to try the probe",
        )
    cifs = host_facts()["cifs"]
    return Check("SMB client", "ok", f"cifs {cifs['version']}, srcversion {cifs['srcversion']}")


async def _probe(cache_dir: Path) -> list[Check]:
    if not probes.cifs_loaded() or os.geteuid() != 0:
        return []
    try:
        probe = await probes.open_probe(cache_dir=cache_dir)
    except (ProbeError, RequirementError) as error:
        return [Check("probe", "failed", error.what, error.hint)]
    try:
        plan = probe.plan
    finally:
        probe.close()
    return probe_checks(plan)


def probe_checks(plan: ProbePlan) -> list[Check]:
    """The plan of a probe that could be attached: all that was tried, and why each choice."""
    steps = ", ".join(f"{name} {ms:.0f} ms" for name, ms in plan.steps_ms.items())
    return [
        Check("probe", "ok", f"{plan.name} ({steps})"),
        *(_attached(each, plan.tried) for each in plan.attachments if each.role != _TROUBLE),
        *(
            Check(f"probe: {each.role}", "ok", f"passed over: {each.target}, {each.why}")
            for each in plan.tried
            if not each.chosen and each.role != _TROUBLE
        ),
        *_troubles(plan),
        *(Check("probe: note", "warning", note) for note in plan.notes),
    ]


def _attached(attachment: Attachment, tried: Iterable[Candidate]) -> Check:
    where = f"{attachment.method} of {attachment.target}"
    why = [c.why for c in tried if c.target == attachment.target and c.role == attachment.role]
    if attachment.error:
        return Check(f"probe: {attachment.role}", "warning", f"{where}: {attachment.error}")
    return Check(f"probe: {attachment.role}", "ok", "; ".join([where, *why]))


def _troubles(plan: ProbePlan) -> list[Check]:
    """Tracepoints of trouble: those attached as one line, each missing one with its reason."""
    attached = [each for each in plan.attachments if each.role == _TROUBLE]
    names = ", ".join(each.target for each in attached if not each.error)
    return [
        Check(f"probe: {_TROUBLE}", "ok", f"tracepoints {names}" if names else "no tracepoints"),
        *(
            Check(f"probe: {_TROUBLE}", "warning", f"{each.target}: {each.error}")
            for each in attached
            if each.error
        ),
        *(
            Check(f"probe: {_TROUBLE}", "ok", f"passed over: {each.target}, {each.why}")
            for each in plan.tried
            if each.role == _TROUBLE and not each.chosen
        ),
    ]


def _stacks(stack: Path = Path("/proc/self/stack")) -> Check:
    try:
        stack.read_bytes()
    except OSError as error:
        return Check(
            "kernel stacks",
            "warning",
            f"{stack}: {error.strerror}; operations that wait for credits or for a reconnect"
            " are not told",
            "run it as root, on a kernel with CONFIG_STACKTRACE",
        )
    return Check("kernel stacks", "ok", "readable: they tell what an operation waits for")


def _tools() -> list[Check]:
    return [
        Check(f"tool: {tool}", "ok", path)
        if (path := shutil.which(tool, path=ENVIRONMENT["PATH"]))
        else Check(f"tool: {tool}", "warning", "not found", mend)
        for tool, mend in _TOOLS.items()
    ]


def _captures(config: Config) -> list[Check]:
    return [
        Check(f"capture: {tool}", "ok", path)
        if (path := shutil.which(tool, path=ENVIRONMENT["PATH"]))
        else Check(
            f"capture: {tool}",
            "warning",
            "not found",
            f"apt install {tool}, or take it out of watcher.captures",
        )
        for tool in config.captures
    ]


def _output(directory: Path) -> Check:
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_mb = shutil.disk_usage(existing).free // 2**20
    return Check("output directory", "ok", f"{directory} ({free_mb} MB free)")


async def _agent() -> Check:
    try:
        status = await asyncio.to_thread(ask, "status", timeout_sec=_ASK_SEC)
    except AodasyncError as error:
        return Check("agent", "warning", error.what, error.hint)
    if status.get("blind"):
        return Check(
            "agent",
            "warning",
            "it is running but blind: it records far fewer requests than the client sends",
            "report it with the output of aodasync doctor --json",
        )
    return Check("agent", "ok", f"running, probe {status.get('probe')}")


def as_json(checks: Iterable[Check]) -> str:
    """The checks and the host, as JSON."""
    found = {"host": host_facts(), "checks": [asdict(check) for check in checks]}
    return json.dumps(found, indent=2)


def as_text(checks: Iterable[Check]) -> str:
    """The checks, one a line, with their mends."""
    lines = []
    for check in checks:
        lines.append(f"{check.state:8} {check.name}: {check.detail}")
        if check.mend:
            lines.append(f"{'':8}   mend: {check.mend}")
    return "\n".join(lines)
