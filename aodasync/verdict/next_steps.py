# SPDX-License-Identifier: MIT
"""What to do next, by rule, else by cause: commands that an administrator can run as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

__all__ = ["next_steps"]

_BY_RULE: Final[Mapping[str, tuple[str, ...]]] = {
    "connection refused": (
        "on {server}: ss -ltn sport = :{port}; systemctl status smbd (or its SMB service)",
        "here: nc -vz {address} {port}",
    ),
    "closed by the server": (
        "on {server}: journalctl -u smbd (or its event log): was it restarted, and by whom?",
        "on both ends at once: tcpdump -i any -s 160 -w smb.pcap host {address} and port {port}",
    ),
    "no such share": (
        "here: smbclient -L {address} -U USER lists the shares; grep cifs /proc/mounts",
        "on {server}: is the share there, and its disk mounted? (Samba: testparm -s)",
    ),
    "negotiation refused": (
        "here: grep cifs /proc/mounts /etc/fstab (vers=); dmesg | grep -i cifs",
        "on {server}: the SMB versions it allows (Samba: testparm -s | grep -i protocol)",
    ),
    "login not checked": (
        "on {server}: wbinfo -t; wbinfo --ping-dc (Windows: nltest /sc_verify:DOMAIN)",
        "on {server}: the log of winbindd or netlogon, and its clock",
    ),
    "clocks differ": ("here: timedatectl; chronyc tracking", "on {server}: date"),
    "no login": (
        "here: klist -A; journalctl -t cifs.upcall; ls /etc/krb5.keytab",
        "here: cat /proc/keys (the keys cifs.spnego and logon of the mount's user)",
    ),
    "session expired": (
        "here: klist -A; journalctl -t cifs.upcall",
        "on {server}: was it restarted, or the session closed? (Samba: smbstatus -p)",
    ),
    "waits for another client": (
        "on {server}: smbstatus -L (Windows: Get-SmbOpenFile): who has the file open?",
        "here: cat /proc/fs/cifs/open_files",
    ),
    "held by another": (
        "on {server}: smbstatus -L (Windows: Get-SmbOpenFile): who holds the lock or the file?",
        "here: cat /proc/locks /proc/fs/cifs/open_files",
    ),
    "some not answered": (
        "on {server}: smbstatus -L; iostat -x 1 5: who locks the file, which disk is busy?",
        "here: aodasync inflight shows what the requests that wait are about",
    ),
}
_BY_CAUSE: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (
        "on {server}: iostat -x 1 5, and its SMB service's own log (Samba: smbstatus -v)",
        "here: aodasync report (send the page to the server's owner)",
    ),
    "network": (
        "here: ping -c 20 {address}; mtr -rwc 50 {address}; ss -tin dst {address}",
        "here: ping -M do -s 1472 -c 5 {address} (do large packets get through?)",
        "on both ends at once: tcpdump -i any -s 160 -w smb.pcap host {address} and port {port}",
    ),
    "client": (
        "here: cat /proc/pressure/cpu /proc/pressure/io /proc/pressure/memory; top -H -n 1 -b",
        "here: cat /proc/PID/stack of the processes named above",
    ),
    "credentials": (
        "here: grep -E 'cifs|smb3' /proc/mounts (user name, sec=); klist for Kerberos mounts",
        "here: smbclient -L {address} -U USER (does the password still work?)",
    ),
    "unknown": (
        "here: aodasync report, and aodasync top while it lasts",
        "here: ss -tin dst {address}; ping -c 20 {address}",
    ),
}


def next_steps(rule: str, cause: str, server: str, address: str, port: int) -> tuple[str, ...]:
    """The steps for a rule or a cause (others count as unknown).

    Those for an address are left out where none is known ("" or "unknown"). Names come from
    servers: they are quoted for a shell.
    """
    known = address or ("" if server == "unknown" else server)
    words = {"server": shlex.quote(server), "address": shlex.quote(known), "port": port}
    steps = _BY_RULE.get(rule) or _BY_CAUSE.get(cause, _BY_CAUSE["unknown"])
    return tuple(step.format_map(words) for step in steps if known or "{address}" not in step)
