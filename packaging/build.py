# SPDX-License-Identifier: MIT
"""Builds the .deb and the .rpm into ``dist/``, with the distributions' ordinary tools.

``python3 packaging/build.py [deb] [rpm] [--key NAME]``; needs dpkg-dev and debhelper for the one,
rpmbuild for the other, which is signed by the GnuPG key of that name if one is given.
Nothing is fetched but the libraries of ``vendor.txt``, which are pinned by hash.
"""

from __future__ import annotations

import argparse
import email.utils
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from stage import ROOT, stage

from aodasync import __version__

_HERE: Final = Path(__file__).resolve().parent
_DIST: Final = ROOT / "dist"
_MAINTAINER: Final = "The aodasync authors <aodasync@packages.debian.org>"


def fetch_vendor(into: Path) -> None:
    """Unpack the pinned libraries: pure Python, so that one package serves every machine."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    argv += ["--no-compile", "--only-binary", ":all:", "--target", str(into)]
    subprocess.run([*argv, "-r", str(_HERE / "vendor.txt")], check=True)
    shutil.rmtree(into / "bin", ignore_errors=True)


def build_deb(vendor: Path, scratch: Path) -> Path:
    """A binary package by debhelper."""
    tree = scratch / "deb"
    shutil.copytree(_HERE / "debian", tree / "debian")
    stage(tree / "staged", vendor)
    # debhelper installs the unit itself, and makes the scripts that enable it.
    unit = tree / "staged/usr/lib/systemd/system/aodasync.service"
    shutil.move(unit, tree / "debian/aodasync.service")
    date = email.utils.formatdate(float(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    (tree / "debian/changelog").write_text(
        f"aodasync ({__version__}-1) unstable; urgency=medium\n\n"
        f"  * See CHANGELOG.md.\n\n -- {_MAINTAINER}  {date}\n"
    )
    (tree / "debian/rules").chmod(0o755)
    argv = ["dpkg-buildpackage", "--build=binary", "--unsigned-changes", "--no-check-builddeps"]
    subprocess.run(argv, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    (built,) = scratch.glob("*.deb")
    return Path(shutil.copy(built, _DIST))


def build_rpm(vendor: Path, scratch: Path) -> Path:
    """A binary package by rpmbuild."""
    tree = scratch / "rpm"
    stage(tree / "staged", vendor)
    argv = ["rpmbuild", "-bb", "--quiet", str(_HERE / "aodasync.spec")]
    defines = {
        "_topdir": tree / "top",
        "_staged": tree / "staged",
        "_version": __version__,
        "_unitdir": "/usr/lib/systemd/system",
        "_dbpath": tree / "db",
    }
    for name, value in defines.items():
        argv += ["--define", f"{name} {value}"]
    subprocess.run(argv, check=True)
    (built,) = tree.glob("top/RPMS/noarch/*.rpm")
    return Path(shutil.copy(built, _DIST))


def sign(package: Path, key: str) -> None:
    """Sign an .rpm, as a repository that is checked asks for."""
    argv = ["rpmsign", "--addsign", "--define", f"_gpg_name {key}"]
    argv += ["--define", f"__gpg {shutil.which('gpg')}", str(package)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def main(argv: list[str]) -> int:
    """Build what is asked for; both without a word."""
    parser = argparse.ArgumentParser(prog="build.py")
    parser.add_argument("kinds", nargs="*", metavar="deb|rpm")
    parser.add_argument("--key", metavar="NAME", help="sign the .rpm")
    wanted = parser.parse_args(argv)
    builders = {"deb": build_deb, "rpm": build_rpm}
    if unknown := set(wanted.kinds) - builders.keys():
        parser.error(f"expected deb or rpm, found {' '.join(sorted(unknown))}")
    _DIST.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aodasync-packages-") as directory:
        scratch = Path(directory)
        fetch_vendor(scratch / "vendor")
        for kind in wanted.kinds or list(builders):
            package = builders[kind](scratch / "vendor", scratch)
            if kind == "rpm" and wanted.key:
                sign(package, wanted.key)
            print(package)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
