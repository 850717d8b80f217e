# SPDX-License-Identifier: MIT
"""Which kernel functions to attach to, and which of their arguments hold what.

An argument is found by its *type*. Seen in the wild:

- the release function is ``_cifs_mid_q_entry_release(struct kref *)`` up to 5.19,
  ``__release_mid(struct kref *)`` from 6.0, and ``__release_mid(server, mid)`` from
  6.19 or so; where it is static, it may be inlined into the function that drops a
  reference, ``cifs_mid_q_entry_release(mid)`` or ``release_mid(mid)``;
- ``dequeue_mid(mid, malformed)`` got the server as first argument in 6.19 or so;
- ``smb2_is_status_pending(buf, server)`` tells whether a response is an interim one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from .btf import Btf, Kind, Type
from .members import LayoutProblemError, member_offset, mid_struct

__all__ = ["Target", "function_targets"]

_MID = "mid_q_entry"
_SERVER = "TCP_Server_Info"
_HEADER = "smb2_hdr"
_KREF = "kref"

_ALLOC = "smb2_mid_entry_alloc"
_RECEIVED = "dequeue_mid"
_INTERIM = "smb2_is_status_pending"
# Name, what its argument points to, and whether it only drops a reference. In order of
# preference: freeing functions before those they are inlined into, newest first.
_RELEASES = (
    ("__release_mid", _MID, False),
    ("__release_mid", _KREF, False),
    ("_cifs_mid_q_entry_release", _KREF, False),
    ("release_mid", _MID, True),
    ("cifs_mid_q_entry_release", _MID, True),
)


class Target(NamedTuple):
    """One program and the function it is attached to.

    ``attach`` is ``fentry`` or ``fexit``, ``btf_id`` the function's id in the BTF
    of the object that holds the client (it changes from boot to boot); or it is
    ``raw_tracepoint``, and ``function`` the tracepoint's name.
    """

    role: str
    program: str
    function: str
    attach: str
    btf_id: int


def function_targets(btf: Btf, exclude: Collection[str]) -> tuple[list[Target], dict[str, int]]:
    """What to attach, in order, and the positions of arguments (``*_ARG``).

    Ends first: a request whose allocation is seen must not miss its end. Raises
    :class:`LayoutProblemError`; only ``received`` and ``interim`` may be missing.
    """
    release, release_definitions = _release(btf, mid_struct(btf), exclude)
    received, received_definitions = _received(btf, exclude)
    interim, interim_definitions = _interim(btf, exclude)
    alloc, alloc_definitions = _alloc(btf, exclude)
    definitions = {
        **release_definitions,
        **received_definitions,
        **interim_definitions,
        **alloc_definitions,
    }
    return [*release, *received, *interim, *alloc], definitions


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


def _release(btf: Btf, mid: Type, exclude: Collection[str]) -> tuple[list[Target], dict[str, int]]:
    """The function that frees a MID, or else the one that drops a reference to it."""
    refcount = member_offset(btf, mid, "refcount", 4)
    if refcount is None:
        raise LayoutProblemError(f"struct {mid.name} has no member refcount")
    tried = []
    for name, struct, is_put in _RELEASES:
        found = _function(btf, name, exclude)
        argument = _argument(btf, found[1], struct) if found else None
        if found is None or argument is None:
            tried.append(_described(btf, name, found[1]) if found else name)
            continue
        function, prototype = found
        server = _server_argument(btf, prototype, "RELEASE")
        if is_put:
            entry = Target("release", "request_put", name, "fentry", function.id)
            done = Target("freed", "request_put_done", name, "fexit", function.id)
            return [done, entry], {"PUT_MID_ARG": argument, "MID_refcount": refcount, **server}
        target = Target("release", "request_release", name, "fentry", function.id)
        bias = refcount if struct == _KREF else 0
        return [target], {"RELEASE_MID_ARG": argument, "RELEASE_MID_BIAS": bias, **server}
    raise LayoutProblemError("nothing that releases a MID can be probed: " + ", ".join(tried))


def _received(btf: Btf, exclude: Collection[str]) -> tuple[list[Target], dict[str, int]]:
    found = _function(btf, _RECEIVED, exclude)
    argument = _argument(btf, found[1], _MID) if found else None
    if found is None or argument is None:
        return [], {}
    function, prototype = found
    definitions = {"RECEIVED_MID_ARG": argument, **_server_argument(btf, prototype, "RECEIVED")}
    return [Target("received", "request_received", _RECEIVED, "fentry", function.id)], definitions


def _interim(btf: Btf, exclude: Collection[str]) -> tuple[list[Target], dict[str, int]]:
    found = _function(btf, _INTERIM, exclude)
    if found is None:
        return [], {}
    function, prototype = found
    server = _argument(btf, prototype, _SERVER)
    if prototype.entries != 2 or server != 1 or btf.size(prototype.size_or_type) != 1:
        return [], {}
    definitions = {"INTERIM_RESPONSE_ARG": 0, "INTERIM_SERVER_ARG": 1, "INTERIM_RESULT": 2}
    return [Target("interim", "request_interim", _INTERIM, "fexit", function.id)], definitions


def _alloc(btf: Btf, exclude: Collection[str]) -> tuple[list[Target], dict[str, int]]:
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
    return [Target("alloc", "request_alloc", _ALLOC, "fexit", function.id)], definitions
