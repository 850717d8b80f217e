# SPDX-License-Identifier: MIT
"""Which mounts a command would hang with is known from its words and the kernel's list alone."""

from __future__ import annotations

import pytest

from aodasync.mountinfo import Mount, mounts_named, parse_mountinfo, read_mounts

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
