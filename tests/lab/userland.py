# SPDX-License-Identifier: MIT
"""The guest's root file system: a Debian suite with Samba, bcc and the tools of the tests."""

import os
import tempfile
from pathlib import Path

from .aptroot import AptRoot
from .cache import Cache
from .command import isolated, make_squashfs, run, say
from .errors import LabError
from .foreign import ensure_runnable
from .releases import KSMBD_TOOLS, USERLAND_PACKAGES, Release

IMAGE = "userland.squashfs"
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# The account of the SMB user; its name is its password.
_CUSTOMIZE = r"""
set -e
useradd --create-home lab
printf '[global]\n' > /etc/samba/smb.conf
printf 'lab\nlab\n' | smbpasswd -s -a lab
echo lab > /etc/hostname
echo '127.0.0.1 localhost lab' > /etc/hosts
cd /etc/systemd/system
ln -sf /dev/null systemd-networkd.socket
for unit in smbd nmbd samba-ad-dc nftables ldconfig \
    systemd-binfmt systemd-firstboot systemd-journal-catalog-update systemd-networkd \
    systemd-networkd-wait-online systemd-update-done; do
    ln -sf /dev/null $unit.service
done
mkdir -p /lab /mnt/smb /srv/share
rm -f /etc/machine-id /var/log/*.log
"""


def get_userland(cache: Cache, release: Release, apt: AptRoot) -> Path:
    """Return the cache entry of the userland that goes with ``release``."""
    arch = release.architecture

    def content() -> list[str]:
        apt.update()
        return [*apt.versions(USERLAND_PACKAGES), *apt.versions([KSMBD_TOOLS])]

    def build(into: Path) -> None:
        if os.geteuid() != 0:
            raise LabError(
                "only root can build the lab's userland",
                hint="run `sudo -E python3 -m tests.lab --build` once, with AODASYNC_LAB_CACHE "
                "set to a folder you can read",
            )
        apt.update()
        ensure_runnable(arch)
        say(f"building the userland of {apt.suite} ({arch.userland_takes})")
        _build(into, apt, arch.name)

    recipe = (apt.suite, USERLAND_PACKAGES, KSMBD_TOOLS, _LEFT_OUT, _CUSTOMIZE)
    return cache.entry(f"userland-{release.userland_suite}{arch.suffix}", recipe, content, build)


def _build(into: Path, apt: AptRoot, architecture: str) -> None:
    with tempfile.TemporaryDirectory(dir=into) as scratch:
        root = Path(scratch, "root")
        script = Path(scratch, "customize.sh")
        script.write_text(_CUSTOMIZE, encoding="utf-8")
        environment = {**os.environ, "TMPDIR": scratch, "LC_ALL": "C"}
        argv = (
            *isolated(),
            "mmdebstrap",
            "--variant=apt",
            "--mode=root",
            "--format=directory",
            f"--architectures={architecture}",
            "--skip=check/qemu",
            f"--include={','.join(USERLAND_PACKAGES)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
            f'--customize-hook=chroot "$1" sh -s < {script}',
            apt.suite,
            str(root),
            *apt.sources,
        )
        run(argv, env=environment)
        for package in apt.download([KSMBD_TOOLS], Path(scratch, "beside")):
            run(("dpkg-deb", "-x", package, root / "opt/ksmbd"))
        make_squashfs(root, into / IMAGE)
