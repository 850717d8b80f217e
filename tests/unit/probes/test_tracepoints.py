# SPDX-License-Identifier: MIT
"""The last resort: tracepoints as tracefs describes them, on made-up descriptions."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.probes.compiler.btf import Btf
from aodasync.probes.compiler.layout import LayoutProblemError, decide_without_types
from tests.unit.probes.fake_tracefs import FIELDS, write_tracefs
from tests.unit.probes.kernel_types import kernel_blobs


def test_offsets_come_from_the_description(tmp_path: Path) -> None:
    """Ends are attached before the beginning; what cannot be seen is said."""
    found = decide_without_types(None, write_tracefs(tmp_path))
    assert found.definitions == {
        f"{prefix}_{name}": at
        for prefix in ("ENTER", "DONE", "ERR")
        for name, at in {"tid": 8, "sesid": 16, "cmd": 24, "mid": 32}.items()
    } | {"ERR_status": 40}
    assert [(t.role, t.function, t.attach) for t in found.targets] == [
        ("reconnect", "cifs/smb3_reconnect", "tracepoint"),
        ("release", "cifs/smb3_cmd_done", "tracepoint"),
        ("release", "cifs/smb3_cmd_err", "tracepoint"),
        ("alloc", "cifs/smb3_cmd_enter", "tracepoint"),
    ]
    assert all(note.startswith(("fallback: ", "without")) for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"smb3_cmd_enter": None}, "smb3_cmd_enter"),
        ({"smb3_cmd_done": FIELDS.replace("size:2", "size:4")}, "smb3_cmd_done has no field cmd"),
        ({"smb3_cmd_err": FIELDS}, "smb3_cmd_err has no field status"),
    ],
)
def test_another_description_is_refused(
    tmp_path: Path, changes: dict[str, str | None], named: str
) -> None:
    """A field is never guessed."""
    with pytest.raises(LayoutProblemError, match=named):
        decide_without_types(None, write_tracefs(tmp_path, **changes))


def test_a_client_without_the_reconnect_tracepoint_is_watched_all_the_same(tmp_path: Path) -> None:
    """Old rows are then only dropped by their age."""
    found = decide_without_types(None, write_tracefs(tmp_path, smb3_reconnect=None))
    assert {target.role for target in found.targets} == {"alloc", "release"}


def test_with_types_there_are_tracepoints_of_trouble_too(tmp_path: Path) -> None:
    """Where only the structs of requests are unknown."""
    kernel, cifs = kernel_blobs("6.12", leave_out=frozenset({"mid_state"}))
    found = decide_without_types(Btf(cifs, Btf(kernel)), write_tracefs(tmp_path))
    assert "smb3_tcon" in {target.program for target in found.targets}
