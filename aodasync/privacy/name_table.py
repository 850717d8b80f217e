# SPDX-License-Identifier: MIT
"""Where texts show names of hosts, shares, users and domains: a table of patterns.

A row has its kinds, *needles* without one of which no text, in lower case, holds it, and a
pattern. Each pattern is linear in the text: no two quantifiers side by side share
characters in more than a bounded number of ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ACCOUNT", "COMMON_WORDS", "TABLE", "NamePattern"]

_WORDS: Final = """
    a access account accounts address addresses agent an and api are asked at authentication
    be buffer by can cannot change changed code command commands context copy could count
    counts credential credentials data database defined denied did directories directory
    does error event events failed failure file files for from group groups had has have
    home id ids in info information input instance interface interfaces is key keyring keys
    land level limit limits list lists logged login logins lookup manager mapping may memory
    mode mount mounts must name names namespace namespaces no not object of on option
    options or other page pages password permission permissions policy process processes
    profile program programs quota read reads record request requested requests resource
    runtime service services session sessions set settings should slice slices space stack
    supplied task tasks than that the thread threads time to token tool tools type units
    unknown was watches which who will with write writes xattr xattrs
"""
COMMON_WORDS: Final = frozenset(_WORDS.split())
"""Words that follow "user" in sentences and are no names."""

_WORD: Final = r"[^\s,;:\"'<>|()\[\]{}=\\/]{1,255}"
ACCOUNT: Final = r"[^\s,;:\"'`<>|()\[\]{}=/]{1,255}"
_HOST: Final = r"[^\s,;:\"'<>|()\[\]{}=\\/@]{1,255}"
# A part of a path in which other characters are escaped: mount tables, systemd, URLs.
_PART: Final = r"(?:[^\s,;:\"'\\/\[\]]|\\{1,4}(?:[0-3][0-7]{2}|x[0-9a-f]{2})){1,255}"
_LABEL: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63}){0,6}"
_FULL: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63}){1,6}"
_ADDRESS: Final = r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}(?:%[\w.-]{1,32})?"
_IPV4: Final = r"(?:\d{1,3}\.){3}\d{1,3}"
_SERVICE: Final = r"(?:cifs|host|http|ldap|nfs|dns|gc|termsrv|restrictedkrbhost)"
_REALM: Final = r"[A-Z][A-Z0-9-]{0,62}(?:\.[A-Z0-9-]{1,62}){1,6}"
_NO_MAIL: Final = (
    r"(?!(?:[\w-]{1,63}\.){0,4}(?:(?:kernel|debian|samba|fedoraproject|ntp)\.org"
    r"|(?:redhat|ubuntu|canonical|suse|openssh)\.com)\b)"
)
_MAIL_HOST: Final = (
    r"(?:[a-z0-9-]{1,63}\.){1,6}(?!(?:service|socket|slice|scope|target|timer|mount|device"
    r"|automount|swap|path|ko|c|h)\b)[a-z]{2,24}(?![\w@-])(?!\.\w)"
)
_USER_FOLLOWED: Final = (
    r"(?=[,;:)]|\.?$| \(| (?:and|as|at|authenticated|denied|does not|failed|from|granted|has|is"
    r"|logged|not|on|was|(?:\d{1,3}\.){3}|[0-9a-f]{0,4}:[0-9a-f:]{2}))"
)
_OPEN_FILE: Final = r"^0x[0-9a-f]{1,16}(?: 0x[0-9a-f]{1,16}){3}(?: \d{1,10}){3} "
_LEASE: Final = r"(?: (?:none|[RHW]{1,3}|[0-9a-fx-]{1,36})){0,3}$"
_STAMP: Final = (
    r"(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]{1,20}\S{1,6})"
)
_TO_USER: Final = rf"(?:FAILED SU )?\(to ({ACCOUNT})\) ({ACCOUNT}) on "
# What must not stand before them is looked at behind their first characters: that is quicker.
# A host of a domain of two labels or more: what services and files are called like has one dot.
_MEMBER: Final = r"(?:[\w-]{1,63}\.){2,6}[A-Za-z]{2,24}(?![\w.-])"
_UNC: Final = r"\\\\(?<![A-Za-z]:\\\\)(?<!\\\\\\)\\{0,6}"
_SLASHES: Final = (
    r"//(?:(?<=smb://)|(?<=smb3://)|(?<=cifs://)|(?<=file://)|(?<=file:////)|(?<![\w.%@:~/\\-]//))"
)
_STORAGE: Final = (  # an account of Azure
    r"[a-z0-9]{3,24}\.(?:privatelink\.)?(?:blob|dfs|file|queue|table|web)\.core\.[a-z.]{4,40}[a-z]"
)
_NO_LEVEL: Final = r"(?!(?i:debug|info|notice|warn|warning|err|error|crit|fatal|trace)\b)"
_MAY_BE_DOMAIN: Final = r"(?<![\w\\:/.-])(?!HK)([A-Z][A-Z0-9.-]{1,14})"


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A row; for alternatives, of which one matches, a pattern has more groups than kinds."""

    kinds: tuple[str, ...]
    needles: tuple[str, ...]
    pattern: re.Pattern[str]


def _row(kinds: str, needles: str, pattern: str) -> NamePattern:
    return NamePattern(
        tuple(kinds.split()), tuple(needles.split("|")), re.compile(pattern, re.MULTILINE)
    )


TABLE: Final = (
    # Shares. A line of DebugData or Stats shows all of a name with blanks.
    _row(
        "host share",
        ") \\\\",
        rf"\d\) \\\\({_HOST})\\([^\t\n]{{1,255}}?)(?:\tDISCONNECTED| Mounts: |[ \t]*$)",
    ),
    _row("host share", "\\\\", rf"{_UNC}({_HOST})\\{{1,4}}({_PART})"),
    _row("host", "\\\\", rf"{_UNC}({_HOST})"),
    _row("host share", "\\", rf"\\(?:(?<=^\\)|(?<=[\s=\"',(]\\))([\w.-]{{1,255}})\\({_PART})"),
    _row("host share", "\\unc\\", rf"\\UNC\\{{1,4}}({_HOST})\\{{1,4}}({_PART})"),
    _row("host share", "target |server ", rf"\b(?:target|server) ([\w.-]{{1,255}})\\({_PART})"),
    _row("path", "path", r"[Pp]ath[=:] ?\\{1,4}[^\\\s,]{1,255}\\[^\\\s,]{1,255}\\([^\s,]{1,1024})"),
    _row("share", "smb-share:", rf"\bsmb-share:[^\s/]{{0,512}}?\bshare=({_PART})"),
    _row(
        "share",
        "share",
        rf"\b(?i:server|host)=[^\s;,&]{{1,255}}[;,&] ?(?i:share(?:name)?)=({_PART})",
    ),
    _row("host share", "\\/\\/", rf"\b(?i:smb3?|cifs):\\/\\/({_HOST})\\/({_PART})"),
    _row(
        "host share",
        "%2f%2f",
        r"(?i:smb3?|cifs)%3[aA]%2[fF]%2[fF]([\w.-]{1,255})"
        r"%2[fF]((?:(?!%2[fF])[^\s,;:\"'/&]){1,255})",
    ),
    _row("share", "not found in map", rf"\bkey \"({_WORD})\" not found in map"),
    _row("share", "mount entry /", rf"\bmount entry (?:/[^\s/]{{1,255}}){{0,8}}/({_WORD})"),
    _row("share", " to service ", rf"\bconnect(?:ion)? to service ({_PART})"),
    _row("host share", "volume", rf"\bvolume(?:Handle|_?I[Dd])\W{{1,4}}({_LABEL})[#/]({_PART}?)#"),
    _row(
        "host share", "//", rf"{_SLASHES}(?:[^\s/@]{{1,255}}@)?({_HOST})(?::\d{{1,5}})?/({_PART})"
    ),
    _row("host share", ".core.", rf"//({_STORAGE})/([a-z0-9-]{{3,63}})(?![\w.])"),
    _row("host", ".core.", rf"\b({_STORAGE})\b"),
    _row("host", "storageaccounts/", r"/(?i:storageAccounts)/([a-z0-9]{3,24})\b"),
    _row("share", "/shares/", r"/(?i:fileServices)/default/shares/([a-z0-9-]{3,63})\b"),
    _row("group", "resourcegroups/", r"/(?i:resourceGroups)/([\w.()-]{1,90})"),
    _row("group", "volume(", r"\bvolume\(([\w.-]{1,90})#"),
    _row("host share", "://", rf"//(?:(?<=[ \t]://)|(?<=^://))({_HOST})/({_PART})"),
    _row("share", "\\\\|//", rf"(?:\\\\|//)\[?{_ADDRESS}\]?(?:\\{{1,4}}|/)({_PART})"),
    _row("host share", "#", r"\b[\w.-]{1,90}#([a-z0-9]{3,24})#([a-z0-9-]{3,63})\b"),
    # Files that are open.
    _row("file", "0x", rf"{_OPEN_FILE}([^\n]{{1,255}}?){_LEASE}"),
    # Hosts.
    _row("host", "resolve", rf"\bresolve address for ({_HOST})"),
    _row("host", "getaddrinfo|dns_resolver", rf"\b(?:getaddrinfo|dns_resolver:) ({_HOST})"),
    _row(
        "host",
        "resolve |nslookup |ping ",
        rf"\b(?:resolve|nslookup|ping) (?=[^\s.\d]{{0,64}}[.\d])({_HOST})",
    ),
    _row("host", " hostname: ", rf"\b(?:Static|Transient|origin) hostname: ({_HOST})"),
    _row("host", "-l", rf"[ \t]-L[ \t]?(?://|\\\\)?({_HOST})"),
    _row("host", "]@[", rf"\]@\[({_HOST})\]"),
    _row("host", "/net/", rf"(?<![^\s\"'])/net/({_HOST})"),
    _row(
        "host",
        "host=|server=|servern=|name=",
        rf"(?:\b|_)(?i:host|server|servern|rhost|netbiosname|hostname)=({_HOST})",
    ),
    _row("host", "hostname: ", rf"\bHostname: ({_HOST})"),
    _row("host", "name: ", rf"\bName: ({_HOST}) (?:Domain|Uses|Capability):"),
    _row("host", "workstation|netbios", rf"\b(?i:workstation|netbios name)[=:] ?({_LABEL})"),
    _row("host", "workstation [", rf"\bworkstation \[({_LABEL})\]"),
    _row(
        "host",
        " = ",
        rf"\b(?:netbios name|password server|server string|kdc|admin_server) = ({_LABEL})",
    ),
    _row(
        "host",
        "connect",
        rf"\b[Cc]onnect(?:ion|ing)? to (?:host )?({_LABEL})"
        r" (?:failed|at port|port \d|closed|for domain)",
    ),
    _row("host", " to ", rf"\b(?:[Tt]ree connect|Lost connection) to ({_LABEL})"),
    _row(
        "host",
        "server ",
        rf"\b[Ss]erver ({_HOST})"
        r" (?:has not responded|not responding|unreachable|does not advertise)",
    ),
    _row("host", " server ", rf"\bVFS: [^\n]{{0,64}}\brc = -\d{{1,3}} server ({_LABEL})"),
    _row("host", "server ", rf"\b[Ss]erver (?:name: )?[\"'\[]?{_NO_MAIL}({_MEMBER})"),
    _row("host", "server list: ", rf"\bserver list: [\"']?({_MEMBER})"),
    _row("host", "hostname ", rf"\b[Hh]ostname (?:(?:set|changed) )?to [<'\"]?({_LABEL})"),
    _row("host", "fqdn", rf"\b(?i:fqdn)\b\W{{1,4}}({_FULL})"),
    _row("host", "ping: ", rf"\bping: ({_LABEL}): "),
    _row("host", "ticket for ", rf"\bservice ticket for ({_LABEL})"),
    _row("host", "question |ptr ", rf"\b(?:question|PTR) ({_FULL})"),
    _row(
        "host",
        "address| in |alias",
        rf"(?<![\w.-])({_FULL})\.? (?:has (?:IPv6 )?address|is an alias|(?:\d{{1,8}} )?IN )",
    ),
    _row(
        "host",
        ".arpa",
        r"\b(?:in-addr|ip6)\.arpa\.?(?:[ \t]{1,32}(?:\d{1,8}|IN|PTR|domain name pointer)){0,3}"
        rf"[ \t]{{1,32}}({_FULL})",
    ),
    _row("host", "srv |service = ", rf"\b(?:SRV|service =) (?:\d{{1,5}} ){{0,3}}({_FULL})"),
    _row("host", ">", rf"(?<![\w.-])({_LABEL})<(?:00|1[bcde]|20)>"),
    _row("host", "name server ", rf"\bname server ({_LABEL}) (?:is now|has stopped)"),
    _row(
        "host",
        "host ",
        rf"\b[Hh]ost (?=[^\s.\d-]{{0,64}}[.\d-])({_LABEL}) (?:is )?(?:unreachable|down)\b",
    ),
    _row("host", ".", rf"^[ \t]{{0,8}}{_IPV4}[ \t]{{1,32}}({_FULL})"),
    _row(
        "host host",
        ".",
        rf"^[ \t]{{0,8}}{_IPV4}[ \t]{{1,32}}([\w-]{{1,63}})[ \t]{{1,32}}(\1\.[\w.-]{{1,190}})",
    ),
    _row("host", " (", rf"\b{_IPV4} \(({_FULL})\)"),
    _row("host", "node", rf"\bnode(?:name)?=\"({_LABEL})\""),
    _row(
        "host", " (", rf"\b(?:from|[Ss]erver|PING) (?=[^\s(]{{0,64}}[\d.-])({_LABEL}) \({_IPV4}\)"
    ),
    _row("host", ") c", rf"(?<![\w.:-])({_LABEL}) \({_IPV4}\) (?:closed|connect)"),
    _row("host", " (ipv", rf"(?<![\w.:-])({_LABEL}) {{1,16}}\(ipv[46]:"),
    _row("host", "linux ", rf"\bLinux ({_LABEL}) \d{{1,2}}\.\d{{1,3}}\.\d[\w.+~-]{{0,64}} #\d"),
    _row(
        "host",
        "connect|dc ",
        rf"\b(?:[Cc]onnect(?:ed|ing)? to|[Dd][Cc]) (?!(?:com|io|net|org)\.){_NO_MAIL}({_MEMBER})",
    ),
    _row(
        "host",
        "name is |conflict|name changed ",
        rf"\b[Hh]ost ?name (?:is ({_FULL})"
        rf"|(?:conflict, retrying with|changed from) [\"']?({_LABEL}))",
    ),
    _row("host", ":microsoft-ds", rf"(?<![\w./:@-])({_LABEL}):microsoft-ds\b"),
    _row("host", ":445", rf"(?<![\w./:@-])({_FULL}):445\b"),
    _row(
        "host",
        ":microsoft-ds",
        rf"(?<![\w./:@-])({_LABEL}):\d{{2,5}} {{1,64}}[^\s:]{{1,255}}:microsoft-ds\b",
    ),
    _row("host host", " > ", rf"\bIP6? ({_LABEL})\.[\w-]{{1,32}} > ({_LABEL})\.[\w-]{{1,32}}:"),
    _row("host", "-", r"(?<![\w.-])((?:[a-z]{2,8}-)?\d{1,3}(?:-\d{1,3}){3})(?=\.[a-z])"),
    _row("host domain", "@", rf"\b(?i:{_SERVICE})/({_HOST})@({_WORD})"),
    _row("host", "cifs/|host/", rf"(?<![\w./-])(?:cifs|host)/({_LABEL})(?!\.[ch]\b)(?![\w./@-])"),
    _row("host", ":", rf"^{_STAMP} {_NO_LEVEL}({_HOST}) [\w./-]{{1,64}}(?:\[\d{{1,10}}\])?:"),
    # Domains.
    _row("user", "@", rf"\b(?i:smb3?|cifs|sftp|ssh)://({ACCOUNT})(?::[^\s/@]{{0,255}})?@"),
    _row("domain user", ";", rf"//({_WORD});({_WORD})(?::[^\s/@]{{0,255}})?@"),
    _row("user domain", "@", rf"(?<![\w@/.\\-])([\w.$-]{{1,64}})@({_REALM})"),
    _row(
        "user user domain",
        "@",
        rf"(?<![\w@/.\\-])(?!(?i:{_SERVICE}|krbtgt)/)([\w.-]{{1,64}})/([\w.-]{{1,64}})@({_REALM})",
    ),
    _row("user domain", "@", rf"(?<![\w@/.\\-])([\w.$-]{{1,64}})@{_NO_MAIL}({_MAIL_HOST})"),
    _row("domain user", "-u", rf"[ \t]-U[ \t]?[\"']?({_WORD})[/\\]\\{{0,3}}([^\s,%\"']{{1,255}})"),
    _row(
        "domain",
        "=",
        rf"\b(?i:domain(?:name)?|dom|workgroup|(?:default_)?realm)(?:=\[?| = )({_WORD})",
    ),
    _row("domain", "dc=", r"\b(?i:dc)=([\w-]{1,63})(?:,[ \t]?(?i:dc)=[\w-]{1,63}){1,6}"),
    _row(
        "domain",
        "._tcp.|._udp.",
        rf"\._(?:tcp|udp)\.(?:[\w-]{{1,63}}\._[a-z]{{5}}\.){{0,2}}({_FULL})",
    ),
    _row("domain", " is a trusted domain", rf"(?<![\w.-])({_LABEL}) is a trusted domain\b"),
    _row("domain", "cifscreds ", rf"\bcifscreds [^\n|;]{{0,64}}?(?<=[ \t])-d[ \t]?({_WORD})"),
    _row("domain", "realm |krbtgt/|kdcinfo", rf"\b(?:realm [\"']?|krbtgt/|kdcinfo\.)({_REALM})"),
    _row("domain", "ed domain ", rf"\b[Jj]oined domain ({_WORD})"),
    _row("domain", " realm ", rf"\b[Dd]omain \S{{1,64}} realm ({_FULL})"),
    _row("domain", " name |_name ", rf"\bdomain[ _]name(?: '| => ')({_WORD})'"),
    _row(
        "domain",
        "domain |dc for |workgroup ",
        r"\b(?:DC for|(?:for|in|of) (?:domain|workgroup)) [\"'\[]?"
        r"(?!(?:AD|CPU|DIE|DNS|IP|MC|NIS|NUMA|PCI|PM|SMT|TLS)\b)([A-Z][A-Z0-9.-]{2,62})\b",
    ),
    _row("domain", "domain |search ", rf"(?:^|; )(?:domain|search) ({_FULL})"),
    _row("domain", "[be[|sssd[", rf"(?:\bsssd|\[be)\[({_FULL})\]"),
    _row("domain", ": ", rf"\b(?i:(?:domain|workgroup|realm)(?:[- ]?name)?): ({_WORD})"),
    _row("domain", "domain:", r"\bDomain:([A-Z][A-Z0-9.-]{1,62})\b"),
    _row("domain user", "]\\", rf"\[({_WORD})\]\\{{1,4}}\[({_WORD})\]"),
    _row("domain user", "\\", rf"{_MAY_BE_DOMAIN}\\{{1,4}}({_WORD}+)(?!\\)"),
    _row("domain user", "(", r"\d\(([\w.-]{2,64})\\{1,4}([^()\n]{1,64})\)"),
    _row("domain user", "user", rf"\b(?i:user_?(?:name)?)=({_WORD})/({_WORD})"),
    # Users. The name may have its domain with it.
    _row(
        "user",
        "=",
        r"\b(?i:user_?(?:name)?|logname|login|upn|cruser|ruser|acct)=[\"']?" + f"({ACCOUNT})",
    ),
    _row("user", " user ", rf"\bfor (?:invalid |illegal )user \[?[\"']?({ACCOUNT})"),
    _row("user", "user", rf"\b[Uu]sers? [\"'`\[]({ACCOUNT})"),
    _row("user", "user: ", rf"\b[Uu]ser: ({ACCOUNT})$"),
    _row("user?", " user ", rf"\b(?i:for|invalid|of|by|as|unknown|local|new) [Uu]ser ({ACCOUNT})"),
    _row("user?", "user", rf"\b[Uu]ser(?:name)? ({ACCOUNT}+){_USER_FOLLOWED}"),
    _row("user?", " logged ", rf"(?:\b[Uu]ser|:) ({ACCOUNT}) logged (?:in|on|off|out)\b"),
    _row("user?", "password ", rf"\bpassword (?:changed|expired|expiry) for ({ACCOUNT})"),
    _row("user?", "credcache for ", rf"\bcredcache for ({ACCOUNT})"),
    _row("user", "cifscreds ", rf"\bcifscreds [^\n|;]{{0,64}}?(?<=[ \t])-u[ \t]?({ACCOUNT})"),
    _row("user", "cn=", r"\b(?i:cn)=([^,=\n\"]{1,64}),[ \t]?(?i:ou|cn)="),
    _row("user", "user:", rf"^(?:default:)?user:({_WORD}):[r-][w-][xX-]"),
    _row("group", "group:", rf"^(?:default:)?group:({_WORD}):[r-][w-][xX-]"),
    _row("user", " (ipv", rf"^\d{{1,10}} {{1,8}}({ACCOUNT}) {{1,16}}[^\n]{{1,64}}? \(ipv[46]:"),
    _row("user", "(uid=", rf"\bby ({ACCOUNT})\(uid=|: ({ACCOUNT}) \(uid=\d{{1,10}}, gid="),
    _row(
        "user",
        "slice of | by ",
        rf"\bUser Slice of ({ACCOUNT})|\bLOGIN ON \S{{1,64}} BY ({ACCOUNT})",
    ),
    _row("user", "[priv", rf"\bsshd(?:\[\d{{1,10}}\])?: ({ACCOUNT}) \[priv"),
    _row("user", "unix-user:", rf"\bunix-user:({ACCOUNT})"),
    _row("user", "password for '", rf"\bpassword for '({ACCOUNT})'"),
    _row("user", "' to ", rf"\b(?:add|remove) '({ACCOUNT})' (?:to|from) (?:shadow )?group\b"),
    _row(
        "user host",
        "ssh |scp |sftp ",
        rf"\b(?:ssh|scp|sftp) [^\n|;&@]{{0,128}}?\b([\w.-]{{1,64}})@({_LABEL})",
    ),
    _row("user", "ssh ", rf"\bssh [^\n|;&]{{0,128}}?-l ?({ACCOUNT})"),
    _row("domain user", "/u", rf"[ \t\"']/u(?:ser)?:({_WORD})\\{{1,4}}({_WORD})"),
    _row("user", "/u", rf"[ \t\"']/u(?:ser)?:({_WORD})(?![\w\\])"),
    _row("user", "new user: ", rf"\bnew user: name=({ACCOUNT})"),
    _row("user", " for ", rf"\b(?:Accepted|Failed|Postponed) \S{{1,64}} for ({ACCOUNT}) from "),
    _row("user", "-u", r"[ \t]-U[ \t]?[\"']?([^\s,%\"'/\\]{1,255})(?![/\\])"),
    _row("user user", "(to ", rf"\bsu(?:\[\d{{1,10}}\])?: {_TO_USER}"),
    _row("user", "/", rf"/(?:Users|run/media|crontabs|mail|AccountsService/users)/({_WORD})"),
    _row("user", "\\users\\", rf"\\Users\\{{1,4}}({_WORD})"),
    _row("user", "/media/", rf"(?<![\w.])/media/({_WORD})/"),
    _row("user", "sudo", rf"\bsudo(?:\[\d{{1,10}}\])?:[ \t]{{1,64}}({ACCOUNT}) : "),
    _row("user", "cron", rf"\b(?i:crond?|crontab)\[\d{{1,10}}\]: \(({ACCOUNT})\) "),
    _row("user", "uid=", rf"\buid=\d{{1,10}}\(({ACCOUNT})\)"),
    _row("user", "uid=", rf"uid=[\"']?(?!\d|-|unset\b)({ACCOUNT})"),
    _row("group", "gid=", rf"\b(?:backup)?gid=(?!\d|-|unset\b)({_WORD})"),
    _row(
        "user", " for ", rf"\bauthenticat(?:ed|ion) (?:failed|failure|success)? ?for ({ACCOUNT})$"
    ),
    _row("user", "principal", rf"\b[Pp]rincipal:? ({ACCOUNT})"),
    _row("home", "/home/", r"/home/([^\s,;:\"'/]{1,255}(?:/[^\s,;:\"'/]{1,255})?)"),
)
