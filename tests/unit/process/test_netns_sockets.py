# SPDX-License-Identifier: MIT
"""Network namespaces are found by what names them, and given up where nothing does."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from aodasync.host.network_namespace import own_netns
from aodasync.process.enter_netns import named
from aodasync.process.netns_sockets import NamespaceSockets

pytestmark = pytest.mark.anyio

_NOBODY = 7  # no namespace has so small a number


def test_mounts_and_processes_name_a_namespace(tmp_path: Path) -> None:
    """Mounts first, their escapes undone; others, and processes that end, are passed over."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(
        "36 35 0:4 net:[42] /run/netns/my\\040one rw - nsfs nsfs rw\n"
        "37 35 0:4 net:[43] /run/netns/two rw - nsfs nsfs rw\n"
        "38 35 0:5 / /proc rw - proc proc rw\n\n"
    )
    for pid, inode in (("1", 43), ("20", 42)):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns/net").symlink_to(f"net:[{inode}]")
    (tmp_path / "300").mkdir()
    assert list(named(42, tmp_path)) == ["/run/netns/my one", f"{tmp_path}/20/ns/net"]
    assert list(named(44, tmp_path)) == []


def test_the_own_namespace_is_that_of_the_process() -> None:
    """By the number that the kernel shows."""
    assert str(Path("/proc/self/ns/net").readlink()) == f"net:[{own_netns()}]"


async def test_a_namespace_without_a_name_is_said_and_tried_again_later() -> None:
    """The reason is in the sample; the child is not started every second."""
    sockets = NamespaceSockets()
    with pytest.raises(OSError, match="network namespace 7: not open yet"):
        sockets.read(_NOBODY, [(1, "192.0.2.1", 445)])
    with anyio.fail_after(30):
        await sockets.open({_NOBODY: 1})
    with pytest.raises(OSError, match="no process is in it, and nothing names it"):
        sockets.read(_NOBODY, [(1, "192.0.2.1", 445)])
    known = sockets._known[_NOBODY]
    assert (known.tries, known.next_sec > 0) == (1, True)
    await sockets.open({_NOBODY: 1})
    assert known.tries == 1
    await sockets.open({_NOBODY: 2})  # a new connection: somebody is there
    assert known.connection == 2
    sockets.close()
    assert not sockets._known
