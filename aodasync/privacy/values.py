# SPDX-License-Identifier: MIT
"""Where the value behind a secret's name ends: a table of the syntaxes that a log holds.

A rule is asked for the end of a value that begins at ``key.value`` and may reach to
``key.bound``. None of them looks at a byte more often than a fixed number of times:
what a rule has searched is either part of the value, and never searched again, or
remembered (:meth:`Line.following`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aodasync.privacy.line import Line
from aodasync.privacy.mount_options import in_option_list, is_counter, option_value
from aodasync.privacy.no_secret import Key, is_evidence, is_number, is_plain
from aodasync.privacy.prose import next_message
from aodasync.privacy.vocabulary import OTHER_MEMBERS, QUOTE

__all__ = ["Key", "key_value", "shell_word"]


_QUOTE: Final = re.compile(QUOTE)
_FLAG: Final = re.compile(
    rb"(?:^|[\s\0\"'\[,=(;])(?:--?(?!o$)[a-z0-9_-]{0,40}"
    rb"|(?:-e|-var|--env|--build-arg|--set|--extra-vars|--from-literal)[ \t][a-z0-9_.-]{0,40})$"
)
_LINE_HEAD: Final = re.compile(
    rb"[ \t#;-]{0,64}(?:(?:export|set|setenv|declare|-x)[ \t]{1,8}){0,2}\$?(?:env:)?"
    rb"[a-z0-9_.-]{0,64}[\"']?"
)
_SHELL_WORD: Final = re.compile(
    rb"(?:[^\s\0\"'\\]|\\[^\n]|\"(?:[^\"\\]|\\[^\n])*+(?:\"|$)|'[^']*+(?:'|$)|\\$)*+"
)
_URL_END: Final = re.compile(rb"%26|[&\s\"'<>#\0]|\\[\"nrt]|\\{1,8}u0026")
_PARAMETER_END: Final = re.compile(rb"[&\s\"'<>#\0]|\\[\"nrt]|\\{1,8}u0026")
_FOLLOWED: Final = rb"[a-z_][a-z0-9_.-]{0,40}"
_PROSE_END: Final = re.compile(
    rb"[,;][ \t]{0,8}[\"']?%b[\"']?(?:=|:(?![ \t]))|[,;][ \t]{1,8}[\"']?%b[\"']?:"
    rb"|;[a-z][a-z0-9_. -]{0,40}=|;(?=[ \t]|$)|(?:&(?:amp;)?|\\{1,8}u0026)%b="
    rb"|[ \t](?:[\"']?%b=|%b: |[;|>]|&&|:?//|\\\\|/|--[a-z])|[\]})](?=[\s\]}),;\"']|$)|\\[nr]"
    % ((_FOLLOWED,) * 5)
)
# A bracket ends a map if nothing but more of them follows in that word.
_MAP_END: Final = {
    opening: re.compile(
        rb"[ \t%b]%b:|[ \t]%b=|%b(?=[\]})\"'\\,;]{0,16}(?:\s|$))"
        rb"|[ \t](?:[;|]|//|\\\\|/[a-z]{1,16}:)|\\[nr]" % (comma, _FOLLOWED, _FOLLOWED, closing)
    )
    for opening, comma, closing in ((b"[", b"", rb"\]"), (b"{", b",", rb"\}"))
}
_STRUCTURES: Final = (b"map[", b"&{", b"{key:", b"<key:")
_WHOLE_STRING: Final = re.compile(
    rb"\"[A-Z][A-Z0-9_]{0,80}=$|[\[,][ \t]{0,8}\\{0,31}\"[A-Za-z][A-Za-z0-9_.-]{0,80}=$"
)
_COMMAND: Final = re.compile(
    rb"[\"']?(?:;|[ \t]{1,8}(?:&&|(?:sudo[ \t]{1,8})?(?:/[a-z0-9./-]{1,64}/)?"
    rb"(?:mount|smbclient|rclone|sshpass|psql|mysql|kinit|curl)[.a-z0-9]{0,8}(?:[ \t]|$)))"
)
_VALUE_MEMBER: Final = re.compile(
    rb"\{%b[ \t]{0,8},?[ \t]{0,8}(?:%b)?(?:value|data|plain)(?:%b)?[ \t]{0,8}[:=][ \t]{0,8}"
    % (OTHER_MEMBERS, QUOTE, QUOTE)
)
_PARAMETER: Final = re.compile(rb"(?:[?&]|&amp;|%26|\\u0026)[a-z0-9_.-]{0,40}$")
_GO_BYTES: Final = re.compile(rb"\[\][a-z0-9]{1,16}\{")
_GO_STRING: Final = re.compile(rb"(?:\[\]byte|string)\((?=%b)" % QUOTE)
_PREFIX: Final = re.compile(rb"[bu](?=[\"'])")  # of Python's strings
_JSON_END: Final = re.compile(rb"[,}\]\s]")


def key_value(line: Line, key: Key) -> tuple[int, int] | None:
    """The value behind a name; None where it is none, or evidence."""
    for rule in _RULES:
        if rule.applies(line, key):
            span = rule.find(line, key)
            return span if span is not None and span[0] < span[1] else None
    return None


def shell_word(line: Line, begin: int, bound: int) -> tuple[int, int]:
    """A word of a command line, or what its quotation marks enclose."""
    if line.argv:
        return begin, bound
    mark = _QUOTE.match(line.low, begin, bound)
    if mark:
        end, after = line.string_end(mark[0], mark.end(), bound)
        if line.ends_word(after):
            return mark.end(), end
    found = _SHELL_WORD.match(line.low, begin, bound)
    return begin, found.end() if found else begin


# Each of these: whether a rule applies, and the value by it.


def _in_json(_line: Line, key: Key) -> bool:
    return bool(key.closing)


def _json(line: Line, key: Key) -> tuple[int, int] | None:
    prefix = _PREFIX.match(line.low, key.value)
    mark = _QUOTE.match(line.low, prefix.end() if prefix else key.value, key.bound)
    if mark:
        return mark.end(), line.string_end(mark[0], mark.end(), len(line.low))[0]
    first = line.low[key.value : key.value + 1]
    if member := _VALUE_MEMBER.match(line.low, key.value) or _GO_STRING.match(line.low, key.value):
        return shell_word(line, member.end(), len(line.low))
    if _holds_names(line, key):
        return None  # they decide
    if first in (b"[", b"{"):
        array = _GO_BYTES.match(line.low, key.value)
        return key.value, _balanced(line, array.end() - 1 if array else key.value, key.bound)
    if is_plain(line, key.value):
        return None
    end = _JSON_END.search(line.low, key.value, key.bound)
    return key.value, end.start() if end else key.bound


def _holds_names(line: Line, key: Key) -> bool:
    """Whether an object or a list of them stands there, and each of its members has a name."""
    if key.strong and line.low.startswith(b"pass", key.start):
        return False  # whose passwords they are
    return line.low.startswith((b"{", b"[{"), key.value)


_BRACKETS: Final = re.compile(rb"[\[{]|[\]}]|\\*+\"")


def _balanced(line: Line, begin: int, bound: int) -> int:
    """Behind the bracket that closes the one at ``begin``; strings hold none."""
    deep = 0
    at = begin
    while found := _BRACKETS.search(line.low, at, bound):
        at = found.end()
        if found[0] in (b"[", b"{"):
            deep += 1
        elif found[0] in (b"]", b"}"):
            deep -= 1
            if deep == 0:
                return at
        else:
            at = max(at, line.string_end(found[0], at, bound)[1])
    return bound


def _in_query(line: Line, key: Key) -> bool:
    return _PARAMETER.search(key.head(line)) is not None


def _query(line: Line, key: Key) -> tuple[int, int] | None:
    ends = _URL_END if key.separator.startswith(b"%") else _PARAMETER_END
    end = ends.search(line.low, key.value, key.bound)
    span = key.value, end.start() if end else key.bound
    return None if not key.strong and is_number(line, *span) else span


def _in_flag(line: Line, key: Key) -> bool:
    return b"=" in key.separator and _FLAG.search(key.head(line)) is not None


def _flag(line: Line, key: Key) -> tuple[int, int] | None:
    return shell_word(line, key.value, key.bound)


def _in_options(line: Line, key: Key) -> bool:
    return b"=" in key.separator and in_option_list(line, key.start, key.value, key.bound)


def _options(line: Line, key: Key) -> tuple[int, int] | None:
    if not key.strong and is_counter(line, key.value, key.bound):
        return None
    if line.low[key.value - 1 : key.value] in (b" ", b"\t") and line.low.startswith(
        (b"//", b"\\\\"), key.value
    ):
        return None  # an empty one
    return option_value(line, key.value, key.bound)


def _at_head(line: Line, key: Key) -> bool:
    head = _LINE_HEAD.match(line.low, 0, key.start)
    return line.begin == 0 and head is not None and head.end() == key.start


def _rest(line: Line, key: Key) -> tuple[int, int] | None:
    if is_evidence(line, key) or line.low.startswith(_STRUCTURES, key.value):
        return None
    if key.separator == b":" and line.low.startswith(b"[{", key.value) and _holds_names(line, key):
        return None
    head = line.text[: key.value]
    if key.separator == b"=" and head.isupper():  # NAME=X COMMAND, in a shell
        begin, end = shell_word(line, key.value, key.bound)
        if _COMMAND.match(line.low, end):
            return begin, end
    return line.trimmed(key.value, key.bound)


def _in_header(line: Line, key: Key) -> bool:
    if line.low.startswith((b"authorization", b"cookie"), key.start):
        return True
    return key.separator == b":" and _QUOTED_HEADER.search(key.head(line)) is not None


_BEFORE_HEADER: Final = re.compile(rb"([\"'])[a-z0-9-]{0,32}$")
_QUOTED_HEADER: Final = re.compile(rb"[\"'](?:[a-z0-9]{1,16}-){1,4}$")


_SCHEME: Final = re.compile(rb"(?:(?:basic|bearer|digest|negotiate|ntlm)[ \t]{1,8}+)?+")


def _header(line: Line, key: Key) -> tuple[int, int] | None:
    if line.low.startswith(b"[", key.value):
        return key.value, _balanced(line, key.value, key.bound)
    scheme = _SCHEME.match(line.low, key.value)
    begin = scheme.end() if scheme else key.value
    mark = _BEFORE_HEADER.search(key.head(line))
    if mark:
        return begin, line.string_end(mark[1], begin, len(line.low))[0]
    return line.trimmed(begin, key.bound)


def _in_map(line: Line, key: Key) -> bool:
    return line.low[key.value - 1 : key.value] == b":"


def _map(line: Line, key: Key) -> tuple[int, int] | None:
    if line.low.startswith((*_STRUCTURES, b"{"), key.value) or _holds_names(line, key):
        return None  # the names within it decide
    if line.low.startswith(b"[", key.value):
        return key.value, _balanced(line, key.value, key.bound)
    head = line.low[max(0, key.start - 256) : key.start]
    opening = b"{" if head.rfind(b"{") > head.rfind(b"[") else b"["
    return _unquoted(line, key, _MAP_END[opening])


def _always(_line: Line, _key: Key) -> bool:
    return True


def _prose(line: Line, key: Key) -> tuple[int, int] | None:
    return _unquoted(line, key, _PROSE_END)


def _unquoted(line: Line, key: Key, ends: re.Pattern[bytes]) -> tuple[int, int] | None:
    if is_evidence(line, key):
        return None
    begin = at = key.value
    mark = _QUOTE.match(line.low, begin, key.bound)
    if mark:
        end, at = line.string_end(mark[0], mark.end(), key.bound)
        if line.ends_word(at):
            return mark.end(), end
    if line.in_apostrophes(begin) or _is_whole_string(line, key):
        return line.trimmed(begin, key.bound)
    found = ends.search(line.low, at, key.bound)
    end = found.start() if found else key.bound
    return line.trimmed(begin, min(end, line.following(next_message, at)))


def _is_whole_string(line: Line, key: Key) -> bool:
    """``"NAME=..."`` of an environment, ``"name=..."`` in a list: all of it is the value."""
    name = line.text[max(0, key.start - 128) : key.value]
    return key.bound < len(line.low) and _WHOLE_STRING.search(name) is not None


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    applies: Callable[[Line, Key], bool]
    find: Callable[[Line, Key], tuple[int, int] | None]


_RULES: Final = (
    _Rule("a member of JSON, Python or Ruby, up to its quotation mark", _in_json, _json),
    _Rule("a header of HTTP, to its end", _in_header, _header),
    _Rule("a parameter of a URL", _in_query, _query),
    _Rule("--flag=value, and -e NAME=value, one word", _in_flag, _flag),
    _Rule("a credentials, INI, environment or YAML file: the whole line", _at_head, _rest),
    _Rule("a mount option, up to the next one", _in_options, _options),
    _Rule("a map or structure that Go printed, up to its next name", _in_map, _map),
    _Rule("anything else, up to the next name, path, flag or end", _always, _prose),
)
