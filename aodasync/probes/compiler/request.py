# SPDX-License-Identifier: MIT
"""The child: one request on stdin, one answer on stdout, both JSON.

Request: ``sources`` (directory of the C files), ``source`` (name of the one to
compile), ``definitions`` (numbers shared with the agent), ``exclude`` (functions
that turned out not to be attachable), ``cache`` (directory, or null), ``imported``
(directory of byte code from elsewhere, or null), ``btf``
(directory of the kernel's BTF), ``tracefs``, ``machine`` (as uname has it), ``method``
(``fentry``, ``kprobe`` or ``tracepoint``), ``symbols`` (/proc/kallsyms), ``preemption``
(sched/preempt of debugfs), ``file_names``. An empty one asks whether bcc can be imported,
and gets an empty answer.

Answer: ``object`` (whose BTF holds the functions), ``targets``, ``tried``, ``programs``
(base64 by name), ``byte_code`` (where they are from: ``cache``, ``imported``, ``compiled``),
``compiler``, ``key`` (of hosts that they serve), ``notes``, ``lists`` (of ``ListLayout``, or
null), ``steps_ms``; or ``error`` with ``kind`` and ``what``.

With arguments it reads ahead, before the request: see :func:`read_ahead`.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from .ahead import CONNECTIONS, NOTHING, Ahead, read_ahead
from .btf import Btf, BtfError, Kind
from .cache import Cache, CacheUnusableError, cache_key, layout_key
from .compile import (
    CompileProblemError,
    MissingBccError,
    bcc_version,
    compile_programs,
    import_bcc,
)
from .layout import Layout, LayoutProblemError, decide, decide_without_types
from .preemption import preempts

__all__ = ["answer", "main"]

Programs = dict[str, bytes]

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


def _read_types(directory: Path, ahead: Ahead) -> tuple[str, Btf]:
    """Name and BTF of the object that holds the client; a built-in client is in vmlinux."""
    try:
        kernel = ahead.kernel_types(directory)
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


def _read_layout(request: dict[str, Any], ahead: Ahead) -> tuple[str, Layout]:
    """The layout, and the name of the object whose BTF has the functions."""
    directory = Path(request["btf"])
    if request["method"] != "tracepoint":
        client, btf = _read_types(directory, ahead)
        return client, decide(
            btf,
            request["exclude"],
            request["method"],
            request["machine"],
            file_names=request.get("file_names", True),
            preempts=preempts(os.uname().version, Path(request["preemption"])),
        )
    tracefs = Path(request["tracefs"])
    try:
        _, types = _read_types(directory, ahead)
    except BtfError:
        return "", decide_without_types(None, tracefs)
    return "", decide_without_types(types, tracefs)


def _host_definitions() -> dict[str, int]:
    """What depends on the running kernel's build alone. One tick is 1/CONFIG_HZ."""
    return {
        "PAGE_SIZE": os.sysconf("SC_PAGE_SIZE"),
        "TICK_NS": round(time.clock_getres(6) * 1e9),  # 6: CLOCK_MONOTONIC_COARSE
    }


class _Source(NamedTuple):
    """What byte code is made of: C by file name, numbers, and the programs that are wanted."""

    directory: Path
    main: str
    texts: dict[str, str]
    definitions: dict[str, int]
    programs: list[str]

    def key(self) -> str:
        return layout_key(self.texts, self.definitions)


def _kept(directory: str | None, key: str, source: _Source, notes: list[str]) -> Programs | None:
    """What a directory of byte code has under a key; nothing if it is not all of it."""
    if not directory or not Path(directory).is_dir():
        return None
    try:
        programs = Cache(Path(directory)).load(key)
    except CacheUnusableError as problem:
        notes.append(f"no cache: {problem}")
        return None
    return programs if programs and set(programs) == set(source.programs) else None


def _byte_code(
    request: dict[str, Any], source: _Source, notes: list[str], steps: _Steps
) -> tuple[Programs, str, str]:
    """Byte code by program name, where it is from, and this host's compiler."""
    missing = None
    try:
        compiler = f"bcc {bcc_version()}"
    except MissingBccError as problem:
        compiler, missing = "", problem
    key = cache_key(source.texts, source.definitions, compiler)
    places = [("cache", key), ("imported", source.key())]
    for place, key_there in places[bool(missing) :]:
        programs = _kept(request[place], key_there, source, notes)
        if programs:
            steps.done(place)
            return programs, place, compiler
    if missing:
        raise missing
    text = source.texts[source.main]
    programs = compile_programs(text, source.directory, source.definitions, source.programs)
    steps.done("compile")
    if request["cache"]:
        try:
            Cache(Path(request["cache"])).store(key, programs)
        except CacheUnusableError as problem:
            notes.append(f"no cache: {problem}")
    return programs, "compiled", compiler


def answer(request: dict[str, Any], ahead: Ahead = NOTHING) -> dict[str, Any]:
    """The answer to one request. Raises one of the problems this package defines."""
    steps = _Steps()
    if ahead.took_ms:
        steps.ms["ahead"] = ahead.took_ms
    client, layout = _read_layout(request, ahead)
    steps.done("layout")
    directory = Path(request["sources"])
    source = _Source(
        directory,
        request["source"],
        {path.name: path.read_text() for path in sorted(directory.glob("*.[ch]"))},
        {**request["definitions"], **layout.definitions, **_host_definitions()},
        [target.program for target in layout.targets],
    )
    notes = list(layout.notes)
    programs, byte_code, compiler = _byte_code(request, source, notes, steps)
    lists = None
    if layout.lists:
        head = ahead.connections(Path(request["symbols"]))
        lists = {**layout.lists, "connections": head}
        if not head:
            notes.append(
                f"{CONNECTIONS} is not in {request['symbols']}: a request that hangs already is"
                " seen when its connection sends the next one"
            )
        steps.done("symbols")
    return {
        "object": client,
        "targets": [target._asdict() for target in layout.targets],
        "tried": [candidate._asdict() for candidate in layout.tried],
        "programs": {name: base64.b64encode(code).decode() for name, code in programs.items()},
        "byte_code": byte_code,
        "compiler": compiler,
        "key": source.key(),
        "notes": list(dict.fromkeys(notes)),
        "lists": lists,
        "steps_ms": steps.ms,
    }


def main() -> None:
    """Answer the request on stdin. What bcc and clang print goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _, _, *arguments = sys.argv  # -c, and where this package is
    ahead = read_ahead(*arguments) if arguments else NOTHING
    try:
        request = json.load(sys.stdin)
        if request:
            result = answer(request, ahead)
        else:
            import_bcc()
            result = {}
    except tuple(_PROBLEMS) as problem:
        result = {"error": {"kind": _PROBLEMS[type(problem)], "what": str(problem)}}
    json.dump(result, out)
    out.flush()
    # LLVM's destructors take longer than all of the above.
    os._exit(0)
