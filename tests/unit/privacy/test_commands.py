# SPDX-License-Identifier: MIT
"""Secrets on command lines: behind short flags, as words, piped, and in here-strings."""

from __future__ import annotations

from typing import Final

import pytest

from aodasync.privacy.redaction import redact_text

_MASKED: Final = (
    "nxc smb 10.1.2.3 -u u1 -p '@'",
    "ldapsearch -x -D 'CN=a' -w '@ and more' -b dc=x",
    'type=EXECVE argc=4 a0="ldapsearch" a1="-w" a2="@" a3="-b"',
    "kadmin -p adm -w @ -q q",
    "7z x -p@ a.7z",
    "smbtar -u u1 -p @ -s s -x d",
    "xfreerdp /u:u1 /p:@ /v:h",
    "ktpass /mapuser u1 /pass @ /out k",
    "schtasks /ru u1 /rp @ /tn x",
    "samba-tool user create u1 @ --given-name=G",
    "net user u1 @ /add",
    "ConvertTo-SecureString '@' -AsPlainText -Force",
    'ConvertTo-SecureString -String "@" -AsPlainText',
    "smbclient '//s/my share' '@' -U u1",
    "printf @ | smbpasswd -s",
    "(echo @ | smbpasswd -s u1",
    "yes @ | passwd u1",
    "kinit u1 <<< @",
    "kpasswd u1 <<<'@'",
    "net rpc password u1 @ -U adm",
    "lftp -u u1,@ smb://h",
    "smbpasswd -a u1 <<< '@'",
    "cifscreds add -u u1 s <<<@",
    "psexec.py -hashes @ h",
    "smbclient --pw-nt-hash -U u1%@ //s/d",
    "ktutil: addent -password -p u1 -w @",
    "echo @ | realm join -U adm corp.ex",
    "echo -n '@' | adcli join --stdin-password corp.ex",
    "echo @ | net ads join -U adm",
    "wbinfo -K u1 <<< @",
    "ipmitool -U u1 -P @ -H h",
    "usermod -p @ u1",
    "unzip -P @ a.zip",
    "zip -e -P@ a.zip f",
    "GetUserSPNs.py -dc-ip 10.1.2.3 corp.ex/u1:@",
    "smbclient //s/d @",
    'argc=4 a0="smbclient" a1="//s/d" a2="@" a3="-Uu1"',
    '["smbclient","//s/d","@","-U","u1"]',
    "['smbclient', '//s/d', '@', '-U', 'u1']",
    'argc=6 a0="keyctl" a1="add" a2="logon" a3="cifs:a:10.1.2.3" a4="@"',
    '["keyctl", "padd", "user", "smb", "@"]',
    'argc=5 a0="samba-tool" a1="user" a2="create" a3="u1" a4="@"',
    '["mysql","-u","root","-p@"]',
    "smbget -u u1 -p @ smb://s/d/f",
    "redis-cli -a @ ping",
    "openssl enc -aes256 -k @ -in f",
    "snmpget -v3 -a SHA -A @ -x AES h",
    "snmpget -v3 -a SHA -x AES -X @ h",
    "ConvertTo-SecureString -String @ -AsPlainText",
    "rsync --password-file=<(echo @) a b",
    "restic --password-command 'echo @' snapshots",
    "rclone obscure @",
    "setx SMB_PASSWORD @ /m",
    "setenv SMB_PASSWORD @",
    "set -gx SMB_PASSWORD @",
    "smbpasswd -a u1 @",
    "smbpasswd u1 @",
    'argc=4 a0="smbpasswd" a1="-a" a2="u1" a3="@"',
    "net ads user add u1 @ -U adm",
    "net rpc user add u1 @",
    "htpasswd -b f u1 @",
)


@pytest.mark.parametrize("text", _MASKED)
def test_the_word_that_is_a_secret_goes(text: str) -> None:
    """And it alone: the command, its other words and the quotation marks stay."""
    secret = "31d6cfe0d16ae931b73c59d7e0c089c0" if "hash" in text else "S3cretX"
    before, _, after = text.partition("@")
    kept = redact_text(f"{before}{secret}{after}")
    assert kept == f"{before}********{after.removeprefix(' and more')}"


@pytest.mark.parametrize(
    "argv",
    [
        "keyctl add logon cifs:a:10.1.2.3 u1:S3cretX @s",
        "smbclient //s/d S3cretX -U u1",
        "samba-tool user create u1 S3cretX",
        "mysql -u root -pS3cretX",
    ],
)
def test_a_command_line_in_hexadecimal_is_searched_like_any_other(argv: str) -> None:
    """The audit system joins its words by NULs."""
    encoded = argv.replace(" ", "\0").encode().hex().upper()
    assert redact_text(f"type=PROCTITLE proctitle={encoded}") == "type=PROCTITLE proctitle=********"


@pytest.mark.parametrize(
    "text",
    [
        "mkdir -p /a; ssh -p 22 h; rsync -p a b; ldconfig -p",
        "grep -w word file; ps -p 17 -w x; netstat -w",
        "cat <<< hello; echo hello | grep x",
        "add_entry -password -p u1@R -k 1 -e aes256-cts",
        "the net user count is 5",
        "samba-tool user list --verbose",
        "path /p:x /pass /rp",
        "set -e; set -o pipefail; setenv bootargs a b; set -u",
        "smbpasswd -a u1; smbpasswd file not found; smbpasswd -e u1 failed",
        "net rpc user info u1 -U adm; net ads user add u1",
        "unzip -p a.zip member; python x.py http://a:80/b; rsync.py host/a:b",
        "smbclient //s/d failed; running smbclient //s/d",
        "smbclient //s/d -c ls; keyctl show @s; mysql -u root -h db",
        "adcli join --stdin-password corp.ex; ansible-playbook --ask-become-pass site.yml",
    ],
)
def test_other_commands_stay_as_they_are(text: str) -> None:
    """The same flags are paths, ports and switches elsewhere."""
    assert redact_text(text) == text
