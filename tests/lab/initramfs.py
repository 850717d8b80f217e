# SPDX-License-Identifier: MIT
"""A minimal initramfs: busybox, a few modules, and a script that switches root."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_FILE, _FOLDER, _DEVICE = 0o100000, 0o040000, 0o020000


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a cpio archive; ``device`` is (major, minor) of a character device."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def pack(members: Iterable[Member]) -> bytes:
    """Return a cpio archive in the "newc" format, the one the kernel unpacks."""
    parts = [_record(number, member) for number, member in enumerate(members, start=1)]
    return b"".join(parts) + _record(0, Member("TRAILER!!!", 0))


def _record(inode: int, member: Member) -> bytes:
    name = member.name.encode() + b"\0"
    fields = (inode, member.mode, 0, 0, 1, 0, len(member.data), 0, 0, *member.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(member.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def build(busybox: Path, init: str, modules: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an initramfs that loads ``modules`` (name, ELF) in order, then runs ``init``."""
    members = [Member(name, _FOLDER | 0o755) for name in ("bin", "dev", "modules", "layers")]
    members += [
        Member("dev/console", _DEVICE | 0o600, device=(5, 1)),
        Member("bin/busybox", _FILE | 0o755, busybox.read_bytes()),
        Member("init", _FILE | 0o755, init.encode()),
    ]
    members += [
        Member(f"modules/{number:02}-{name}.ko", _FILE | 0o644, data)
        for number, (name, data) in enumerate(modules)
    ]
    return pack(members)
