# SPDX-License-Identifier: MIT
"""Which mounts a command would hang with is known from its words and the kernel's list alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aodasync.host.mountinfo import Mount, mounts_named, parse_mountinfo, read_lines, read_mounts

_MOUNTS = (
    Mount("8:1", "/", "ext4", "/dev/sda1"),
    Mount("0:5", "/proc", "proc", "proc"),
    Mount("0:40", "/mnt/smb", "cifs", "//nas/a"),
    Mount("0:41", "/mnt/smb/deep er", "cifs", "//nas/b"),
    Mount("0:40", "/srv/bind", "cifs", "//nas/a"),
)


def test_lines_are_parsed_with_odd_names() -> None:
    """Octal escapes are undone; what is not a line of mountinfo is passed over."""
    lines = [r"36 35 0:50 / /mnt/a\040b rw shared:1 - cifs //nas/my\040share rw", "garbage", ""]
    assert parse_mountinfo(lines) == (Mount("0:50", "/mnt/a b", "cifs", "//nas/my share"),)


@pytest.mark.parametrize("odd", ["\u00a0", "\u0085", "\u2028", "\r", "\x1c", "\udcff"])
def test_names_hold_any_character_that_the_kernel_does_not_escape(odd: str, tmp_path: Path) -> None:
    """Fields end at a blank, lines at a newline, and at nothing that Unicode takes for one."""
    line = f"36 35 0:50 / /mnt/My{odd}Share rw shared:1 - cifs //nas/my{odd}share rw\n"
    table = tmp_path / "mountinfo"
    table.write_bytes(os.fsencode(line * 2))
    mount = Mount("0:50", f"/mnt/My{odd}Share", "cifs", f"//nas/my{odd}share")
    assert parse_mountinfo(read_lines(str(table))) == (mount, mount)


def test_this_hosts_mounts_are_read() -> None:
    """Every Linux host has /proc mounted."""
    assert "proc" in {mount.kind for mount in read_mounts() if mount.mount_point == "/proc"}


@pytest.mark.parametrize(
    ("argv", "devices"),
    [
        (("cat", "/mnt/smb/x"), {"0:40"}),
        (("cat", "/mnt/smb"), {"0:40"}),
        (("cat", "//mnt/./smb//x"), {"0:40"}),
        (("cat", "/srv/bind/y"), {"0:40"}),
        (("cat", "/mnt/smb/deep er/y"), {"0:41"}),
        (("/mnt/smb/tool", "--out=/srv/bind"), {"0:40"}),
        (("sh", "-c", "ls '/mnt/smb/x'; echo"), {"0:40"}),
        (("cat", "/mnt/smbx/y"), set()),
        (("cat", "/etc/fstab", "/proc/mounts"), set()),
        (("date", "+%F", "a/mnt/smb"), set()),
    ],
)
def test_mounts_are_those_of_the_paths_in_a_command(
    argv: tuple[str, ...], devices: set[str]
) -> None:
    """By whole components, the deepest mount; the root and /proc are never named."""
    assert mounts_named(argv, _MOUNTS).keys() == devices


def test_the_user_name_of_a_mount_is_known() -> None:
    """From its superblock's options; escaped as all names are."""
    line = r"40 1 0:40 / /mnt rw - cifs //nas/a rw,vers=3.1.1,username=D\134svc\0401,uid=0"
    (mount,) = parse_mountinfo([line])
    assert mount.username == "D\\svc 1"
