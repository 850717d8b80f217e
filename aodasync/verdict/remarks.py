# SPDX-License-Identifier: MIT
"""What else the figures say beside the cause: sentences that make it no more or less certain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aodasync.evidence.model import Symptom
from aodasync.verdict.figures import Figures
from aodasync.verdict.meanings import (
    AT_A_LIMIT,
    FAULTY_STORAGE,
    HANDLES_GONE,
    HELD_BACK,
    NO_RIGHT,
    NO_ROOM,
    NOT_ON_DISK,
    READ_ONLY,
)
from aodasync.verdict.rules import LOCKED, LOST, LOST_WRITES, REFUSED, Rule

__all__ = ["remarks"]

_SLOW_SERVER: Final = "slow to answer"
_SILENT: Final = "acknowledged but not answered"
_ANOTHER_CLIENT: Final = "waits for another client"
_STATED: Final = "stated by the server"
_UNREACHED: Final = frozenset({"no route to the server", "not sent", "nothing gets through"})
_LOGIN_FAILED: Final = "login failed"

_LIMIT: Final = "The server is at a limit: memory, sessions, open files, or it throttles."
_MEANINGS: Final = (
    (NO_RIGHT, "The account of the mount has no right to what was asked for."),
    (FAULTY_STORAGE, "The storage of the server fails."),
    (NO_ROOM, "The server has no room, or the account of the mount has used up its quota."),
    (AT_A_LIMIT, _LIMIT),
    (
        HANDLES_GONE,
        (
            "It does not know the open files any more: it was restarted or failed over, or somebody"
            " closed them there."
        ),
    ),
    (
        NOT_ON_DISK,
        (
            "The files are not on its own disks (tiered, or in a cloud), and it does not get them"
            " back."
        ),
    ),
    (READ_ONLY, "The share, or the disk behind it, is read-only."),
    (HELD_BACK, "The virus scanner of the server holds the files back."),
)
_FEW: Final = 10
_ALIKE: Final = 1.3
_NEARLY_ALL: Final = 0.9
_STOPPED_MS: Final = 1000.0  # what waits for longer was stopped, not slowed


def remarks(rule: Rule, figures: Figures) -> Iterator[str]:
    """Formats over the figures, beside the sentence of the rule that decided."""
    lost = figures.data_lost > 0 and figures.symptom == Symptom.CONNECTION
    lost |= not LOST_WRITES.isdisjoint(figures.codes)
    if lost and rule.name not in (LOCKED, LOST, REFUSED):
        yield "Data that programs had written before was lost."
    if rule.name != _ANOTHER_CLIENT and figures.announced_opens > 0:
        yield (
            "Besides, it announced {opens} as pending: usually another client does not give up"
            " its lease or oplock."
        )
    said = {_STATED: figures.codes, REFUSED: figures.stated.write_statuses}.get(rule.name, ())
    yield from (meaning for names, meaning in _MEANINGS if not names.isdisjoint(said))
    if rule.name == _LOGIN_FAILED and not AT_A_LIMIT.isdisjoint(figures.stated.login_statuses):
        yield _LIMIT
    if rule.name == _SILENT and figures.answered_elsewhere > 0:
        yield (
            "On other connections it answered {answered_elsewhere} in the last second: it is"
            " what serves this connection, not the whole service."
        )
    if rule.name in _UNREACHED:
        yield from _of_other_servers(figures)
    if rule.name == _SLOW_SERVER and figures.commands == ("SMB2_SESSION_SETUP",):
        yield "It is the login: as a rule the server waits for its domain controller."
    elif rule.name == _SLOW_SERVER and figures.phases is not None:
        yield from _of_slow(figures)


def _of_other_servers(figures: Figures) -> Iterator[str]:
    if figures.answered_by_others > 0:
        yield (
            "Other servers answered {answered_by_others} in the last second: the network of this"
            " host itself works."
        )
    elif figures.unanswered_by_others > 0:
        yield "Requests to other servers wait as well: it may be the network of this host itself."


def _of_slow(figures: Figures) -> Iterator[str]:
    phases = figures.phases
    if phases is None:
        return
    if phases.others >= _FEW and phases.others_wire_ms <= phases.wire_ms / 3:
        if phases.elsewhere >= _NEARLY_ALL * phases.others:
            yield (
                "Meanwhile {others} other requests took {others_wire_ms} ms, on other connections:"
                " it is this connection ({address}), or what serves it, not the whole server."
            )
            return
        yield (
            "Meanwhile {others} other requests took {others_wire_ms} ms: it is what the slow ones"
            " do (one command, file, share or disk), not the whole server."
        )
        return
    tcp = figures.tcp
    steady = tcp is None or tcp.usual_rtt_ms is None or tcp.rtt_ms <= 2 * tcp.usual_rtt_ms
    alike = steady and phases.spread <= _ALIKE
    if alike and phases.slow >= _FEW and phases.wire_ms < _STOPPED_MS:
        yield (
            "All took about the same, command by command ({least_wire_ms} to {most_wire_ms} ms), as"
            " where a limit on the server (throttling) delays each."
        )
