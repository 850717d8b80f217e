# SPDX-License-Identifier: MIT
"""The kernels and userlands the lab knows, as data.

Userland and kernel are paired as distributions pair them: bcc 0.26 and Python 3.11 with 6.1,
bcc 0.31 and Python 3.13 with 6.12 and newer.
"""

from dataclasses import dataclass, replace

from .architecture import HOST, Architecture


@dataclass(frozen=True, slots=True)
class Release:
    """One choice of ``--kernel``."""

    name: str
    kernel_suite: str
    userland_suite: str
    architecture: Architecture = HOST


RELEASES = (
    Release("6.1", kernel_suite="bookworm", userland_suite="bookworm"),
    Release("6.12", kernel_suite="trixie", userland_suite="trixie"),
    Release("newest", kernel_suite="sid", userland_suite="trixie"),
)
DEFAULT_RELEASE = "6.12"

# The cloud flavour is small and has cifs, ksmbd, veth, netem and BTF. An architecture goes behind.
KERNEL_METAPACKAGE = "linux-image-cloud-"
# Newer suites split a kernel into linux-base-*, linux-binary-* and linux-modules-*.
KERNEL_PACKAGE_PATTERN = r"linux-(base|binary|image|modules)-[0-9]\S*"

USERLAND_PACKAGES = (
    "bash",
    "bsdutils",
    "bpftool",
    "ca-certificates",
    "cifs-utils",
    "fio",
    "iproute2",
    "jq",
    "keyutils",
    "kmod",
    "nftables",
    "procps",
    "psmisc",
    "python3",
    "python3-bpfcc",
    "python3-venv",
    "samba",
    "strace",
    "systemd",
    "systemd-sysv",
    "tcpdump",
    "trace-cmd",
    "tshark",
    "util-linux",
    "zstd",
)

# Conflicts with samba: unpacked into /opt/ksmbd, not installed. What it needs, tshark brings.
KSMBD_TOOLS = "ksmbd-tools"


def releases(choice: str, architecture: Architecture = HOST) -> tuple[Release, ...]:
    """Return the releases that the value of ``--kernel`` stands for, of an architecture."""
    return tuple(
        replace(release, architecture=architecture)
        for release in RELEASES
        if choice in {"all", release.name}
    )
