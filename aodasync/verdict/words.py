# SPDX-License-Identifier: MIT
"""The figures as sentences name them."""

from __future__ import annotations

from typing import Any

from aodasync.detection.long_waits import WAIT_FOR_OTHERS
from aodasync.verdict.figures import Figures
from aodasync.verdict.meanings import login_meaning
from aodasync.verdict.next_steps import address_words
from aodasync.verdict.stated import Stated
from aodasync.verdict.tcp_figures import TcpFigures

__all__ = ["sentence_words"]


def sentence_words(figures: Figures) -> dict[str, Any]:
    """Words by the names in a rule's formats; what a shell may read is quoted."""
    known = figures.as_evidence()
    shown = {k: _rounded(v) if isinstance(v, float) else v for k, v in known.items()}
    tcp = figures.tcp
    waiting = figures.waiting_for_credits + figures.waiting_for_reconnect
    return shown | {
        **address_words(figures.address or "SERVER"),
        "port": figures.port,
        "server": "an unknown server" if figures.server == "unknown" else figures.server,
        "codes": ", ".join(figures.codes),
        "answers": _count(figures.count, "request"),
        **_stated_words(figures.stated),
        "share_statuses": ", ".join(_share_statuses(figures)),
        "requests_not_picked_up": _count(figures.not_picked_up, "request"),
        "given_up_requests": _count(figures.given_up, "request"),
        "given_up_sec": round(figures.given_up_ms / 1000, 1),
        "waiting_requests": _count(figures.unanswered, "request"),
        "unanswered_requests": f"{_count(figures.unanswered, 'request')}"
        f" {'waits' if figures.unanswered == 1 else 'wait'}",
        "stuck": f"{_count(figures.waiting_for_client, 'operation')}"
        f" {'waits' if figures.waiting_for_client == 1 else 'wait'}",
        "operations": f"{_count(waiting, 'operation')} {'waits' if waiting == 1 else 'wait'}",
        "strayed": _strayed(tcp),
        "undelivered": _undelivered(tcp.retransmits if tcp else 0),
        "segments_lost": _segments_lost(tcp),
        "usual_round_trip": _usual_round_trip(tcp),
        "unread_sec": round(tcp.unread_for_ms / 1000, 1) if tcp else 0,
        "unread_kb": round(tcp.still_unread_bytes / 1024) if tcp else 0,
        "opens": _opens(figures),
        "oldest_open_sec": round(figures.oldest_open_ms / 1000, 1),
        "oldest_sec": round(figures.oldest_ms / 1000, 1),
        "cut_off_sec": round(figures.cut_off_ms / 1000, 1),
        "round_trip_part": f"{_round_trip_part(figures):.0%}",
        **{name: f"{getattr(figures, name).share or 0:.0%}" for name in _PRESSURES},
        **{f"{name}_before": f"{getattr(figures, name).usual or 0:.0%}" for name in _PRESSURES},
    }


def _stated_words(stated: Stated) -> dict[str, str]:
    logins = stated.logins_refused or stated.logins_unchecked or stated.logins_failed
    return {
        "logins": _count(logins, "time"),
        "login_statuses": ", ".join(stated.login_statuses),
        "login_meaning": login_meaning(stated.login_statuses),
        "timeouts": f"{_count(stated.io_timeouts, 'request')} ended",
        "attempts": _count(stated.unreachable, "attempt"),
        "connect_errors": ", ".join(stated.connect_errors),
        "write_statuses": ", ".join(stated.write_statuses),
    }


def _share_statuses(figures: Figures) -> tuple[str, ...]:
    """What the server says of a share: in the anomaly's own codes, or as it was asked for."""
    named = tuple(code for code in figures.codes if code.startswith("STATUS_"))
    return tuple(dict.fromkeys((*named, *figures.stated.share_statuses)))


_PRESSURES = ("cpu", "io", "memory")


def _rounded(number: float) -> float:
    """To a tenth; what is less, to a thousandth."""
    return round(number, 1 if abs(number) >= 0.1 else 3)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _opens(figures: Figures) -> str:
    """What the server announced as pending: opens, unless there are others among them."""
    named = [name for name in figures.commands if name in WAIT_FOR_OTHERS] or ["SMB2_CREATE"]
    noun = "open" if named == ["SMB2_CREATE"] else "request"
    return f"{_count(figures.announced_opens, noun)} ({', '.join(named)})"


def _strayed(tcp: TcpFigures | None) -> str:
    """What was sent again, and what came out of order; where there was one alone, that."""
    again, disordered = (tcp.retransmits, tcp.out_of_order) if tcp else (0, 0)
    if not again and disordered:
        return f"{_count(disordered, 'segment')} came out of order"
    return _sent_again(again) + (f" and {disordered} came out of order" if disordered else "")


def _sent_again(segments: int) -> str:
    was = "was" if segments == 1 else "were"
    return f"{_count(segments, 'segment')} {was} sent again"


def _undelivered(segments: int) -> str:
    if not segments:
        return "nothing that was sent was acknowledged"
    return f"{_sent_again(segments)}, and none was acknowledged"


def _segments_lost(tcp: TcpFigures | None) -> str:
    lost = 0 if tcp is None else round(tcp.lost)
    return _count(lost, "segment") if lost else "nothing"


def _usual_round_trip(tcp: TcpFigures | None) -> str:
    usual_ms = None if tcp is None else tcp.usual_rtt_ms
    return "not known" if usual_ms is None else f"{_rounded(usual_ms)} ms"


def _round_trip_part(figures: Figures) -> float:
    """Which part of the rise of the latency is the round trip's."""
    phases, tcp = figures.phases, figures.tcp
    if phases is None or tcp is None or tcp.usual_rtt_ms is None:
        return 0.0
    slower = phases.wire_ms - phases.usual_wire_ms
    return min(1.0, (tcp.rtt_ms - tcp.usual_rtt_ms) / slower) if slower > 0 else 0.0
