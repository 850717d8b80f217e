# SPDX-License-Identifier: MIT
"""The types of the SMB client as kernels have them, as BTF.

Offsets and argument types are those of Debian's 6.1.0, 6.12.117 and 7.2.13, read
from their BTF; ``5.15`` is written after the sources: there the release function
is inlined into the one that drops a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.unit.probes.btf_writer import CONST, ENUM, UNION, BtfWriter, Members


@dataclass(frozen=True)
class KernelTypes:
    """What differs between kernels.

    ``server_passed``: as on 7.2, the server is an argument instead of a member, and
    ``mid_flags`` became bitfields. ``release_takes``: a ``mid`` or a ``kref``.
    ``tree_name``: that member of a tree. ``read``: the I/O of an asynchronous READ.
    """

    release: str = "__release_mid"
    release_takes: str = "kref"
    server_passed: bool = False
    tree_name: str = "tree_name"
    read: str = "cifs_io_subrequest"


KERNELS = {
    "5.15": KernelTypes(
        release="cifs_mid_q_entry_release",
        release_takes="mid",
        tree_name="treeName",
        read="cifs_readdata",
    ),
    "6.1": KernelTypes(read="cifs_readdata"),
    "6.12": KernelTypes(),
    "7.2": KernelTypes(release_takes="mid", server_passed=True),
}


FAKE_TASK: Mapping[str, int] = MappingProxyType({"tgid": 12, "comm": 32})


def kernel_blobs(
    version: str,
    *,
    leave_out: frozenset[str] = frozenset(),
    built_in: bool = False,
    onto: BtfWriter | None = None,
    task: Mapping[str, int] = FAKE_TASK,
) -> tuple[bytes, bytes]:
    """BTF of vmlinux and of cifs; ``leave_out`` names members and functions to drop.

    Both are the same if the client is ``built_in``. They continue ``onto`` if given.
    ``task`` has the offsets in a task_struct; programs may follow the pointer to one given.
    """
    types = KERNELS[version]
    base = onto or BtfWriter()
    u8, u16 = base.int_("unsigned char", 1), base.int_("short unsigned int", 2)
    u32, u64 = base.int_("unsigned int", 4), base.int_("long unsigned int", 8)
    s32 = base.int_("int", 4)
    pointer = base.ptr(0)
    list_head = base.struct("list_head", 16, [("next", 0, pointer), ("prev", 8, pointer)])
    refcount = base.struct("refcount_struct", 4, [("refs", 0, s32)])
    kref = base.struct("kref", 4, [("refcount", 0, refcount)])
    kref_pointer = base.ptr(kref)
    storage = base.struct("__kernel_sockaddr_storage", 128, [("ss_family", 0, u16)])
    creator, net = _add_task(base, s32, task), _add_net(base, u32)
    base.string("message")

    cifs = base if built_in else BtfWriter(base)
    u64_alias = cifs.typedef("__u64", u64)
    le32 = cifs.add(CONST, "", cifs.typedef("__le32", u32))
    boolean = cifs.add(ENUM, "bool_like", 1)
    server = cifs.struct(
        "TCP_Server_Info",
        1648,
        _kept(
            leave_out,
            ("tcp_ses_list", 0, list_head),
            ("smb_ses_list", 16, list_head),
            ("conn_id", 56, u64_alias),
            ("vals", 104 if types.server_passed else 96, _add_version(cifs, leave_out, u16)),
            ("hostname", 112, pointer),
            ("dstaddr", 128, storage),
            ("net", 392 if types.server_passed else 384, net),
            ("pending_mid_q", 456 if types.server_passed else 448, list_head),
            ("credits", 480 if types.server_passed else 472, s32),
        ),
    )
    sync = cifs.struct("", 8, [("ProcessId", 0, le32), ("TreeId", 4, le32)])
    ids = cifs.struct("", 8, [("SyncId", 0, sync), ("AsyncId", 0, u64)], kind=UNION)
    header = cifs.struct(
        "smb2_hdr",
        64,
        [
            ("ProtocolId", 0, le32),
            ("Status", 8, le32),
            ("Command", 12, u16),
            ("Flags", 16, le32),
            ("NextCommand", 20, le32),
            ("MessageId", 24, u64),
            ("Id", 32, ids),
            ("SessionId", 40, u64_alias),
        ],
    )
    server_pointer = cifs.ptr(server)
    _add_read_and_create(cifs, types, leave_out, pointer=pointer, s32=s32)
    _add_trees_and_operations(
        cifs,
        types,
        leave_out=leave_out,
        list_head=list_head,
        server_pointer=server_pointer,
        pointer=pointer,
        u32=u32,
        u64=u64,
    )
    at, resp_buf = (24, 112) if types.server_passed else (32, 120)
    members = [
        ("qhead", 0, list_head),
        ("refcount", 16, kref),
        *([] if types.server_passed else [("server", 24, server_pointer)]),
        ("mid", at, u64),
        ("pid", at + 12, u32),
        ("when_alloc", at + 24, u64),
        ("when_sent", at + 32, u64),
        ("callback_data", resp_buf - 16, pointer),
        ("creator", resp_buf - 8, creator),
        ("resp_buf", resp_buf, pointer),
    ]
    if types.server_passed:
        rest = [("mid_state", 128, s32), ("mid_rc", 132, s32), ("command", 136, u16)]
        fields = [(name, 8 * offset, 0, kind) for name, offset, kind in members + rest]
        fields += [("wait_cancelled", 1184, 1, boolean), ("deleted_from_q", 1185, 1, boolean)]
        mid = cifs.bitfield_struct(
            "mid_q_entry", 152, [entry for entry in fields if entry[0] not in leave_out]
        )
    else:
        rest = [("mid_state", 132, s32), ("mid_flags", 136, u32), ("command", 140, u16)]
        mid = cifs.struct("mid_q_entry", 152, _kept(leave_out, *members, *rest))
    mid_pointer = cifs.ptr(mid)
    request = ("shdr", cifs.ptr(cifs.add(CONST, "", header)))
    leading = [("server", server_pointer)] if types.server_passed else []
    released = {"mid": ("mid", mid_pointer), "kref": ("refcount", kref_pointer)}
    functions = {
        "smb2_mid_entry_alloc": (mid_pointer, [request, ("server", server_pointer)]),
        "dequeue_mid": (0, [*leading, ("mid", mid_pointer), ("malformed", u8)]),
        "smb2_is_status_pending": (
            boolean,
            [("buf", cifs.ptr(u8)), ("server", server_pointer)],
        ),
        types.release: (0, [*leading, released[types.release_takes]]),
    }
    for name, (result, parameters) in functions.items():
        if name not in leave_out:
            cifs.func(name, result, parameters)
    lease = [u32, u32, u16, u32] if types.server_passed else [u32, u32]
    cifs.tracepoint("smb3_lease_not_found", [*lease, u64, u64, u64])
    cifs.tracepoint("smb3_reconnect", [u64, u64, pointer])
    cifs.tracepoint("smb3_reconnect_detected", [u64, u64, pointer, s32, s32, s32])
    cifs.tracepoint("smb3_ses_expired", [u32, u64, u16, u64])
    cifs.tracepoint("smb3_tcon", [u32, u32, u64, pointer, s32])
    cifs.tracepoint("smb3_connect_err", [pointer, u64, pointer, s32])
    cifs.tracepoint("smb3_credit_timeout", [u64, u64, u64])  # a prototype nobody knows
    return base.blob(), cifs.blob()


def _add_version(cifs: BtfWriter, leave_out: frozenset[str], u16: int) -> int:
    kept = _kept(leave_out, ("protocol_id", 8, u16))
    return cifs.ptr(cifs.struct("smb_version_values", 152, kept))


def _add_task(base: BtfWriter, s32: int, offsets: Mapping[str, int]) -> int:
    comm = base.array(base.int_("char", 1), 16)
    if offsets is not FAKE_TASK:
        base.string("BPF_FUNC_get_current_task_btf")
    members = [(name, at, comm if name == "comm" else s32) for name, at in offsets.items()]
    return base.ptr(base.struct("task_struct", offsets["comm"] + 16, members))


def _add_net(base: BtfWriter, u32: int) -> int:
    namespace = base.struct("ns_common", 24, [("inum", 16, u32)])
    return base.ptr(base.struct("net", 2048, [("ns", 144, namespace)]))


def _add_read_and_create(
    cifs: BtfWriter, types: KernelTypes, leave_out: frozenset[str], *, pointer: int, s32: int
) -> None:
    vector = cifs.struct("kvec", 16, [("iov_base", 0, pointer)])
    if types.read not in leave_out:
        cifs.struct(types.read, 256, [("iov", 176, cifs.array(vector, 1))])

    request = cifs.struct("smb_rqst", 64, _kept(leave_out, ("rq_iov", 0, cifs.ptr(vector))))
    if "SMB2_open_init" not in leave_out:
        before = [("tcon", pointer), ("server", pointer), ("rqst", cifs.ptr(request))]
        after = [("oplock", pointer), ("oparms", pointer), ("path", pointer)]
        cifs.func("SMB2_open_init", s32, [*before, *after])


def _add_trees_and_operations(
    cifs: BtfWriter,
    types: KernelTypes,
    *,
    leave_out: frozenset[str],
    list_head: int,
    server_pointer: int,
    pointer: int,
    u32: int,
    u64: int,
) -> None:
    session = cifs.struct(
        "cifs_ses",
        1256,
        _kept(
            leave_out,
            ("smb_ses_list", 0, list_head),
            ("tcon_list", 32, list_head),
            ("tcon_ipc", 64, pointer),
            ("server", 104, server_pointer),
            ("Suid", 152, u64),
        ),
    )
    name = cifs.array(cifs.int_("char", 1), 1285)
    tree = cifs.struct(
        "cifs_tcon",
        2032,
        _kept(
            leave_out,
            ("tcon_list", 0, list_head),
            ("ses", 80, cifs.ptr(session)),
            (types.tree_name, 88, name),
            ("tid", 1392, u32),
        ),
    )
    if "_free_xid" not in leave_out:
        cifs.func("_free_xid", 0, [("xid", u32)])
    if "smb3_enter" not in leave_out:
        cifs.tracepoint("smb3_enter", [u32, pointer])
    if "SMB2_tcon" not in leave_out:
        arguments = [("xid", u32), ("ses", cifs.ptr(session)), ("tree", pointer)]
        cifs.func("SMB2_tcon", u32, [*arguments, ("tcon", cifs.ptr(tree)), ("cp", pointer)])


def write_kernel(
    directory: Path,
    version: str,
    *,
    built_in: bool = False,
    task: Mapping[str, int] = FAKE_TASK,
) -> Path:
    """A directory like /sys/kernel/btf of that kernel."""
    kernel, cifs = kernel_blobs(version, built_in=built_in, task=task)
    (directory / "vmlinux").write_bytes(kernel)
    if not built_in:
        (directory / "cifs").write_bytes(cifs)
    return directory


def _kept(leave_out: frozenset[str], *members: tuple[str, int, int]) -> Members:
    return [member for member in members if member[0] not in leave_out]
