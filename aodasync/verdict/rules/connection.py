# SPDX-License-Identifier: MIT
"""What happens to requests on their way, and to connections."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.verdict.figures import Figures
from aodasync.verdict.meanings import HELD
from aodasync.verdict.rules.rule import SILENT_MS, RuleTable, lossless

__all__ = ["CONNECTION_RULES", "LOCKED", "LOST", "LOST_WRITES", "REFUSED"]

CONNECTION_RULES: Final = RuleTable()

LOST_WRITES: Final = frozenset({"FLUSH_ERROR", "FSYNC_ERROR"})
LOST: Final = "writes refused late"
LOCKED: Final = "writes refused by a lock"
REFUSED: Final = "writes refused with their reason"


@CONNECTION_RULES.rule(
    "some not answered",
    cause="server",
    confidence="high",
    sentence="The server answers others ({answered_since} that were sent later), but not"
    " {waiting_requests}, the oldest for {oldest_sec} s: what they touch is stuck there (one"
    " file, its lock or lease, one share or disk), not the whole service.",
    refuted_by="on the server: tcpdump -c 50 tcp port {port} shows that it answers",
)
def _some_unanswered(f: Figures) -> bool:
    whole = f.tcp is None or lossless(f)
    return f.unanswered > 0 and f.answered_since > 0 and whole and f.symptom == Symptom.WAITING


@CONNECTION_RULES.rule(
    "announced but not done",
    cause="server",
    confidence="high",
    sentence="The server announced as pending what it does not finish: {unanswered_requests}, the"
    " oldest for {oldest_sec} s. Its storage does not keep up, or it stopped meanwhile.",
    refuted_by="on the server: iostat -x 1 5 shows idle disks, and tcpdump that it answers",
)
def _announced(f: Figures) -> bool:
    known = f.unanswered > 0 and f.tcp is not None and f.tcp.sockets > 0 and lossless(f)
    return known and f.announced == f.unanswered and not _merely_slow(f)


@CONNECTION_RULES.rule(
    "login not answered",
    cause="server",
    confidence="medium",
    sentence="The server does not answer the login, for {oldest_sec} s by now, though its host"
    " acknowledges what it is sent: as a rule it waits for its domain controller.",
    refuted_by="on the server: wbinfo -t (Windows: nltest /sc_verify:DOMAIN) succeeds at once",
)
def _login_unanswered(f: Figures) -> bool:
    return f.commands == ("SMB2_SESSION_SETUP",) and _delivered_unanswered(f)


@CONNECTION_RULES.rule(
    "acknowledged but not answered",
    cause="server",
    confidence="high",
    sentence="The server's host acknowledges what it is sent, but its SMB service does not answer:"
    " {unanswered_requests}, the oldest for {oldest_sec} s.",
    refuted_by="on the server: tcpdump -c 50 tcp port {port} shows that it answers",
)
def _delivered_unanswered(f: Figures) -> bool:
    known = f.unanswered > 0 and f.tcp is not None and f.tcp.sockets > 0 and lossless(f)
    return known and not _merely_slow(f)


def _merely_slow(f: Figures) -> bool:
    """What still waits does not do so for much longer than what was slow and did end."""
    if f.symptom != Symptom.SLOW or f.phases is None:
        return False
    return f.oldest_ms < 2 * f.phases.most_wire_ms


@CONNECTION_RULES.rule(
    LOCKED,
    cause="unknown",
    confidence="medium",
    sentence="Data that programs had written before was lost: another program or client had the"
    " files locked when it was written back, and the server answered {write_statuses}.",
    refuted_by="on the server: smbstatus -L (Windows: Get-SmbOpenFile) shows nothing of the files",
)
def _writeback_locked(f: Figures) -> bool:
    return _writeback_refused(f) and HELD.issuperset(f.stated.write_statuses)


@CONNECTION_RULES.rule(
    REFUSED,
    cause="server",
    confidence="high",
    sentence="Data that programs had written before was lost: when it was written back, the server"
    " answered {write_statuses}.",
    refuted_by="events.npy: the WRITE requests before it succeeded",
)
def _writeback_refused(f: Figures) -> bool:
    return bool(f.codes) and set(f.codes) <= LOST_WRITES and bool(f.stated.write_statuses)


@CONNECTION_RULES.rule(
    LOST,
    cause="server",
    confidence="medium",
    sentence="Data that programs had written before was lost: the server did not accept it when it"
    " was written back.",
    refuted_by="events.npy: the WRITE requests before it succeeded",
)
def _writeback_lost(f: Figures) -> bool:
    return bool(f.codes) and set(f.codes) <= LOST_WRITES and lossless(f)


@CONNECTION_RULES.rule(
    "given up before an answer",
    cause="server",
    confidence="medium",
    sentence="The server had not answered {given_up_requests} for up to {given_up_sec} s, though"
    " its host acknowledged everything; then they were given up here (a signal, a time-out,"
    " umount -f).",
    refuted_by="on the server: tcpdump -c 50 tcp port {port} shows that it answers",
)
def _given_up(f: Figures) -> bool:
    slow = f.symptom == Symptom.SLOW and f.phases is None and f.cut_off_ms == 0
    return slow and f.given_up > 0 and f.tcp is not None and f.tcp.sockets > 0 and lossless(f)


@CONNECTION_RULES.rule(
    "no credits",
    cause="server",
    confidence="medium",
    sentence="The server grants too few credits: the client may not send what it wants to.",
    refuted_by="grep -i credits /proc/fs/cifs/DebugData: there are plenty",
)
def _starved_of_credits(f: Figures) -> bool:
    return f.symptom == Symptom.CONNECTION and f.credit_troubles > 0


@CONNECTION_RULES.rule(
    "silent before the reconnect",
    cause="server",
    confidence="medium",
    sentence="The server did not answer for {cut_off_sec} s, though its host acknowledged"
    " everything; the client then reconnected.",
    refuted_by="sockets.log, or nstat TcpRetransSegs: retransmissions on the old connection",
)
def _silent_before_reconnect(f: Figures) -> bool:
    return f.symptom != Symptom.STATUS and lossless(f) and f.cut_off_ms >= SILENT_MS


@CONNECTION_RULES.rule(
    "closed by the server",
    cause="server",
    confidence="medium",
    sentence="The connection was ended from outside without any loss before: the server closed it,"
    " or was restarted.",
    refuted_by="tcpdump -i any tcp port {port} at both ends: a device between the two reset it",
)
def _closed(f: Figures) -> bool:
    ended = f.reconnects > 0 or "RECONNECT" in f.codes
    return f.symptom == Symptom.CONNECTION and lossless(f) and ended


@CONNECTION_RULES.rule(
    "waits for another client",
    cause="unknown",
    confidence="medium",
    sentence="The server announced {opens} as pending, the oldest for"
    " {oldest_open_sec} s: usually another client does not give up its lease or oplock on the"
    " file.",
    refuted_by="on the server: smbstatus -L shows that no other client has the file open",
)
def _waits_for_another_client(f: Figures) -> bool:
    return f.symptom == Symptom.WAITING and f.announced_opens > 0


@CONNECTION_RULES.rule(
    "waits for a reconnect",
    cause="unknown",
    confidence="medium",
    sentence="{operations} for a reconnect to {server}, without a request in flight.",
    refuted_by="stacks.log: the threads wait for something else",
)
def _waits_for_reconnect(f: Figures) -> bool:
    """Until a reconnect is done there are no credits either."""
    return f.waiting_for_reconnect > 0 or (f.waiting_for_credits > 0 and f.reconnects > 0)


@CONNECTION_RULES.rule(
    "waits for credits",
    cause="server",
    confidence="medium",
    sentence="{operations} until {server} grants credits, without a request in flight.",
    refuted_by="grep -i credits /proc/fs/cifs/DebugData: there are plenty",
)
def _waits_for_credits(f: Figures) -> bool:
    return f.waiting_for_credits > 0


@CONNECTION_RULES.rule(
    "unanswered, TCP unknown",
    cause="unknown",
    confidence="low",
    sentence="{unanswered_requests}, the oldest for {oldest_sec} s. TCP's figures are missing (the"
    " mount's network namespace cannot be entered, RDMA, or a recording without them), so network"
    " and server cannot be distinguished.",
    refuted_by="in the network namespace of the mount: ss -tin dst {peer}",
)
def _unanswered(f: Figures) -> bool:
    return f.unanswered > 0 and f.tcp is None and f.phases is None


@CONNECTION_RULES.rule(
    "ended, TCP unknown",
    cause="unknown",
    confidence="low",
    sentence="The connection was ended from outside. TCP's figures are missing, so whether the"
    " server closed it or the network lost it cannot be distinguished.",
    refuted_by="journalctl -k -g CIFS: the kernel says why",
)
def _ended(f: Figures) -> bool:
    ended = f.reconnects > 0 or "RECONNECT" in f.codes
    return f.symptom == Symptom.CONNECTION and f.tcp is None and ended
