# SPDX-License-Identifier: MIT
"""The plan of a probe that was attached for a moment: nothing else proves that it can be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aodasync.cli.doctor.check import Check
from aodasync.probes.interface import Attachment, Candidate, ProbePlan

__all__ = ["probe_checks"]

_TROUBLE: Final = "trouble"
_BYTE_CODE: Final = {
    "compiled": "compiled by bcc now",
    "cache": "compiled by bcc before, in the cache",
    "imported": "imported, compiled on another host; bcc is not needed",
}


def probe_checks(plan: ProbePlan) -> list[Check]:
    """The plan of a probe that could be attached: all that was tried, and why each choice."""
    steps = ", ".join(f"{name} {ms:.0f} ms" for name, ms in plan.steps_ms.items())
    return [
        Check("probe", "ok", f"{plan.name} ({steps})"),
        Check("probe: byte code", "ok", _BYTE_CODE.get(plan.byte_code, plan.byte_code)),
        *(_attached(each, plan.tried) for each in plan.attachments if each.role != _TROUBLE),
        *(
            Check(f"probe: {each.role}", "ok", f"passed over: {each.target}, {each.why}")
            for each in plan.tried
            if not each.chosen and each.role != _TROUBLE
        ),
        *_troubles(plan),
        *(Check("probe: note", "warning", note) for note in plan.notes),
    ]


def _attached(attachment: Attachment, tried: Iterable[Candidate]) -> Check:
    where = f"{attachment.method} of {attachment.target}"
    why = [c.why for c in tried if c.target == attachment.target and c.role == attachment.role]
    if attachment.error:
        return Check(f"probe: {attachment.role}", "warning", f"{where}: {attachment.error}")
    return Check(f"probe: {attachment.role}", "ok", "; ".join([where, *why]))


def _troubles(plan: ProbePlan) -> list[Check]:
    """Tracepoints of trouble: those attached as one line, each missing one with its reason."""
    attached = [each for each in plan.attachments if each.role == _TROUBLE]
    names = ", ".join(each.target for each in attached if not each.error)
    return [
        Check(f"probe: {_TROUBLE}", "ok", f"tracepoints {names}" if names else "no tracepoints"),
        *(
            Check(f"probe: {_TROUBLE}", "warning", f"{each.target}: {each.error}")
            for each in attached
            if each.error
        ),
        *(
            Check(f"probe: {_TROUBLE}", "ok", f"passed over: {each.target}, {each.why}")
            for each in plan.tried
            if each.role == _TROUBLE and not each.chosen
        ),
    ]
