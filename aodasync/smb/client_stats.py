# SPDX-License-Identifier: MIT
"""Reader of /proc/fs/cifs/Stats (cifs_stats_proc_show): the client's own totals.

Two counts are in it. With CONFIG_CIFS_STATS2 every connection has a table of its
requests by command ("SMB3 CMD  Number ..."), which ``__release_mid`` counts: every
request, once, whatever became of it. Without it there is "SMBs: N" of each share,
counted when a request is built for it: NEGOTIATE, SESSION_SETUP and ECHO are not
among those. Connections and shares of SMB1, of which nothing is recorded, count for
neither: their shares say "Oplocks breaks" (cifs_print_stats). (The share's "Creates: N"
and the like are no counts of requests: each byte-range lock is a CREATE and an oplock
break there, too.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aodasync.smb.commands import COMMAND_CODES

__all__ = ["ClientTotals", "client_totals"]

_ECHO: Final = COMMAND_CODES["SMB2_ECHO"]
_TABLE: Final = "  SMB3 CMD\tNumber\t"
_ROW: Final = re.compile(r"^  (?P<command>\d+)\t+(?P<count>-?\d+)\t")
_SHARE: Final = re.compile(r"^\d+\) (?P<share>\S.*)$")
_REQUESTS: Final = re.compile(r"^SMBs: (?P<count>\d+)(?P<smb1>.* Oplocks breaks: )?")
_WRAP: Final = 1 << 32  # of the kernel's atomic_t, which it prints as a signed number


@dataclass(frozen=True, slots=True)
class ClientTotals:
    r"""Requests that the client counted.

    ``released`` are those of all connections that there are now, less ECHO, modulo
    2**32; None where the kernel has no such tables. ``by_share`` are those of each
    mounted share (``\\server\share``) since it was mounted.
    """

    released: int | None
    by_share: Mapping[str, int]

    def since(self, earlier: ClientTotals) -> int | None:
        """Requests in between: at least these; None when the two cannot be compared.

        What is closed or unmounted takes its count with it.
        """
        if self.released is None or earlier.released is None:
            return sum(
                max(total - earlier.by_share.get(share, 0), 0)
                for share, total in self.by_share.items()
            )
        grown = (self.released - earlier.released) % _WRAP
        return grown if grown < _WRAP // 2 else None


def client_totals(text: str) -> ClientTotals:
    """The totals in the text of Stats.

    ECHO is left out: it is all that an idle client sends, and the fallback does not
    see it. Shares listed twice are summed.
    """
    has_tables, released, of_connection = False, 0, 0
    by_share: dict[str, int] = {}
    share = ""
    for line in text.split("\n"):  # names of shares hold what Unicode takes for an end of line
        if line.startswith(_TABLE):  # of the next connection; its shares follow
            has_tables, released, of_connection = True, released + of_connection, 0
        elif found := _ROW.match(line):
            has_tables = True
            if int(found["command"]) != _ECHO:
                of_connection += int(found["count"])
        elif found := _SHARE.match(line):
            share = found["share"].removesuffix("\tDISCONNECTED ").rstrip()
        elif share and (found := _REQUESTS.match(line)):
            if found["smb1"]:
                of_connection = 0
            else:
                by_share[share] = by_share.get(share, 0) + int(found["count"])
    total = (released + of_connection) % _WRAP
    return ClientTotals(total if has_tables else None, by_share)
