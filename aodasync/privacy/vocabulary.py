# SPDX-License-Identifier: MIT
"""The words that redaction knows: names of secrets, quotation marks, values that are none.

All patterns are for lower-case bytes. None has two unbounded quantifiers side by side.
"""

from __future__ import annotations

from typing import Final

__all__ = ["KEPT", "MASK", "NUMBER", "OTHER_MEMBERS", "QUOTE", "SECRET_NAMES", "WEAK_NAMES"]

MASK: Final = b"********"
"""What a secret becomes."""

# Each alternative begins with a letter, which is what makes the search for them quick; what
# must not stand before a name is looked at behind it.
_ALONE: Final = rb"(?:(?<![a-z0-9]%b)|(?<=\\[nrt]%b))"
_BEHIND_ESCAPED: Final = b"".join(
    rb"|(?<=%b%b)" % (mark, name)
    for mark in (b"u0026", b"%26", b"%3f")  # "&" and "?", of JSON and of URLs within URLs
    for name in (b"sig", b"sas")
)
_OTHER_KEYS: Final = (
    b"".join(
        rb"(?<!%b[_-]key)" % word
        for word in (b"public", b"pub", b"host", b"request", b"primary", b"foreign", b"lease")
    )
    + rb"(?<!kernel key)(?<!lease key)(?<!public key)(?<!host key)(?<!sense key)"
)
_OTHER_PASS: Final = b"".join(
    rb"(?<!%bpass)" % word for word in (b"by", b"com", b"sur", b"tres", b"no-")
)

_PW_OF: Final = b"".join(
    rb"|(?<=%bpw)" % word
    for word in (b"admin", b"bind", b"cifs", b"db", b"ldap", b"login", b"root", b"smb", b"user")
)

WEAK_NAMES: Final = frozenset(
    [b"pass", b"token", b"cred", b"creds", b"pw", b"key", b"sig", b"sas", b"signature"]
)
"""Names behind which a number is a counter, an identifier or a signal."""

SECRET_NAMES: Final = (
    rb"(?P<name>pass(?:[_-]?word|wd|[ _-]?phrase|code|wort)(?<!no-password)|pswd|psk%b"
    rb"|pwd(?<!oldpwd)|credentials?|secret(?:[_ -]?(?:(?:access[_-]?)?key|string))?"
    rb"|shared_?access_?(?:signature|key)|authorization|authtok"
    rb"|kennwort|contrase\xc3\xb1a|wachtwoord|senha|mot[_ ]?de[_ ]?passe|has\xc5\x82o"
    rb"|l\xc3\xb6senord|pa\xc3\x9fwort|pas(?:s(?:ow?r|wro?|wo)|w(?:or?|r)?)d(?![a-z])"
    # Russian, Chinese and Japanese.
    rb"|\xd0[\xbf\x9f]\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c|\xe5\xaf\x86(?:\xe7\xa0\x81|\xe7\xa2\xbc)"
    rb"|\xe3\x83\x91\xe3\x82\xb9\xe3\x83\xaf\xe3\x83\xbc\xe3\x83\x89"
    rb"|cookie(?=[\"']?:)|api[_ -]?key|ac(?:cess|count)[_ -]?key|private[_ -]?key|shared[_ -]?key"
    rb"|s(?:torage|ubscription|igning|ession)[_ -]?key|encryption[_ -]?key|decryption[_ -]?key"
    rb"|master[_ -]?key|auth[_ -]?key|client[_ -]?key|ntlm(?:v2)?[_ -]?hash|nt[_ -]?hash"
    rb"|lm[_ -]?hash"
    rb"|pass(?![a-z])%b|token|creds?(?![a-z])|pw%b|key%b%b"
    rb"|s(?:ig(?:nature)?|as)(?:(?<![a-z0-9_]sig)(?<![a-z0-9_]sas)(?<![a-z0-9_]signature)%b))"
    rb"(?:s|[_-]?(?:[0-9]{1,2}|value|text|plain|b64|base64|hash|old|new|current))?"
) % (
    _ALONE % (b"psk", b"psk"),
    _OTHER_PASS,
    b"(?:" + _ALONE % (b"pw", b"pw") + _PW_OF + b")",
    _ALONE % (b"key", b"key"),
    _OTHER_KEYS,
    _BEHIND_ESCAPED,
)
"""Names whose value is a secret, also as the end of a longer name; group ``name``."""

QUOTE: Final = rb"(?:\\{0,31}+\"|\\{0,31}+'|%22|%27|&quot;|&#34;|\\u0022|\\x22)"
"""A quotation mark, as escapes of strings within strings, URLs and HTML have it."""

OTHER_MEMBERS: Final = (
    rb"(?:[ \t]{0,8}[,;]?[ \t]{0,8}\\{0,7}[\"']?(?!value)[a-z_]{1,32}\\{0,7}[\"']?[ \t]{0,8}[:=]"
    rb"[ \t]{0,8}\\{0,7}[\"']?[a-z0-9_./-]{0,64}\\{0,7}[\"']?){0,2}"
)
"""What may stand between a name and its value in JSON: a type, whether it is sensitive."""

NUMBER: Final = rb"[-+]?(?:0x[0-9a-f]{1,16}|[0-9]{1,20}(?:\.[0-9]{1,20})?)(?:[a-z%]{1,2})?"

KEPT: Final = (
    rb"(?:\(null\)|\(none\)|<nil>|<none>|<redacted>|null|none|nil|true|false|yes|no"
    rb"|not (?:set|required|given|configured|provided)"
    rb"|(?:nt_)?status_[a-z_]{1,60})"
)
"""Values that are no secrets but evidence."""
