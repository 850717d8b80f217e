# SPDX-License-Identifier: MIT
"""The layer /opt/aodasync: a venv of the guest's Python with the project's dependencies."""

import os
import shutil
import tempfile
import tomllib
from pathlib import Path

from .cache import Cache
from .command import isolated, make_squashfs, run, say
from .hostpackages import BUILD_TOOLS, ensure_tools
from .pipsettings import host_paths, pip_environment
from .userland import IMAGE as USERLAND_IMAGE

IMAGE = "venv.squashfs"
PREFIX = "opt/aodasync"
_RECIPE = 1
_INSTALL = f"""
set -e
root=$1
shift
mounted=
# Where there is no namespace of our own (see isolated()), nobody else takes them away.
trap 'for point in $mounted; do umount "$point"; done' EXIT
attach() {{
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mounted="$root$1 $mounted"
}}
while [ "$1" != -- ]; do
    attach "$1"
    shift
done
shift
attach /proc
attach /dev
chroot "$root" python3 -m venv /{PREFIX}
if [ $# -gt 0 ]; then
    chroot "$root" /{PREFIX}/bin/pip install --quiet --no-cache-dir "$@"
fi
"""


def project_dependencies(project: Path) -> list[str]:
    """Return the runtime dependencies that ``pyproject.toml`` declares, sorted."""
    file = project / "pyproject.toml"
    if not file.exists():
        return []
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return sorted(table.get("project", {}).get("dependencies", []))


def get_venv(cache: Cache, userland: Path, dependencies: list[str]) -> Path:
    """Return the cache entry of the venv layer that lies on the ``userland`` entry."""

    def build(into: Path) -> None:
        ensure_tools(BUILD_TOOLS)
        say(f"installing into the guest's venv: {', '.join(dependencies) or 'nothing'}")
        _build(into, userland / USERLAND_IMAGE, dependencies)

    kind = userland.name.split("-")[1]
    recipe = (_RECIPE, userland.name, dependencies)
    return cache.entry(f"venv-{kind}", recipe, lambda: None, build)


def _build(into: Path, userland: Path, dependencies: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        root = Path(scratch, "root")
        run(("unsquashfs", "-no-progress", "-d", root, userland))
        # The image's own may be a link into /run.
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        settings = pip_environment()
        environment = {**settings, "PATH": os.defpath, "HOME": "/root", "LC_ALL": "C.UTF-8"}
        argv: tuple[str | Path, ...] = (*isolated(), "sh", "-c", _INSTALL, "sh", root)
        run((*argv, *host_paths(settings), "--", *dependencies), env=environment)
        layer = Path(scratch, "layer")
        (layer / PREFIX).parent.mkdir(parents=True)
        (root / PREFIX).rename(layer / PREFIX)
        make_squashfs(layer, into / IMAGE)
        packages = next(layer.glob(f"{PREFIX}/lib/python3.*/site-packages"))
        (into / "site-packages").write_text(str(packages.relative_to(layer)), encoding="utf-8")
