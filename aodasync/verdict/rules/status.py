# SPDX-License-Identifier: MIT
"""What the server says itself: the NTSTATUS of its responses."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.smb.ntstatus import LOGIN_REFUSED, status_name
from aodasync.verdict.figures import Figures
from aodasync.verdict.rules.rule import RuleTable

__all__ = ["STATUS_RULES"]

STATUS_RULES: Final = RuleTable()

_EXPIRED: Final = frozenset({"SESSION_EXPIRED", "KEY_EXPIRED", "STATUS_NETWORK_SESSION_EXPIRED"})
_DELETED: Final = "STATUS_USER_SESSION_DELETED"
_CLOCKS: Final = ("STATUS_TIME_DIFFERENCE_AT_DC",)
_NO_SHARE: Final = frozenset({"STATUS_BAD_NETWORK_NAME", "STATUS_NETWORK_NAME_DELETED"})
_NO_ACCESS: Final = frozenset(status_name(status) for status in LOGIN_REFUSED)
_NTSTATUS: Final = ("STATUS_", "0x")
# The client reconnects by itself after five in a row (MAX_STATUS_IO_TIMEOUT, fs/smb/client).
_MOST_TIMEOUTS: Final = 5


def _without_session(f: Figures) -> bool:
    """Whether what suffers may lack a session, or a share: what was slow had both.

    So has a request that waits for its answer. Threads that wait for a reconnect may have none.
    """
    waits = f.symptom == Symptom.WAITING and f.unanswered == f.unanswered_logins
    return f.symptom == Symptom.CONNECTION or waits


@STATUS_RULES.rule(
    "clocks differ",
    cause="credentials",
    confidence="high",
    sentence="The server refuses the login {logins} with {login_statuses}: the clocks of this host,"
    " the server and its domain controller differ by minutes, and Kerberos allows five.",
    refuted_by="timedatectl here, and date on the server: the clocks agree",
)
def _clocks(f: Figures) -> bool:
    return _without_session(f) and f.stated.login_statuses == _CLOCKS


@STATUS_RULES.rule(
    "credentials refused",
    cause="credentials",
    confidence="high",
    sentence="The server refuses the login {logins} with {login_statuses}: {login_meaning}.",
    refuted_by="smbclient -L //{address} -U USER succeeds: the account of the mount can log in",
)
def _credentials(f: Figures) -> bool:
    return _without_session(f) and f.stated.logins_refused > 0


@STATUS_RULES.rule(
    "login not checked",
    cause="server",
    confidence="high",
    sentence="The server cannot check the login ({logins} {login_statuses}): it does not reach its"
    " domain controller, or its trust in the domain is broken.",
    refuted_by="on the server: wbinfo -t (Windows: nltest /sc_verify:DOMAIN) succeeds",
)
def _unchecked(f: Figures) -> bool:
    return _without_session(f) and f.stated.logins_unchecked > 0


@STATUS_RULES.rule(
    "login failed",
    cause="server",
    confidence="medium",
    sentence="The server does not complete the login, and answered {logins} with {login_statuses}.",
    refuted_by="smbclient -L //{address} -U USER succeeds: the account of the mount can log in",
)
def _login_failed(f: Figures) -> bool:
    return _without_session(f) and f.stated.logins_failed > 0


@STATUS_RULES.rule(
    "no login",
    cause="credentials",
    confidence="medium",
    sentence="The server is there, but this host sends no login: usually it has no valid Kerberos"
    " ticket, or no key for the mount.",
    refuted_by="klist -A and journalctl -t cifs.upcall: the ticket of the mount's user was found",
)
def _no_login(f: Figures) -> bool:
    return "NO_LOGIN" in f.codes


@STATUS_RULES.rule(
    "negotiation refused",
    cause="unknown",
    confidence="medium",
    sentence="The server refuses to negotiate ({codes}): it and this host have no SMB dialect in"
    " common (mount option vers=).",
    refuted_by="smbclient -L //{address} -m SMB3 -U USER succeeds: this client agrees on a dialect",
)
def _not_negotiated(f: Figures) -> bool:
    refused = any(code.startswith(_NTSTATUS) for code in f.codes)
    return f.symptom == Symptom.CONNECTION and refused and f.commands[:1] == ("SMB2_NEGOTIATE",)


@STATUS_RULES.rule(
    "session ended",
    cause="server",
    confidence="medium",
    sentence="The server ended the session (STATUS_USER_SESSION_DELETED): it was restarted or"
    " failed over, or somebody closed the session there. The client logs in again by itself.",
    refuted_by="on the server: journalctl -u smbd (or its event log) shows no restart",
)
def _deleted(f: Figures) -> bool:
    deleted = _DELETED in f.codes or (f.stated.sessions_deleted > 0 and _without_session(f))
    return deleted and _EXPIRED.isdisjoint(f.codes[1:]) and "KEY_EXPIRED" not in f.codes


@STATUS_RULES.rule(
    "session expired",
    cause="credentials",
    confidence="medium",
    sentence="The session expired: the Kerberos ticket or the key behind it has run out, unless the"
    " server ended the session.",
    refuted_by="klist -A: the ticket of the mount's user was valid all the time",
)
def _expired(f: Figures) -> bool:
    lost = f.symptom == Symptom.CONNECTION and f.stated.sessions_expired > 0
    return lost or not _EXPIRED.isdisjoint(f.codes)


@STATUS_RULES.rule(
    "no access to the share",
    cause="credentials",
    confidence="medium",
    sentence="The server lets the account of the mount log in, but not use the share"
    " ({share_statuses}): the account has no right to it, or the share demands encryption (mount"
    " option seal).",
    refuted_by="smbclient //{address}/SHARE -U USER succeeds: the account can list the share",
)
def _no_access(f: Figures) -> bool:
    denied = not _NO_ACCESS.isdisjoint(f.codes) and "SMB2_TREE_CONNECT" in f.commands
    denied |= not _NO_ACCESS.isdisjoint(f.stated.share_statuses)
    return denied and f.symptom == Symptom.CONNECTION


@STATUS_RULES.rule(
    "no such share",
    cause="server",
    confidence="high",
    sentence="The share is not on {server}, or not any more: it answers {share_statuses}.",
    refuted_by="smbclient -L //{address} -U USER succeeds: the share of the mount is listed",
)
def _no_share(f: Figures) -> bool:
    refused = _without_session(f) and not _NO_SHARE.isdisjoint(f.stated.share_statuses)
    return refused or not _NO_SHARE.isdisjoint(f.codes)


@STATUS_RULES.rule(
    "storage timed out",
    cause="server",
    confidence="high",
    sentence="The storage of the server does not answer in time: {timeouts} with STATUS_IO_TIMEOUT,"
    " after which the client itself reconnects.",
    refuted_by="on the server: dmesg | grep -i timeout shows nothing",
)
def _timed_out(f: Figures) -> bool:
    return f.symptom == Symptom.CONNECTION and f.stated.io_timeouts >= _MOST_TIMEOUTS
