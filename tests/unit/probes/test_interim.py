# SPDX-License-Identifier: MIT
"""Interim responses, joined with the requests in flight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aodasync.events import EVENT, Flag
from aodasync.probes import scanning
from aodasync.probes.interim import InterimResponses


def mark(monkeypatch: pytest.MonkeyPatch, noted: dict[tuple[int, int], int], *rows: Any) -> Any:
    """Flags of rows (connection id, message id, issued_ns) after the join with what was noted."""

    def lookup(_fd: int, _token: Any, keys: Any, values: Any) -> tuple[int, None]:
        keys[: len(noted)] = list(noted)
        values[: len(noted)] = list(noted.values())
        return len(noted), None

    monkeypatch.setattr(scanning, "lookup_batch", lookup)
    events = np.zeros(len(rows), EVENT)
    for event, (connection_id, message_id, issued_ns) in zip(events, rows, strict=True):
        event["connection_id"], event["message_id"] = connection_id, message_id
        event["issued_ns"] = issued_ns
        event["flags"] = Flag.SIGNED
    InterimResponses(0, lambda: 0).mark(events)
    return [int(flags) & ~Flag.SIGNED for flags in events["flags"]]


def test_connection_and_message_id_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection counts its own message ids."""
    flags = mark(monkeypatch, {(1, 5): 200, (2, 6): 200}, (1, 5, 100), (2, 5, 100), (1, 6, 100))
    assert flags == [Flag.ASYNC_RESPONSE, 0, 0]


def test_a_response_from_before_the_request_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Message ids restart at a reconnect."""
    assert mark(monkeypatch, {(1, 5): 99}, (1, 5, 100)) == [0]


def test_nothing_noted_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The common case; with nothing in flight the map is not even read."""
    assert mark(monkeypatch, {}, (1, 5, 100)) == [0]
    assert mark(monkeypatch, {(1, 5): 200}) == []
