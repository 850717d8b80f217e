# SPDX-License-Identifier: MIT
"""What a scenario installs in its guest, which has no network: Debian packages, and ours."""

import shutil
import sys
from pathlib import Path

from .aptroot import AptRoot
from .cache import Cache
from .command import run, say
from .hostpackages import ensure_tools
from .releases import Release
from .scenario import Scenario
from .userland import IMAGE
from .wheel import from_checkout

_STATUS = "var/lib/dpkg/status"
_TOOLS = {"dh": "debhelper", "dpkg-buildpackage": "dpkg-dev", "rpmbuild": "rpm"}


def files_for(
    scenario: Scenario, cache: Cache, release: Release, userland: Path, project: Path
) -> list[Path]:
    """Return the folders ``packages`` and ``product`` that the scenario finds in $LAB_FILES."""
    folders = []
    if scenario.packages:
        folders.append(_fetched(cache, release, userland, scenario.packages))
    if scenario.product:
        folders.append(_built(cache, project))
    return folders


def _fetched(cache: Cache, release: Release, userland: Path, names: tuple[str, ...]) -> Path:
    """What the packages need and the userland has not, as the release's archive has it."""
    apt = AptRoot(cache.root, release.userland_suite, release.architecture)
    status = cache.root / "apt" / f"{userland.name}.status"

    def missing() -> list[str]:
        apt.update()
        status.write_text(run(("unsquashfs", "-cat", userland / IMAGE, _STATUS)), encoding="utf-8")
        return apt.versions(names, installed=status)

    def build(into: Path) -> None:
        say(f"fetching for the guest: {' '.join(names)}")
        apt.download(missing(), into / "packages")

    kind = f"packages-{release.userland_suite}"
    return cache.entry(kind, (userland.name, names), missing, build) / "packages"


def _built(cache: Cache, project: Path) -> Path:
    def build(source: Path, into: Path) -> None:
        ensure_tools(_TOOLS)
        say("building the .deb and the .rpm from the checkout")
        run((sys.executable, "-m", "venv", source / "build-venv"))
        python = source / "build-venv/bin/python"
        run((python, "-m", "pip", "install", "--quiet", f"{source}[packages]"))
        run((python, "packaging/build.py"), cwd=source)
        shutil.move(source / "dist", into / "product")

    return from_checkout(cache, "product", project, build) / "product"
