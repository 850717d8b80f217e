# SPDX-License-Identifier: MIT
"""Strings of the kernel's, read a word at a time by a program that cannot fault."""

from __future__ import annotations

import sys
from typing import Final

from aodasync.probes import bpf

__all__ = ["KernelText"]

_WORD_BYTES: Final = 4


class KernelText:
    """Reads what is at an address by the program ``word_fd``; without it nothing."""

    def __init__(self, word_fd: int | None) -> None:
        self._word_fd = word_fd

    def at(self, address: int, most: int) -> bytes:
        """Up to so many bytes, without the NUL that ends them. Raises BpfError."""
        text = b""
        if self._word_fd is None or not address:
            return text
        while len(text) < most and b"\0" not in text:
            word = bpf.run(self._word_fd, (address + len(text),))
            text += word.to_bytes(_WORD_BYTES, sys.byteorder)
        return text.partition(b"\0")[0][:most]
