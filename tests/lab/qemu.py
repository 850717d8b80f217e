# SPDX-License-Identifier: MIT
"""One virtual machine: its command line, its life, and what it leaves behind."""

import os
import selectors
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .kernel import Kernel

MEMORY_MB = 3072
CPUS = 2
# Room for the guest's 256 MB of files and tar's headers.
OUT_DISK_BYTES = 384 * 1024 * 1024
KVM = ("-accel", "kvm", "-cpu", "host")
_COMMAND_LINE = "console={console} quiet loglevel=4 panic=-1 mitigations=off nokaslr audit=0"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine is made of; ``layers`` are squashfs images by name, topmost first."""

    kernel: Kernel
    accelerator: tuple[str, ...]
    layers: Mapping[str, Path]
    out_disk: Path
    console: Path
    parameters: Sequence[str] = ()

    def argv(self) -> list[str]:
        """Return QEMU's command line; the guest's stream is its stdout."""
        arch = self.kernel.architecture
        words = [_COMMAND_LINE.format(console=arch.console)]
        words += () if self.accelerator == KVM else arch.boot
        words += [f"lab.layers={','.join(self.layers)}", *self.parameters]
        argv = [*arch.qemu, *self.accelerator, "-smp", str(CPUS), "-m", str(MEMORY_MB)]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        argv += ["-monitor", "none", "-rtc", "base=utc", "-device", "virtio-rng-pci"]
        argv += ["-kernel", str(self.kernel.image), "-initrd", str(self.kernel.initramfs)]
        argv += ["-append", " ".join(words), "-serial", f"file:{self.console}"]
        # Not the stdio chardev: it reports end of file on stdin to the guest as a closed port.
        argv += ["-chardev", "file,id=stream,path=/dev/stdout", "-device", "virtio-serial-pci"]
        argv += ["-device", "virtserialport,chardev=stream,name=lab.stream"]
        for name, image in self.layers.items():
            argv += _disk(name, image, "readonly=on")
        return argv + _disk("out", self.out_disk, "cache=unsafe")


def _disk(name: str, image: Path, options: str) -> list[str]:
    drive = f"file={image},if=none,id={name},format=raw,{options}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]


def make_out_disk(path: Path) -> None:
    """Make the empty (sparse) disk on which the guest writes its result."""
    with path.open("wb") as file:
        file.truncate(OUT_DISK_BYTES)


def run_machine(
    machine: Machine,
    time_left_s: Callable[[], float],
    receive: Callable[[bytes], None],
    errors: int | None = None,
) -> bool:
    """Run a machine until it ends, handing over its stream; False: its time ran out.

    QEMU's own complaints go to this process's stderr, or where ``errors`` says, as for Popen.
    """
    # The machine must not outlive the lab, whatever ends the lab.
    argv = ["setpriv", "--pdeathsig", "KILL", *machine.argv()]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
    )
    assert process.stdout is not None
    stream = process.stdout.fileno()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while (left := time_left_s()) > 0:
                if not selector.select(left):
                    continue
                data = os.read(stream, 65536)
                if not data:
                    process.wait()
                    return True
                receive(data)
            return False
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()
