# SPDX-License-Identifier: MIT
"""The topmost layer, made for each run: the script, the guest's own files, the wheel."""

import shlex
import shutil
from pathlib import Path

from .command import make_squashfs
from .kernel import GUEST
from .qemu import KVM
from .scenario import Scenario
from .testbed import Testbed
from .venv import PREFIX
from .wheel import lay_out

UNITS = ("lab.service", "lab.target")


def build_run_layer(testbed: Testbed, scenario: Scenario, scratch: Path) -> Path:
    """Build the layer of one run in ``scratch`` and return its image."""
    layer = scratch / "layer"
    _guest_files(layer, testbed, scenario)
    if testbed.wheel is not None:
        packages = (testbed.venv / "site-packages").read_text(encoding="utf-8")
        lay_out(testbed.wheel, layer, PREFIX, packages)
    image = scratch / "run.squashfs"
    make_squashfs(layer, image)
    return image


def _guest_files(layer: Path, testbed: Testbed, scenario: Scenario) -> None:
    lab = layer / "lab"
    shutil.copytree(GUEST, lab, ignore=shutil.ignore_patterns("__pycache__", "*.c"))
    units = layer / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in UNITS:
        (lab / unit).rename(units / unit)
    (lab / "bin").mkdir()
    (lab / "lab").rename(lab / "bin/lab")
    shutil.copy(testbed.faults, lab)
    shutil.copy(scenario.path, lab / "script")
    (lab / "script").chmod(0o755)
    (lab / "files").mkdir()
    for path in testbed.files:
        target = lab / "files" / path.name
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    with (lab / "environment").open("a", encoding="utf-8") as environment:
        environment.write(f"export LAB_RELEASE={testbed.release.name}\n")
        environment.write(f"export LAB_EMULATED={int(testbed.accelerator != KVM)}\n")
        environment.write(f"export LAB_SCENARIO={shlex.quote(scenario.name)}\n")
        environment.write(f"want_mount={int(scenario.mount)}\n")
