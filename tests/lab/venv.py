# SPDX-License-Identifier: MIT
"""The layer /opt/aodasync: a venv of the guest's Python with the project's dependencies.

pip of the host fetches the guest's wheels, so nothing of the guest runs and nothing is
mounted, and the host's own settings reach the package index.
"""

import sys
import tempfile
import tomllib
from pathlib import Path

from .cache import Cache
from .command import make_squashfs, run, say
from .hostpackages import BUILD_TOOLS, ensure_tools
from .userland import IMAGE as USERLAND_IMAGE

IMAGE = "venv.squashfs"
PREFIX = "opt/aodasync"
_RECIPE = 2
_PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17))


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
        say(f"fetching for the guest's venv: {', '.join(dependencies) or 'nothing'}")
        _build(into, userland / USERLAND_IMAGE, dependencies)

    kind = userland.name.split("-")[1]
    recipe = (_RECIPE, userland.name, dependencies)
    return cache.entry(f"venv-{kind}", recipe, lambda: None, build)


def _build(into: Path, userland: Path, dependencies: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        python = _guest_python(userland, Path(scratch, "python"))
        layer = Path(scratch, "layer")
        packages = _make_venv(layer / PREFIX, python)
        if dependencies:
            _install(packages, python, dependencies)
        make_squashfs(layer, into / IMAGE)
        (into / "site-packages").write_text(str(packages.relative_to(layer)), encoding="utf-8")


def _guest_python(userland: Path, scratch: Path) -> str:
    """Return what the userland's /usr/bin/python3 is, such as ``python3.13``."""
    run(("unsquashfs", "-no-progress", "-d", scratch, userland, "usr/bin/python3"))
    return (scratch / "usr/bin/python3").readlink().name


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


def _install(packages: Path, python: str, dependencies: list[str]) -> None:
    version = python.removeprefix("python")
    guest = ("--python-version", version, "--implementation", "cp", "--only-binary=:all:")
    platforms = (word for name in _PLATFORMS for word in ("--platform", name))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir")
    run((*pip, *guest, *platforms, "--target", packages, *dependencies))
