# SPDX-License-Identifier: MIT
"""``aodasync slow`` and ``aodasync inflight``: requests as they end, and those that have not.

Their columns are those of nfsslower(8), and the phases of a request: waiting for the
response (wire), and until the caller took it (client).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, TextIO

from aodasync.cli.live_client import connected
from aodasync.errors import ExitCode
from aodasync.events import EventArray, Outcome
from aodasync.host.printable import printable
from aodasync.live.frames import Subscription
from aodasync.live.window import Window
from aodasync.smb.commands import command_name
from aodasync.smb.ntstatus import status_name

__all__ = ["Wanted", "described", "inflight", "slow"]

_HEAD: Final = (
    f"{'TIME':<12} {'COMM':<16} {'PID':>7} {'COMMAND':<15} {'LAT(ms)':>9} {'WIRE':>9}"
    f" {'CLIENT':>8} {'STATUS':<24} FILE"
)
_WAITING_HEAD: Final = f"{'AGE(ms)':>10} {'COMM':<16} {'PID':>7} {'COMMAND':<15} {'STATE':<10} FILE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are shown; "" and 0 mean any."""

    min_ms: float = 0.0
    server: str = ""
    share: str = ""
    command: str = ""
    pid: int = 0
    errors: bool = False

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a described request is shown."""
        return (
            (not self.server or self.server.casefold() in row["server"].casefold())
            and (not self.share or self.share.casefold() in row["share"].casefold())
            and (not self.command or self.command.casefold() in row["command"].casefold())
            and (not self.pid or self.pid in (row["pid"], row["tgid"]))
        )


def described(
    window: Window, rows: EventArray, *, now_ns: int, files: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Each request as names and times in ms; ``now_ns`` ages those that have not ended.

    ``files`` are the names of the first rows' files, "" where one is unknown.
    """
    places = window.names(rows)
    for values, (server, share), file in zip_longest(rows, places, files[: len(rows)]):
        issued, received, released = (
            int(values[f"{name}_ns"]) for name in ("issued", "received", "released")
        )
        end_ns = released or now_ns
        status = int(values["status"])
        outcome = int(values["outcome"])
        yield {
            "issued_ns": issued,
            "latency_ms": round(max(0, end_ns - issued) / 1e6, 3),
            "wire_ms": round((received - issued) / 1e6, 3) if received >= issued else None,
            "client_ms": (
                round((released - received) / 1e6, 3) if 0 < received <= released else None
            ),
            "command": command_name(int(values["command"])),
            "status": status_name(status) if status else "",
            "outcome": Outcome(outcome).name.lower() if outcome < len(Outcome) else str(outcome),
            "server": server,
            "share": share,
            "file": file or "",
            "pid": int(values["pid"]),
            "tgid": int(values["tgid"]),
            "comm": values["comm"].decode("utf-8", "replace"),
            "message_id": int(values["message_id"]),
        }


def slow(wanted: Wanted, *, as_json: bool, seconds: float | None, out: TextIO) -> int:
    """Print requests as they end, until interrupted, or for ``seconds``."""
    window = Window(1.0)
    asked = Subscription(min_ms=wanted.min_ms, errors=wanted.errors, files=True)
    end_sec = None if seconds is None else time.monotonic() + seconds
    waiting: list[tuple[EventArray, Sequence[str]]] = []
    with connected(asked) as connection:
        if not as_json:
            out.write(_HEAD + "\n")
            out.flush()
        while end_sec is None or time.monotonic() < end_sec:
            for frame in connection.frames(0.5):
                if frame.type == "state":
                    window.update(frame.header, frame.rows)
                elif frame.type == "rows":
                    waiting.append((frame.rows, frame.header.get("files", [])))
            if window.state:  # before the first one, there are no names yet
                for rows, files in waiting:
                    found = described(window, rows, now_ns=window.now_ns, files=files)
                    _print_ended(filter(wanted.takes, found), as_json=as_json, out=out)
                waiting.clear()
    return ExitCode.OK


def _print_ended(rows: Iterable[dict[str, Any]], *, as_json: bool, out: TextIO) -> None:
    offset_ns = time.time_ns() - time.monotonic_ns()
    for row in rows:
        if as_json:
            out.write(json.dumps(row) + "\n")
            continue
        end_ns = row["issued_ns"] + round(row["latency_ms"] * 1e6) + offset_ns
        clock = time.strftime("%H:%M:%S", time.localtime(end_ns / 1e9))
        outcome = "" if row["outcome"] == "answered" else row["outcome"]
        out.write(
            printable(
                f"{clock}.{end_ns // 1_000_000 % 1000:03d} {row['comm']:<16} {row['tgid']:>7}"
                f" {row['command'].removeprefix('SMB2_'):<15} {row['latency_ms']:>9.1f}"
                f" {_or_dash(row['wire_ms']):>9} {_or_dash(row['client_ms']):>8}"
                f" {row['status'] or outcome or 'ok':<24} {_place(row)}"
            )
            + "\n"
        )
    out.flush()


def _place(row: dict[str, Any]) -> str:
    place = f"{row['server']}/{row['share']}"
    return f"{place}/{row['file']}" if row["file"] else place


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def inflight(wanted: Wanted, *, as_json: bool, out: TextIO) -> int:
    """Print the requests that have not ended, the oldest first."""
    window = Window(1.0)
    with connected(Subscription(rows=False)) as connection:
        while not window.state:
            for frame in connection.frames(1.0):
                if frame.type == "state":
                    window.update(frame.header, frame.rows)
    rows = [
        row
        for row in described(
            window,
            window.in_flight,
            now_ns=window.now_ns,
            files=window.state.get("files", []),
        )
        if wanted.takes(row) and row["latency_ms"] >= wanted.min_ms
    ]
    rows.sort(key=lambda row: row["issued_ns"])
    operations = window.state.get("operations", [])
    if as_json:
        found = {"now_ns": window.now_ns, "requests": rows, "operations": operations}
        out.write(json.dumps(found, indent=2) + "\n")
        return ExitCode.OK
    if not rows and not operations:
        out.write("no request is in flight\n")
        return ExitCode.OK
    out.write(_WAITING_HEAD + "\n")
    for row in rows:
        state = "answered" if row["wire_ms"] is not None else "waiting"
        line = (
            f"{row['latency_ms']:>10.0f} {row['comm']:<16} {row['tgid']:>7}"
            f" {row['command'].removeprefix('SMB2_'):<15} {state:<10}"
            f" {_place(row)}"
        )
        out.write(printable(line) + "\n")
    for operation in operations:
        line = (
            f"{operation['age_ms']:>10.0f} {operation['comm']:<16} {operation['tgid']:>7}"
            f" {operation['function']:<15} {operation['waits_for']:<10} (inside the client)"
        )
        out.write(printable(line) + "\n")
    return ExitCode.OK
