# SPDX-License-Identifier: MIT
"""The project's wheel: built from the checkout, laid out as an installer would."""

import configparser
import hashlib
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from .cache import Cache
from .command import run, say
from .errors import LabError

_SCRIPT = """\
#!/{prefix}/bin/python3
import sys

from {module} import {name}

if __name__ == "__main__":
    sys.exit({call}())
"""


def build_wheel(cache: Cache, project: Path) -> Path:
    """Build the checkout's wheel, or find the one built from the same files before."""

    def build(source: Path, into: Path) -> None:
        say("building the wheel from the checkout")
        pip = (sys.executable, "-m", "pip")
        run((*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", into, source))

    return next(from_checkout(cache, "wheel", project, build).glob("*.whl"))


def from_checkout(
    cache: Cache, kind: str, project: Path, build: Callable[[Path, Path], None]
) -> Path:
    """Return the entry that ``build(source, into)`` makes, or made from the same files before."""
    names = sorted(_files(project))
    state = hashlib.sha256()
    for name in names:
        state.update(name.encode() + b"\0" + (project / name).read_bytes() + b"\0")

    def build_copy(into: Path) -> None:
        # From a copy: build back ends leave their droppings in the source tree.
        with tempfile.TemporaryDirectory() as scratch:
            for name in names:
                target = Path(scratch, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(project / name, target)
            build(Path(scratch), into)

    recipe = (state.hexdigest(), sys.version_info[:2])
    return cache.entry(kind, recipe, lambda: None, build_copy)


def checkout_files(project: Path) -> list[str]:
    """List the work tree without ignored files."""
    argv = ("git", "-C", project, "ls-files", "-z", "-c", "-o", "--exclude-standard")
    listed = run(argv).split("\0")
    return [name for name in listed if name and (project / name).is_file()]


def _files(project: Path) -> list[str]:
    """List what can be in the wheel: the work tree without its tests."""
    return [name for name in checkout_files(project) if not name.startswith("tests/")]


def lay_out(wheel: Path, layer: Path, prefix: str, packages: str) -> None:
    """Unpack ``wheel`` below ``layer`` into the venv at ``prefix`` (both relative paths)."""
    site_packages = layer / packages
    site_packages.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    schemes = {
        "purelib": site_packages,
        "platlib": site_packages,
        "scripts": layer / prefix / "bin",
        "data": layer / prefix,
    }
    for data in site_packages.glob("*.data"):
        for part in data.iterdir():
            if part.name not in schemes:
                raise LabError(f"the wheel has a part the lab cannot place: {part.name}")
            shutil.copytree(part, schemes[part.name], dirs_exist_ok=True)
        shutil.rmtree(data)
    _console_scripts(site_packages, layer, prefix)


def _console_scripts(site_packages: Path, layer: Path, prefix: str) -> None:
    entry_points = configparser.ConfigParser(delimiters=("=",))
    entry_points.read(site_packages.glob("*.dist-info/entry_points.txt"), encoding="utf-8")
    if not entry_points.has_section("console_scripts"):
        return
    on_path = layer / "usr/local/bin"
    for folder in (layer / prefix / "bin", on_path):
        folder.mkdir(parents=True, exist_ok=True)
    for command, target in entry_points.items("console_scripts"):
        module, _, call = target.partition(":")
        script = layer / prefix / "bin" / command
        name = call.split(".")[0]
        text = _SCRIPT.format(prefix=prefix, module=module, name=name, call=call)
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
        (on_path / command).symlink_to(f"/{prefix}/bin/{command}")
