# SPDX-License-Identifier: MIT
"""Secrets on command lines: which commands take one behind which flag, as which word, or piped."""

from __future__ import annotations

import re
from typing import Final

from aodasync.privacy import finders, values
from aodasync.privacy.context import FLAG_START, GAP, NEXT, Span, context
from aodasync.privacy.line import Line
from aodasync.privacy.prose import password_word
from aodasync.privacy.vocabulary import NUMBER, QUOTE, SECRET_NAMES

__all__ = ["COMMANDS"]

_LDAP: Final = tuple(
    b"ldap" + name for name in (b"search", b"modify", b"add", b"delete", b"whoami", b"passwd")
)
_FLAGS: Final = {
    b"-p": (
        *(b"sshpass", b"login", b"smbmap", b"smbtar", b"plink", b"pscp", b"psexec", b"winexe"),
        *(b"crackmapexec", b"nxc", b"netexec", b"evil-winrm", b"7z", b"rdesktop"),
        *(b"ipmitool", b"sqlcmd", b"useradd", b"usermod", b"smbget"),
    ),
    b"-a": (b"redis-cli", b"snmp"),
    b"-x": (b"snmp",),
    b"-k": (b"openssl",),
    b"-w": (*_LDAP, b"kadmin", b"addent"),
    b"/p": (b"freerdp", b"cmdkey", b"ktpass"),
    b"/rp": (b"schtasks",),
}
_PASSWORD_COMMANDS: Final = tuple({name for names in _FLAGS.values() for name in names})
_READERS: Final = (
    rb"(?:sudo|su|kinit|smbpasswd|k?passwd|chpasswd|cifscreds|smbclient|mount|keyctl"
    rb"|docker[ \t]login|cryptsetup|base64|openssl|rclone|realm|adcli|net|wbinfo|ntlm_auth"
    rb"|rpcclient|pdbedit|samba-tool|ldap[a-z]{3,8})"
)
_PIPED_INTO: Final = re.compile(rb"[ \t)]{0,8}\|[ \t]{0,8}" + _READERS + rb"(?![a-z])")
_UP_TO_PIPE: Final = re.compile(rb"[^|\r\n]{1,256}")
_READS: Final = re.compile(rb"(?:^|[\s;&|\"'/])" + _READERS + rb"(?![a-z])[^\r\n;|]{0,128}$")
_HEX: Final = re.compile(rb"(?:[0-9a-f]{2}){3,4096}")
_NUMBER: Final = re.compile(NUMBER)
_WINBIND: Final = re.compile(rb"\b(?:wbinfo|ntlm_auth)\b[^\n|;]{0,64}$")
_KEYRING: Final = re.compile(rb"[ \t]@[a-z]{1,3}[ \t\r\n]*$|[\r\n]*$")
_WORD: Final = rb"[^\s\0\"']{1,256}+"
_FLAG_BEHIND: Final = re.compile(NEXT + rb"-")
_ASKS_DOMAIN: Final = re.compile(
    rb"(?:^|impacket-)(?:get[a-z]{2,16}|addcomputer|rbcd|finddelegation|raisechild)\b"
)
_NET_WORD: Final = re.compile(rb"[ \t\0]*+(?:a[0-9]{1,4}=)?(\"[^\"]{0,256}\"|[^\s\0]{1,256}+)")


def _word(line: Line, match: re.Match[bytes]) -> Span | None:
    """One word of a command line."""
    return values.shell_word(line, match.end(), line.bound(match.end()))


def _second_argument(line: Line, match: re.Match[bytes]) -> Span | None:
    """What stands before a flag, or looks as passwords do."""
    begin, end = values.shell_word(line, match.end(), line.bound(match.end()))
    return (begin, end) if _FLAG_BEHIND.match(line.low, end) else password_word(line, begin)


def _login_flag(line: Line, match: re.Match[bytes]) -> Span | None:
    """``-p X`` of a command that logs in; for others it is a path, a port, a priority."""
    begin, end = values.shell_word(line, match.end(), line.bound(match.end()))
    head = line.low[max(0, match.start() - 128) : match.start()]
    if line.low[begin : begin + 1] in b"-/" or not any(
        name in head for name in _FLAGS[match["flag"]]
    ):
        return None
    if b"snmp" in head and not _is_capital(line, match):  # a protocol
        return None
    number = _NUMBER.fullmatch(line.low, begin, end)
    return None if number and b"sshpass" not in head else (begin, end)


def _user_flag(line: Line, match: re.Match[bytes]) -> Span | None:
    r"""``-U 'D\u%X'``, ``wbinfo -a u%X``, curl's ``-u u:X``, lftp's ``-u u,X``."""
    begin, end = values.shell_word(line, match.end(), line.bound(match.end()))
    if _HEX.fullmatch(line.low, begin, end) and b"a" in match[0].rpartition(b" ")[2]:
        plain = bytes.fromhex(line.low[begin:end].decode("ascii"))  # an argument of an audit record
        return (begin, end) if b"%" in plain else None
    head = line.low[max(0, match.start() - 512) : match.start()]
    if head.endswith((b'"', b"'")) and begin == match.end():  # "-UD\\u%Two Words"
        end = line.string_end(head[-1:], begin, len(line.low))[0]
    if match["flag"] in (b"-a", b"-k") and not _WINBIND.search(head):
        return None
    mark = line.low.find(b"%", begin, end)
    for command, between in ((b"curl", b":"), (b"lftp", b",")):
        if command in head:
            marks = (mark, line.low.find(between, begin, end))
            mark = min((at for at in marks if at >= 0), default=-1)
    if mark < 0 or line.low.startswith(b"+", begin):
        return None
    return mark + 1, end


def _is_capital(line: Line, match: re.Match[bytes]) -> bool:
    return line.text[match.start("flag") : match.end("flag")].strip(b"-").isupper()


def _zip_flag(line: Line, match: re.Match[bytes]) -> Span | None:
    """``unzip -P X``; its ``-p`` is a pipe."""
    return _word(line, match) if _is_capital(line, match) else None


def _impacket_target(line: Line, match: re.Match[bytes]) -> Span | None:
    """``D/u:X@h``: up to the last ``@`` of the word; some ask the domain alone, without a host."""
    begin = match.end()
    end = values.shell_word(line, begin, line.bound(begin))[1]
    at = line.low.rfind(b"@", begin, end)
    if at < 0 and _ASKS_DOMAIN.search(match[0]):
        return begin, end
    return None if at < 0 else (begin, at)


def _net_use(line: Line, match: re.Match[bytes]) -> Span | None:
    r"""``net use [Z:] \\server\share [X] [/user:u]``."""
    at = match.end()
    share = False
    for _ in range(8):
        found = _NET_WORD.match(line.low, at)
        if found is None:
            return None
        begin, at = found.span(1)
        first = found[1].lstrip(b"\"'")
        if first.startswith((b"\\\\", b"//")):
            share = True
        elif share and not first.startswith((b"/", b"-")):
            return None if first == b"*" else (begin, at)
    return None


def _key_payload(line: Line, match: re.Match[bytes]) -> Span | None:
    """What ``keyctl add TYPE DESCRIPTION`` stores, up to the keyring."""
    begin = match.end()
    bound = line.bound(begin)
    end = _KEYRING.search(line.low, max(begin, bound - 64), bound)
    end_at = end.start() if end else bound
    return None if _NUMBER.fullmatch(line.low, begin, end_at) else (begin, end_at)


def _echoed(line: Line, match: re.Match[bytes]) -> Span | None:
    """``echo X | kinit``: one word, or all that is echoed."""
    begin, end = values.shell_word(line, match.end(), line.bound(match.end()))
    after = end + 1 if line.low[begin - 1 : begin] in (b'"', b"'") else end
    if _PIPED_INTO.match(line.low, after):
        return begin, end
    found = _UP_TO_PIPE.match(line.low, match.end())
    if found is None or not _PIPED_INTO.match(line.low, found.end()):
        return None
    return line.trimmed(match.end(), found.end())


def _here_string(line: Line, match: re.Match[bytes]) -> Span | None:
    """``kinit <<< X``."""
    head = line.low[max(0, match.start() - 160) : match.start()]
    return _word(line, match) if _READS.search(head) else None


COMMANDS: Final = (
    context(
        "a short flag and the word behind it",
        _PASSWORD_COMMANDS,
        FLAG_START
        + rb"(?P<flag>-[pw]|-[akx](?=[ \t\0\"',])|/rp|/p)(?:(?<=/p)ass(?:word)?)?(?:(?<![-a-z].):|"
        + GAP
        + rb")?(?=[^\s])",
        _login_flag,
    ),
    context(
        "user%password behind a flag",
        (b"%", b"curl", b"lftp", b"execve"),
        FLAG_START
        + rb"(?P<flag>-[uak]|--(?:proxy-)?user(?:name)?|--authenticate|--krb5auth|--pam-logon)(?:=|"
        + GAP
        + rb")?(?=[^\s])",
        _user_flag,
    ),
    context(
        "net use",
        (b" use ", b'"use"', b"use\0"),
        rb"\bnet(?:\.exe)?" + GAP + rb"[\"']?use" + GAP,
        _net_use,
    ),
    context(
        "smbclient's second argument",
        (b"smbclient",),
        rb"\bsmbclient"
        + GAP
        + rb"(?:(?P<quote>%b)(?://|\\\\)[^\"'\n]{1,256}+(?P=quote)" % QUOTE
        + rb"|(?://|\\\\)[^\s\0\"']{1,256}+)"
        + GAP
        + rb"(?=[^\s\0-])",
        _second_argument,
    ),
    context(
        "mysql -pX",
        (b"mysql", b"mariadb"),
        rb"\b(?:mysql|mariadb)[a-z_-]{0,16}+[^\n|]{0,128}?" + NEXT + rb"-p(?=[^\s\0\"'])",
        _word,
    ),
    context(
        "what is echoed into a command that asks for a password",
        (b"echo", b"printf", b"yes "),
        rb"\b(?:echo|printf|yes)[ \t]{1,8}(?:-[a-z]{1,3}[ \t]{1,8})?(?=[^\s|])",
        _echoed,
    ),
    context(
        "the payload of a key in a keyring",
        (b"keyctl", b"logon"),
        rb"(?:\bkeyctl%b(?:p?add%b[a-z_]{1,16}%b%b|p?update%b[0-9a-z:%%]{1,64})"
        rb"|\badd[ \t]{1,8}logon[ \t]{1,8}%b|\blogon(?=[ \t]{1,8}cifs:)[ \t]{1,8}+%b)%b"
        % (NEXT, NEXT, NEXT, _WORD, NEXT, _WORD, _WORD, NEXT),
        _key_payload,
    ),
    context(
        "the payload of a key, as strace shows it",
        (b"add_key(", b"keyctl_update"),
        rb"(?:\badd_key\(\"(?:logon|user)\", \"[^\"\n]{0,256}\", "
        rb"|\bkeyctl_update, [0-9]{1,20}, )(?=\")",
        _word,
    ),
    context(
        "what a command that asks for a password reads from a here-string",
        (b"<<<",),
        rb"<<<[ \t]{0,8}(?=[^\s])",
        _here_string,
    ),
    context(
        "samba-tool user create NAME X",
        (b"samba-tool",),
        rb"\bsamba-tool%buser%b(?:create|add)%b(?!-)%b%b(?=[^\s\0-])"
        % (NEXT, NEXT, NEXT, _WORD, NEXT),
        _word,
    ),
    context(
        "net user NAME X /add, net rpc password NAME X -U admin, net ads user add NAME X",
        (b"net user", b"net.exe user", b"net rpc ", b"net ads "),
        rb"\bnet(?:\.exe)? (?:user|(?:rpc|ads) (?:password|user add))"
        rb"[ \t]{1,8}[^\s/-][^\s]{0,128}+[ \t]{1,8}"
        rb"(?=[^\s/*-][^\s]{0,128}+(?:[ \t\r\n]{0,8}$|[ \t]{1,8}[/-]))",
        _word,
    ),
    context(
        "a string that PowerShell makes secure",
        (b"-securestring",),
        rb"\bconvertto-securestring[ \t]{1,8}(?:-string[ \t]{1,8})?"
        rb"(?=[\"']|[^\s$(-][^\s]{0,255}+[ \t]{1,8}-(?:asplaintext|force))",
        _word,
    ),
    context(
        "zip -P X, unzip -P X",
        (b"zip",),
        rb"\b(?:un)?zip[ \t\0][^\n|;]{0,128}?(?<=[ \t\0])-(?P<flag>p)"
        rb"(?:[ \t\0]{1,64}+)?(?=[^\s])",
        _zip_flag,
    ),
    context(
        "a command that prints a password, as an argument",
        (b"-file", b"-command"),
        FLAG_START
        + rb"--pass[a-z-]{0,16}-(?:file|command)(?:=|"
        + GAP
        + rb")[<(\"']{0,4}(?:echo|printf)[ \t]{1,8}[\"']?(?P<value>[^\s\"')]{1,256}+)",
        finders.claimed,
    ),
    context(
        "setx NAME X, csh's setenv NAME X, fish's set -x NAME X",
        (b"setx", b"setenv", b"set -"),
        rb"\bset(?:x(?:\.exe)?|env|[ \t]{1,8}-[a-z]{1,4})[ \t]{1,8}[a-z0-9_]{0,40}?"
        + SECRET_NAMES
        + rb"[ \t]{1,8}(?=[^\s])",
        _word,
    ),
    context(
        "smbpasswd -a NAME X, smbpasswd NAME X",
        (b"smbpasswd",),
        rb"\bsmbpasswd%b(?:-a%b)?(?!-)%b%b(?=[^\s\0-])" % (NEXT, NEXT, _WORD, NEXT),
        _second_argument,
    ),
    context(
        "rclone obscure X",
        (b"rclone",),
        rb"\brclone%bobscure%b(?=[^\s-])" % (NEXT, NEXT),
        _word,
    ),
    context(
        "htpasswd -b FILE NAME X",
        (b"htpasswd",),
        rb"\bhtpasswd%b-[a-z]{0,4}b[a-z]{0,4}%b%b%b%b%b(?=[^\s])"
        % (NEXT, NEXT, _WORD, NEXT, _WORD, NEXT),
        _word,
    ),
    context(
        "DOMAIN/user:password@host of impacket",
        (b".py", b"impacket-"),
        rb"(?:\b[a-z]{2,24}\.py|\bimpacket-[a-z]{2,24})(?:[ \t\0]{1,8}-[a-z-]{1,24}"
        rb"(?:[ \t\0]{1,8}[0-9][0-9.]{0,15})?){0,4}[ \t\0]{1,8}"
        rb"[\"']?(?:[^\s/:@\"']{1,64}/)?[^\s/:@\"']{1,64}:(?=[^\s/])",
        _impacket_target,
    ),
    context(
        "--hashes LM:NT",
        (b"-hashes",),
        FLAG_START + rb"--?hashes" + GAP + rb"(?=[0-9a-f:])",
        _word,
    ),
)
"""The contexts of command lines."""
