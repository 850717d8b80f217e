# SPDX-License-Identifier: MIT
"""Offsets of the members that the C side reads.

Members are found by name and checked for their size. ``mid_q_entry.server`` is
gone since v6.19 or so; at about that time ``mid_flags`` became the bitfields
``wait_cancelled`` and ``deleted_from_q``. ``when_sent`` needs CONFIG_CIFS_STATS2.
"""

from __future__ import annotations

from .btf import Btf, Kind, Type

__all__ = [
    "LayoutProblemError",
    "list_members",
    "member_offset",
    "mid_struct",
    "struct_definitions",
    "tree_definitions",
]

# Members by path, with the size in bytes that the C side reads.
_MID_MEMBERS = (
    ("mid", 8),
    ("pid", 4),
    ("when_alloc", 8),
    ("resp_buf", 8),
    ("mid_state", 4),
    ("command", 2),
)
_MID_OPTIONAL = (("server", 8), ("when_sent", 8), ("callback_data", 8), ("creator", 8))
# What callback_data of an asynchronous READ is: since v6.10, and before.
_READS = ("cifs_io_subrequest", "cifs_readdata")
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
# To walk from a connection to its trees.
_SERVER_TREE_MEMBERS = (("smb_ses_list", 16),)
_SESSION_MEMBERS = (
    ("smb_ses_list", 16),
    ("tcon_list", 16),
    ("tcon_ipc", 8),
    ("server", 8),
    ("Suid", 8),
)
_TREE_MEMBERS = (("tcon_list", 16), ("ses", 8), ("tid", 4))
# To walk from the list of connections to the requests that each waits for.
_LIST_MEMBERS = (
    ("next_connection", "TCP_Server_Info", "conn_id", "tcp_ses_list"),
    ("requests", "TCP_Server_Info", "conn_id", "pending_mid_q"),
    ("next_request", "mid_q_entry", "mid", "qhead"),
)
_LIST_HEAD_BYTES = 16
_CREDITS = ("credits", 4)  # how many requests a connection may send now
_CURRENT_TASK = "BPF_FUNC_get_current_task_btf"  # of enum bpf_func_id, since v5.11
_TREE_NAMES = ("tree_name", "treeName")  # renamed in v6.0 or so
_MAX_SPAN = 256  # they are copied to the BPF stack, of 512 bytes


class LayoutProblemError(Exception):
    """The kernel's types are not the ones the probe knows."""


def struct_definitions(btf: Btf) -> dict[str, int]:
    """``MID_*``, ``HDR_*`` and ``SERVER_*``. Raises :class:`LayoutProblemError`."""
    server = _struct(btf, "TCP_Server_Info", "conn_id")
    mid = mid_struct(btf)
    return {
        **_mid_definitions(btf, mid),
        **_issuer_definitions(btf, mid),
        **_read_definitions(btf, mid),
        **_header_definitions(btf),
        **_offsets(btf, server, _SERVER_MEMBERS, "SERVER"),
        **_version_definitions(btf, server),
        **_namespace_definitions(btf, server),
    }


def list_members(btf: Btf) -> dict[str, int]:
    """Offsets of the list heads of connections and requests; empty where one is missing.

    ``credits`` and ``connection_id`` as well; ``credits`` is -1 where it is missing.
    """
    server = _struct(btf, "TCP_Server_Info", "conn_id")
    credits_at = member_offset(btf, server, *_CREDITS)
    offsets = {
        "connection_id": member_offset(btf, server, "conn_id", 8) or 0,
        "credits": -1 if credits_at is None else credits_at,
    }
    for name, struct, having, member in _LIST_MEMBERS:
        offset = member_offset(btf, _struct(btf, struct, having), member, _LIST_HEAD_BYTES)
        if offset is None:
            return {}
        offsets[name] = offset
    return offsets


def tree_definitions(btf: Btf) -> dict[str, int]:
    """``SES_*``, ``TCON_*`` and more of ``SERVER_*``. Raises :class:`LayoutProblemError`."""
    tree = _struct(btf, "cifs_tcon", "tcon_list")
    name = next((found for path in _TREE_NAMES if (found := btf.member(tree, path))), None)
    # An array inside the struct; a pointer would be another thing.
    if name is None or btf.strip(name.type_id).kind != Kind.ARRAY:
        raise LayoutProblemError(f"struct {tree.name} has no array {_TREE_NAMES[0]}")
    server = _struct(btf, "TCP_Server_Info", "conn_id")
    return {
        **_offsets(btf, server, _SERVER_TREE_MEMBERS, "SERVER"),
        **_offsets(btf, _struct(btf, "cifs_ses", "Suid"), _SESSION_MEMBERS, "SES"),
        **_offsets(btf, tree, _TREE_MEMBERS, "TCON"),
        "TCON_tree_name": name.bit_offset // 8,
    }


def mid_struct(btf: Btf) -> Type:
    """The struct of a request in flight."""
    return _struct(btf, "mid_q_entry", "mid")


def _struct(btf: Btf, name: str, member: str) -> Type:
    """The struct of that name; of several, the one that has ``member``."""
    for entry in btf.find(name, Kind.STRUCT):
        if btf.member(entry, member):
            return entry
    raise LayoutProblemError(f"struct {name} (with {member}) is not in the kernel's BTF")


def member_offset(btf: Btf, entry: Type, path: str, size: int) -> int | None:
    """Offset in bytes of a member, whose size is checked; None when there is none."""
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
        offset = member_offset(btf, entry, path, size)
        if offset is None:
            raise LayoutProblemError(f"struct {entry.name} has no member {path}")
        offsets[f"{prefix}_{path.rpartition('.')[2]}"] = offset
    return offsets


def _mid_definitions(btf: Btf, mid: Type) -> dict[str, int]:
    definitions = _offsets(btf, mid, _MID_MEMBERS, "MID")
    for name, size in _MID_OPTIONAL:
        offset = member_offset(btf, mid, name, size)
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
    header = _struct(btf, "smb2_hdr", "MessageId")
    definitions = _offsets(btf, header, _HEADER_MEMBERS, "HDR")
    definitions["HDR_BYTES"] = (max(definitions.values()) + 15) // 8 * 8
    return definitions


def _version_definitions(btf: Btf, server: Type) -> dict[str, int]:
    """Where a connection has its protocol version; nothing where that is not as it is known."""
    values = member_offset(btf, server, "vals", 8)
    for entry in btf.find("smb_version_values", Kind.STRUCT):
        protocol = member_offset(btf, entry, "protocol_id", 2)
        if values is not None and protocol is not None:
            return {"SERVER_vals": values, "VALUES_protocol_id": protocol}
    return {}


def _namespace_definitions(btf: Btf, server: Type) -> dict[str, int]:
    """Where a connection has its network namespace, and that its inode number; else nothing."""
    member = btf.member(server, "net")
    if member is None or not btf.points_to(member.type_id, "net"):
        return {}
    net = btf.strip(btf.strip(member.type_id).size_or_type)
    inode = member_offset(btf, net, "ns.inum", 4)
    return {} if inode is None else {"SERVER_net": member.bit_offset // 8, "NET_inum": inode}


def _issuer_definitions(btf: Btf, mid: Type) -> dict[str, int]:
    """Where the MID's creator has its name; nothing where that is not as it is known.

    With ``FOLLOWS_TASK`` a program may load it from the running task as well.
    """
    creator = btf.member(mid, "creator")
    if creator is None or not btf.points_to(creator.type_id, "task_struct"):
        return {}
    task = btf.strip(btf.strip(creator.type_id).size_or_type)
    comm, tgid = btf.member(task, "comm"), btf.member(task, "tgid")
    if comm is None or tgid is None or btf.strip(comm.type_id).kind != Kind.ARRAY:
        return {}
    definitions = {"TASK_comm": comm.bit_offset // 8, "TASK_tgid": tgid.bit_offset // 8}
    if not definitions["TASK_comm"] % 8 and btf.has_string(_CURRENT_TASK):
        definitions["FOLLOWS_TASK"] = 1
    return definitions


def _read_definitions(btf: Btf, mid: Type) -> dict[str, int]:
    """Where an asynchronous READ has its iovecs; nothing where that is not as it is known."""
    if btf.member(mid, "callback_data") is None:
        return {}
    for name in _READS:
        for entry in btf.find(name, Kind.STRUCT):
            vectors = btf.member(entry, "iov")
            if vectors and btf.strip(vectors.type_id).kind == Kind.ARRAY:
                return {"READ_iov": vectors.bit_offset // 8}
    return {}
