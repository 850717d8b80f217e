# SPDX-License-Identifier: MIT
"""The library that makes single calls of the server slow or fail, compiled on the host."""

from pathlib import Path

from .architecture import HOST, Architecture
from .cache import Cache
from .command import run
from .hostpackages import ensure_tools
from .kernel import GUEST

SOURCE = GUEST / "faults.c"
LIBRARY = "faults.so"
# Built without the C library, so that it runs on an older one than the host's.
_FLAGS = (
    "-O2",
    "-shared",
    "-fPIC",
    "-nostdlib",
    "-fno-builtin",
    "-fno-stack-protector",
    "-Wno-builtin-declaration-mismatch",
)


def get_faults(cache: Cache, architecture: Architecture = HOST) -> Path:
    """Return the compiled library from the cache, or compile it."""

    def build(into: Path) -> None:
        ensure_tools(architecture.compiler)
        (compiler,) = architecture.compiler
        run((compiler, *_FLAGS, "-o", into / LIBRARY, SOURCE))

    recipe = (SOURCE.read_text(encoding="utf-8"), _FLAGS)
    return cache.entry(f"faults{architecture.suffix}", recipe, lambda: None, build) / LIBRARY
