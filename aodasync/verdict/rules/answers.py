# SPDX-License-Identifier: MIT
"""What the NTSTATUS of failed requests means: whose limit, lock or fault it is."""

from __future__ import annotations

from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.verdict.figures import Figures
from aodasync.verdict.meanings import HELD, IN_VAIN
from aodasync.verdict.rules.rule import RuleTable

__all__ = ["ANSWER_RULES"]

ANSWER_RULES: Final = RuleTable()


_NTSTATUS: Final = ("STATUS_", "0x")
_TORN_DOWN: Final = frozenset({"SHUTDOWN", "EHOSTDOWN"})
_MALFORMED: Final = ("EIO",)  # of what has no NTSTATUS


@ANSWER_RULES.rule(
    "held by another",
    cause="unknown",
    confidence="medium",
    sentence="Another program or client has the files open or locked: the server answered {answers}"
    " with {codes}. The server itself is well.",
    refuted_by="on the server: smbstatus -L (Windows: Get-SmbOpenFile) shows nothing of the files",
)
def _held(f: Figures) -> bool:
    return not HELD.isdisjoint(f.codes[:1]) and set(f.codes) <= HELD | IN_VAIN


@ANSWER_RULES.rule(
    "asked in vain",
    cause="unknown",
    confidence="medium",
    sentence="The server answered {answers} with {codes}: what programs on this host ask for is not"
    " there, or cannot be done with it. The server itself is well.",
    refuted_by="smbclient //{address}/SHARE -U USER on another client: the same operation succeeds",
)
def _in_vain(f: Figures) -> bool:
    asked = f.symptom == Symptom.STATUS and bool(f.codes)
    return asked and set(f.codes) <= HELD | IN_VAIN


@ANSWER_RULES.rule(
    "stated by the server",
    cause="server",
    confidence="high",
    sentence="The server itself answered {answers} with {codes}.",
    refuted_by="smbclient //{address}/SHARE -U USER on another client: the same operation succeeds",
)
def _stated(f: Figures) -> bool:
    return any(code.startswith(_NTSTATUS) for code in f.codes)


@ANSWER_RULES.rule(
    "torn down on this host",
    cause="client",
    confidence="medium",
    sentence="This host ended the connection itself while {answers} waited: it was unmounted by"
    " force, or given up.",
    refuted_by="journalctl -g umount: nobody unmounted it",
)
def _torn_down(f: Figures) -> bool:
    return bool(f.codes) and set(f.codes) <= _TORN_DOWN


@ANSWER_RULES.rule(
    "answers not understood",
    cause="unknown",
    confidence="medium",
    sentence="This client could not parse the responses to {answers}: the server, or a device"
    " between the two, sent what SMB does not allow.",
    refuted_by="dmesg | grep -i cifs: the kernel complains of nothing",
)
def _malformed(f: Figures) -> bool:
    return f.symptom == Symptom.STATUS and f.codes == _MALFORMED


@ANSWER_RULES.rule(
    "session not found",
    cause="unknown",
    confidence="low",
    sentence="A message named a session that this client does not know: the server ended it, or"
    " another node took over.",
    refuted_by="grep -i session dmesg.log: no such message",
)
def _no_session(f: Figures) -> bool:
    return f.codes == ("SESSION_NOT_FOUND",)
