# SPDX-License-Identifier: MIT
"""What to do next, by rule, else by cause: commands that an administrator can run as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any, Final

from aodasync.smb.commands import SMB_PORT
from aodasync.verdict.meanings import AT_A_LIMIT, FAULTY_STORAGE, NO_RIGHT, NO_ROOM

__all__ = ["address_words", "next_steps", "where_it_runs"]

_OF_LOCKS: Final = (
    "on {server}: smbstatus -L (Windows: Get-SmbOpenFile): who holds the lock or the file?",
    "here: cat /proc/locks /proc/fs/cifs/open_files",
)
_BY_RULE: Final[Mapping[str, tuple[str, ...]]] = {
    "connection refused": (
        "on {server}: ss -ltn sport = :{port}; systemctl status smbd (or its SMB service)",
        "here: nc -vz {address} {port}",
    ),
    "closed by the server": (
        "on {server}: journalctl -u smbd (or its event log): was it restarted, and by whom?",
        "on both ends at once: tcpdump -i any -s 160 -w smb.pcap host {address} and port {port}",
    ),
    "connecting fails on this host": (
        "here: nft list ruleset; iptables -S OUTPUT (does a rule drop port {port}?)",
        "here: ip route get {address}; ss -s; dmesg | tail -n 20",
    ),
    "no route to the server": (
        "here: nc -vz -w 5 {address} {port}; ip route get {address}; mtr -rwc 20 {address}",
        "here: getent ahosts {server} (does the name have another address by now?)",
    ),
    "not sent": (
        "here: nft list ruleset; iptables -S OUTPUT (does a rule drop port {port}?)",
        "here: ip route get {address}; ip -s link; tc -s qdisc",
    ),
    "torn down on this host": (
        "here: journalctl -n 50 -g umount; last -n 5 -x (who unmounted it, or shut down?)",
        "here: grep -E 'cifs|smb3' /proc/mounts",
    ),
    "stated by the server": (
        "on {server}: journalctl -u smbd -n 50 (or its event log): what does it say of it?",
        "here: aodasync report (send the page to the server's owner)",
    ),
    "session ended": (
        "on {server}: journalctl -u smbd -n 50 (or its event log): was it restarted?",
        "on {server}: smbstatus -p (Windows: Get-SmbSession): is this host's session there?",
    ),
    "login failed": (
        "on {server}: journalctl -u smbd -n 50 (or its event log): why no login?",
        "here: smbclient -L {address} -U USER (does another login succeed?)",
    ),
    "no access to the share": (
        "here: smbclient //{address}/SHARE -U USER -c ls; grep -E 'cifs|smb3' /proc/mounts",
        "on {server}: who may use the share? (Samba: testparm -s; Windows: Get-SmbShareAccess)",
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
    "login not answered": (
        "on {server}: wbinfo -t; wbinfo --ping-dc (Windows: nltest /sc_verify:DOMAIN)",
        "on {server}: the log of winbindd or netlogon while somebody logs in",
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
    "held by another": _OF_LOCKS,
    "writes refused by a lock": _OF_LOCKS,
    "asked in vain": (
        "here: aodasync slow 0 --errors (which program asks for which file?)",
        "here: smbclient //{address}/SHARE -U USER -c ls (what is there?)",
    ),
    "some not answered": (
        "on {server}: smbstatus -L; iostat -x 1 5: who locks the file, which disk is busy?",
        "here: aodasync inflight shows what the requests that wait are about",
    ),
}
_BY_MEANING: Final = (
    (
        FAULTY_STORAGE,
        (
            "on {server}: dmesg | tail -n 50; iostat -x 1 5: which disk fails?",
            "here: aodasync report (send the page to the server's owner)",
        ),
    ),
    (
        NO_RIGHT,
        (
            "here: smbclient //{address}/SHARE -U USER -c ls; getcifsacl FILE",
            "on {server}: who may do what on the share and its files? (Windows: icacls)",
        ),
    ),
    (
        NO_ROOM,
        (
            "here: timeout 10 df -h -t cifs -t smb3",
            "on {server}: df -h, and the quota of the account of the mount",
        ),
    ),
    (
        AT_A_LIMIT,
        (
            "on {server}: free -m; smbstatus -p | wc -l; smbstatus -L | wc -l, and its limits",
            "here: wc -l /proc/fs/cifs/open_files; aodasync top (who asks for so much?)",
        ),
    ),
)
"""Steps by what the server says, where the rule has none of its own."""

_BY_CAUSE: Final[Mapping[str, tuple[str, ...]]] = {
    "server": (
        "on {server}: iostat -x 1 5, and its SMB service's own log (Samba: smbstatus -v)",
        "here: aodasync report (send the page to the server's owner)",
    ),
    "network": (
        "here: ping -c 20 {address}; mtr -rwc 50 {address}; ss -tin dst {peer}",
        "here: ping -M do -s {most_bytes} -c 5 {address} (do large packets get through?)",
        "on both ends at once: tcpdump -i any -s 160 -w smb.pcap host {address} and port {port}",
    ),
    "client": (
        "here: cat /proc/pressure/cpu /proc/pressure/io /proc/pressure/memory; top -H -n 1 -b",
        "here: cat /proc/PID/stack of the processes named above",
    ),
    "credentials": (
        "here: grep -E 'cifs|smb3' /proc/mounts (user name, sec=); klist for Kerberos mounts",
        "here: smbclient -L {address} -U USER (does the password still work?)",
        (
            "on {server}: net user USER /domain (Samba: pdbedit -v USER): is the account locked,"
            " disabled or expired?"
        ),
    ),
    "unknown": (
        "here: aodasync report, and aodasync top while it lasts",
        "here: ss -tin dst {peer}; ping -c 20 {address}",
    ),
}


_ON_SERVER: Final = ("on {server}: ", "on the server: ")
_AZURE_FILES: Final = (
    ".file.core.chinacloudapi.cn",
    ".file.core.usgovcloudapi.net",
    ".file.core.windows.net",
    ".file.storage.azure.net",
)
_IN_PORTAL: Final = (
    "in the Azure portal: the metrics of the share (latency, transactions by response)"
)


_HERE: Final = "here: "
_OF_A_NETWORK: Final = re.compile(r"\b(?:ip|mtr|nc|nft|nstat|ping|smbclient|ss) ")
"""Commands whose answer hangs on the network namespace in which they run."""


def next_steps(
    rule: str,
    cause: str,
    server: str,
    address: str,
    port: int,
    *,
    said: Collection[str] = (),
    netns: int = 0,
) -> tuple[str, ...]:
    """The steps for what the server ``said`` (NTSTATUS names), a rule, or a cause.

    Other causes count as unknown. Steps for an address are left out where none is known ("" or
    "unknown"). Names come from servers: they are quoted for a shell. ``netns`` as in
    :func:`where_it_runs`.
    """
    known = address or ("" if server == "unknown" else server)
    words = {"server": shlex.quote(server), "port": port, **address_words(known)}
    meant = next((steps for names, steps in _BY_MEANING if not names.isdisjoint(said)), ())
    steps = meant or _BY_RULE.get(rule) or _BY_CAUSE.get(cause, _BY_CAUSE["unknown"])
    possible = (step for step in steps if known or "{address}" not in step)
    where = (where_it_runs(step, server, port, "", netns) for step in possible)
    return tuple(step.format_map(words) for step in dict.fromkeys(where))


def address_words(address: str) -> dict[str, Any]:
    """An address as a shell reads it, and as ss does; the most that fits into a packet to it."""
    is_ipv6 = ":" in address
    return {
        "address": shlex.quote(address),
        "peer": shlex.quote(f"[{address}]" if is_ipv6 else address),
        "most_bytes": 1452 if is_ipv6 else 1472,
    }


def where_it_runs(
    text: str, server: str, port: int, than: str = " show nothing of it", netns: int = 0
) -> str:
    """The command as it runs: of a server where nobody logs in, what its portal shows instead.

    ``netns`` is the mount's network namespace, by inode number, if it is not this host's own:
    commands that ask the network run there.
    """
    if text.startswith(_ON_SERVER) and server.casefold().endswith(_AZURE_FILES):
        return _IN_PORTAL + than
    if netns and not text.startswith(_ON_SERVER) and _OF_A_NETWORK.search(text):
        there = f"in the mount's network (lsns {netns}; nsenter -n -t PID): "
        text = there + text.removeprefix(_HERE)
    return text if port == SMB_PORT else text.replace("smbclient ", f"smbclient -p {port} ")
