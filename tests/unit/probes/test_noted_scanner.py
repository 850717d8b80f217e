# SPDX-License-Identifier: MIT
"""A table that the kernel side counts its writes to is scanned when it has written."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from aodasync.errors import BpfError
from aodasync.probes.scanning import MapScanner, NotedScanner


class Table:
    """What is scanned, how often it was, and how often it was written to."""

    def __init__(self) -> None:
        self.scans = self.noted = 0
        self.readable = True
        self.scanner = NotedScanner(cast("MapScanner", self), lambda: self.noted)

    def scan(self) -> tuple[Any, Any]:
        if not self.readable:
            raise BpfError("cannot scan a map", 12)
        self.scans += 1
        return np.arange(self.noted), np.arange(self.noted)


def test_what_was_not_written_to_is_not_scanned_again() -> None:
    """But for once more after each change: the count may be seen before its row."""
    table = Table()
    for noted in (0, 1, 2):
        table.noted, table.scans = noted, 0
        found = [table.scanner.scan() for _ in range(5)]
        assert table.scans == 2
        assert all(keys is found[1][0] and len(keys) == noted for keys, _ in found[1:])


def test_a_scan_that_failed_is_tried_again() -> None:
    """However often; what was found before is not taken for what is there."""
    table = Table()
    table.scanner.scan()
    table.noted, table.readable = 3, False
    for _ in range(3):
        with pytest.raises(BpfError):
            table.scanner.scan()
    table.readable = True
    assert len(table.scanner.scan()[0]) == 3
