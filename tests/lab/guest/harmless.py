# SPDX-License-Identifier: MIT
"""What must not fire: things that look odd and are healthy."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import product
from product import MOUNT, SHARE_DIR, Agent, check, lab

# _IOW(0xCF, 9, struct smb3_notify { u32 completion_filter; bool watch_tree; } packed)
_CIFS_IOC_NOTIFY = 0x4005CF09
_FILE_NOTIFY_CHANGE_SECURITY = 0x100


@contextmanager
def notify_pending() -> Iterator[None]:
    """A CHANGE_NOTIFY that nothing answers; the process that waits is killed at the end."""
    quiet = MOUNT / "quiet"
    quiet.mkdir()
    waiter = subprocess.Popen([sys.executable, __file__, "notify", str(quiet)])
    try:
        yield
        assert waiter.poll() is None, "the CHANGE_NOTIFY did not wait"
    finally:
        waiter.kill()
        waiter.wait(30)


@contextmanager
def lock_pending() -> Iterator[None]:
    """A byte-range lock that another client holds: two mounts that share nothing."""
    mounts = [Path("/mnt/holder"), Path("/mnt/waiter")]
    (SHARE_DIR / "locked").write_bytes(b"x" * 100)
    (SHARE_DIR / "locked").chmod(0o666)
    for mount in mounts:
        lab(f"lab_mount nosharesock,nolease,cache=none,echo_interval=2 {mount}")
    argv = [sys.executable, __file__, "lock"]
    processes = []
    try:
        for mount in mounts:
            processes.append(subprocess.Popen([*argv, str(mount / "locked")]))
            time.sleep(2)
        yield
        assert all(process.poll() is None for process in processes), "the lock did not wait"
    finally:
        for process in processes:
            process.kill()
            process.wait(30)
        for mount in mounts:
            lab(f"lab_umount {mount}")


def clean(seconds: float, agent: Agent) -> None:
    """Nothing happens but the workload; in the second half a CHANGE_NOTIFY and a lock wait."""
    time.sleep(seconds / 2)
    with notify_pending(), lock_pending():
        time.sleep(seconds / 2)
        in_flight = json.loads(product.bundle_file(agent.snapshot(), "inflight.json"))
    for command in ("SMB2_CHANGE_NOTIFY", "SMB2_LOCK"):
        ages_sec = [r["age_ms"] / 1000 for r in in_flight if r["command"] == command]
        waited = max(ages_sec, default=0.0)
        check(f"a {command} was pending for minutes", waited >= seconds / 3, f"{waited:.0f} s")


def listing() -> None:
    """A directory of 20,000 names."""
    many = SHARE_DIR / "many"
    many.mkdir()
    many.chmod(0o777)
    for number in range(20_000):
        (many / f"a-name-of-some-length-{number}").touch()
    assert sum(1 for _ in (MOUNT / "many").iterdir()) == 20_000


def missing() -> None:
    """Files that are not there, by the thousand."""
    for number in range(3000):
        with suppress(FileNotFoundError):
            (MOUNT / f"missing-{number}").stat()


def mounting() -> None:
    """Mount, use, unmount."""
    for _ in range(20):
        lab(
            "lab_mount nosharesock,echo_interval=2 /mnt/again && ls /mnt/again && "
            "lab_umount /mnt/again"
        )


HARMLESS: tuple[tuple[str, Callable[[], None]], ...] = (
    ("20,000 names listed", listing),
    ("3,000 missing files", missing),
    ("20 mounts and umounts", mounting),
)


def _wait(what: str, path: str) -> None:
    if what == "notify":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        request = struct.pack("=IB", _FILE_NOTIFY_CHANGE_SECURITY, 0)
        fcntl.ioctl(descriptor, _CIFS_IOC_NOTIFY, request)
    else:
        with Path(path).open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            time.sleep(3600)


if __name__ == "__main__":
    _wait(*sys.argv[1:])
