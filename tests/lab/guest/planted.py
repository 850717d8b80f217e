# SPDX-License-Identifier: MIT
"""Passwords where administrators leave them, and the search for them in what was collected."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import product
from product import SERVER, lab

PLANTED = "Zq7-Hunter2"
"""Each place has a suffix of its own, so that a leak names its source."""

ACTIONS: Mapping[str, dict[str, list[str]]] = {
    "fstab": {"command": ["cat", "/etc/fstab", "/etc/auto.smb"]},
    "processes": {"command": ["ps", "axww", "-o", "pid,args"]},
    "credentials": {"command": ["cat", "/root/smb.credentials"]},
    "password": {"command": ["echo", f"mounted with password={PLANTED}-argv"]},
}
"""Actions of a user's own that read where the passwords are."""

READERS = ("journalctl", "syslogs", "dmesg", *ACTIONS)
"""Every action that a password passes through."""

_MASK = b"********"
_USER = "planted"
_MOUNT = "/mnt/planted"


@contextmanager
def planted_passwords() -> Iterator[None]:
    """In journal, kernel log, fstab, autofs map, log file, command lines; one mounts a share."""
    options = f"username=x,password={PLANTED}"
    line = f"mount -t cifs //nas/a /a -o {options}-journal,vers=3.0"
    subprocess.run(["logger", "-t", "mount.cifs", line], check=True)
    Path("/dev/kmsg").write_text(f"CIFS: //nas/a: {options}-kmsg,uid=0\n", encoding="utf-8")
    with Path("/etc/fstab").open("a", encoding="utf-8") as fstab:
        fstab.write(f"//nas/b /b cifs USERNAME=x,PASSWD={PLANTED}-fstab,vers=3.0 0 0\n")
    Path("/etc/auto.smb").write_text(f"c -fstype=cifs,pass={PLANTED}-autofs ://nas/c\n")
    Path("/root/smb.credentials").write_text(f"username=x\npassword2={PLANTED}-file word\n")
    Path("/var/log/syslog").write_text(f"sudo: mount -o {options}-syslog //nas/d /d\n")
    password = f"{PLANTED}-mounted"
    lab(
        f"useradd {_USER} && printf '%s\\n' {password} {password} | smbpasswd -s -a {_USER} &&"
        f" mkdir -p {_MOUNT} && mount -t cifs //{SERVER}/{os.environ['LAB_SHARE']} {_MOUNT}"
        f" -o username={_USER},password={password},vers=3.1.1"
    )
    argv = ["sh", "-c", "sleep 3600; :", "mount", "-t", "cifs", "-o", f"{options}-cmdline"]
    process = subprocess.Popen(argv)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        lab(f"umount {_MOUNT}")


def leaks(bundle: Path) -> list[bytes]:
    """Where a planted password is in any file of a bundle, with what stands around it."""
    argv = ["tar", "--zstd", "-xOf", str(bundle)]
    content = subprocess.run(argv, capture_output=True, check=True).stdout
    at = content.find(PLANTED.encode())
    return [content[max(0, at - 80) : at + 40]] if at >= 0 else []


def masked_in(bundle: Path, manifest: Mapping[str, Any]) -> list[str]:
    """The actions whose file shows that something was hidden."""
    files = {entry["name"]: entry["file"] for entry in manifest["actions"]}
    return [name for name in READERS if _MASK in product.bundle_file(bundle, files[name])]
