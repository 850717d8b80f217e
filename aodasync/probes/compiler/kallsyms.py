# SPDX-License-Identifier: MIT
"""Addresses of the kernel's variables, as /proc/kallsyms lists them.

Variables are listed with CONFIG_KALLSYMS_ALL; addresses are 0 with kptr_restrict=2.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["address_of"]


def address_of(variable: str, symbols: Path) -> int:
    """Address of a variable of the client or the kernel; 0 when it is not to be had."""
    name = variable.encode()
    try:
        with symbols.open("rb", buffering=1 << 20) as lines:
            for line in lines:
                if name in line and line.split()[2] == name:
                    return int(line.split()[0], 16)
    except OSError:
        return 0
    return 0
