# SPDX-License-Identifier: MIT
"""Byte code from host to host: what one compiled, others of the same layout only load.

Byte code depends on our sources and on the offsets that the kernel's types tell, not on the
compiler's host. So a file of it serves every host whose layout it names, without bcc and LLVM.
It is loaded into the kernel by root: its digest tells damage, and whoever can write it is trusted.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import stat
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

from aodasync import __version__
from aodasync.errors import NotPermittedError, ProbeError, RequirementError
from aodasync.host import safe_files
from aodasync.probes.compiler.cache import Cache, CacheUnusableError, digest
from aodasync.probes.preparation import IMPORTED, METHODS, Prepared, prepare

__all__ = ["export_probes", "import_probes"]

_FORMAT: Final = 1
_MOST_BYTES: Final = 16 * 1024 * 1024
_MOST_PROBES: Final = 16
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_INSTRUCTION_BYTES: Final = 8


async def export_probes(cache_dir: Path | None, *, python: str | None = None) -> str:
    """This host's byte code, by every method that can be had here, with files and without.

    Raises:
        RequirementError: there is none; what the best method met.
    """
    probes: dict[str, dict[str, Any]] = {}
    first = None
    for method, file_names in product(METHODS, (True, False)):
        ask = partial(prepare, cache_dir=cache_dir, python=python, method=method)
        try:
            found = await ask(file_names=file_names)
        except ProbeError as error:
            first = first or error
            continue
        entry = {"method": method, "file_names": file_names, **_entry(found)}
        probes.setdefault(found.key, entry)
    if not probes:
        raise first or RequirementError("there is no byte code")
    host = os.uname()
    facts = {"kernel": host.release, "machine": host.machine, "aodasync": __version__}
    return json.dumps({"format": _FORMAT, **facts, "probes": [*probes.values()]}, indent=1) + "\n"


def _entry(found: Prepared) -> dict[str, Any]:
    code = {program.name: base64.b64encode(program.code).decode() for program in found.programs}
    entry = {"key": found.key, "digest": digest(found.key, code), "programs": code}
    return {"compiler": found.compiler, **entry}


def import_probes(path: Path, directory: Path = IMPORTED) -> str:
    """Keep what a file holds; returns a sentence. Nothing is kept of a file that is refused.

    Raises:
        NotPermittedError: somebody else could have written it, or may not write here.
        RequirementError: it is not whole, or not for this host and this aodasync.
    """
    content = _parsed(path)
    wanted = {"format": _FORMAT, "aodasync": __version__, "machine": os.uname().machine}
    for name, value in wanted.items():
        if content.get(name) != value:
            raise RequirementError(
                f"{path}: {name}: expected {value!r}, found {content.get(name)!r}",
                hint="export it again, on a host with this aodasync: aodasync probe export FILE",
            )
    probes = content.get("probes")
    if not isinstance(probes, list) or not 0 < len(probes) <= _MOST_PROBES:
        raise RequirementError(f"{path}: probes: expected a list of 1 to {_MOST_PROBES}")
    checked = [_checked(path, number, each) for number, each in enumerate(probes)]
    try:
        kept = Cache(directory)
        for key, programs in checked:
            kept.store(key, programs)
    except CacheUnusableError as error:
        raise NotPermittedError(f"byte code cannot be kept: {error}") from None
    methods = ", ".join(dict.fromkeys(str(probe.get("method")) for probe in probes))
    return f"imported {methods} of {content.get('kernel')} into {directory}"


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with os.fdopen(safe_files.open_regular(str(path), follow=True), "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise RequirementError(f"{path}: {str(error.strerror).lower()}") from None
    except ValueError as error:
        raise RequirementError(str(error)) from None
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotPermittedError(
            f"{path}: others can write it, and it is loaded into the kernel",
            hint=f"chown root {path}; chmod go-w {path}",
        )
    try:
        content = json.loads(data) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RequirementError(f"{path}: expected what aodasync probe export writes")
    return content


def _checked(path: Path, number: int, probe: Any) -> tuple[str, Mapping[str, bytes]]:
    """Key and programs of an entry. Raises RequirementError."""
    try:
        key, programs = probe["key"], probe["programs"]
        code = {str(name): base64.b64decode(text, validate=True) for name, text in programs.items()}
        is_whole = _KEY.fullmatch(key) and code and probe["digest"] == digest(key, programs)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        is_whole = False
    if not is_whole or any(not c or len(c) % _INSTRUCTION_BYTES for c in code.values()):
        raise RequirementError(
            f"{path}: probes[{number}] is not whole", hint="copy it again, or export it again"
        )
    return key, code
