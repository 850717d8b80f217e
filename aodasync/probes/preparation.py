# SPDX-License-Identifier: MIT
"""Starting the child that turns the kernel's types and our C into byte code.

See :mod:`aodasync.probes.compiler` for what runs there. It needs an interpreter
that has bcc, which is the distribution's as a rule, whatever runs the agent.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from aodasync.errors import CompileError, LayoutError, ProbeError, RequirementError
from aodasync.host.threads import in_thread
from aodasync.host.tracefs import tracefs
from aodasync.probes.client_lists import ListLayout
from aodasync.probes.compiler_child import (
    BTF_DIRECTORY,
    IMPORTED,
    SYMBOLS,
    interpreters,
    started,
)
from aodasync.probes.interface import Candidate
from aodasync.probes.program_loader import Program
from aodasync.probes.shared import definitions

__all__ = [
    "BTF_DIRECTORY",
    "FALLBACK",
    "IMPORTED",
    "METHODS",
    "Prepared",
    "bpf_sources",
    "interpreters",
    "prepare",
    "require_bcc",
]

FALLBACK: Final = "tracepoint"
"""The way to look that sees only a part."""

METHODS: Final = ("fentry", "kprobe", FALLBACK)
"""Ways to look at the client, the best first."""

_SOURCE: Final = "smb_requests.bpf.c"
_PREEMPTION: Final = "/sys/kernel/debug/sched/preempt"
_DEADLINE_SEC: Final = 60.0  # a cold compilation takes 16 s in an emulated machine
_STDERR_LINES: Final = 12
_INSTALL_BCC: Final = (
    "apt install python3-bpfcc, or dnf install python3-bcc, or import byte code for this kernel:"
    " aodasync probe import FILE"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the child found and made.

    ``byte_code`` says where the programs are from: ``compiled``, ``cache``, ``imported``;
    ``key`` names the layouts that they serve, ``compiler`` what this host has.
    """

    btf_object: str
    programs: tuple[Program, ...]
    notes: tuple[str, ...]
    steps_ms: Mapping[str, float]
    tried: tuple[Candidate, ...] = ()
    method: str = "fentry"
    lists: ListLayout | None = None
    byte_code: str = "compiled"
    key: str = ""
    compiler: str = ""


def bpf_sources() -> Path:
    """Directory of the C sources: inside an installed package, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_bpf"
    return installed if installed.is_dir() else package.parent / "bpf"


async def prepare(
    *,
    cache_dir: Path | None,
    imported: Path | None = IMPORTED,
    python: str | None = None,
    exclude: Collection[str] = (),
    btf: Path = BTF_DIRECTORY,
    method: str = "fentry",
    file_names: bool = True,
    machine: str = "",
    traces: Path | None = None,
) -> Prepared:
    """Run the child under the first interpreter that has bcc, or that needs none.

    ``exclude`` names kernel functions that turned out not to be attachable, ``method``
    is one of :data:`METHODS`, ``file_names`` whether files are recorded; ``btf``,
    ``machine`` and ``traces`` (tracefs) stand in for this host's in tests. Raises
    RequirementError without bcc, LayoutError on unknown types, CompileError.
    """
    request = {
        "sources": str(bpf_sources()),
        "source": _SOURCE,
        "definitions": definitions(),
        "exclude": sorted(exclude),
        "cache": None if cache_dir is None else str(cache_dir),
        "imported": None if imported is None else str(imported),
        "btf": str(btf),
        "tracefs": str(traces or tracefs()),
        "machine": machine or os.uname().machine,
        "method": method,
        "file_names": file_names,
        "symbols": str(SYMBOLS),
        "preemption": _PREEMPTION,
    }
    return _prepared(await _ask_any(python, request), method)


async def require_bcc(python: str | None = None) -> None:
    """Raise RequirementError unless an interpreter can import bcc."""
    await _ask_any(python, {})


async def _ask_any(python: str | None, request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer under the first interpreter that has bcc."""
    refusals = []
    for interpreter in interpreters(python):
        answer = await _ask(interpreter, request)
        error = answer.get("error")
        if error is None:
            return answer
        if error["kind"] != "bcc":
            raise _failure(error)
        refusals.append(f"{interpreter}: {error['what']}")
    raise RequirementError("no Python with a usable bcc: " + "; ".join(refusals), hint=_INSTALL_BCC)


async def _ask(interpreter: str, request: Mapping[str, Any]) -> dict[str, Any]:
    child = await in_thread(partial(started, interpreter))
    try:
        async with asyncio.timeout(_DEADLINE_SEC):
            out, said, status = await in_thread(partial(child.ask, request), hurry=child.kill)
    except TimeoutError:
        raise CompileError(
            f"compiling the BPF programs took more than {_DEADLINE_SEC:.0f} s",
            hint="the machine is overloaded; try again",
        ) from None
    stderr = "; ".join(said.splitlines()[-_STDERR_LINES:])
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        raise CompileError(f"{interpreter} ended with {status} while compiling: {stderr}") from None
    if answer.get("error", {}).get("kind") == "compile":
        answer["error"]["what"] += f": {stderr}"
    return answer


def _prepared(answer: Mapping[str, Any], method: str) -> Prepared:
    programs = tuple(
        Program(
            role=target["role"],
            name=target["program"],
            code=base64.b64decode(answer["programs"][target["program"]]),
            attach=target["attach"],
            function=target["function"],
            btf_id=target["btf_id"],
        )
        for target in answer["targets"]
    )
    return Prepared(
        btf_object=answer["object"],
        programs=programs,
        notes=tuple(answer["notes"]),
        steps_ms=answer["steps_ms"],
        tried=tuple(Candidate(**candidate) for candidate in answer["tried"]),
        method=method,
        lists=ListLayout(**answer["lists"]) if answer["lists"] else None,
        byte_code=answer["byte_code"],
        key=answer["key"],
        compiler=answer["compiler"],
    )


def _failure(error: Mapping[str, str]) -> ProbeError:
    if error["kind"] == "layout":
        return LayoutError(
            f"this kernel's SMB client is unknown: {error['what']}",
            hint="report it with the output of aodasync doctor --json",
        )
    if error["kind"] == "btf":
        return ProbeError(
            f"no type information of the SMB client: {error['what']}",
            hint="a kernel 5.11 or newer with CONFIG_DEBUG_INFO_BTF and _BTF_MODULES is needed",
        )
    return CompileError(error["what"], hint="report it with the output of aodasync doctor --json")
