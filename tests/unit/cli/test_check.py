# SPDX-License-Identifier: MIT
"""``check``: the gravest fact decides the exit code, and the line fits a pager."""

from __future__ import annotations

import io
from typing import Any

import pytest

from aodasync.cli import check as module
from aodasync.cli.check import check, judge_facts
from aodasync.errors import AgentUnreachableError, NotPermittedError
from tests.unit.live.test_prometheus import FACTS

_FINE = {**FACTS, "mounts": [], "episodes_open": [], "oldest_sec": 0}


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({}, 0, "0 mounts usable"),
        ({"mounts": [{"usable": True}]}, 0, "1 mount usable"),
        ({"attached": False}, 0, "waiting for the first SMB mount"),
        ({"episodes_open": FACTS["episodes_open"]}, 1, "hang on nas"),
        ({"blind": True, "episodes_open": FACTS["episodes_open"]}, 2, "blind"),
        (
            {
                "blind": True,
                "mounts": [
                    {"mount_point": "/m", "server": "n", "usable": False, "why": "no reply"}
                ],
            },
            2,
            "/m not usable: no reply",
        ),
    ],
)
def test_the_gravest_fact_decides(changes: dict[str, Any], code: int, part: str) -> None:
    """A mount that is not usable before blindness, blindness before an open episode."""
    found, text = judge_facts({**_FINE, **changes})
    assert (found, part in text) == (code, True), text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentUnreachableError("no agent is running"), 2),
        (NotPermittedError("only root may ask the agent"), 3),
    ],
)
def test_an_agent_that_cannot_be_asked(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead is critical; not being allowed to ask says nothing of it."""

    def refuse(_command: str, *, timeout_sec: float) -> dict[str, Any]:
        del timeout_sec
        raise error

    monkeypatch.setattr(module, "ask", refuse)
    out = io.StringIO()
    assert check(out) == code
    assert str(error) in out.getvalue()


def test_the_line_is_short_and_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 characters at most, and none that steers a terminal, or begins figures for Nagios."""
    mount = {"mount_point": "/m|\x1b[2J" + "x" * 200, "server": "n", "usable": False, "why": ""}
    facts = {**_FINE, "mounts": [mount]}
    monkeypatch.setattr(module, "ask", lambda _command, **_limits: facts)
    out = io.StringIO()
    check(out)
    (line,) = out.getvalue().splitlines()
    assert len(line) <= 80
    assert line.isprintable()
    assert "|" not in line
