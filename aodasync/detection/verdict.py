# SPDX-License-Identifier: MIT
"""The verdict: server, network, client or unknown, and what it rests on."""

from __future__ import annotations

from typing import Any

from aodasync.detection.figures import Figures
from aodasync.detection.rules import RULES, UNKNOWN

__all__ = ["verdict"]


def verdict(figures: Figures) -> dict[str, Any]:
    """Cause, confidence, sentence, the rule that decided, what would refute it, the evidence."""
    rule = next((rule for rule in RULES if rule.holds(figures)), UNKNOWN)
    return {
        "cause": rule.cause,
        "confidence": rule.confidence,
        "sentence": rule.sentence.format_map(_words(figures)),
        "rule": rule.name,
        "refuted_by": rule.refuted_by,
        "evidence": figures.as_evidence(),
    }


def _words(figures: Figures) -> dict[str, Any]:
    """The figures as sentences name them."""
    known = figures.as_evidence()
    shown = {k: round(v, 1) if isinstance(v, float) else v for k, v in known.items()}
    return shown | {
        "codes": ", ".join(figures.codes),
        "server": "a server not known" if figures.server == "unknown" else figures.server,
        "waiting": figures.waiting_for_credits + figures.waiting_for_reconnect,
        "oldest_sec": round(figures.oldest_ms / 1000, 1),
        "cut_off_sec": round(figures.cut_off_ms / 1000, 1),
        "cpu": f"{figures.cpu.share or 0:.0%}",
        "cpu_before": f"{figures.cpu.usual or 0:.0%}",
    }
