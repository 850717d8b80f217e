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

__all__ = [
    "Candidate",
    "Choice",
    "Target",
    "argument_of",
    "function_taking",
    "function_targets",
    "tree_target",
]

_MID = "mid_q_entry"
_SERVER = "TCP_Server_Info"
_HEADER = "smb2_hdr"
_KREF = "kref"
_TCON = "cifs_tcon"

_ALLOC = "smb2_mid_entry_alloc"
_RECEIVED = "dequeue_mid"
_INTERIM = "smb2_is_status_pending"
_TREE = "SMB2_tcon"
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
    of the object that holds the client (it changes from boot to boot); ``kprobe`` or
    ``kretprobe`` of the function; ``raw_tracepoint`` or ``tracepoint``, and
    ``function`` the tracepoint's name; or ``on_demand``.
    """

    role: str
    program: str
    function: str
    attach: str
    btf_id: int


class Candidate(NamedTuple):
    """What was considered for a role, whether it was chosen, and why or why not."""

    role: str
    target: str
    chosen: bool
    why: str


class Choice(NamedTuple):
    """What was found for a role: nothing, if ``targets`` is empty."""

    targets: list[Target]
    definitions: dict[str, int]
    tried: list[Candidate]


def function_targets(btf: Btf, exclude: Collection[str], *, preempts: bool) -> Choice:
    """What to attach, in order, and the positions of arguments (``*_ARG``).

    Whether the kernel ``preempts`` its threads says if it may skip a program.

    Ends first: a request whose allocation is seen must not miss its end. Raises
    :class:`LayoutProblemError`; only ``received`` and ``interim`` may be missing.
    """
    choices = (
        _release(btf, mid_struct(btf), exclude),
        _received(btf, exclude, preempts=preempts),
        _interim(btf, exclude),
        _alloc(btf, exclude),
    )
    return Choice(
        [target for choice in choices for target in choice.targets],
        {name: at for choice in choices for name, at in choice.definitions.items()},
        [candidate for choice in choices for candidate in choice.tried],
    )


def tree_target(btf: Btf, exclude: Collection[str]) -> Choice:
    """The function that connects a tree, on success; nothing when it cannot be probed."""
    found = _function(btf, _TREE, exclude)
    if isinstance(found, str):
        return Choice([], {}, [Candidate("trees", _TREE, chosen=False, why=found)])
    function, prototype = found
    tcon = _argument(btf, prototype, _TCON)
    if tcon is None or btf.size(prototype.size_or_type) != 4:
        return Choice([], {}, [_unknown(btf, "trees", _TREE, prototype)])
    target = Target("trees", "tree_connected", _TREE, "fexit", function.id)
    definitions = {"TREE_TCON_ARG": tcon, "TREE_RESULT": prototype.entries}
    return Choice([target], definitions, [_known(btf, "trees", _TREE, prototype)])


def function_taking(
    btf: Btf, name: str, sizes: tuple[int, ...], exclude: Collection[str]
) -> Type | str:
    """A function with arguments of these sizes in bytes, or why there is none."""
    found = _function(btf, name, exclude)
    if isinstance(found, str):
        return found
    function, prototype = found
    if tuple(btf.size(p.type_id) for p in btf.parameters(prototype)) != sizes:
        return f"unknown prototype {_described(btf, name, prototype)}"
    return function


def argument_of(
    btf: Btf, name: str, struct: str, exclude: Collection[str]
) -> tuple[Type, int] | str:
    """A function and the position of its argument that points to ``struct``, or why not."""
    found = _function(btf, name, exclude)
    if isinstance(found, str):
        return found
    function, prototype = found
    position = _argument(btf, prototype, struct)
    if position is None:
        return f"unknown prototype {_described(btf, name, prototype)}"
    return function, position


def _function(btf: Btf, name: str, exclude: Collection[str]) -> tuple[Type, Type] | str:
    """A function and its prototype, or why there is none."""
    if name in exclude:
        return "it could not be attached to"
    found = btf.find(name, Kind.FUNC)
    if len(found) != 1:
        return f"there are {len(found)} of that name" if found else "not among the kernel's types"
    return found[0], btf.type(found[0].size_or_type)


def _argument(btf: Btf, prototype: Type, struct: str) -> int | None:
    """Position of the argument that points to ``struct``."""
    for position, parameter in enumerate(btf.parameters(prototype)):
        if btf.points_to(parameter.type_id, struct):
            return position
    return None


def _described(btf: Btf, name: str, prototype: Type) -> str:
    names = ", ".join(parameter.name or "?" for parameter in btf.parameters(prototype))
    return f"{name}({names})"


def _unknown(btf: Btf, role: str, name: str, prototype: Type) -> Candidate:
    described = _described(btf, name, prototype)
    return Candidate(role, name, chosen=False, why=f"unknown prototype {described}")


def _known(btf: Btf, role: str, name: str, prototype: Type) -> Candidate:
    return Candidate(role, name, chosen=True, why=f"known as {_described(btf, name, prototype)}")


def _server_argument(btf: Btf, prototype: Type, prefix: str) -> dict[str, int]:
    server = _argument(btf, prototype, _SERVER)
    return {} if server is None else {f"{prefix}_SERVER_ARG": server}


def _release(btf: Btf, mid: Type, exclude: Collection[str]) -> Choice:
    """The function that frees a MID, or else the one that drops a reference to it."""
    refcount = member_offset(btf, mid, "refcount", 4)
    if refcount is None:
        raise LayoutProblemError(f"struct {mid.name} has no member refcount")
    tried: dict[str, Candidate] = {}
    for name, struct, is_put in _RELEASES:
        found = _function(btf, name, exclude)
        if isinstance(found, str):
            tried[name] = Candidate("release", name, chosen=False, why=found)
            continue
        function, prototype = found
        argument = _argument(btf, prototype, struct)
        if argument is None:
            tried[name] = _unknown(btf, "release", name, prototype)
            continue
        tried[name] = _known(btf, "release", name, prototype)
        counted = {"MID_refcount": refcount, **_server_argument(btf, prototype, "RELEASE")}
        if is_put:
            entry = Target("release", "request_put", name, "fentry", function.id)
            done = Target("freed", "request_put_done", name, "fexit", function.id)
            definitions = {"PUT_MID_ARG": argument, **counted}
            return Choice([done, entry], definitions, list(tried.values()))
        target = Target("release", "request_release", name, "fentry", function.id)
        bias = refcount if struct == _KREF else 0
        definitions = {"RELEASE_MID_ARG": argument, "RELEASE_MID_BIAS": bias, **counted}
        return Choice([target], definitions, list(tried.values()))
    reasons = [f"{candidate.target}: {candidate.why}" for candidate in tried.values()]
    raise LayoutProblemError("nothing that releases a MID can be probed: " + "; ".join(reasons))


def _received(btf: Btf, exclude: Collection[str], *, preempts: bool) -> Choice:
    found = _function(btf, _RECEIVED, exclude)
    if isinstance(found, str):
        return Choice([], {}, [Candidate("received", _RECEIVED, chosen=False, why=found)])
    function, prototype = found
    argument = _argument(btf, prototype, _MID)
    if argument is None:
        return Choice([], {}, [_unknown(btf, "received", _RECEIVED, prototype)])
    target = Target("received", "request_received", _RECEIVED, "fentry", function.id)
    definitions = {"RECEIVED_MID_ARG": argument, **_server_argument(btf, prototype, "RECEIVED")}
    known = _known(btf, "received", _RECEIVED, prototype)
    if not preempts:
        return Choice([target], definitions, [known])
    # Twice: what the kernel skips of the one (see bpf/smb_request.h), the other does. A
    # synchronous waiter takes its response away: its status is seen here or nowhere.
    twice = known._replace(why=f"{known.why}; twice, since the kernel preempts threads")
    return Choice([target, target], definitions, [twice])


def _interim(btf: Btf, exclude: Collection[str]) -> Choice:
    found = _function(btf, _INTERIM, exclude)
    if isinstance(found, str):
        return Choice([], {}, [Candidate("interim", _INTERIM, chosen=False, why=found)])
    function, prototype = found
    server = _argument(btf, prototype, _SERVER)
    if prototype.entries != 2 or server != 1 or btf.size(prototype.size_or_type) != 1:
        return Choice([], {}, [_unknown(btf, "interim", _INTERIM, prototype)])
    target = Target("interim", "request_interim", _INTERIM, "fexit", function.id)
    definitions = {"INTERIM_RESPONSE_ARG": 0, "INTERIM_SERVER_ARG": 1, "INTERIM_RESULT": 2}
    return Choice([target], definitions, [_known(btf, "interim", _INTERIM, prototype)])


def _alloc(btf: Btf, exclude: Collection[str]) -> Choice:
    found = _function(btf, _ALLOC, exclude)
    if isinstance(found, str):
        raise LayoutProblemError(f"{_ALLOC} cannot be probed: {found}")
    function, prototype = found
    request = _argument(btf, prototype, _HEADER)
    server = _argument(btf, prototype, _SERVER)
    if request is None or server is None or not btf.points_to(prototype.size_or_type, _MID):
        raise LayoutProblemError(_unknown(btf, "alloc", _ALLOC, prototype).why)
    target = Target("alloc", "request_alloc", _ALLOC, "fexit", function.id)
    definitions = {
        "ALLOC_REQUEST_ARG": request,
        "ALLOC_SERVER_ARG": server,
        "ALLOC_RESULT": prototype.entries,
    }
    return Choice([target], definitions, [_known(btf, "alloc", _ALLOC, prototype)])
