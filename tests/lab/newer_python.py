# SPDX-License-Identifier: MIT
"""``python -m tests.lab.newer_python``: the unit tests under the Python of the lab's userland.

They need no kernel of their own, so they run in a chroot and not in a machine: the userland of
the default release, its venv with what the tests need, and a copy of the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from .aptroot import AptRoot
from .cache import Cache, default_cache_dir
from .cli import PROJECT
from .command import isolated, run, say
from .errors import LabError
from .hostpackages import BUILD_TOOLS, ensure_tools
from .releases import DEFAULT_RELEASE, releases
from .userland import IMAGE as USERLAND_IMAGE
from .userland import get_userland
from .venv import IMAGE as VENV_IMAGE
from .venv import PREFIX, get_venv, project_dependencies
from .wheel import checkout_files

_NOT_IMPORTED = ("mypy", "nox", "ruff", "types-")
# The mounts are those of a namespace and end with it. The shell stays, and the tests are not PID 1.
_SCRIPT = f"""
set -e
root=$1
shift
for tree in proc sys dev; do mount --rbind "/$tree" "$root/$tree"; done
mount -t tmpfs tmpfs "$root/tmp"
chroot "$root" /usr/bin/env -i -C /checkout PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp \\
    LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \\
    /{PREFIX}/bin/python3 -m pytest -p no:cacheprovider "$@"
"""


def _test_requirements(project: Path) -> list[str]:
    """Those of the ``dev`` extra that the unit tests import: all but tools and stubs."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    extra = table["project"]["optional-dependencies"]["dev"]
    return sorted(one for one in extra if not one.startswith(_NOT_IMPORTED))


def main(arguments: list[str]) -> int:
    """Runs pytest with ``arguments``; returns its exit status."""
    ensure_tools(BUILD_TOOLS)
    (release,) = releases(DEFAULT_RELEASE)
    cache = Cache(default_cache_dir(), refresh=False)
    cache.root.mkdir(parents=True, exist_ok=True)
    userland = get_userland(cache, release, AptRoot(cache.root, release.userland_suite))
    needed = project_dependencies(PROJECT) + _test_requirements(PROJECT)
    venv = get_venv(cache, userland, needed)
    with tempfile.TemporaryDirectory(prefix="aodasync-newer-") as scratch:
        root = Path(scratch, "root")
        for image in (userland / USERLAND_IMAGE, venv / VENV_IMAGE):
            run(("unsquashfs", "-no-progress", "-f", "-d", root, image))
        for name in checkout_files(PROJECT):
            target = root / "checkout" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target)
        say(f"unit tests in a chroot of {release.userland_suite}")
        chroot = ("sh", "-c", _SCRIPT, "sh", str(root), *arguments)
        return subprocess.run((*isolated(), *chroot), check=False).returncode


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        raise SystemExit(error.status) from error
