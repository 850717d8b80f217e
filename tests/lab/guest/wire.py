# SPDX-License-Identifier: MIT
"""The oracle: SMB2 requests and responses as tcpdump saw them and tshark understands them.

Both ends of the interval that a capture shows lie inside issued..received: a
request passes the client's interface after its MID was allocated, a response
before cifsd is woken for it. The time stamps have nanoseconds, and in a guest
without NTP the realtime clock they are taken from runs as fast as
CLOCK_MONOTONIC. So ``received - issued >= smb2.time`` must hold without any
allowance.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from product import OUT, wait_for
from smb_streams import answers_of

from aodasync.smb.commands import command_name

STATUS_PENDING = 0x103
NEGOTIATE, CANCEL = 0x00, 0x0C
_FALSE = ("0", "False")
_ASYNC = 2  # SMB2_FLAGS_ASYNC_COMMAND
_UNSOLICITED = 0xFFFFFFFFFFFFFFFF  # MS-SMB2 3.3.4.6: an oplock break is nobody's response

_FRAME = ("frame.number", "frame.time_epoch", "tcp.stream", "tcp.segment")
# Not smb2.flags: an FSCTL's flags have the same name.
_HEADER = ("smb2.cmd", "smb2.msg_id", "smb2.flags.response", "smb2.flags.async")
_FIELDS = (*_FRAME, *_HEADER, "smb2.sesid", "smb2.nt_status", "smb2.time")


@dataclass(slots=True)
class Request:
    """One request on the wire, and its final response. Times are realtime nanoseconds.

    ``smb2_time_ns`` is tshark's own figure, None where a frame with several
    responses does not say whose it is. ``one_segment``: neither the request nor
    the response had to be put together from several frames.
    """

    stream: int
    command: int
    message_id: int
    session_id: int
    sent_ns: int
    answered_ns: int = 0
    status: int | None = None
    interim: bool = False
    one_segment: bool = True
    smb2_time_ns: int | None = None

    def __str__(self) -> str:
        """For lists of what differs."""
        end = "no answer" if self.status is None else f"status 0x{self.status:08x}"
        return (
            f"{command_name(self.command)} stream {self.stream} mid {self.message_id} "
            f"sent at {self.sent_ns / 1e9:.6f}, {end}{', interim' * self.interim}"
        )

    @property
    def wire_ns(self) -> int:
        """From the request's last frame to the final response's."""
        return self.answered_ns - self.sent_ns


@dataclass(slots=True)
class Wire:
    """Requests in the order in which they were sent.

    ``cancels`` have no response; ``strays`` are responses whose request tshark
    did not see: the oracle is only whole without them.
    """

    requests: list[Request] = field(default_factory=list)
    strays: list[dict[str, str]] = field(default_factory=list)
    cancels: int = 0
    unsolicited: int = 0


class Capture:
    """``tcpdump`` of whole packets on the client's interface."""

    def __init__(self, file: Path, expression: str = "port 445") -> None:
        self.file = file
        self._log = file.with_suffix(".log")
        argv = ["tcpdump", "-i", "v0", "-s", "0", "-B", "65536", "-j", "host"]
        argv += ["--time-stamp-precision=nano", "-w", str(file), *expression.split()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_for("tcpdump", lambda: b"listening on" in self._log.read_bytes(), 30)

    def stop(self) -> int:
        """Complete the file; returns the number of packets that the kernel dropped."""
        time.sleep(0.5)
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)
        report = self._log.read_text()
        return sum(int(line.split()[0]) for line in report.splitlines() if "dropped" in line)


def _tshark(file: Path, fields: Sequence[str], options: Sequence[str]) -> Iterator[list[str]]:
    argv = ["tshark", "-r", str(file), "-n", "-Y", "smb2.cmd", "-T", "fields", "-E", "separator=|"]
    argv += ["-o", "tcp.desegment_tcp_streams:TRUE", "-o", "tcp.reassemble_out_of_order:TRUE"]
    for option in options:
        argv += ["-o", option]
    for name in fields:
        argv += ["-e", name]
    with (OUT / "tshark.log").open("ab") as log:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=log, text=True, check=True)
    for line in done.stdout.splitlines():
        yield line.split("|")


def nanoseconds(text: str) -> int:
    """A frame's or smb2's time, seconds with nine decimals."""
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])


def read(file: Path, options: Sequence[str] = ()) -> Wire:
    """Parse a capture; ``options`` are tshark preferences.

    A frame may hold several PDUs (compounds, or many small ones). The fields of
    the header come once for each of them, in order, and so must the status of
    responses; anything else is an error, never a guess.
    """
    wire = Wire()
    known: dict[tuple[int, int], Request] = {}
    for columns in _tshark(file, _FIELDS, options):
        frame = dict(zip(_FIELDS, columns, strict=True))
        now_ns = nanoseconds(frame["frame.time_epoch"])
        stream = int(frame["tcp.stream"].split(",")[0])
        one_segment = not frame["tcp.segment"]
        headers = list(zip(*(frame[name].split(",") for name in _HEADER), strict=True))
        sessions = _each(frame["smb2.sesid"], len(headers))
        times = _each(frame["smb2.time"], len(headers))
        statuses = _each(frame["smb2.nt_status"], len(headers))
        for (command, message, is_response, is_async), session, status, took in zip(
            headers, sessions, statuses, times, strict=True
        ):
            message_id = int(message)
            if is_response in _FALSE:
                request = Request(stream, int(command), message_id, int(session or "0", 0), now_ns)
                request.one_segment = one_segment
                if request.command == CANCEL:
                    wire.cancels += 1
                else:
                    wire.requests.append(request)
                    known[stream, message_id] = request
            elif message_id == _UNSOLICITED:
                wire.unsolicited += 1
            elif (stream, message_id) not in known:
                wire.strays.append(frame)
            elif is_async not in _FALSE and int(status, 0) == STATUS_PENDING:
                known[stream, message_id].interim = True
            else:
                request = known[stream, message_id]
                request.answered_ns = now_ns
                request.status = int(status, 0)
                request.one_segment &= one_segment
                request.smb2_time_ns = nanoseconds(took) if took else None
    _find_answers(file, [request for request in wire.requests if request.status is None])
    return wire


def _find_answers(file: Path, unanswered: Sequence[Request]) -> None:
    """Look for the responses that tshark does not show in the streams themselves.

    Behind a response in the same PDU that it cannot take apart (an error to a QUERY_INFO of
    extended attributes, from ksmbd) it stops.
    """
    if not unanswered:
        return
    final = {
        (answer.stream, answer.message_id, answer.command): answer
        for answer in answers_of(file)
        if not (answer.flags & _ASYNC and answer.status == STATUS_PENDING)
    }
    for request in unanswered:
        answer = final.get((request.stream, request.message_id, request.command))
        if answer is not None:
            print("tshark does not show the response to:", request, flush=True)
            request.answered_ns, request.status = answer.completed_ns, answer.status
            request.one_segment = False


def _each(text: str, count: int) -> list[str]:
    """One value for each PDU of a frame; empty ones where tshark's list does not say whose."""
    values = text.split(",")
    return values if len(values) == count else [""] * count
