# SPDX-License-Identifier: MIT
"""Other names for addresses, hosts, users, domains, shares and files: the same everywhere. Pure.

Names are first gathered from all of a bundle's texts (:meth:`Aliases.learn`), then
replaced in each (:meth:`Aliases.replace`), as whole words, whatever their case: a name
that one file shows as a share's is replaced in the logs as well. A share that is
called like a common word costs that word; better so than the other way round.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from unicodedata import normalize
from urllib.parse import quote

from aodasync.privacy.addresses import AddressAliases, is_address
from aodasync.privacy.audit_hex import plain_fields, with_fields
from aodasync.privacy.name_table import COMMON_WORDS
from aodasync.privacy.names import (
    Candidate,
    hexadecimal,
    member_candidates,
    names_in,
    octal,
)
from aodasync.privacy.word_trie import WordTrie

__all__ = ["Aliases"]

_LONGEST_NAME: Final = 255
_PIECE: Final = 64 * 1024
_MOST_CANDIDATES: Final = 50_000

# Names that tell nobody apart, and words that readers of a bundle look for.
_KEPT: Final = frozenset(
    [
        *("root", "nobody", "guest", "daemon", "anonymous", "administrator", "system", "localhost"),
        *(
            "(none)",
            "none",
            "(null)",
            "null",
            "unknown",
            "true",
            "false",
            "yes",
            "no",
            "ok",
            "error",
        ),
        *("cifs", "cifsd", "smb", "smb2", "smb3", "smbd", "kernel", "systemd", "sshd", "sudo"),
        *("user", "users", "username", "host", "domain", "share", "server", "workgroup"),
        *("uid", "gid", "mount", "password", "ipc$", "unc", "?"),
        *("cdrom", "floppy", "usb", "usb0", "git", "postmaster", "mailto"),
        *("linux", "samba", "windows"),
        # Parts of every other path; whoever tries passwords takes some of them for users.
        *("bin", "boot", "dev", "etc", "lib", "lib64", "mnt", "opt", "proc", "run", "sbin", "srv"),
        *("sys", "tmp", "usr", "var"),
    ]
)
# Accounts that systems have, and directories where their files are.
_SYSTEM_USERS: Final = frozenset(
    [
        *("backup", "cache", "data", "games", "home", "lib", "local", "log", "lp", "mail", "man"),
        *(
            "media",
            "news",
            "proxy",
            "share",
            "shutdown",
            "spool",
            "sync",
            "uucp",
            "www",
            "www-data",
        ),
    ]
)
# Ends of hosts' names that tell nobody apart, and are words elsewhere.
_COMMON_DOMAINS: Final = frozenset(
    ["arpa", "com", "internal", "intranet", "io", "lan", "local", "localdomain", "net", "org"]
)
_DOMAIN_PLUS: Final = re.compile(r"([A-Z][A-Z0-9.-]{1,63})\+([^+]{1,255})")
_DIALECT: Final = re.compile(r"[0-9.]+")


class Aliases:
    """What was replaced by what; ``mapping`` is kept by who anonymised the bundle.

    ``between`` is called before each piece of a text, with its length: whole lines.
    """

    def __init__(self, between: Callable[[int], None] = lambda _length: None) -> None:
        self._between = between
        self.mapping: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._trie = WordTrie(partial(between, 0))
        self._addresses = AddressAliases(self.mapping)
        self._homes: list[str] = []
        self._domains: set[str] = set()
        self._candidates: set[Candidate] = set()

    def learn(self, text: str) -> None:
        """Gather the names that a text shows."""
        for piece in self._pieces(text):
            self._learn(piece)
            for field in plain_fields(piece):
                self._learn(field)

    def _learn(self, text: str) -> None:
        # Domains first: what is called like one is no host.
        for kind, name in sorted(names_in(text), key=lambda found: found[0] != "domain"):
            if kind == "host":
                self.host(name)
            elif kind == "user":
                self._user(name)
            elif kind == "user?":
                if name.lower().strip(".") not in COMMON_WORDS:
                    self._user(name)
            elif kind == "home":
                self._homes.append(name)
            elif kind in ("file", "path"):
                for part in re.split(r"[\\/]+", name):
                    self._name("file" if kind == "file" else "folder", part)
            else:
                self._name(kind, name)
        self._candidates.update(
            found for found in member_candidates(text) if len(self._candidates) < _MOST_CANDIDATES
        )

    def host(self, name: str) -> None:
        """Learn a host's name; the first label of a full one stands for the same host."""
        if is_address(name) or name.lower() in self._domains:
            return
        label, _, domain = name.partition(".")
        self._name("host", label)
        if domain:
            self._name("domain", domain)

    def file(self, path: str) -> None:
        """Learn the parts of a file's path."""
        for part in path.split("/"):
            self._name("file", part)

    def file_path(self, path: str) -> str:
        """A file's path with another name for each part; also those that texts keep."""
        return "/".join(map(self._file_part, path.split("/")))

    def _file_part(self, part: str) -> str:
        if set(part) <= {"."}:
            return part
        alias = self._names.get(part.strip(".\\/ ").lower()) or self.mapping.get(part)
        if alias is None:
            self._counts["file"] += 1
            alias = self.mapping[part] = f"file{self._counts['file']}"
        return alias

    def keep(self, version: str) -> None:
        """A version of the kernel or a module: nothing in it is an address."""
        self._addresses.keep(version)

    def replace(self, text: str) -> str:
        """The text with other names; no name is learnt here, but addresses are."""
        for home in self._homes:
            self._home(home)
        self._homes.clear()
        for kind, name, domain in sorted(self._candidates):
            if domain.lower() in self._domains:
                self._name(kind, name)
        self._candidates.clear()
        pieces = self._pieces(text)
        return "".join(
            self._replaced(with_fields(piece, self._replaced, self._addresses.replace))
            for piece in pieces
        )

    def _replaced(self, text: str) -> str:
        return self._trie.replace(self._addresses.replace(text))

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text):
            end = text.find("\n", at + _PIECE) + 1 or len(text)
            self._between(end - at)
            yield text[at:end]
            at = end

    def _user(self, name: str) -> None:
        if plus := _DOMAIN_PLUS.fullmatch(name):
            name = f"{plus[1]}\\{plus[2]}"
        domain, slash, user = name.partition("\\")
        user, at, realm = (user.lstrip("\\") if slash else name).partition("@")
        if user.partition(".")[2].lower() in self._domains:
            self.host(user)
        else:
            self._name("user", user)
        if slash or at:
            self._name("domain", domain if slash else realm)

    def _home(self, path: str) -> None:
        """``/home/USER/...``, or winbind's ``/home/DOMAIN/USER/...``."""
        first, _, second = path.partition("/")
        if second and (first.isupper() or "." in first or first.lower() in self._domains):
            self._name("domain", first)
            self._name("user", second)
        else:
            self._name("user", first)

    def _name(self, kind: str, name: str) -> None:
        name = name.strip(".\\/ ")
        if name.endswith(")") and "(" not in name:
            name = name[:-1]  # of the text around it
        if kind == "user" and name.endswith("$"):
            kind, name = "host", name[:-1]  # a machine's account
        key = name.lower()
        if kind == "domain":
            if key in _COMMON_DOMAINS:
                return
            self._domains.add(key)
        if not 2 <= len(name) <= _LONGEST_NAME or key in _KEPT or key in self._names:
            return
        if kind == "user" and key in _SYSTEM_USERS:
            return
        if _DIALECT.fullmatch(name) or is_address(name) or set(name) == {"*"}:
            return
        self._counts[kind] += 1
        alias = f"{kind}{self._counts[kind]}"
        self._names[key] = self.mapping[name] = alias
        self._trie.add(name, alias)
        if not name.isascii():
            # A letter and its accent may be one character or two.
            for spelling in {name, normalize("NFC", name), normalize("NFD", name)}:
                self._trie.add(spelling, alias)
                # As URLs and JSON have it.
                self._trie.add(quote(spelling, errors="replace"), alias)
                self._trie.add(json.dumps(spelling)[1:-1], alias)
                self._trie.add(octal(spelling), alias)
                self._trie.add(hexadecimal(spelling), alias)
