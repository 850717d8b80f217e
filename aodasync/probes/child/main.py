# SPDX-License-Identifier: MIT
"""The child: one request on stdin, one answer on stdout, both JSON.

Request: ``sources`` (directory of the C files), ``source`` (name of the one to
compile), ``definitions`` (numbers shared with the agent), ``exclude`` (functions
that turned out not to be attachable), ``cache`` (directory, or null), ``btf``
(directory of the kernel's BTF), ``tracefs``, ``machine`` (as uname has it), ``method``
(``fentry``, ``kprobe`` or ``tracepoint``).

Answer: ``object`` (whose BTF holds the functions), ``targets``, ``tried``, ``programs``
(base64 by name), ``notes``, ``steps_ms``; or ``error`` with ``kind`` and ``what``.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .btf import Btf, BtfError, Kind
from .cache import Cache, CacheUnusableError, cache_key
from .compile import CompileProblemError, MissingBccError, bcc_version, compile_programs
from .layout import Layout, LayoutProblemError, decide, decide_without_types

__all__ = ["answer", "main"]

_CLIENT = "cifs"
_KERNEL = "vmlinux"
_PROBLEMS = {
    BtfError: "btf",
    LayoutProblemError: "layout",
    MissingBccError: "bcc",
    CompileProblemError: "compile",
}


class _Steps:
    """Time that each step took."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.ms[name] = round((now - self._last) * 1e3, 1)
        self._last = now


def _read_types(directory: Path) -> tuple[str, Btf]:
    """Name and BTF of the object that holds the client; a built-in client is in vmlinux."""
    try:
        kernel = Btf((directory / _KERNEL).read_bytes())
    except OSError as error:
        raise BtfError(f"{error.filename}: {error.strerror} (CONFIG_DEBUG_INFO_BTF)") from error
    try:
        data = (directory / _CLIENT).read_bytes()
    except FileNotFoundError as error:
        if not kernel.find("TCP_Server_Info", Kind.STRUCT):
            missing = f"{error.filename} is missing (CONFIG_DEBUG_INFO_BTF_MODULES)"
            raise BtfError(missing) from error
        return _KERNEL, kernel
    except OSError as error:
        raise BtfError(f"{error.filename}: {error.strerror}") from error
    return _CLIENT, Btf(data, kernel)


def _read_layout(request: dict[str, Any]) -> tuple[str, Layout]:
    """The layout, and the name of the object whose BTF has the functions."""
    directory = Path(request["btf"])
    if request["method"] != "tracepoint":
        client, btf = _read_types(directory)
        return client, decide(btf, request["exclude"], request["method"], request["machine"])
    tracefs = Path(request["tracefs"])
    try:
        _, types = _read_types(directory)
    except BtfError:
        return "", decide_without_types(None, tracefs)
    return "", decide_without_types(types, tracefs)


def _host_definitions() -> dict[str, int]:
    """What depends on the running kernel's build alone. One tick is 1/CONFIG_HZ."""
    return {
        "PAGE_SIZE": os.sysconf("SC_PAGE_SIZE"),
        "TICK_NS": round(time.clock_getres(6) * 1e9),  # 6: CLOCK_MONOTONIC_COARSE
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request. Raises one of the problems this package defines."""
    steps = _Steps()
    version = bcc_version()
    client, layout = _read_layout(request)
    steps.done("layout")

    sources = Path(request["sources"])
    definitions = {**request["definitions"], **layout.definitions, **_host_definitions()}
    names = [target.program for target in layout.targets]
    notes = list(layout.notes)
    texts = {path.name: path.read_text() for path in sorted(sources.glob("*.[ch]"))}
    key = cache_key(texts, definitions, f"bcc {version}")
    cache, programs = None, None
    if request["cache"]:
        try:
            cache = Cache(Path(request["cache"]))
            programs = cache.load(key)
        except CacheUnusableError as problem:
            notes.append(f"no cache: {problem}")
    if programs is None or set(programs) != set(names):
        programs = compile_programs(texts[request["source"]], sources, definitions, names)
        steps.done("compile")
        if cache:
            try:
                cache.store(key, programs)
            except CacheUnusableError as problem:
                notes.append(f"no cache: {problem}")
    else:
        steps.done("cache")
    return {
        "object": client,
        "targets": [target._asdict() for target in layout.targets],
        "tried": [candidate._asdict() for candidate in layout.tried],
        "programs": {name: base64.b64encode(code).decode() for name, code in programs.items()},
        "notes": notes,
        "steps_ms": steps.ms,
    }


def main() -> None:
    """Answer the request on stdin. What bcc and clang print goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        result = answer(json.load(sys.stdin))
    except tuple(_PROBLEMS) as problem:
        result = {"error": {"kind": _PROBLEMS[type(problem)], "what": str(problem)}}
    json.dump(result, out)
    out.flush()
    # LLVM's destructors take longer than all of the above.
    os._exit(0)
