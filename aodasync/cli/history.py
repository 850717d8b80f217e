# SPDX-License-Identifier: MIT
"""``aodasync history``: an episode a line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TextIO

from aodasync.cli.durations import duration
from aodasync.cli.json_text import json_text
from aodasync.cli.why import load
from aodasync.errors import ExitCode
from aodasync.evidence.history import PastEpisode
from aodasync.host.printable import printable

__all__ = ["list_history"]

_MOST_CHARACTERS: Final = 64  # of a name, in a list


def list_history(directory: Path, *, since_ns: int, server: str, as_json: bool, out: TextIO) -> int:
    """One episode a line, the newest last; exit code 1 where none matches."""
    found = [
        episode
        for episode in load(directory)
        if episode.began_ns >= since_ns and server.casefold() in episode.server.casefold()
    ]
    if as_json:
        listed = [episode.as_json() for episode in found]
        out.write(json_text({"schema_version": 1, "episodes": listed}))
    elif found:
        out.writelines(f"{printable(line)}\n" for line in _table(found))
    if not found:
        sys.stderr.write("no episode so far\n" if not (since_ns or server) else "no episode fits\n")
    return ExitCode.OK if found else ExitCode.FAILURE


def _table(found: Iterable[PastEpisode]) -> list[str]:
    heads = ("BEGAN", "LASTED", "ANOMALY", "SERVER", "CAUSE", "COUNT", "WORST", "EPISODE")
    rows = [heads]
    for episode in found:
        if episode.ended_ns is not None:
            lasted = duration(episode.ended_ns - episode.began_ns)
        else:
            lasted = "?" if episode.cut_off else "open"
        rows.append(
            (
                time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(episode.began_ns / 1e9)),
                lasted,
                episode.anomaly[:_MOST_CHARACTERS],
                episode.server[:_MOST_CHARACTERS],
                str(episode.verdict.get("cause") or "-")[:_MOST_CHARACTERS],
                f"{episode.count:,}",
                f"{episode.worst_ms:,.0f} ms" if episode.worst_ms else "-",
                episode.id[:_MOST_CHARACTERS],
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
