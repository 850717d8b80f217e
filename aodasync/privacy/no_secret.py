# SPDX-License-Identifier: MIT
"""What stands behind the name of a secret and is none: evidence, which must stay.

Counters, statuses, words for nothing, and what a message says of a file, a key or a service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from aodasync.privacy.line import Line
from aodasync.privacy.prose import is_message
from aodasync.privacy.vocabulary import KEPT, NUMBER

__all__ = ["Key", "is_evidence", "is_number", "is_plain"]

_KEPT: Final = re.compile(rb"(?:%b)(?![^\s,;:)\]}\"'\\&|<])" % KEPT)
_NUMBER: Final = re.compile(rb"%b(?:/[0-9]{1,9})?(?![^\s,;:)\]}\"'\\&|<])" % NUMBER)
_BLOCK_SCALAR: Final = re.compile(
    rb"(?:[!&][^\s]{1,64}[ \t]{1,8}){0,3}[|>][-+0-9]{0,3}[ \t]{0,64}(?:#[^\n]{0,256})?[\r\n]*$"
)
_FILE_NAME: Final = re.compile(rb"(?:^|[\s\"'(])[~.]?/[^\s:]*$")
_SERVICES: Final = re.compile(
    rb"(?:(?:files|compat|sss|systemd|winbind|ldap|nis|db|altfiles"
    rb"|extrausers|\[[a-z!=]{1,32}\])[ \t]{0,8}){1,9}"
)
# What passwd(1) says.
_PASSWD: Final = re.compile(
    rb"user '|password (?:changed|expiry|unchanged|updated)|authentication token|you (?:may|must) "
)
_PAM: Final = re.compile(rb"\bpam_[a-z0-9_]{1,24}\([a-z0-9_.@-]{0,16}$")
_PROSE: Final = re.compile(rb"[a-z]{2,20}[ \t]|[^\s]{1,128} -> ")
# What a message says of a key, of a token: in which state it is, where, whose.
_STATES: Final = rb"(?:expired|invalid|missing|not [a-z]{3,12}|revoked|unknown|unset|empty|valid)"
_STATE: Final = re.compile(_STATES + rb"(?=[,;:.)\]}\"']|[ \t\r\n]*$)")
_ABOUT: Final = re.compile(
    rb"(?:%b|[a-z0-9._-]{1,64}@[a-z0-9-]{1,32}\.[a-z]{2,24}|(?:/[a-z0-9._-]{1,32}){2,8})"
    rb"(?![^\s,;:.)\]}\"'\\])|rc[ =]|sas_addr|sha256:" % _STATES
)
_FAILED: Final = re.compile(
    rb"\b(?:could ?n[o']t|can ?not|can't|failed to|unable to|error|failure)[ \t][a-z ]{0,40}$"
)
# Samba puts the name of a function before a message: check_ntlm_password.
_FUNCTION: Final = re.compile(
    rb"(?<![a-z0-9_])(?:auth_check|change_oem|check|cm|fetch|get|gss|kerberos|krb5|libnet|netlogon"
    rb"|rpccli|samr|secrets|verify|winbindd?)"
    rb"_(?:[a-z0-9]{1,24}_){0,6}$"
)
_SENTENCE: Final = re.compile(
    rb"[a-z_]{3,24}[ \t](?:[a-z]{2,24}[ \t.:]|(?:denied|expired|failed|incorrect)\b)"
)
_FAILURE: Final = re.compile(
    rb"[a-z][a-z0-9]{1,19}[ \t][a-z0-9 \t]{0,48}?"
    rb"\b(?:denied|error|expired|fail|invalid|no|not|wrong)"
)


@dataclass(frozen=True, slots=True)
class Key:
    """The name of a secret at ``start``, its value between ``value`` and at most ``bound``.

    ``closing`` is the quotation mark right behind the name (``"password":``), ``separator``
    what stands between the two.
    """

    start: int
    value: int
    bound: int
    strong: bool
    closing: bytes
    separator: bytes

    def head(self, line: Line) -> bytes:
        """What stands before the name."""
        return line.low[max(0, self.start - 48) : self.start]


def is_number(line: Line, begin: int, end: int) -> bool:
    """Whether all of it is a number, with a unit or as a part of another."""
    return _NUMBER.fullmatch(line.low, begin, end) is not None


def is_plain(line: Line, at: int) -> bool:
    """Whether a number, a status or a word for nothing stands there."""
    return bool(_KEPT.match(line.low, at) or _NUMBER.match(line.low, at))


def is_evidence(line: Line, key: Key) -> bool:
    """A counter, a status, a word for nothing, a block scalar; sudo's PWD= is a directory."""
    if line.text.startswith(b"PWD=/", key.value - 4) or _KEPT.match(line.low, key.value):
        return True
    if is_message(line, key.value) or _is_prose(line, key):
        return True
    if _BLOCK_SCALAR.match(line.low, key.value, key.bound):
        return True
    number = _NUMBER.match(line.low, key.value)
    return number is not None and (not key.strong or number.end() - number.start() <= 3)


def _is_prose(line: Line, key: Key) -> bool:
    """What a message says of a file, of a service of PAM, of a key."""
    if not key.separator.startswith(b":"):
        return False
    head = key.head(line)
    if _PAM.search(head):
        return True
    said = _FUNCTION.search(head) and _SENTENCE.match(line.low, key.value)
    if said or (_FAILED.search(head) and _FAILURE.match(line.text, key.value)):
        return True
    about = not line.low.startswith((b"pass", b"pw"), key.start)
    if about and (_STATE if key.strong else _ABOUT).match(line.low, key.value):
        return True
    about = about and not key.strong
    about = about or _FILE_NAME.search(head) is not None
    if line.low.startswith(b"passwd", key.start) and (
        _SERVICES.fullmatch(line.low[key.value :].strip()) or _PASSWD.match(line.low, key.value)
    ):
        return True
    return about and _PROSE.match(line.text, key.value) is not None
