# SPDX-License-Identifier: MIT
"""files.json: files and the requests about them, there and back."""

from __future__ import annotations

from typing import Any

import pytest

from aodasync.bundle.files_table import describe_files, file_of, names_by_request
from aodasync.evidence.file_book import NO_FILE, File
from tests.builders import SECOND, request, requests

ROWS = requests(*(request(released_ns=SECOND + n, message_id=n) for n in range(4)))


def names(described: list[Any]) -> list[str]:
    """The name of each row's file, as a reader has it."""
    found = names_by_request(described, ROWS)
    fields = ROWS.dtype.names or ()
    return [file_of(dict(zip(fields, row, strict=True)), found) for row in ROWS.tolist()]


def test_a_file_is_one_object_with_its_requests() -> None:
    """Ids are hexadecimal; unknown files are left out, and so is a file's unknown name."""
    files = [File("a/b", 2**64 - 2, 1), NO_FILE, File("", 3, 4), File("a/b", 2**64 - 2, 1)]
    described = describe_files(files)
    assert described == [
        {
            "file_name": "a/b",
            "persistent_id": "0xfffffffffffffffe",
            "volatile_id": "0x0000000000000001",
            "events": [0, 3],
        },
        {
            "file_name": "",
            "persistent_id": "0x0000000000000003",
            "volatile_id": "0x0000000000000004",
            "events": [2],
        },
    ]
    assert names(described) == ["a/b", "", "", "a/b"]


def test_of_the_last_requests_alone_the_places_are_those_of_all() -> None:
    """Older ones than are known have no file."""
    assert names(describe_files([File("late", 1, 1)], 3)) == ["", "", "", "late"]


@pytest.mark.parametrize(
    "odd",
    [
        3,
        {},
        {"file_name": 3, "events": [0]},
        {"file_name": "x"},
        {"file_name": "x", "events": {"0": 0}},
        {"file_name": "x", "events": [-1, 4, 2.0, "0", None]},
    ],
)
def test_what_is_not_as_we_write_it_names_nothing(odd: Any) -> None:
    """Anybody may have written the file."""
    assert names([odd]) == [""] * 4
