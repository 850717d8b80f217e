# SPDX-License-Identifier: MIT
"""The SMB client as our programs see it: structs in kernel memory, functions that are called."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

from aodasync.events import MidState
from aodasync.probes.client_lists import ListLayout
from tests.kernel.rig import ARENA_BYTES, Rig

MID_BYTES = 256
HEADER_BYTES = 160
"""A header, and as much behind it as anybody reads."""
SERVER_BYTES = 1024
STRUCT_BYTES = 4096
_HEADERS_AT = ARENA_BYTES // 2
_SERVERS_AT = 3 * ARENA_BYTES // 4
_READS_AT = 15 * ARENA_BYTES // 16
_READ_BYTES = 256
_PATH_AT = 31 * ARENA_BYTES // 16
_STRUCTS_AT = 2 * ARENA_BYTES
CREATE = 5
PROTOCOL_ID = 0x424D53FE
ASYNC_COMMAND = 0x2
RESPONSE = 0x1


@dataclass(frozen=True)
class Mid:
    """A MID in the arena: offset, and what its allocation was told."""

    slot: int
    server: int
    message_id: int

    @property
    def at(self) -> int:
        """Offset in the arena."""
        return 64 + self.slot * MID_BYTES


class FakeClient:
    """Allocates, answers and releases MIDs as fs/smb/client does."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.layout = rig.definitions
        self._message_ids = count(1)
        self._structs = -1

    def server(self, index: int, connection_id: int, hostname: str, address: str) -> int:
        """A TCP_Server_Info; returns its offset."""
        at = _SERVERS_AT + index * SERVER_BYTES
        name_at = at + SERVER_BYTES - 128
        arena = self.rig.arena
        arena.write(at + self.layout["SERVER_conn_id"], "=Q", connection_id)
        arena.write(name_at, "=128s", hostname.encode())
        arena.write(at + self.layout["SERVER_hostname"], "=Q", arena.base + name_at)
        peer = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 445)
        arena.write(at + self.layout["SERVER_dstaddr"], "=28s", peer + socket.inet_aton(address))
        return at

    def connect_trees(self, server: int, trees: Mapping[int, Mapping[int, str]]) -> list[int]:
        """Sessions of a connection, each with its trees by id; the first one is IPC$.

        Returns the addresses of all trees.
        """
        layout, arena = self.layout, self.rig.arena
        addresses: list[int] = []
        sessions = []
        for session_id, shares in trees.items():
            session = self._struct()
            sessions.append(arena.base + session + layout["SES_smb_ses_list"])
            arena.write(session + layout["SES_server"], "=Q", arena.base + server)
            arena.write(session + layout["SES_Suid"], "=Q", session_id)
            listed = []
            for tree_id, name in shares.items():
                tree = self._struct()
                addresses.append(arena.base + tree)
                arena.write(tree + layout["TCON_ses"], "=Q", arena.base + session)
                arena.write(tree + layout["TCON_tid"], "=I", tree_id)
                arena.write(tree + layout["TCON_tree_name"], "=1285s", name.encode())
                listed.append(arena.base + tree + layout["TCON_tcon_list"])
            arena.write(session + layout["SES_tcon_ipc"], "=Q", addresses[-len(listed)])
            self._link(arena.base + session + layout["SES_tcon_list"], listed[1:])
        self._link(arena.base + server + layout["SERVER_smb_ses_list"], sessions)
        return addresses

    def speak_smb1(self, server: int) -> None:
        """The connection's protocol version is that of SMB1."""
        values = self._struct()
        self.rig.arena.write(values + self.layout["VALUES_protocol_id"], "=H", 0)
        self.rig.arena.write(
            server + self.layout["SERVER_vals"], "=Q", self.rig.arena.base + values
        )

    def put_into_namespace(self, server: int, inode: int) -> None:
        """The connection's network namespace is that of this inode number."""
        net = self._struct()
        self.rig.arena.write(net + self.layout["NET_inum"], "=I", inode)
        self.rig.arena.write(server + self.layout["SERVER_net"], "=Q", self.rig.arena.base + net)

    def list_connections(self, *servers: int) -> ListLayout:
        """cifs_tcp_ses_list; where the lists are."""
        base, offsets = self.rig.arena.base, self.rig.lists
        head = base + self._struct()
        self._link(head, [base + at + offsets["next_connection"] for at in servers])
        return ListLayout(connections=head, **offsets)

    def list_requests(self, server: int, *mids: Mid) -> None:
        """What a connection waits for."""
        base, offsets = self.rig.arena.base, self.rig.lists
        entries = [base + mid.at + offsets["next_request"] for mid in mids]
        self._link(base + server + offsets["requests"], entries)

    def tree_connected(self, tree: int, error: int) -> None:
        """SMB2_tcon returns."""
        context = [0] * 6
        context[self.layout["TREE_TCON_ARG"]] = tree
        context[self.layout["TREE_RESULT"]] = error
        if "KPROBES" in self.layout:
            self.rig.run("tree_connected_entered", 0, 0, 0, tree)
            context = [error]
        self.rig.run("tree_connected", *context)

    def _struct(self) -> int:
        """Offset of room for a session or a tree."""
        self._structs += 1
        return _STRUCTS_AT + self._structs * STRUCT_BYTES

    def _link(self, head: int, entries: Sequence[int]) -> None:
        """A circular list of list_heads, by address."""
        base = self.rig.arena.base
        for at, following in pairwise([head, *entries, head]):
            self.rig.arena.write(at - base, "=Q", following)
            self.rig.arena.write(following - base + 8, "=Q", at)

    def make_mid(self, slot: int, server: int, command: int, when_alloc: int | None = None) -> Mid:
        """The struct alone, as if it had been allocated before anyone looked."""
        mid = Mid(slot, server, next(self._message_ids))
        arena = self.rig.arena
        arena.write(mid.at, f"={MID_BYTES}s", b"")
        jiffies = arena.refresh_jiffies() if when_alloc is None else when_alloc
        self.set(mid, "mid", "=Q", mid.message_id)
        self.set(mid, "pid", "=I", 4242)
        self.set(mid, "when_alloc", "=Q", jiffies)
        self.set(mid, "command", "=H", command)
        self.set(mid, "mid_state", "=I", MidState.ALLOCATED)
        if "MID_server" in self.layout:
            self.set(mid, "server", "=Q", arena.base + server)
        self.set(mid, "callback_data", "=Q", arena.base + _READS_AT + slot * _READ_BYTES)
        arena.write(mid.at + 16, "=I", 1)
        return mid

    def alloc(
        self,
        slot: int,
        server: int,
        command: int,
        *,
        session_id: int = 77,
        tree_id: int = 5,
        flags: int = 0,
        next_command: int = 0,
        body: bytes = b"",
        path: str = "",
    ) -> Mid:
        """smb2_mid_entry_alloc returns; ``body`` follows the header, a CREATE has a ``path``."""
        mid = self.make_mid(slot, server, command)
        header = _HEADERS_AT + slot * HEADER_BYTES
        self._header(header, command, flags)
        arena = self.rig.arena
        arena.write(header + self.layout["HDR_NextCommand"], "=I", next_command)
        arena.write(header + self.layout["HDR_MessageId"], "=Q", mid.message_id)
        arena.write(header + self.layout["HDR_TreeId"], "=I", tree_id)
        arena.write(header + self.layout["HDR_SessionId"], "=Q", session_id)
        arena.write(header + 64, f"={len(body)}s", body)
        if command == CREATE:
            self.begin_create(header, path)
        context = [0, 0, arena.base + mid.at]
        context[self.layout["ALLOC_REQUEST_ARG"]] = arena.base + header
        context[self.layout["ALLOC_SERVER_ARG"]] = arena.base + server
        if "KPROBES" in self.layout:
            self.rig.run("request_alloc_entered", *context)
            context = [arena.base + mid.at]
        self.rig.run("request_alloc", *context)
        self.set(mid, "mid_state", "=I", MidState.SUBMITTED)
        return mid

    def begin_create(self, header: int, path: str) -> None:
        """SMB2_open_init is called, and puts the name in a buffer of its own."""
        arena, name = self.rig.arena, path.encode("utf-16-le")
        vectors, text = _PATH_AT, _PATH_AT + 128
        arena.write(header + 110, "=H", len(name))
        arena.write(text, f"={len(name)}s", name)
        arena.write(vectors, "=QQQQ", arena.base + header, 120, arena.base + text, len(name))
        arena.write(vectors + 64 + self.layout["RQST_rq_iov"], "=Q", arena.base + vectors)
        context = [0] * 7
        context[self.layout["PATH_RQST_ARG"]] = arena.base + vectors + 64
        if "create_begun" in self.rig.programs:
            self.rig.run("create_begun", *context)

    def send(self, mid: Mid, ticks: int = 0) -> None:
        """The request leaves, so many ticks after its allocation."""
        (when_alloc,) = self.rig.arena.read(mid.at + self.layout["MID_when_alloc"], "=Q")
        self.set(mid, "when_sent", "=Q", when_alloc + ticks)

    def receive(
        self,
        mid: Mid,
        status: int = 0,
        *,
        flags: int = RESPONSE,
        payload_first: bool = False,
        encrypted: bool = False,
        skipped: bool = False,
        file_id: tuple[int, int] = (0, 0),
    ) -> None:
        """Cifsd matches the response, which gives a CREATE its ``file_id``.

        The header of a READ (``payload_first``) is with its I/O then, and comes to
        resp_buf only afterwards; an ``encrypted`` one's never does.
        """
        header = self._response(mid, status, flags)
        self.rig.arena.write(header - self.rig.arena.base + 128, "=QQ", *file_id)
        if payload_first or encrypted:
            read = _READS_AT + mid.slot * _READ_BYTES
            self.rig.arena.write(read + self.layout["READ_iov"], "=Q", header)
        else:
            self.set(mid, "resp_buf", "=Q", header)
        if not skipped:
            self.receive_again(mid)
        self.set(mid, "mid_state", "=I", MidState.RECEIVED)
        if payload_first:
            self.set(mid, "resp_buf", "=Q", header)

    def receive_again(self, mid: Mid) -> None:
        """The program that sees the response runs, as the one of the two that are attached."""
        self.rig.run("request_received", *self._arguments(mid, "RECEIVED", arena_offset=0))

    def receive_interim(self, mid: Mid, *, is_pending: bool = True) -> None:
        """smb2_is_status_pending looked at a response; the MID does not notice."""
        header = _HEADERS_AT + mid.slot * HEADER_BYTES
        self._header(header, 0, RESPONSE | ASYNC_COMMAND)
        status = 0x103 if is_pending else 0
        self.rig.arena.write(header + self.layout["HDR_Status"], "=I", status)
        self.rig.arena.write(header + self.layout["HDR_MessageId"], "=Q", mid.message_id)
        base = self.rig.arena.base
        # A bool is one byte; what the register holds beyond it means nothing.
        result = 0xABCDEF00 | is_pending
        self.rig.run("request_interim", base + header, base + mid.server, result)

    def free(self, mid: Mid) -> None:
        """The last reference goes, and nobody sees it."""
        self.rig.arena.write(mid.at + 16, "=I", 0)

    def task(self, tgid: int, comm: str) -> int:
        """Address of a task_struct."""
        at = self._struct()
        self.rig.arena.write(at + self.layout["TASK_tgid"], "=I", tgid)
        self.rig.arena.write(at + self.layout["TASK_comm"], "=16s", comm.encode())
        return self.rig.arena.base + at

    def take_response(self, mid: Mid) -> None:
        """A synchronous waiter takes the buffer."""
        self.set(mid, "resp_buf", "=Q", 0)

    def cancel(self, mid: Mid) -> None:
        """The waiter gives up."""
        self._flag(mid, "cancelled")

    def delete(self, mid: Mid) -> None:
        """The MID leaves the queue."""
        self._flag(mid, "deleted")

    def release(self, mid: Mid, state: MidState | int | None = None) -> None:
        """The last reference goes."""
        if state is not None:
            self.set(mid, "mid_state", "=I", state)
        if "PUT_MID_ARG" in self.layout:
            self.put(mid, last=True)
        else:
            bias = self.layout["RELEASE_MID_BIAS"]
            self.rig.run("request_release", *self._arguments(mid, "RELEASE", arena_offset=bias))

    def put(self, mid: Mid, *, last: bool) -> None:
        """A reference goes, where the freeing function is inlined."""
        arguments = [self.rig.arena.base + mid.at]
        self.rig.run("request_put", *arguments)
        if last:
            self.rig.arena.write(mid.at + 16, "=I", 0)
        self.rig.run("request_put_done", *([0] if "KPROBES" in self.layout else arguments))

    def set(self, mid: Mid, member: str, form: str, value: int) -> None:
        """Write a member of the MID."""
        self.rig.arena.write(mid.at + self.layout[f"MID_{member}"], form, value)

    def _arguments(self, mid: Mid, role: str, *, arena_offset: int) -> list[int]:
        base = self.rig.arena.base
        arguments = [0, 0, 0]
        if f"{role}_SERVER_ARG" in self.layout:
            arguments[self.layout[f"{role}_SERVER_ARG"]] = base + mid.server
        arguments[self.layout[f"{role}_MID_ARG"]] = base + mid.at + arena_offset
        return arguments

    def _flag(self, mid: Mid, name: str) -> None:
        at = mid.at + self.layout[f"MID_{name}"]
        (byte,) = self.rig.arena.read(at, "=B")
        self.rig.arena.write(at, "=B", byte | self.layout[f"MID_{name}_mask"])

    def _response(self, mid: Mid, status: int, flags: int) -> int:
        """Address of the response's header."""
        header = _HEADERS_AT + mid.slot * HEADER_BYTES
        self._header(header, 0, flags)
        arena = self.rig.arena
        arena.write(header + self.layout["HDR_Status"], "=I", status)
        arena.write(header + self.layout["HDR_MessageId"], "=Q", mid.message_id)
        arena.write(header + self.layout["HDR_SessionId"], "=Q", 77)
        if not flags & ASYNC_COMMAND:
            arena.write(header + self.layout["HDR_TreeId"], "=I", 5)
        return arena.base + header

    def _header(self, at: int, command: int, flags: int) -> None:
        arena = self.rig.arena
        arena.write(at, f"={HEADER_BYTES}s", b"")
        arena.write(at + self.layout["HDR_ProtocolId"], "=I", PROTOCOL_ID)
        arena.write(at + self.layout["HDR_Command"], "=H", command)
        arena.write(at + self.layout["HDR_Flags"], "=I", flags)
