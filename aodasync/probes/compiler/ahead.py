# SPDX-License-Identifier: MIT
"""What any request will ask for, read while the agent still imports its own modules.

Which types, symbols and byte code it will name is known from the start: they are this
child's arguments. What cannot be read is left to the request, which says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from .btf import Btf, BtfError
from .compile import MissingBccError, import_bcc
from .kallsyms import address_of

__all__ = ["CONNECTIONS", "NOTHING", "Ahead", "read_ahead"]

CONNECTIONS = "cifs_tcp_ses_list"
"""The client's list of connections."""

_KERNEL = "vmlinux"


class Ahead:
    """The kernel's types by directory, and the address of :data:`CONNECTIONS` by file.

    ``took_ms`` is what reading them took; 0: nothing was read ahead.
    """

    def __init__(
        self,
        types: Mapping[Path, Btf] = MappingProxyType({}),
        connections: Mapping[Path, int] = MappingProxyType({}),
        took_ms: float = 0.0,
    ) -> None:
        self.took_ms = took_ms
        self._types = types
        self._connections = connections

    def kernel_types(self, directory: Path) -> Btf:
        """Of vmlinux. Raises OSError, BtfError."""
        known = self._types.get(directory)
        return known or Btf((directory / _KERNEL).read_bytes())

    def connections(self, symbols: Path) -> int:
        """Where the list of connections is; 0 when that is not to be had."""
        known = self._connections.get(symbols)
        return address_of(CONNECTIONS, symbols) if known is None else known


NOTHING = Ahead()


def read_ahead(btf: str, symbols: str, *byte_code: str) -> Ahead:
    """Read types and symbols; import bcc if none of the directories has byte code."""
    begun = time.monotonic()
    types = {}
    with suppress(OSError, BtfError):
        types[Path(btf)] = NOTHING.kernel_types(Path(btf))
    if not any(map(_holds_something, byte_code)):
        with suppress(MissingBccError):
            import_bcc()
    connections = {Path(symbols): NOTHING.connections(Path(symbols))}
    return Ahead(types, connections, round((time.monotonic() - begun) * 1e3, 1))


def _holds_something(directory: str) -> bool:
    try:
        return any(Path(directory).iterdir())
    except OSError:
        return False
