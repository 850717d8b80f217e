# SPDX-License-Identifier: MIT
"""The architectures a guest may have, as data: what differs between them stands here alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Architecture:
    """One choice of ``--arch``, by Debian's name for it.

    ``suffix`` sets its cache entries apart, ``wheels`` is its name in a wheel's. ``qemu`` is how
    its machine is started, ``emulated`` the arguments and ``boot`` the kernel's parameters for
    one without KVM. The last three are commands of the host, by package; ``runner`` is what runs
    its programs on this host. A machine may take ``patience`` times as long as the host's own.
    """

    name: str
    suffix: str
    wheels: str
    qemu: tuple[str, ...]
    console: str
    emulated: tuple[str, ...]
    boot: tuple[str, ...]
    emulator: Mapping[str, str]
    compiler: Mapping[str, str]
    runner: Mapping[str, str] = field(default_factory=dict)
    patience: int = 1
    userland_takes: str = "a minute or two"


_TCG = ("-accel", "tcg,thread=multi,tb-size=1024")

HOST = Architecture(
    "amd64",
    suffix="",
    wheels="x86_64",
    qemu=("qemu-system-x86_64",),
    console="ttyS0",
    # QEMU 7.2 emulates AVX2's gathers wrongly: numpy.argsort gave wrong orders in four of five
    # cases, and now and then a segmentation fault.
    emulated=(*_TCG, "-cpu", "max,-avx2"),
    # Without these, about one TCG boot in ten with two CPUs dies in sched_clock_cpu, of an int3
    # that one CPU is patching out while the other runs into it. The initramfs brings the others
    # up later.
    boot=("tsc=reliable", "clocksource=tsc", "maxcpus=1"),
    emulator={"qemu-system-x86_64": "qemu-system-x86"},
    compiler={"gcc": "gcc"},
)

_ARM64 = Architecture(
    "arm64",
    suffix=".arm64",
    wheels="aarch64",
    qemu=("qemu-system-aarch64", "-machine", "virt,gic-version=3"),
    console="ttyAMA0",
    # A real one, with atomic instructions (LSE). `max` signs pointers, which is slow to emulate.
    emulated=(*_TCG, "-cpu", "neoverse-n1"),
    boot=(),
    emulator={"qemu-system-aarch64": "qemu-system-arm"},
    compiler={"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu"},
    runner={"qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support"},
    patience=3,
    userland_takes="some ten minutes",
)

ARCHITECTURES: Mapping[str, Architecture] = {one.name: one for one in (HOST, _ARM64)}
