# SPDX-License-Identifier: MIT
"""Savefiles are joined packet by packet, whatever is done to them meanwhile."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aodasync.captures.pcap import join, whole_packets


def savefile(packets: Iterable[bytes], snapshot_bytes: int = 160) -> bytes:
    """A savefile of Linux cooked packets."""
    header = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snapshot_bytes, 276)
    return header + b"".join(struct.pack("=IIII", 1, 2, len(p), 1500) + p for p in packets)


def _joined(directory: Path, *contents: bytes) -> tuple[int, bytes]:
    out = io.BytesIO()
    with contextlib.ExitStack() as stack:
        files = []
        for number, content in enumerate(contents):
            (directory / str(number)).write_bytes(content)
            files.append(stack.enter_context((directory / str(number)).open("rb")))
        return join(files, out), out.getvalue()


def test_several_become_one(tmp_path: Path) -> None:
    """All packets in the files' order, one header; files without packets add none."""
    first, second = [b"a" * 60, b"b" * 160], [b"c"]
    found = _joined(tmp_path, savefile(first), b"", savefile([]), savefile(second))
    assert found == (3, savefile([*first, *second]))
    assert _joined(tmp_path) == (0, b"")


def test_half_a_packet_is_left_out(tmp_path: Path) -> None:
    """A file that is being written, or whose writer was killed, gives its whole packets."""
    whole = savefile([b"a" * 60])
    for missing in range(1, 76):
        cut = savefile([b"a" * 60, b"b" * 60])[:-missing]
        assert _joined(tmp_path, cut, savefile([b"c"])) == (2, savefile([b"a" * 60, b"c"]))
    assert _joined(tmp_path, whole[:20], whole) == (1, whole)


def test_another_kind_of_file_is_left_out(tmp_path: Path) -> None:
    """Packets of another snapshot length or link type cannot stand under the same header."""
    others = savefile([b"x"], snapshot_bytes=65535)
    assert _joined(tmp_path, savefile([b"a"]), others) == (1, savefile([b"a"]))


def test_what_a_full_disk_left_ends_a_file(tmp_path: Path) -> None:
    """A header that cannot be one: what comes before it stays, what follows is not trusted."""
    broken = savefile([b"a"]) + b"\xff" * 1_000_000
    assert _joined(tmp_path, broken, savefile([b"b"])) == (2, savefile([b"a", b"b"]))


def test_a_file_that_is_written_anew_meanwhile_is_left_out(tmp_path: Path) -> None:
    """The ring's oldest file may be emptied while it is copied: none of it, and all the rest."""
    large = savefile([b"a" * 160] * 4000)
    (tmp_path / "old").write_bytes(large)
    (tmp_path / "new").write_bytes(savefile([b"n"]))

    class Emptying(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(-1 if size is None else size)
            if self.tell() > 300_000:
                os.truncate(tmp_path / "old", 0)
            return data

    out = io.BytesIO()
    with Emptying(tmp_path / "old") as old, (tmp_path / "new").open("rb") as new:
        assert join([old, new], out) == 1
    assert out.getvalue() == savefile([b"n"])


@settings(deadline=None)
@given(packets=st.lists(st.binary(max_size=200), max_size=20), cut=st.integers(0, 4000))
def test_whole_packets_are_the_ones_that_are_all_there(packets: list[bytes], cut: int) -> None:
    """For any packets cut anywhere."""
    data = savefile(packets)[24:]
    ends = [sum(16 + len(p) for p in packets[:n]) for n in range(len(packets) + 1)]
    count = sum(end <= min(cut, len(data)) for end in ends) - 1
    assert whole_packets(data[:cut]) == (count, ends[count])


def test_a_packet_larger_than_any_is_none() -> None:
    """The largest snapshot length is the limit."""
    for captured_bytes, found in ((262_144, (1, 262_160)), (262_145, (0, 0))):
        data = struct.pack("=IIII", 1, 2, captured_bytes, 0) + bytes(300_000)
        assert whole_packets(data)[0] >= found[0]
        assert (whole_packets(data)[1] > 0) == (found[1] > 0)
