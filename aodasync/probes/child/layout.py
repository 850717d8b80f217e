# SPDX-License-Identifier: MIT
"""From the running kernel's types to the numbers that the BPF programs are compiled with.

Nothing is guessed and no version is looked at: members are found by name and
checked for their size, the argument that holds the MID by its *type*. What is
not understood is a :class:`LayoutProblemError` that names it.

Seen in the wild (all handled by types alone):

- the release function is ``_cifs_mid_q_entry_release(struct kref *)`` up to 5.19,
  ``__release_mid(struct kref *)`` from 6.0, and ``__release_mid(server, mid)`` from
  6.19 or so, where ``mid_q_entry.server`` is gone too;
- ``dequeue_mid(mid, malformed)`` got the server as first argument at the same time;
- ``mid_flags`` became the bitfields ``wait_cancelled`` and ``deleted_from_q``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from .btf import Btf, Kind, Type

__all__ = ["Layout", "LayoutProblemError", "Target", "decide"]

_MID = "mid_q_entry"
_SERVER = "TCP_Server_Info"
_HEADER = "smb2_hdr"
_KREF = "kref"

_ALLOC = "smb2_mid_entry_alloc"
_RECEIVED = "dequeue_mid"
_RELEASES = ("__release_mid", "_cifs_mid_q_entry_release")  # newest first

# Members by path, with the size in bytes that the C side reads.
_MID_MEMBERS = (
    ("mid", 8),
    ("pid", 4),
    ("when_alloc", 8),
    ("resp_buf", 8),
    ("mid_state", 4),
    ("command", 2),
)
_MID_OPTIONAL = (("server", 8), ("when_sent", 8))
_HEADER_MEMBERS = (
    ("ProtocolId", 4),
    ("Status", 4),
    ("Command", 2),
    ("Flags", 4),
    ("NextCommand", 4),
    ("MessageId", 8),
    ("Id.SyncId.TreeId", 4),
    ("SessionId", 8),
)
_SERVER_MEMBERS = (("conn_id", 8), ("hostname", 8), ("dstaddr", 128))
_MAX_SPAN = 256  # they are copied to the BPF stack, of 512 bytes

# What the C side reads of a response; the request's header is read up to its last member.
_RESPONSE_MEMBERS = ("ProtocolId", "Status", "Flags")


class LayoutProblemError(Exception):
    """The kernel's types are not the ones the probe knows."""


class Target(NamedTuple):
    """One program and the function it is attached to.

    ``attach`` is ``fentry`` or ``fexit``, ``btf_id`` the function's id in the BTF
    of the object that holds the client (it changes from boot to boot).
    """

    role: str
    program: str
    function: str
    attach: str
    btf_id: int


class Layout(NamedTuple):
    """Numbers for the C side, and what to attach to, in the order of attachment."""

    definitions: dict[str, int]
    targets: list[Target]
    notes: list[str]


def decide(btf: Btf, exclude: Collection[str] = ()) -> Layout:
    """Work out the layout; ``exclude`` names functions that turned out not to be attachable."""
    mid = _struct(btf, _MID, "mid")
    definitions = _mid_definitions(btf, mid)
    definitions.update(_header_definitions(btf))
    server = _struct(btf, _SERVER, "conn_id")
    definitions.update(_offsets(btf, server, _SERVER_MEMBERS, "SERVER"))
    notes: list[str] = []
    if "MID_when_sent" not in definitions:
        notes.append(f"struct {_MID} has no when_sent (CONFIG_CIFS_STATS2): sent_ns is 0")

    # Release first: a request whose allocation is seen must not miss its end.
    release, release_definitions = _release(btf, mid, exclude)
    received, received_definitions = _received(btf, exclude)
    alloc, alloc_definitions = _alloc(btf, exclude)
    definitions.update({**release_definitions, **received_definitions, **alloc_definitions})
    if received is None:
        notes.append(f"{_RECEIVED} cannot be probed: received_ns is 0")
        return Layout(definitions, [release, alloc], notes)
    return Layout(definitions, [release, received, alloc], notes)


def _struct(btf: Btf, name: str, member: str) -> Type:
    """The struct of that name; of several, the one that has ``member``."""
    for entry in btf.find(name, Kind.STRUCT):
        if btf.member(entry, member):
            return entry
    raise LayoutProblemError(f"struct {name} (with {member}) is not in the kernel's BTF")


def _offset(btf: Btf, entry: Type, path: str, size: int) -> int | None:
    """Offset in bytes of a member; None when there is none."""
    found = btf.member(entry, path)
    if found is None:
        return None
    actual = btf.size(found.type_id)
    if found.bits or found.bit_offset % 8 or actual != size:
        raise LayoutProblemError(f"{entry.name}.{path} has {actual} bytes, expected {size}")
    return found.bit_offset // 8


def _offsets(
    btf: Btf, entry: Type, members: tuple[tuple[str, int], ...], prefix: str
) -> dict[str, int]:
    offsets = {}
    for path, size in members:
        offset = _offset(btf, entry, path, size)
        if offset is None:
            raise LayoutProblemError(f"struct {entry.name} has no member {path}")
        offsets[f"{prefix}_{path.rpartition('.')[2]}"] = offset
    return offsets


def _mid_definitions(btf: Btf, mid: Type) -> dict[str, int]:
    definitions = _offsets(btf, mid, _MID_MEMBERS, "MID")
    for name, size in _MID_OPTIONAL:
        offset = _offset(btf, mid, name, size)
        if offset is not None:
            definitions[f"MID_{name}"] = offset
    spans = [
        (definitions[f"MID_{name}"], size)
        for name, size in _MID_MEMBERS + _MID_OPTIONAL
        if f"MID_{name}" in definitions
    ]
    # The kernel's MID_WAIT_CANCELLED and MID_DELETED, as bits of one byte each.
    flags = btf.member(mid, "mid_flags")
    cancelled = flags or btf.member(mid, "wait_cancelled")
    deleted = flags or btf.member(mid, "deleted_from_q")
    if cancelled is None or deleted is None:
        raise LayoutProblemError(f"struct {mid.name} has neither mid_flags nor wait_cancelled")
    for name, member, bit in (("cancelled", cancelled, 0), ("deleted", deleted, 1)):
        at = member.bit_offset + (bit if flags else 0)
        definitions[f"MID_{name}"] = at // 8
        definitions[f"MID_{name}_mask"] = 1 << at % 8 if flags or member.bits else 0xFF
        spans.append((at // 8, 1))
    first = min(at for at, _ in spans) // 8 * 8
    span = (max(at + size for at, size in spans) - first + 7) // 8 * 8
    if span > _MAX_SPAN:
        raise LayoutProblemError(f"the needed members of {mid.name} span {span} bytes")
    definitions.update({"MID_FIRST": first, "MID_SPAN": span})
    return definitions


def _header_definitions(btf: Btf) -> dict[str, int]:
    header = _struct(btf, _HEADER, "MessageId")
    definitions = _offsets(btf, header, _HEADER_MEMBERS, "HDR")
    response = max(definitions[f"HDR_{name}"] for name in _RESPONSE_MEMBERS) + 4
    request = max(definitions.values()) + 8
    definitions["HDR_RESPONSE_BYTES"] = (response + 7) // 8 * 8
    definitions["HDR_REQUEST_BYTES"] = (request + 7) // 8 * 8
    return definitions


def _function(btf: Btf, name: str, exclude: Collection[str]) -> tuple[Type, Type] | None:
    """A function and its prototype; None when BTF has none or several, or it is excluded."""
    found = [] if name in exclude else btf.find(name, Kind.FUNC)
    return (found[0], btf.type(found[0].size_or_type)) if len(found) == 1 else None


def _argument(btf: Btf, prototype: Type, struct: str) -> int | None:
    """Position of the argument that points to ``struct``."""
    for position, parameter in enumerate(btf.parameters(prototype)):
        if btf.points_to(parameter.type_id, struct):
            return position
    return None


def _described(btf: Btf, name: str, prototype: Type) -> str:
    names = ", ".join(parameter.name or "?" for parameter in btf.parameters(prototype))
    return f"{name}({names})"


def _server_argument(btf: Btf, prototype: Type, prefix: str) -> dict[str, int]:
    server = _argument(btf, prototype, _SERVER)
    return {} if server is None else {f"{prefix}_SERVER_ARG": server}


def _release(btf: Btf, mid: Type, exclude: Collection[str]) -> tuple[Target, dict[str, int]]:
    tried = []
    for name in _RELEASES:
        found = _function(btf, name, exclude)
        if found is None:
            tried.append(name)
            continue
        function, prototype = found
        bias = 0
        argument = _argument(btf, prototype, _MID)
        if argument is None:
            argument = _argument(btf, prototype, _KREF)
            refcount = btf.member(mid, "refcount")
            bias = refcount.bit_offset // 8 if refcount else 0
        if argument is None:
            tried.append(_described(btf, name, prototype))
            continue
        definitions = {"RELEASE_MID_ARG": argument, "RELEASE_MID_BIAS": bias}
        definitions.update(_server_argument(btf, prototype, "RELEASE"))
        return Target("release", "request_release", name, "fentry", function.id), definitions
    raise LayoutProblemError("no function that releases a MID can be probed: " + ", ".join(tried))


def _received(btf: Btf, exclude: Collection[str]) -> tuple[Target | None, dict[str, int]]:
    found = _function(btf, _RECEIVED, exclude)
    argument = _argument(btf, found[1], _MID) if found else None
    if found is None or argument is None:
        return None, {}
    definitions = {"RECEIVED_MID_ARG": argument}
    definitions.update(_server_argument(btf, found[1], "RECEIVED"))
    return Target("received", "request_received", _RECEIVED, "fentry", found[0].id), definitions


def _alloc(btf: Btf, exclude: Collection[str]) -> tuple[Target, dict[str, int]]:
    found = _function(btf, _ALLOC, exclude)
    if found is None:
        raise LayoutProblemError(f"{_ALLOC} cannot be probed")
    function, prototype = found
    request = _argument(btf, prototype, _HEADER)
    server = _argument(btf, prototype, _SERVER)
    if request is None or server is None or not btf.points_to(prototype.size_or_type, _MID):
        raise LayoutProblemError(f"unknown prototype {_described(btf, _ALLOC, prototype)}")
    definitions = {
        "ALLOC_REQUEST_ARG": request,
        "ALLOC_SERVER_ARG": server,
        "ALLOC_RESULT": prototype.entries,
    }
    return Target("alloc", "request_alloc", _ALLOC, "fexit", function.id), definitions
