# SPDX-License-Identifier: MIT
"""Seeing the client's module come."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aodasync.probes import cifs_module as under_test
from aodasync.probes.cifs_module import cifs_loaded, install_hint, wait_for_cifs

pytestmark = pytest.mark.anyio


@pytest.fixture
def uevents(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The kernel's end of the uevent socket."""
    kernel, agent = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    agent.settimeout(0)
    monkeypatch.setattr(under_test, "_subscribe", lambda: agent)
    with kernel:
        yield kernel


def load(module: Path, state: str = "live") -> None:
    """What sysfs shows of a module."""
    module.mkdir(exist_ok=True)
    (module / "initstate").write_text(f"{state}\n")


async def test_loaded_means_live(tmp_path: Path) -> None:
    """Absent and initialising are not loaded; live and built in are."""
    module = tmp_path / "cifs"
    assert not cifs_loaded(module)
    load(module, "coming")
    assert not cifs_loaded(module)
    load(module)
    assert cifs_loaded(module)
    (module / "initstate").unlink()
    assert cifs_loaded(module)


@pytest.mark.usefixtures("uevents")
async def test_a_loaded_module_is_not_waited_for(tmp_path: Path) -> None:
    """The answer is immediate."""
    load(tmp_path / "cifs")
    async with asyncio.timeout(1):
        await wait_for_cifs(tmp_path / "cifs")


async def test_a_uevent_ends_the_wait_at_once(tmp_path: Path, uevents: socket.socket) -> None:
    """Long before the poll; other modules' events do not."""
    module = tmp_path / "cifs"
    waiting = asyncio.create_task(wait_for_cifs(module, poll_sec=60))
    await asyncio.sleep(0.05)
    uevents.send(b"add@/module/cifs_arc4\0ACTION=add\0")
    uevents.send(b"add@/module/nls_ucs2_utils\0ACTION=add\0")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    load(module)
    begun = time.monotonic()
    uevents.send(b"add@/module/cifs\0ACTION=add\0")
    await waiting
    assert time.monotonic() - begun < 1


async def test_an_initialising_module_is_waited_for(tmp_path: Path, uevents: socket.socket) -> None:
    """The uevent comes before the module is live: probes cannot attach yet."""
    module = tmp_path / "cifs"
    waiting = asyncio.create_task(wait_for_cifs(module, poll_sec=60))
    await asyncio.sleep(0.02)
    load(module, "coming")
    uevents.send(b"add@/module/cifs\0ACTION=add\0")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    load(module)
    async with asyncio.timeout(1):
        await waiting


async def test_without_uevents_a_poll_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the socket is refused, waiting still ends."""
    monkeypatch.setattr(under_test, "_subscribe", lambda: None)
    waiting = asyncio.create_task(wait_for_cifs(tmp_path / "cifs", poll_sec=0.02))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    load(tmp_path / "cifs")
    async with asyncio.timeout(1):
        await waiting


@pytest.mark.usefixtures("uevents")
async def test_a_lost_uevent_is_made_up_for_by_the_poll(tmp_path: Path) -> None:
    """Netlink may drop messages."""
    waiting = asyncio.create_task(wait_for_cifs(tmp_path / "cifs", poll_sec=0.02))
    await asyncio.sleep(0.05)
    load(tmp_path / "cifs")
    async with asyncio.timeout(1):
        await waiting


def test_a_kernel_without_the_client_is_known_by_its_modules(tmp_path: Path) -> None:
    """What to install is named; nothing is, where it has the module or cannot be seen."""
    assert install_hint(tmp_path, "6.1") == ""
    (tmp_path / "6.1").mkdir()
    listed = tmp_path / "6.1" / "modules.dep"
    listed.write_text("kernel/fs/smb/client/cifs.ko.xz: kernel/lib/arc4.ko.xz\n")
    assert install_hint(tmp_path, "6.1") == ""
    listed.write_text("kernel/fs/notcifs.ko: \nkernel/fs/cifs.korea: \n")
    assert "linux-modules-extra-6.1" in install_hint(tmp_path, "6.1")
