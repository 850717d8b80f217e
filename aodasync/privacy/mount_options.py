# SPDX-License-Identifier: MIT
"""Mount options, and where the value of one ends: a password may hold commas and blanks."""

from __future__ import annotations

import re
from typing import Final

from aodasync.privacy.line import Line
from aodasync.privacy.prose import next_message

__all__ = ["in_option_list", "is_counter", "is_foreign_option", "is_option", "option_value"]

_VALUE_OPTIONS: Final = frozenset(
    b"acdirmax acregmax actimeo addr backupgid backupuid bsize cache closetimeo comment "
    b"context cred credential credentials cruid defcontext dir_mode dirmode dmode dom domain "
    b"echo_interval esize file_mode filemode fmode fscontext fstype gid handletimeout helper "
    b"iocharset ip max_cached_dirs max_channels max_credits min_enc_offload netbiosname pass "
    b"passwd password password2 pfxpath port prefixpath rasize reparse retrans rootcontext "
    b"rsize sec servern servernetbiosname snapshot source srcaddr symlink symlinkroot target "
    b"timeo uhelper uid unc upcall_target user username ver vers workgroup wsize".split()
)
"""Mount options that have a value: of cifs.ko, mount.cifs(8), fstab(5) and autofs(5)."""

_SWITCHES: Final = (
    b"acl auto blocksend brl case cifsacl compress delete dev dfs diratime dynperm exec "
    b"forcegid forceuid handlecache iversion lease linux lock mand mapchars mapposix "
    b"multichannel perm persistenthandles posix posixpaths relatime resilienthandles serverino "
    b"setuids sfu sharesock soft sparse strictsync suid symfollow unicode unix user user_xattr "
    b"xattr atime lazytime autotune"
).split()
_FLAG_OPTIONS: Final = frozenset(
    b"_netdev async bind defaults dirsync directio domainauto forcedirectio forcemand "
    b"forcemandatorylock fsc group guest hard idsfromsid ignore_signature ignorecase locallease "
    b"loud mfsymlinks modefromsid modesid multiuser nativesocket noac nofail nonativesocket owner "
    b"rbind rdma remount ro rootfs rw rwpidforward seal seclabel setuidfromacl sign signloosely "
    b"silent sloppy strictatime sync tcpnodelay users witness".split()
) | frozenset([*_SWITCHES, *(b"no" + word for word in _SWITCHES)])
"""Mount options without a value."""

_FOREIGN_OPTIONS: Final = frozenset(
    b"bg bootwait codepage credfile cred_file data discard dmask errors fg fmask "
    b"grpquota intr nls nfsvers nobootwait nointr nolock proto quota shortname size tcp udp "
    b"umask usrquota utf8 windows_names".split()
)
"""Of other file systems and older clients: often given to cifs, which refuses them."""

# An odd comma that is not escaped, and the word behind it.
_OPTION: Final = re.compile(rb"(?<![,\\]),(?:,,)*+(?!,)(?=(?P<name>[a-z0-9_.-]{1,40}+)(?P<has>=?))")
_SHARE: Final = re.compile(rb"[ \t](?=:?//[^\s/,]{1,255}/|\\\\[^\s\\,]{1,255}\\)")
# The next option of a list that is separated by blanks, as Go prints one.
_SPACED: Final = re.compile(rb"[ \t](?=(?P<name>[a-z_]{3,24}+)=)")
_PATH: Final = re.compile(rb"[ \t](?=[/\\;|]|[0-9][ \t][0-9][ \t]?[\r\n]*$)")
_OPTION_LIST: Final = re.compile(
    rb"(?:,|(?:^|[\s\"'\[])(?:-o|--options?|options?=)[ \t\"']{0,8}|\bopts?=|(?:cifs|smb3)"
    rb"[ \t]{1,8}|fstype=[a-z0-9]{1,8},)$"
)
_AFTER_FLAG: Final = b", \t\r\n\0\"'])};\\"
_BLANK: Final = re.compile(rb"\s")
_COUNTER: Final = re.compile(rb"[0-9]{1,20},(?P<next>[a-z_]{1,40}+)")


def is_option(name: bytes, *, has_value: bool) -> bool:
    """Whether this is the name, in lower case, of a mount option with or without a value."""
    return name in (_VALUE_OPTIONS if has_value else _FLAG_OPTIONS) or name.startswith(b"x-")


def is_foreign_option(name: bytes) -> bool:
    """Whether another file system has a mount option of this name, in lower case."""
    return name in _FOREIGN_OPTIONS


def in_option_list(line: Line, start: int, value: int, bound: int) -> bool:
    """Whether a name at ``start`` is one of a list of mount options."""
    if _OPTION_LIST.search(line.low[max(0, start - 48) : start]):
        return True
    if line.low[value : value + 1] in (b'"', b"'"):
        return False
    # The first option of a list: another follows its value.
    option = line.following(_next_option, value)
    return option < min(bound, value + 256) and not _BLANK.search(line.low, value, option)


def is_counter(line: Line, value: int, bound: int) -> bool:
    """``pass=2,fail=7``: a number, and what follows is no mount option."""
    found = _COUNTER.match(line.low, value, bound)
    return found is not None and found["next"] not in _VALUE_OPTIONS | _FLAG_OPTIONS


def option_value(line: Line, begin: int, bound: int) -> tuple[int, int]:
    """A mount option's value: up to the next word that is a mount option.

    A password may hold commas and blanks. Without such a word it ends before a UNC
    path or an error's text, or else before any path, or at the bound.
    """
    return line.trimmed(begin, _option_end(line, begin, bound))


def _option_end(line: Line, begin: int, bound: int) -> int:
    if bound < len(line.low) and line.in_apostrophes(begin):
        return min(line.following(_next_option, begin), bound)
    if bound < len(line.low) and line.in_quotes(begin):
        return min(
            *(line.following(search, begin) for search in (_next_option, _next_share)), bound
        )
    *ends, path = (line.following(search, begin) for search in _OPTION_ENDS)
    end = min(*ends, bound)
    return end if end < bound else min(path, bound)


def _next_option(line: Line, begin: int) -> int:
    for found in _OPTION.finditer(line.low, begin):
        has_value = bool(found["has"])
        after = line.low[found.end("name") : found.end("name") + 1]
        if is_option(found["name"], has_value=has_value) and (has_value or after in _AFTER_FLAG):
            return found.end() - 1
    return len(line.low)


def _next_spaced(line: Line, begin: int) -> int:
    ansible = line.low.find(b"invoked with ", 0, 512) >= 0  # its parameters follow
    for found in _SPACED.finditer(line.low, begin):
        if ansible or found["name"] in _VALUE_OPTIONS:
            return found.start()
    return len(line.low)


def _next_share(line: Line, begin: int) -> int:
    found = _SHARE.search(line.low, begin)
    return found.start() if found else len(line.low)


def _next_path(line: Line, begin: int) -> int:
    found = _PATH.search(line.low, begin)
    return found.start() if found else len(line.low)


_OPTION_ENDS: Final = (_next_option, _next_spaced, _next_share, next_message, _next_path)
