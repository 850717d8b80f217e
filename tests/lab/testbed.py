# SPDX-License-Identifier: MIT
"""Everything a machine of one release boots from, found in the cache or built there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .accelerator import choose_accelerator
from .aptroot import AptRoot
from .cache import Cache
from .faults import get_faults
from .kernel import Kernel, get_kernel
from .releases import Release
from .userland import IMAGE as USERLAND_IMAGE
from .userland import get_userland
from .venv import IMAGE as VENV_IMAGE
from .venv import get_venv


@dataclass(frozen=True, slots=True)
class Testbed:
    """The images of a release, and what is laid over them in each run."""

    release: Release
    kernel: Kernel
    userland: Path
    venv: Path
    faults: Path
    accelerator: tuple[str, ...]
    wheel: Path | None
    files: Sequence[Path]

    def layers(self) -> dict[str, Path]:
        """Return the layers below the run's own, topmost first."""
        return {
            "venv": self.venv / VENV_IMAGE,
            "modules": self.kernel.modules,
            "userland": self.userland / USERLAND_IMAGE,
        }


def get_testbed(
    cache: Cache,
    release: Release,
    *,
    dependencies: list[str],
    wheel: Path | None,
    files: Sequence[Path] = (),
) -> Testbed:
    """Find the images of ``release`` in the cache, or build them."""
    arch = release.architecture
    kernel = get_kernel(cache, release, AptRoot(cache.root, release.kernel_suite, arch))
    userland = get_userland(cache, release, AptRoot(cache.root, release.userland_suite, arch))
    venv = get_venv(cache, userland, dependencies, arch)
    accelerator = choose_accelerator(cache.root, kernel)
    faults = get_faults(cache, arch)
    return Testbed(release, kernel, userland, venv, faults, accelerator, wheel, files)
