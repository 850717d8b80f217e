# SPDX-License-Identifier: MIT
"""Each name and address has one substitute, in every spelling, and what is none stays."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.privacy.aliases import Aliases


def _replaced(text: str) -> str:
    aliases = Aliases()
    aliases.learn(text)
    return aliases.replace(text)


_REPORTED: Final = {
    "  \\nas18\\projvol (target hint)": "  \\host1\\share1 (target hint)",
    "CIFS: VFS: \\\\nas19 Send error in SessSetup = -13": (
        "CIFS: VFS: \\\\host1 Send error in SessSetup = -13"
    ),
    "//nas19/Personnel\\040Records and Personnel Records": "//host1/share1 and share1",
    "1) \\\\nas19\\Two Words Mounts: 1 Dev": "1) \\\\host1\\share1 Mounts: 1 Dev",
    "1) Name: 10.1.2.3 Domain: CORPDOM Uses: 1": "1) Name: 192.0.2.1 Domain: domain1 Uses: 1",
    "ver=0x2;host=nas19.corp.example;ip4=10.1.2.3;sec=krb5": (
        "ver=0x2;host=host1.domain1;ip4=192.0.2.1;sec=krb5"
    ),
    "Accepted publickey for jdoe from 10.1.2.3": "Accepted publickey for user1 from 192.0.2.1",
    "Failed password for invalid user jdoe from": "Failed password for invalid user user1 from",
    "New session 5 of user jdoe.": "New session 5 of user user1.",
    "user 'CORPDOM\\jdoe' in /home/CORPDOM/jdoe": "user 'domain1\\user1' in /home/domain1/user1",
    "in /home/CORPDOM/jdoe/x": "in /home/domain1/user1/x",
    "[CORPDOM]\\[jdoe] failed": "[domain1]\\[user1] failed",
    "smb://CORP2;jdoe@nas34/xy CORP2": "smb://domain1;user1@host1/share1 domain1",
    "Client 'jdoe@CORP.EX' not found; jdoe": "Client 'user1@domain1' not found; user1",
    "could not resolve address for nas37: Unknown error": (
        "could not resolve address for host1: Unknown error"
    ),
    '{"m":"x","server":"nas60","share":"d12"}': '{"m":"x","server":"host1","share":"share1"}',
    "map[server:nas63 username:jdoe] nas63": "map[server:host1 username:user1] host1",
    "volume:\n  server: nas62\n": "volume:\n  server: host1\n",
    "smb://jdoe@nas63/dept7/x": "smb://user1@host1/share1/x",
    "smb://jdoe:********@nas63/dept7 jdoe": "smb://user1:********@host1/share1 user1",
    "volumeHandle: nas63.corp.example/dept7##": "volumeHandle: host1.domain1/share1##",
    "/resourceGroups/rg-7/providers/Microsoft.Storage/storageAccounts/acct7/fileServices"
    "/default/shares/dept7": "/resourceGroups/group1/providers/Microsoft.Storage"
    "/storageAccounts/host1/fileServices/default/shares/share1",
    "lost connection to server nas63 (10.1.2.3)": "lost connection to server host1 (192.0.2.1)",
    "10.1.2.3 nas63 nas63.corp.example": "192.0.2.1 host1 host1.domain1",
    "3.2.1.10.in-addr.arpa domain name pointer nas63.corp.example.": (
        "192.0.2.1.in-addr.arpa domain name pointer host1.domain1."
    ),
    "_ldap._tcp.dc._msdcs.corp.example has SRV record 0 100 389 dc3.corp.example": (
        "_ldap._tcp.dc._msdcs.domain1 has SRV record 0 100 389 host1.domain1"
    ),
    "_kerberos._tcp.corp.example service = 0 100 88 dc3.corp.example": (
        "_kerberos._tcp.domain1 service = 0 100 88 host1.domain1"
    ),
    "NAS63<20> B <ACTIVE>; nas63": "host1<20> B <ACTIVE>; host1",
    "Samba name server NAS63 is now a local master browser": (
        "Samba name server host1 is now a local master browser"
    ),
    "host nas63 is down; the host is down": "host host1 is down; the host is down",
    "Domain=[CORPDOM] OS=[Windows 6.1]": "Domain=[domain1] OS=[Windows 6.1]",
    "DomainName: CORPDOM": "DomainName: domain1",
    "CN=Mary Doe,OU=Staff,DC=corpdom,DC=example": "CN=user1,OU=Staff,DC=domain1,DC=example",
    "winbindd: CORPDOM is a trusted domain (sid S-1)": (
        "winbindd: domain1 is a trusted domain (sid S-1)"
    ),
    "cifscreds add -d CORPDOM -u jdoe nas63; //nas63/d12": (
        "cifscreds add -d domain1 -u user1 host1; //host1/share1"
    ),
    "cifscreds add my-dns; ns": "cifscreds add my-dns; ns",
    "user:jdoe:rwx\ngroup:staff7:r-x\nuser::rw-": ("user:user1:rwx\ngroup:group1:r-x\nuser::rw-"),
    "4711  jdoe  domain users  ws14  (ipv4:10.1.2.3:50422)  SMB3_11": (
        "4711  user1  domain users  host1  (ipv4:192.0.2.1:50422)  SMB3_11"
    ),
    "10.1.2.3 dev eth0.100 scope link": "192.0.2.1 dev eth0.100 scope link",
    "file:////nas63/dept7/x": "file:////host1/share1/x",
    "mount -o uid=jdoe,gid=staff7,cruid=jdoe": "mount -o uid=user1,gid=group1,cruid=user1",
    "auid=unset uid=0 gid=-1": "auid=unset uid=0 gid=-1",
    "nfs: server nas64 not responding, timed out": "nfs: server host1 not responding, timed out",
    "ws14 (10.1.2.3) closed connection to service dept7": (
        "host1 (192.0.2.1) closed connection to service share1"
    ),
    "realmd: * Joined domain CORPDOM realm corp.example": (
        "realmd: * Joined domain domain1 realm domain2"
    ),
    "query: nas65.corp.example IN A": "query: host1.domain1 IN A",
    "sssd: authentication failed for jdoe": "sssd: authentication failed for user1",
    "smbclient -L //nas68 -U CORP/jdoe": "smbclient -L //host1 -U domain1/user1",
    "wbinfo -U jdoe%******** x": "wbinfo -U user1%******** x",
    "failed [CORP]\\[jdoe]@[WS14]": "failed [domain1]\\[user1]@[host1]",
    "CIFS: \\\\[2001:db8:1::5]\\payroll x": "CIFS: \\\\[2001:db8::1]\\share1 x",
    "mount -o username=John Doe,uid=0": "mount -o username=user1,uid=0",
    "username=John\\040Doe,uid=0; John Doe": "username=user1,uid=0; user1",
    "smb://nas21/two%20words/x two words": "smb://host1/share1/x share1",
    "//nas/data nas\\ndata \\tnas": "//host1/share1 host1\\nshare1 \\thost1",
    "Nov 22 18:29:06 ws12 kernel: x ws12": "Nov 22 18:29:06 host1 kernel: x host1",
    "server //nas/M\u00fcller M%C3%BCller m\u00fcller": "server //host1/share1 share1 share1",
    "10.1.2.3.445 > 10.1.2.4.50112: 10.1.2.3-10.1.2.4": (
        "192.0.2.1.445 > 192.0.2.2.50112: 192.0.2.1-192.0.2.2"
    ),
    "path=\\nasq\\dfs\\sub1,type=root\n  \\nasz\\t2 (target hint)": (
        "path=\\host1\\share1\\folder1,type=root\n  \\host2\\share2 (target hint)"
    ),
    "Leaf full path: \\\\nas1.corp.example\\dfs; nas1": (
        "Leaf full path: \\\\host1.domain1\\share1; host1"
    ),
    "host=nas1.corp.example nas2.corp.example jd@corp.example": (
        "host=host1.domain1 host2.domain1 user1@domain1"
    ),
    "Connection to nas1 failed (Error NT_STATUS_IO_TIMEOUT)": (
        "Connection to host1 failed (Error NT_STATUS_IO_TIMEOUT)"
    ),
    "VFS: reconnect tcon failed rc = -11 server nas1": (
        "VFS: reconnect tcon failed rc = -11 server host1"
    ),
    "ping: nas1: Name or service not known": "ping: host1: Name or service not known",
    "ESTAB 0 0 ws1:50000 nas1:microsoft-ds": "ESTAB 0 0 host2:50000 host1:microsoft-ds",
    "IP ws1.50112 > nas1.445: Flags [S]": "IP host1.50112 > host2.445: Flags [S]",
    "10.1.2.3 nas1.corp.example nas1": "192.0.2.1 host1.domain1 host1",
    "netbios name = NAS1; Workstation: WS1": "netbios name = host2; Workstation: host1",
    "2) Name: nas1.corp.example Uses: 2": "2) Name: host1.domain1 Uses: 2",
    "getting service ticket for nas1": "getting service ticket for host1",
    "krbtgt/CORP.EX@CORP.EX adm/jdoe@CORP.EX": "krbtgt/domain1@domain1 user1/user2@domain1",
    "kdc = dc1.corp.ex\ndefault_realm = CORP.EX": "kdc = host1.domain1\ndefault_realm = domain1",
    "//nas/M\\303\\274ller M\u00fcller": "//host1/share1 share1",
    "smb3://nas/d1 \\\\?\\UNC\\nas\\d2\\x": "smb3://host1/share2 \\\\?\\UNC\\host1\\share1\\x",
    "\\\\fe80::1%eth0\\pay //[fe80::1%eth0]/pay //fd00:1::5/pay": (
        "\\\\2001:db8::1%eth0\\share1 //[2001:db8::1%eth0]/share1 //2001:db8::2/share1"
    ),
    "volumeHandle: nas1#pay#": "volumeHandle: host1#share1#",
    "gvfs/smb-share:server=nas1,share=pay,user=jdoe": (
        "gvfs/smb-share:server=host1,share=share1,user=user1"
    ),
    "CORP\\bob CORP+jdoe CORP/jdoe jdoe": "domain1\\user1 domain1+user2 domain1/user2 user2",
    "user CORP+jdoe not found": "user domain1+user1 not found",
    "user jdoe denied; jdoe": "user user1 denied; user1",
    "Disconnected from user jdoe 10.1.2.3 port 22": (
        "Disconnected from user user1 192.0.2.1 port 22"
    ),
    "session opened for user root by jdoe(uid=1)": "session opened for user root by user1(uid=1)",
    "uid=1(jdoe) groups=1(jdoe),5(corp\\domain users)": (
        "uid=1(user2) groups=1(user2),5(domain1\\user1)"
    ),
    "/media/jdoe/x /run/media/jd2/x C:\\Users\\jd3\\x": (
        "/media/user3/x /run/media/user1/x C:\\Users\\user2\\x"
    ),
    "/home/corp.example/jdoe/x": "/home/domain1/user1/x",
    "sssd[be[corp.example]]: offline": "sssd[be[domain1]]: offline",
    "mail to jdoe@corp.example": "mail to user1@domain1",
    '{"username": "John Doe"} Doe': '{"username": "user1"} Doe',
    "username: John Doe\nJohn Doe": "username: user1\nuser1",
    "0x5 0x1 0x2 0x8000 1 100 0 pay roll.txt 5": "0x5 0x1 0x2 0x8000 1 100 0 file1 5",
    "0x5 0x1 0x2 0x8000 1 100 0 pay\\roll.txt 5\nroll.txt": (
        "0x5 0x1 0x2 0x8000 1 100 0 file1\\file2 5\nfile2"
    ),
    "IP6 fd00::5.50112 > fd00::6.445: x": "IP6 2001:db8::1.50112 > 2001:db8::2.445: x",
    "(0x0100): user: jdoe\nNew user `jd2'": "(0x0100): user: user2\nNew user `user1'",
    "realm: corp.example \\\\corp.example\\dfs example": (
        "realm: domain1 \\\\domain1\\share1 example"
    ),
    'key "pay" not found in map; attempting to mount entry /net/pay': (
        'key "share1" not found in map; attempting to mount entry /net/share1'
    ),
    "realm-name: CORP.EX": "realm-name: domain1",
    "//nas.local/d1 0 total (local)": "//host1.local/share1 0 total (local)",
    "00:50:56:aa:bb:cc 00-50-56-AA-BB-CC": "02:00:00:00:00:01 02:00:00:00:00:01",
    "a\\n10.1.2.3": "a\\n192.0.2.1",
    "Found address for server dc7.corp.example: [10.1.2.5]": (
        "Found address for server host1.domain1: [192.0.2.1]"
    ),
    "of server 'dc7.corp.example' as": "of server 'host1.domain1' as",
    "Connection to dc7.corp.example for domain CORPDOM is": (
        "Connection to host1.domain2 for domain domain1 is"
    ),
    "option domain_name => 'corp.example'": "option domain_name => 'domain1'",
    "systemd[1]: Hostname set to <ws12>.": "systemd[1]: Hostname set to <host1>.",
    "(mount //nas/pay) pay": "(mount //host1/share1) share1",
    "NAS1$@CORP.EX nas1 as nas2.corp.ex@CORP.EX nas2 CORP\\WS1$ ws1": (
        "host1$@domain1 host1 as host2.domain1@domain1 host2 domain2\\host3$ host3"
    ),
    "UFW BLOCK MAC=ff:ff:ff:ff:ff:ff:00:50:56:aa:bb:cc:08:00 SRC=10.1.2.3 00:50:56:aa:bb:cc": (
        "UFW BLOCK MAC=ff:ff:ff:ff:ff:ff:02:00:00:00:00:01:08:00 SRC=192.0.2.1 02:00:00:00:00:01"
    ),
    "//nas/M\u00fcller mnt-M\\xc3\\xbcller.mount Mu\u0308ller": (
        "//host1/share1 mnt-share1.mount share1"
    ),
    "fqdn: ws12.corp.example": "fqdn: host1.domain1",
    "CROND[7]: (jdoe) CMD (x)": "CROND[7]: (user1) CMD (x)",
    "authenticated as unix-user:jdoe to": "authenticated as unix-user:user1 to",
    "add 'jdoe' to group 'docker'": "add 'user1' to group 'docker'",
    "password for 'jdoe' changed": "password for 'user1' changed",
    "ssh -p 22 jdoe@ws12 uptime": "ssh -p 22 user1@host1 uptime",
    "net use Z: \\\\nas\\d1 /user:CORP\\jdoe": "net use Z: \\\\host1\\share1 /user:domain1\\user1",
    "server=nas1;share=pay pay": "server=host1;share=share1 share1",
    "smb:\\/\\/nas\\/pay smb%3A%2F%2Fnas%2Fpay": (
        "smb:\\/\\/host1\\/share1 smb%3A%2F%2Fhost1%2Fshare1"
    ),
    "//nas17/pay[/sub] on /m pay": "//host1/share1[/sub] on /m share1",
    "smb://nas17:445/pay //nas17:1445/pay": "smb://host1:445/share1 //host1:1445/share1",
    'mount -o username="John Doe",uid=0 John Doe': 'mount -o username="user1",uid=0 user1',
    "username=CORP/jdoe,uid=0 jdoe CORP": "username=domain1/user1,uid=0 user1 domain1",
    "https://acct1.file.core.windows.net/pay?sv=1 acct1 pay": (
        "https://host1.domain1/share1?sv=1 host1 share1"
    ),
    "https://acct1.blob.core.windows.net/x acct1": "https://host1.domain1/x host1",
    'volume(rg-a#acct1#pay#) "storageAccount":"acct1" "resourceGroup":"rg-a"': (
        'volume(group1#host1#share1#) "storageAccount":"host1" "resourceGroup":"group1"'
    ),
    '<30>Nov 22 18:29:06 ws12 kernel: x; "_HOSTNAME":"ws12"': (
        '<30>Nov 22 18:29:06 host1 kernel: x; "_HOSTNAME":"host1"'
    ),
    "Linux ws12 6.12.0-1-amd64 #1 SMP": "Linux host1 6.12.0-1-amd64 #1 SMP",
    '"node registered" node="ws12" ws12': '"node registered" node="host1" host1',
    "64 bytes from nas17 (10.1.2.3): ttl=64": "64 bytes from host1 (192.0.2.1): ttl=64",
    "smbd: ws12 (ipv4:10.1.2.9:50112) connect to service pay": (
        "smbd: host1 (ipv4:192.0.2.1:50112) connect to service share1"
    ),
    "Successfully connected to dc7.corp.example": "Successfully connected to host1.domain1",
    "Host name is ws12.local. Host name conflict, retrying with ws13": (
        "Host name is host1.local. Host name conflict, retrying with host2"
    ),
    "search corp.example\ndomain corp.example": "search domain1\ndomain domain1",
    "su: FAILED SU (to root) jdoe on pts/1": "su: FAILED SU (to root) user1 on pts/1",
    "pam_unix(passwd:chauthtok): password changed for jdoe": (
        "pam_unix(passwd:chauthtok): password changed for user1"
    ),
    '{"clientAccount":"jdoe","clientDomain":"CORP","workstation":"WS12"}': (
        '{"clientAccount":"user1","clientDomain":"domain1","workstation":"host1"}'
    ),
    "::ffff:10.1.2.3 ::ffff:a01:203 10.1.2.3": (
        "2001:db8::ffff:192.0.2.1 2001:db8::ffff:192.0.2.1 192.0.2.1"
    ),
}


@pytest.mark.parametrize("text", _REPORTED)
def test_names_go_in_every_spelling(text: str) -> None:
    """What people's logs hold: the same substitute for the same name."""
    assert _replaced(text) == _REPORTED[text]


@pytest.mark.parametrize(
    "text",
    [
        "Linux version 5.15.153.1-2.cm2 5.15.153.1-microsoft-standard-WSL2 linux-5.15.153.1",
        "/var/lib/kubelet//pods/volumes /proc//fs/cifs/Stats pods cifs",
        "oid 1.3.6.1.4.1.311 at 18:29:06, vers=3.1.1, C:\\Windows\\x",
        "https://www.kernel.org/doc/html kernel",
        "passed to user space. by user request, for user input: user mode, user is not known",
        "delivered:445 app_limited busy:18ms; /lib/modules/5.15.0.1.2/x; user@1000.service",
        "(debian-kernel@lists.debian.org) linux-cifs@vger.kernel.org fs/cifs/connect.c",
        "HKLM\\SOFTWARE\\x \\d+\\s TCP+udp ABC/def connected to socket, server side ok",
        "cipher=chacha20-poly1305@openssh.com mac=hmac-sha2-256-etm@openssh.com",
        "netmask 255.255.255.0, broadcast 255.255.255.255",
        "firmware 8.2.1.4 revision 1.0.0.2, BIOS 4.1.2.5, Driver 3.8.4.1, oid 1.3.6.1.2",
        "2026-11-22T18:29:06Z INFO main: started main INFO; numa node=0, node: 0",
        "Red Hat Enterprise Linux release 9.4.0, Linux kernel 6.12.1; Host name is empty",
        "Invalid user dev from port 5; Invalid user man from: /dev/sda /usr/share/man //tmp/var/x",
        "Connected to org.freedesktop.DBus; volume(v) mounted; password expired for account",
        "kernel 6.12.0.1.fc41, version 4.17.12.1; usage: host:port, port user:group",
    ],
)
def test_versions_and_paths_stay(text: str) -> None:
    """Four numbers may be a version; two slashes within a path are no share."""
    assert _replaced(text) == text


def test_a_version_that_the_manifest_has_is_no_address_anywhere() -> None:
    """Also alone."""
    aliases = Aliases()
    aliases.keep("5.15.153.1-2.cm2")
    assert aliases.replace("5.15.153.1 5.15.153.2") == "5.15.153.1 192.0.2.1"


def test_what_tells_nobody_apart_stays() -> None:
    """Times, versions, loopback, root, IPC$: evidence, and no names."""
    aliases = Aliases()
    text = "18:29:06 6.12.117 3.1.1 127.0.0.1 ::1 0.0.0.0 user=root //nas/IPC$ 99.99% a::b::c"
    aliases.learn(text)
    assert aliases.replace(text) == text.replace("nas", "host1")


def test_one_name_everywhere_whatever_its_case_and_dress() -> None:
    """UNC, URL-like, upper case and alone: the same host; a name within a word is none."""
    aliases = Aliases()
    aliases.learn("//nas7.corp.example/payroll /mnt/p cifs rw,username=x1 0 0")
    replaced = aliases.replace("NAS7 \\\\nas7\\PAYROLL //nas7.corp.example/payroll nas70 nas7_x")
    host, domain, share = (aliases.mapping[n] for n in ("nas7", "corp.example", "payroll"))
    assert replaced == f"{host} \\\\{host}\\{share} //{host}.{domain}/{share} nas70 nas7_x"


@given(
    addresses=st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6), min_size=1, max_size=40),
)
def test_addresses_are_replaced_one_to_one(addresses: list[object]) -> None:
    """Every address has one substitute, out of the ranges reserved for documentation."""
    aliases = Aliases()
    text = " ".join(map(str, addresses))
    found = aliases.replace(f"{text} {text}").split()
    assert found[: len(addresses)] == found[len(addresses) :]
    assert len(set(found)) == len({str(address) for address in addresses})
    nets = [ip_network(n) for n in ("192.0.2.0/24", "2001:db8::/32")]
    for before, after in zip(addresses, found, strict=False):
        address = ip_address(after)
        mask = str(before).startswith("255.")
        kept = address.is_loopback or address.is_unspecified or mask
        assert kept == (str(before) == after) or str(before) in aliases.mapping
        assert kept or any(address in net for net in nets)


def test_very_many_names_take_linear_time() -> None:
    """Four times as many names take four times the time; 200,000 take seconds."""
    spent = []
    for count in (50_000, 200_000):
        text = "".join(f"//srv{n}/share-{n}\n" for n in range(count))
        begun_sec = time.process_time()
        aliases = Aliases()
        aliases.learn(text)
        assert aliases.replace(text).endswith(f"//host{count}/share{count}\n")
        spent.append(time.process_time() - begun_sec)
    assert spent[1] < 8 * spent[0]
    assert spent[1] < 40


def test_backslashes_before_a_blank_are_no_escape() -> None:
    """However many there are: the text is left as it is."""
    aliases = Aliases()
    aliases.host("nas7")
    text = "".join(rf"a {chr(92) * count} b, " for count in range(1, 9))
    assert aliases.replace(text) == text


def _hex(text: str) -> str:
    return text.encode().hex().upper()


def test_names_in_the_audit_systems_hexadecimal_go() -> None:
    """Command lines, accounts and addresses of sockets stay readable, under other names."""
    argv = "mount\0//nas7/pay\0/m\0-o\0username=jdoe"
    text = f"proctitle={_hex(argv)} acct={_hex('jd two')} saddr=020001BD0A010203000000 10.1.2.3"
    replaced = "mount\0//host1/share1\0/m\0-o\0username=user2"
    assert _replaced(text) == (
        f"proctitle={_hex(replaced)}"
        f" acct={_hex('user3 two')} saddr=020001BDC0000201000000 192.0.2.1"
    )
    address = "20010DB8000100000000000000000005"
    assert address not in _replaced(f"saddr=0A0001BD00000000{address}00000000")
    harmless = "a0=7ffd1234 a1=ffffff9c key=6162 name=deadbeef cmd=6D6F756E74202D6F"
    assert _replaced(harmless) == harmless


def test_names_hold_characters_that_no_text_can() -> None:
    """JSON has halves of surrogates; text that is no UTF-8 has bytes."""
    for odd in ("\ud800", "\udcff", "\x00"):
        assert _replaced(f"//nas/a{odd}b a{odd}b") == "//host1/share1 share1"


@given(
    names=st.lists(st.text(st.sampled_from("abcXYZ 0.-_$"), min_size=2, max_size=12), max_size=8),
    text=st.lists(st.sampled_from([" ", "/", "\\", ",", ".", "x"]), max_size=20),
)
def test_no_learnt_name_is_left_as_a_word(names: list[str], text: list[str]) -> None:
    """Wherever a name stands as a word of its own, in any case."""
    aliases = Aliases()
    for name in names:
        aliases.host(name)
    for name in aliases.mapping:
        if not name[:1].isalnum() or "." in name:
            continue
        kept = aliases.replace(f"({name.upper()}) {''.join(text)} {name}")
        assert f"({name.upper()})" not in kept


def test_a_text_that_begins_a_name_everywhere_can_be_given_up() -> None:
    """Each beginning costs its length; in between, whoever waits is asked."""
    asked: list[int] = []
    aliases = Aliases(asked.append)
    aliases.file("&" * 63 + "x")
    aliases.replace("&" * 50_000)
    assert asked[0] == 50_000
    assert len(asked) > 100


def test_pieces_are_whole_lines() -> None:
    """No name is cut in two, wherever a piece ends."""
    lengths: list[int] = []
    aliases = Aliases(lengths.append)
    text = "session opened for user jsmith by root\n" * 10_000
    aliases.learn(text)
    assert aliases.replace(text) == "session opened for user user1 by root\n" * 10_000
    assert len(set(lengths)) > 1
    assert all(length % 39 == 0 for length in lengths)


def test_very_many_full_names_take_linear_time() -> None:
    """Each is a mount option of its own."""
    text = "".join(f"user=a b{n},uid=0 " for n in range(60_000))
    begun_sec = time.process_time()
    aliases = Aliases()
    aliases.learn(text)
    assert "a b59999" in aliases.mapping
    assert time.process_time() - begun_sec < 5
