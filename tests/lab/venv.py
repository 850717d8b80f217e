# SPDX-License-Identifier: MIT
"""The layer /opt/aodasync: a venv of the guest's Python with the project's dependencies.

pip of the host fetches the guest's wheels, so nothing is mounted, and the host's own settings
reach the package index. The guest's Python only compiles them, in a chroot, as its own pip would.
"""

import os
import sys
import tempfile
import tomllib
from pathlib import Path

from .architecture import HOST, Architecture
from .cache import Cache
from .command import make_squashfs, run, say
from .foreign import ensure_runnable
from .hostpackages import BUILD_TOOLS, ensure_tools
from .userland import IMAGE as USERLAND_IMAGE

IMAGE = "venv.squashfs"
PREFIX = "opt/aodasync"
_RECIPE = 3
_PLATFORMS = tuple(f"manylinux_2_{minor}_" for minor in (28, 27, 24, 17))


def project_dependencies(project: Path) -> list[str]:
    """Return the runtime dependencies that ``pyproject.toml`` declares, sorted."""
    file = project / "pyproject.toml"
    if not file.exists():
        return []
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return sorted(table.get("project", {}).get("dependencies", []))


def get_venv(
    cache: Cache, userland: Path, dependencies: list[str], architecture: Architecture = HOST
) -> Path:
    """Return the cache entry of the venv layer that lies on the ``userland`` entry."""

    def build(into: Path) -> None:
        ensure_tools(BUILD_TOOLS)
        say(f"fetching for the guest's venv: {', '.join(dependencies) or 'nothing'}")
        ensure_runnable(architecture)
        _build(into, userland / USERLAND_IMAGE, dependencies, architecture)

    kind = userland.name.split("-")[1]
    recipe = (_RECIPE, userland.name, dependencies)
    return cache.entry(f"venv-{kind}", recipe, lambda: None, build)


def _build(into: Path, userland: Path, dependencies: list[str], architecture: Architecture) -> None:
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        root = Path(scratch, "root")
        run(("unsquashfs", "-no-progress", "-d", root, userland))
        python = (root / "usr/bin/python3").readlink().name
        packages = _make_venv(root / PREFIX, python)
        if dependencies:
            _install(packages, python, dependencies, architecture.wheels)
            _compile(root)
        layer = Path(scratch, "layer")
        (layer / PREFIX).parent.mkdir(parents=True)
        (root / PREFIX).rename(layer / PREFIX)
        make_squashfs(layer, into / IMAGE)
        (into / "site-packages").write_text(str(packages.relative_to(root)), encoding="utf-8")


def _make_venv(prefix: Path, python: str) -> Path:
    """Lay an empty venv out as ``python3 -m venv --without-pip`` does; returns site-packages."""
    packages = prefix / "lib" / python / "site-packages"
    packages.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / "bin/python3").symlink_to(f"/usr/bin/{python}")
    for name in ("python", python):
        (prefix / "bin" / name).symlink_to("python3")
    settings = ("home = /usr/bin", "include-system-site-packages = false")
    (prefix / "pyvenv.cfg").write_text("\n".join((*settings, "")), encoding="utf-8")
    return packages


def _install(packages: Path, python: str, dependencies: list[str], wheels: str) -> None:
    version = python.removeprefix("python")
    guest = ("--python-version", version, "--implementation", "cp", "--only-binary=:all:")
    platforms = (word for name in _PLATFORMS for word in ("--platform", name + wheels))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-compile")
    run((*pip, *guest, *platforms, "--target", packages, *dependencies))


def _compile(root: Path) -> None:
    """Leave byte code, as an installer does; a file that does not compile is left alone."""
    if os.geteuid() == 0:
        command = f"/{PREFIX}/bin/python3 -m compileall -q -x /tests/ /{PREFIX}/lib || true"
        run(("chroot", root, "sh", "-c", command))
