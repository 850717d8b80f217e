# SPDX-License-Identifier: MIT
"""A Debian kernel, unpacked and never installed: image, modules as a layer, initramfs."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import initramfs
from .aptroot import AptRoot
from .architecture import Architecture
from .cache import Cache
from .command import make_squashfs, run, say
from .errors import LabError
from .releases import Release

GUEST = Path(__file__).with_name("guest")
BOOT_MODULES = ("virtio_pci", "virtio_blk", "squashfs", "overlay", "virtio_console", "virtio_rng")
_RECIPE = 2


@dataclass(frozen=True, slots=True)
class Kernel:
    """A bootable kernel: its release as ``uname -r`` prints it, and its files."""

    version: str
    image: Path
    initramfs: Path
    modules: Path
    architecture: Architecture


def get_kernel(cache: Cache, release: Release, apt: AptRoot) -> Kernel:
    """Return the kernel of ``release`` from the cache, or unpack it there."""
    init = (GUEST / "initramfs.sh").read_text(encoding="utf-8")

    def content() -> list[str]:
        apt.update()
        return apt.versions(apt.kernel_packages())

    def build(into: Path) -> None:
        apt.update()
        packages = apt.kernel_packages()
        say(f"fetching {' '.join(packages)}")
        _build(into, apt.download([*packages, "busybox-static"], into / "debs"), init)

    recipe = (_RECIPE, release.kernel_suite, BOOT_MODULES, init)
    arch = release.architecture
    entry = cache.entry(f"kernel-{release.name}{arch.suffix}", recipe, content, build)
    version = (entry / "version").read_text(encoding="utf-8")
    image, modules = entry / "vmlinuz", entry / "modules.squashfs"
    return Kernel(version, image, entry / "initramfs", modules, arch)


def _build(into: Path, packages: list[Path], init: str) -> None:
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        root = Path(scratch)
        for package in packages:
            run(("dpkg-deb", "-x", package, root))
        _merge_usr(root)
        modules = root / "usr/lib/modules"
        version = next(path.name for path in modules.iterdir())
        run(("depmod", "-b", root, version))
        images = [*root.glob("boot/vmlinuz-*"), modules / version / "vmlinuz"]
        shutil.copy(next(image for image in images if image.exists()), into / "vmlinuz")
        busybox = next(path for path in root.glob("usr/bin/busybox*") if path.is_file())
        archive = initramfs.build(busybox, init, _boot_modules(root, version))
        (into / "initramfs").write_bytes(archive)
        layer = root / "layer"
        (layer / "usr/lib").mkdir(parents=True)
        modules.rename(layer / "usr/lib/modules")
        make_squashfs(layer, into / "modules.squashfs")
        (into / "version").write_text(version, encoding="utf-8")
    shutil.rmtree(into / "debs")


def _merge_usr(root: Path) -> None:
    """Bring packages from before the merged /usr to today's layout, for depmod and the layer."""
    for name in ("bin", "lib"):
        old, merged = root / name, root / "usr" / name
        merged.mkdir(parents=True, exist_ok=True)
        if old.is_dir():
            for path in old.iterdir():
                path.rename(merged / path.name)
            old.rmdir()
        old.symlink_to(f"usr/{name}")


def _boot_modules(root: Path, version: str) -> Iterator[tuple[str, bytes]]:
    seen = set()
    for name in BOOT_MODULES:
        argv = ("modprobe", "-d", root, "-S", version, "--show-depends", name)
        for path in re.findall(r"^insmod (\S+)", run(argv), flags=re.MULTILINE):
            if path not in seen:
                seen.add(path)
                yield Path(path).name.split(".")[0], _elf(Path(path))


def _elf(module: Path) -> bytes:
    """Return a module decompressed: busybox's insmod wants it so."""
    if module.suffix == ".ko":
        return module.read_bytes()
    tool = {".xz": "xz", ".zst": "zstd"}.get(module.suffix)
    if tool is None:
        raise LabError(f"{module.name} is compressed in a way the lab does not know")
    plain = module.with_suffix("")
    run((tool, "-d", "-k", "-f", "-q", module))
    data = plain.read_bytes()
    plain.unlink()
    return data
