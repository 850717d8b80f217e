# SPDX-License-Identifier: MIT
"""Which batches may be passed over: what is said of them is right, and holds for all who ask."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from aodasync.detection.batch_content import ANSWERS, ANYTHING, FILE_ERRORS, content_of
from aodasync.detection.connections import Connections
from aodasync.detection.trouble_rows import failed_writes, suspects
from aodasync.detection.usability import Usability
from aodasync.events import EVENT, NO_EVENTS, EventArray, Kind, Outcome
from aodasync.smb.commands import COMMAND_CODES
from aodasync.smb.ntstatus import SESSION_ENDED, STATUS_CODES
from tests.builders import MS

NOT_FOUND = STATUS_CODES["STATUS_OBJECT_NAME_NOT_FOUND"]
STATUSES = [
    *(NOT_FOUND, STATUS_CODES["STATUS_ACCESS_DENIED"], STATUS_CODES["STATUS_NO_MORE_FILES"]),
    *(STATUS_CODES["STATUS_NETWORK_NAME_DELETED"], STATUS_CODES["STATUS_IO_TIMEOUT"]),
    *sorted(SESSION_ENDED),
]


def some_rows(random: Random) -> EventArray:
    """A batch of few kinds of answers, most of them plain."""
    count = random.randint(1, 90)
    rows = np.zeros(count, EVENT)
    rows["connection_id"], rows["issued_ns"], rows["released_ns"] = 7, MS, 2 * MS
    rows["command"] = random.choices(range(5, 19), k=count)
    rows["status"] = random.choices([0, NOT_FOUND], k=count)
    for name, values in (
        ("command", [*COMMAND_CODES.values()]),
        ("status", STATUSES),
        ("outcome", [*Outcome]),
        ("kind", [*Kind]),
    ):
        if random.random() < 0.3:
            rows[name][random.randrange(count)] = random.choice(values)
    return rows


def test_errors_of_files_alone_say_nothing_of_a_connection() -> None:
    """Neither a suspect nor a write that failed, nor a sign that a mount cannot be used."""
    random, found = Random(14), 0  # noqa: S311  # the same rows each time
    for _ in range(3000):
        rows = some_rows(random)
        if content_of(rows) is not FILE_ERRORS:
            continue
        found += 1
        assert not (rows["kind"] | rows["outcome"]).any()
        assert not suspects(rows).any()
        assert not failed_writes(rows).any()
        usability = Usability(5000.0, lambda _: NO_EVENTS)
        usability._take_signs(rows)
        assert not usability._trouble
    assert found > 300


@pytest.mark.parametrize("count", [1, 64, 65, 512, 513, 20_000])
def test_answers_are_what_has_neither_an_error_nor_a_negotiate(count: int) -> None:
    """Wherever it stands, in batches that are looked at row by row, and in large ones."""
    rows = np.zeros(count, EVENT)
    rows["command"] = COMMAND_CODES["SMB2_READ"]
    assert content_of(rows) is ANSWERS
    for field, value in (("command", 0), ("status", NOT_FOUND), ("outcome", 5), ("kind", 9)):
        for at in {0, count // 2, count - 1}:
            changed = rows.copy()
            changed[field][at] = value
            assert content_of(changed) is not ANSWERS


def test_large_batches_with_an_error_may_say_anything() -> None:
    """They are few; each of their rows is looked at by whom it concerns."""
    rows = np.zeros(512, EVENT)
    rows["command"], rows["status"] = COMMAND_CODES["SMB2_CREATE"], NOT_FOUND
    assert content_of(rows) is FILE_ERRORS
    assert content_of(np.concatenate([rows, rows[:1]])) is ANYTHING


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("command", COMMAND_CODES[f"SMB2_{c}"]) for c in ("NEGOTIATE", "SESSION_SETUP")),
        ("command", COMMAND_CODES["SMB2_TREE_CONNECT"]),
        *(("status", status) for status in STATUSES[3:]),
        ("outcome", Outcome.RETRY),
        ("kind", Kind.RECONNECT),
    ],
)
def test_one_row_that_speaks_of_a_connection_is_enough(field: str, value: int) -> None:
    """Among others that do not."""
    rows = np.zeros(90, EVENT)
    rows["command"], rows["status"] = COMMAND_CODES["SMB2_CREATE"], NOT_FOUND
    assert content_of(rows) is FILE_ERRORS
    rows[field][60] = value
    assert content_of(rows) is ANYTHING


def test_a_batch_with_errors_of_files_is_plain_but_not_ordinary() -> None:
    """Its errors are counted; its connections are learnt as from any batch."""
    rows = np.zeros(90, EVENT)
    rows["connection_id"], rows["command"] = 7, COMMAND_CODES["SMB2_CREATE"]
    rows["status"][::2] = NOT_FOUND
    connections = Connections(str)
    connections.observe(rows)
    assert (connections.plain, connections.ordinary, len(connections)) == (True, False, 1)
    rows["command"][1] = COMMAND_CODES["SMB2_WRITE"]
    connections.observe(rows)
    assert connections.plain
    rows["command"][2] = COMMAND_CODES["SMB2_WRITE"]  # and that one failed
    connections.observe(rows)
    assert not connections.plain
