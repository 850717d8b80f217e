# SPDX-License-Identifier: MIT
"""C text to byte code, with bcc as a plain compiler: nothing is loaded here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "CompileProblemError",
    "MissingBccError",
    "bcc_version",
    "compile_programs",
    "import_bcc",
]


class MissingBccError(Exception):
    """This interpreter has no bcc."""


class CompileProblemError(Exception):
    """bcc refused the program; clang's messages are on stderr."""


def bcc_version() -> str:
    """Version of this interpreter's bcc, without the cost of importing it (LLVM)."""
    found = find_spec("bcc")
    if found is None or found.origin is None:
        raise MissingBccError("this Python has no module bcc")
    try:
        text = Path(found.origin).with_name("version.py").read_text()
    except OSError:
        return "unknown"
    version = re.search(r"__version__ *= *['\"]([^'\"]+)", text)
    return version.group(1) if version else "unknown"


def import_bcc() -> Any:
    """The class BPF of bcc."""
    bcc_version()
    try:
        from bcc import BPF  # noqa: PLC0415  # costs 60 MB: only when there is work
    except (ImportError, OSError) as error:
        raise MissingBccError(f"import bcc: {error}") from error
    return BPF


def compile_programs(
    text: str, include: Path, definitions: Mapping[str, int], programs: Iterable[str]
) -> dict[str, bytes]:
    """Byte code by program name.

    ``include`` holds our headers, and in ``include/include`` the stub tree that bcc
    takes for a kernel's. bcc changes the working directory.
    """
    os.environ["BCC_KERNEL_SOURCE"] = str(include)
    BPF = import_bcc()  # noqa: N806  # its name
    flags = [f"-I{include}", "-Wno-unused-command-line-argument"]
    flags += [f"-D{name}={value:#x}" for name, value in sorted(definitions.items())]
    try:
        module = BPF(text=text, cflags=flags)
        return {name: bytes(module.dump_func(name.encode())) for name in programs}
    except Exception as error:
        # bcc raises bare Exception, for a failed compilation and an unknown function alike.
        raise CompileProblemError(str(error) or type(error).__name__) from error
