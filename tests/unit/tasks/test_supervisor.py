# SPDX-License-Identifier: MIT
"""Supervised tasks come back; errors that the user must fix do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from aodasync.errors import ProbeError
from aodasync.host.aodv2_syslog import Audit
from aodasync.tasks.supervisor import Supervisor

pytestmark = pytest.mark.anyio


async def test_a_task_that_dies_is_restarted_and_counted() -> None:
    """A crash is logged with its error and the task runs again after a pause."""
    runs = 0

    async def flaky() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("lost my way")

    log: Any = structlog.get_logger()
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(group, log, Audit(enabled=False))
            supervisor.start("reader", flaky)
    assert runs == 3
    assert supervisor.restarts == {"reader": 2}
    assert [line["error"] for line in logs] == ["ValueError: lost my way"] * 2
    assert [line["pause_sec"] for line in logs] == [0.1, 0.2]


async def test_an_error_for_the_user_ends_the_group() -> None:
    """A ProbeError of an essential task is not retried: it reaches the command line."""

    async def hopeless() -> None:
        raise ProbeError("no BTF", hint="use a newer kernel")

    log: Any = structlog.get_logger()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            Supervisor(group, log, Audit(enabled=False)).start("reader", hopeless, essential=True)
    assert caught.group_contains(ProbeError)


async def test_the_same_error_of_another_task_is_survived() -> None:
    """Only who opens the probe may end the agent; for others it is one more failure."""
    runs = 0

    async def unlucky() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ProbeError("no BTF", hint="use a newer kernel")

    log: Any = structlog.get_logger()
    async with asyncio.TaskGroup() as group:
        supervisor = Supervisor(group, log, Audit(enabled=False))
        supervisor.start("captures", unlucky)
    assert supervisor.restarts == {"captures": 1}
