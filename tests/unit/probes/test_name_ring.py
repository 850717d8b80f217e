# SPDX-License-Identifier: MIT
"""Names out of CREATE requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.probes.name_ring import NAME_MAX_BYTES, ROOT, file_name
from aodasync.probes.records import NAME_BYTES


def held(name: str) -> tuple[bytes, int]:
    """What the kernel side sends of a name: its end, in a fixed place; and its length."""
    encoded = name.encode("utf-16-le")
    return encoded[-(NAME_BYTES - 2) :].ljust(NAME_BYTES, b"\x5a"), len(encoded)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ROOT),
        ("file", "file"),
        ("dir\\größe 日本.txt", "dir/größe 日本.txt"),
        ("x" * 300, ".../" + "x" * 127),
        ("日" * 100, ".../" + "日" * 65),
        ("\\".join(["directory"] * 40), ".../" + "/".join(["directory"] * 12)),
    ],
)
def test_names_are_shown_with_slashes_and_their_end(name: str, shown: str) -> None:
    """The root has a name of our own, a long path loses its first directories."""
    assert file_name(*held(name)) == shown


@given(st.text(max_size=600))
def test_no_name_is_too_long(name: str) -> None:
    """Whatever stands on the wire: at most 200 bytes of UTF-8, always a text."""
    text = name.encode("utf-16-le", "surrogatepass")
    shown = file_name(text[-(NAME_BYTES - 2) :].ljust(NAME_BYTES, b"\0"), len(text))
    assert 0 < len(shown.encode()) <= NAME_MAX_BYTES
