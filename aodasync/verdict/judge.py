# SPDX-License-Identifier: MIT
"""The verdict on a finding: server, network, client or unknown, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aodasync.events import NO_OPERATIONS, EventArray, OperationArray
from aodasync.evidence.file_book import NO_FILES, FileBook
from aodasync.evidence.model import Connection, Sample, Trigger
from aodasync.verdict.concerned import has_session, shares_of_codes
from aodasync.verdict.figures import Figures, figures_of
from aodasync.verdict.mounts import Mounts, mounts_of
from aodasync.verdict.next_steps import next_steps, where_it_runs
from aodasync.verdict.remarks import remarks
from aodasync.verdict.rules import DOUBTS, REFUSED, RULES, UNKNOWN
from aodasync.verdict.waiting_threads import Inside
from aodasync.verdict.who import Who, who_suffers
from aodasync.verdict.words import sentence_words

__all__ = ["NOT_JUDGED", "Verdict", "decide", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cause (server, network, client, credentials, unknown), the rule, and its evidence.

    ``confidence`` is high, medium or low; ``refuted_by`` names what would prove it wrong;
    ``evidence`` holds the figures by name. ``who`` suffered, and ``next`` are the steps to take.
    """

    cause: str
    confidence: str
    sentence: str
    rule: str = ""
    refuted_by: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    who: Who = field(default_factory=Who)
    next: tuple[str, ...] = ()


NOT_JUDGED: Final = Verdict("unknown", "low", "The cause was not determined.")
"""The verdict of a bundle whose collection was cut off."""

_ABOUT_MOUNTS: Final = frozenset(
    {
        "clocks differ",
        "credentials refused",
        "login failed",
        "login not answered",
        "login not checked",
        "no access to the share",
        "no login",
        "no such share",
        "session expired",
    }
)
_OF_LOGINS: Final = frozenset(
    {"clocks differ", "credentials refused", "login failed", "login not checked"}
)
_OF_A_SHARE: Final = frozenset(
    {"asked in vain", "held by another", "no such share", "stated by the server"}
)
"""Rules about what was asked of a share, whose name is known then."""
_SAID: Final = {
    REFUSED: "write_statuses",
    "login failed": "login_statuses",
    "stated by the server": "codes",
}
"""Which figure holds what the server said, by rule."""

_CONFIDENCES: Final = ("low", "medium", "high")
_SNAPSHOT: Final = Verdict("unknown", "low", "A snapshot on request: there is no anomaly to judge.")


def judge(
    trigger: Trigger,
    *,
    rows: EventArray,
    in_flight: EventArray,
    connections: Mapping[int, Connection],
    shares: Mapping[tuple[int, int], str],
    later: Sample | None,
    operations: OperationArray = NO_OPERATIONS,
    meanwhile: Inside | None = None,
    files: FileBook = NO_FILES,
    mounts: Any = (),
    own_netns: int = 0,
) -> Verdict:
    """The verdict on the trigger's finding; ``unknown`` with the reason if judging fails.

    ``rows`` are the recorded events, ``in_flight`` the requests in flight at the decision;
    both have shape (N,) and dtype EVENT; ``operations`` are those inside the client then,
    shape (N,) and dtype OPERATION. ``later`` is a sample taken when the evidence had
    been collected, and ``meanwhile`` what was inside the client before that; None where nothing
    is live. ``mounts`` are those of the manifest, ``own_netns`` is this host's network namespace,
    by inode number; 0 where it is not known.
    """
    if trigger.finding is None:
        return _SNAPSHOT
    try:
        verdict = decide(
            figures_of(
                trigger.finding,
                rows=rows,
                in_flight=in_flight,
                connections=connections,
                samples=trigger.samples,
                later=later,
                now_ns=trigger.decided_monotonic_ns,
            )
        )
        own = [connections[i] for i in trigger.finding.connections if i in connections]
        where = verdict.evidence["address"], verdict.evidence["port"]
        names = {trigger.finding.server, *(n for c in own for n in (c.server, c.address))}
        concerned = mounts_of(mounts, names)
        if verdict.rule in _OF_LOGINS and has_session(trigger.finding, rows):
            concerned = Mounts()
        if verdict.rule in _OF_A_SHARE:
            concerned = concerned.of_shares(shares_of_codes(trigger.finding, rows, shares))
        said = verdict.evidence[_SAID[verdict.rule]] if verdict.rule in _SAID else ()
        netns = max({c.netns for c in own} - {own_netns}, default=0) if own_netns else 0
        steps = next_steps(
            verdict.rule, verdict.cause, trigger.finding.server, *where, said=said, netns=netns
        )
        about = concerned.sentence() if verdict.rule in _ABOUT_MOUNTS else ""
        return replace(
            verdict,
            who=who_suffers(
                trigger,
                rows,
                in_flight,
                own=own,
                shares=shares,
                operations=operations,
                meanwhile=meanwhile,
                files=files,
                mounted=concerned.shares(),
            ),
            sentence=" ".join(filter(None, (verdict.sentence, about))),
            refuted_by=concerned.filled_in(
                where_it_runs(verdict.refuted_by, trigger.finding.server, where[1], netns=netns)
            ),
            next=tuple(map(concerned.filled_in, steps)),
        )
    except Exception as error:  # noqa: BLE001  # evidence without a verdict is still evidence
        reason = f"The verdict failed: {type(error).__name__}: {error}"
        return Verdict("unknown", "low", reason)


def decide(figures: Figures) -> Verdict:
    """The verdict of the first rule that holds, less certain by each doubt that does."""
    rule = next((rule for rule in RULES if rule.holds(figures)), UNKNOWN)
    doubts = [doubt for doubt in DOUBTS if rule.name in doubt.rules and doubt.holds(figures)]
    words = sentence_words(figures)
    sentences = [rule.sentence, *(doubt.sentence for doubt in doubts), *remarks(rule, figures)]
    certain = _CONFIDENCES.index(rule.confidence)
    return Verdict(
        cause=rule.cause,
        confidence=_CONFIDENCES[max(0, certain - len(doubts))],
        sentence=" ".join(sentence.format_map(words) for sentence in sentences),
        rule=rule.name,
        refuted_by=rule.refuted_by.format_map(words),
        evidence=figures.as_evidence(),
    )
