# SPDX-License-Identifier: MIT
"""A blind agent says so, and says when it sees again."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.capture import Sink
from aodasync.children import ChildEnd, Children
from aodasync.tasks.sight import Sight

pytestmark = pytest.mark.anyio


class StatsChildren:
    """Children whose only child prints the client's totals."""

    def __init__(self) -> None:
        self.sent = 0
        self.error = ""

    async def run(self, _argv: object, sink: Sink, **_: object) -> ChildEnd:
        sink.write(b"1) \\\\server\\share\nSMBs: %d\n" % self.sent)
        return ChildEnd(0, 1.0, 0, False, False, False, self.error)  # noqa: FBT003  # a record


def _sight(children: StatsChildren, recorded: list[int | None]) -> Sight:
    log: Any = structlog.get_logger()
    return Sight(cast("Children", children), lambda: recorded[0], log)


async def test_blindness_is_told_at_each_look_and_its_end_once() -> None:
    """452 requests sent and none recorded is agent_blind; sight that returns is told, too."""
    children, recorded = StatsChildren(), cast("list[int | None]", [0])
    sight = _sight(children, recorded)
    with capture_logs() as logs:
        for children.sent, recorded[0] in ((0, 0), (452, 0), (904, 500), (1300, 1000)):
            await sight.look()
    assert [(line["event"], line["client_sent"], line["recorded"]) for line in logs] == [
        ("agent_blind", 452, 0),
        ("agent_sees_again", 452, 500),
    ]
    assert not sight.blind


async def test_without_a_probe_or_totals_nothing_is_concluded() -> None:
    """An agent that waits for the client is not blind, nor one whose totals cannot be read."""
    children, recorded = StatsChildren(), cast("list[int | None]", [None])
    sight = _sight(children, recorded)
    await sight.look()
    recorded[0] = 0
    await sight.look()
    children.sent, children.error = 1000, "timed out after 5 s"
    await sight.look()
    assert not sight.blind
