# SPDX-License-Identifier: MIT
"""What the BPF side and the agent must agree on: one table, compiled into both.

:func:`definitions` turns it into ``-D`` flags, so the C sources hold no copy of
any number in here.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from aodasync.events import EVENT, Flag, Kind, MidState, Outcome
from aodasync.probes.records import FILE_NAME, NAME_BYTES, RECORD
from aodasync.probes.slots import BLOCK, BLOCK_SLOTS, OPERATION_SLOT

__all__ = [
    "ADDRESS_BYTES",
    "CALL_BYTES",
    "CHECK_GRACE_NS",
    "COMMAND_KEY_BYTES",
    "CONNECTION_BYTES",
    "EMERGENCY_COMMANDS",
    "FILL_MARK_BYTES",
    "HOSTNAME_BYTES",
    "INTERIM_KEY_BYTES",
    "IN_FLIGHT_BLOCKS",
    "IN_FLIGHT_MAX",
    "LOOK_AT_FILL_ONE_IN",
    "LOSS_COUNTERS",
    "MAX_CALLS",
    "MAX_CONNECTIONS",
    "MAX_INTERIM",
    "MAX_OPERATIONS",
    "MAX_TREES",
    "NAMED_CONNECTIONS",
    "NAME_BEING_WRITTEN",
    "NAME_SLOTS",
    "OPERATION_BLOCK",
    "PATH_SLOTS",
    "RING_BYTES",
    "SLOT_BEING_WRITTEN",
    "TABLE_COUNTERS",
    "TREE_KEY_BYTES",
    "TREE_NAME_BYTES",
    "WAKE_GAP_NS",
    "WALK_STEPS",
    "Counter",
    "MapNumber",
    "StateIndex",
    "definitions",
]

NAME_SLOTS: Final = 2048
"""Names between two looks of the agent; a power of two."""

NAME_BEING_WRITTEN: Final = 1 << 63
"""Instead of the number of a name that is not whole."""

_PATH_SLOT_BITS: Final = 10

PATH_SLOTS: Final = 1 << _PATH_SLOT_BITS
"""Threads that can be about to send a CREATE at once, at the best."""

RING_BYTES: Final = 8 * 1024 * 1024
"""Default size of the ring: some 70,000 records; a power of two, whole pages."""

FILL_MARK_BYTES: Final = 3 * 512 * 1024
"""Unread bytes from which the kernel side wakes the agent: some 13,000 records."""

LOOK_AT_FILL_ONE_IN: Final = 16
"""The kernel side looks how full the ring is for one record in so many."""

WAKE_GAP_NS: Final = 1_000_000
"""At most one wake-up for the fill mark in this time."""

_SLOT_BITS: Final = 14

IN_FLIGHT_MAX: Final = 1 << _SLOT_BITS
"""Requests that can be in flight at once; twice what Samba grants one connection."""

SLOT_TRIES: Final = 16
"""Places where a request in flight can be: with every other one taken, 1 in 65,000 finds none."""

IN_FLIGHT_BLOCKS: Final = IN_FLIGHT_MAX // BLOCK_SLOTS
"""Pages of slots; behind them is one of marks."""

SLOT_BEING_WRITTEN: Final = 1
"""Bit of the MID of a slot whose request is being written."""

CHECK_GRACE_NS: Final = 100_000_000
"""A MID that was found free is taken for released unless that is seen in this time."""

MAX_CONNECTIONS: Final = 1024
"""Connections whose name and address the kernel side keeps (the least recently used go)."""

NAMED_CONNECTIONS: Final = 256
"""Connections that are known to be named without a look into their table."""

HOSTNAME_BYTES: Final = 64
ADDRESS_BYTES: Final = 28
CONNECTION_BYTES: Final = 112

MAX_INTERIM: Final = 1024
"""Interim responses that the kernel side remembers (the least recently used go)."""

INTERIM_KEY_BYTES: Final = 16

MAX_TREES: Final = 1024
"""Trees whose share the kernel side keeps (the least recently used go)."""

TREE_KEY_BYTES: Final = 16
TREE_NAME_BYTES: Final = 256

WALK_STEPS: Final = 32
"""Sessions and trees of one connection that one run of `walk_trees` takes in."""

MAX_OPERATIONS: Final = 2048
"""Operations of processes that can be inside the client at once; a power of two."""

OPERATION_BLOCK: Final = 64
"""Slots of operations that have a mark in common; behind the slots is one that holds the marks."""

MAX_CALLS: Final = 4096
"""Threads that can be inside one of the functions whose return is probed."""

CALL_BYTES: Final = 16
"""Of key and value alike."""

COMMAND_KEY_BYTES: Final = 16

EMERGENCY_COMMANDS: Final = 32
"""Rows of the table of emergency thresholds; SMB2 has 20 commands."""


class MapNumber(IntEnum):
    """Placeholders in the byte code that the loader replaces by map descriptors."""

    RING = 0x7FFF0001
    IN_FLIGHT = 0x7FFF0002
    CONNECTIONS = 0x7FFF0003
    COUNTERS = 0x7FFF0004
    EMERGENCY = 0x7FFF0005
    STATE = 0x7FFF0006
    INTERIM = 0x7FFF0007
    TREES = 0x7FFF0008
    CALLS = 0x7FFF0009
    NAMED = 0x7FFF000A
    OPERATIONS = 0x7FFF000B
    NAMES = 0x7FFF000D
    PATHS = 0x7FFF000E


class Counter(IntEnum):
    """Rows of the counters."""

    RING_FULL = 0  # a finished record found no room: lost
    MAP_FULL = 1  # more than IN_FLIGHT_MAX in flight: the request is not followed, only rebuilt
    STATUS_UNSEEN = 2  # answered, but the response was not seen
    REBUILT = 3  # a request whose allocation was not seen, rebuilt from its MID
    UNRELEASED = 4  # one whose release was not seen, ended when its MID was used again or free
    BEFORE_ATTACH = 5  # in flight when the probes attached, rebuilt from the MID
    WAKEUPS = 6  # forced wake-ups of the agent
    UNENDED = 7  # tracepoints alone: a later part of a failed compound, not recorded
    UNPAIRED = 8  # tracepoints alone: an end reported twice, or one whose beginning was not seen
    OPERATIONS_FULL = 9  # no slot for an operation inside the client: it is not followed
    SMB1_SKIPPED = 10  # a request of an SMB1 connection, which is not recorded
    NAME_UNSEEN = 11  # a CREATE whose name was not seen
    CONNECTIONS_NOTED = 12  # rows written to the table of connections, the same one again included
    INTERIMS_NOTED = 13  # and to that of interim responses


TABLE_COUNTERS: Final = (Counter.CONNECTIONS_NOTED, Counter.INTERIMS_NOTED)
"""The counters that tell the agent when a table changed."""

LOSS_COUNTERS: Final = (
    Counter.RING_FULL,
    Counter.MAP_FULL,
    Counter.STATUS_UNSEEN,
    Counter.UNENDED,
    Counter.OPERATIONS_FULL,
)
"""The counters that mean something was missed; the rest are figures."""


class StateIndex(IntEnum):
    """Rows of the state array."""

    TRACKED_SINCE_NS = 0  # when the agent had attached `alloc`; 0: not yet
    LAST_WAKE_NS = 1
    RECONNECTED_NS = 2  # tracepoints alone: when the client last gave a connection up
    WALK_SESSION = 3  # where a walk over trees goes on: in this session,
    WALK_ENTRY = 4  # with this entry of a list


_MID_WAIT_CANCELLED = 1
_MID_DELETED = 2


def definitions() -> dict[str, int]:
    """Names and values for the C side, as ``-DNAME=VALUE``."""
    fields = RECORD.fields
    assert fields is not None  # noqa: S101  # RECORD is structured
    table = {f"AT_{name}": int(field[1]) for name, field in fields.items()}
    for prefix, members in (
        ("KIND", Kind),
        ("OUTCOME", Outcome),
        ("FLAG", Flag),
        ("MIDSTATE", MidState),
        ("MAP", MapNumber),
        ("COUNT", Counter),
        ("STATE", StateIndex),
    ):
        table.update({f"{prefix}_{member.name}": int(member) for member in members})
    return table | {
        "EVENT_BYTES": EVENT.itemsize,
        "RECORD_BYTES": RECORD.itemsize,
        "FILE_NAME_BYTES": FILE_NAME.itemsize,
        "NAME_BYTES": NAME_BYTES,
        "NAME_SLOTS": NAME_SLOTS,
        "NAME_BEING_WRITTEN": NAME_BEING_WRITTEN,
        "PATH_SLOT_BITS": _PATH_SLOT_BITS,
        "HOSTNAME_BYTES": HOSTNAME_BYTES,
        "ADDRESS_BYTES": ADDRESS_BYTES,
        "CONNECTION_BYTES": CONNECTION_BYTES,
        "TREE_NAME_BYTES": TREE_NAME_BYTES,
        "WALK_STEPS": WALK_STEPS,
        "OPERATION_BYTES": OPERATION_SLOT.itemsize,
        "MAX_OPERATIONS": MAX_OPERATIONS,
        "OPERATION_BLOCK": OPERATION_BLOCK,
        "FILL_MARK": FILL_MARK_BYTES,
        "NAMED_CONNECTIONS": NAMED_CONNECTIONS,
        "SLOT_BEING_WRITTEN": SLOT_BEING_WRITTEN,
        "SLOT_BITS": _SLOT_BITS,
        "BLOCK_SLOTS": BLOCK_SLOTS,
        "IN_FLIGHT_BLOCKS": IN_FLIGHT_BLOCKS,
        "BLOCK_BYTES": BLOCK.itemsize,
        "SLOT_TRIES": SLOT_TRIES,
        "CHECK_GRACE_NS": CHECK_GRACE_NS,
        "LOOK_AT_FILL_ONE_IN": LOOK_AT_FILL_ONE_IN,
        "WAKE_GAP_NS": WAKE_GAP_NS,
        "MIDFLAG_WAIT_CANCELLED": _MID_WAIT_CANCELLED,
        "MIDFLAG_DELETED": _MID_DELETED,
    }
