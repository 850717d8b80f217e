# SPDX-License-Identifier: MIT
"""The host packages the lab stands on: installed when missing, or named."""

import os
from collections.abc import Mapping
from pathlib import Path

from .command import find_tool, missing_tools, run, say
from .errors import LabError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

RUN_TOOLS: Mapping[str, str] = {
    "mksquashfs": "squashfs-tools",
    "setpriv": "util-linux",
    "tar": "tar",
}
BUILD_TOOLS: Mapping[str, str] = {
    "chroot": "coreutils",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "modprobe": "kmod",
    "mount": "mount",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
    "xz": "xz-utils",
    "zstd": "zstd",
}


def ensure_tools(tools: Mapping[str, str], *, keyring: bool = False) -> None:
    """Install the packages of the missing ``tools`` (command: package), as root, through apt."""
    wanted = {tools[name] for name in missing_tools(tools)}
    if keyring and not KEYRING.exists():
        wanted.add("debian-archive-keyring")
    if not wanted:
        return
    packages = sorted(wanted)
    fix = f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or find_tool("apt-get") is None:
        raise LabError(f"the lab needs {', '.join(packages)}", hint=fix)
    say(f"installing {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    try:
        run(install, env=environment)
    except LabError:
        run(("apt-get", "update", "-q"), env=environment)
        run(install, env=environment)
