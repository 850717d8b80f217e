# SPDX-License-Identifier: MIT
"""KVM where it really works, else QEMU's own emulation (TCG)."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from .architecture import HOST
from .cache import digest, locked
from .command import say
from .kernel import Kernel
from .qemu import KVM, Machine, make_out_disk, run_machine

_PROBE_TIMEOUT_S = 30


def choose_accelerator(cache_root: Path, kernel: Kernel) -> tuple[str, ...]:
    """Return QEMU's accelerator arguments; /dev/kvm counts only once a kernel booted on it.

    The finding is kept for this boot of the host.
    """
    emulated = kernel.architecture.emulated
    if kernel.architecture is not HOST or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return emulated
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    finding = cache_root / "locks" / f"kvm-{digest(boot)}"
    with locked(cache_root / "locks" / "accelerator"):
        if not finding.exists():
            usable = _boots(kernel)
            say("KVM works here" if usable else "KVM does not boot a kernel here: emulating")
            finding.write_text("kvm" if usable else "tcg", encoding="ascii")
    return KVM if finding.read_text(encoding="ascii") == "kvm" else emulated


def _boots(kernel: Kernel) -> bool:
    with tempfile.TemporaryDirectory(prefix="aodasync-lab-") as scratch:
        console, disk = Path(scratch, "console.log"), Path(scratch, "out")
        make_out_disk(disk)
        machine = Machine(kernel, KVM, {}, disk, console, ("lab.probe",))
        end = time.monotonic() + _PROBE_TIMEOUT_S
        run_machine(machine, lambda: end - time.monotonic(), lambda _: None, subprocess.DEVNULL)
        return console.exists() and b"lab: booted" in console.read_bytes()
