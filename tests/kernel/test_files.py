# SPDX-License-Identifier: MIT
"""Which file a request is about: what the BPF programs read, and what the agent makes of it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from aodasync.evidence.file_book import File, FileBook
from aodasync.probes.name_ring import NAME_MAX_BYTES
from aodasync.probes.preparation import METHODS
from aodasync.probes.records import NAME_BYTES
from aodasync.probes.shared import NAME_SLOTS
from aodasync.smb.commands import COMMAND_CODES
from tests.kernel.fake_client import CREATE, FakeClient
from tests.kernel.rig import Rig
from tests.unit.probes.kernel_types import KERNELS

# Where each command has its file id, by MS-SMB2 2.2.15 to 2.2.39, from the body's start on.
ID_AT = {
    "CLOSE": 8,
    "FLUSH": 8,
    "READ": 16,
    "WRITE": 16,
    "LOCK": 8,
    "IOCTL": 8,
    "QUERY_DIRECTORY": 8,
    "CHANGE_NOTIFY": 8,
    "QUERY_INFO": 24,
    "SET_INFO": 16,
}
OBJECT_NAME_NOT_FOUND = 0xC0000034
RELATED = 0x4
FILE_ID = (2**64 - 2, 2**63 + 7)


@pytest.fixture(params=[(version, by) for version in sorted(KERNELS) for by in METHODS[:2]])
def client(request: pytest.FixtureRequest, make_rig: Callable[..., Rig]) -> FakeClient:
    """A client with the types of each kernel, looked at by fentry and by kprobe."""
    version, method = request.param
    return FakeClient(make_rig(version, method=method))


def opened(client: FakeClient, path: str, file_id: tuple[int, int], server: int) -> None:
    """A file is opened."""
    mid = client.alloc(0, server, CREATE, path=path)
    client.receive(mid, file_id=file_id)
    client.release(mid)


def with_id(command: str, file_id: tuple[int, int]) -> bytes:
    """The body of a request, up to its file id."""
    return bytes(ID_AT[command]) + struct.pack("=QQ", *file_id)


def files(client: FakeClient) -> list[File]:
    """The files of the rows that were recorded."""
    rows = client.rig.probe.read(1000)
    return client.rig.probe.files().of(rows)


def test_a_request_bears_the_id_and_the_name_of_its_file(client: FakeClient) -> None:
    """The id is read behind the header of each command that has one; the CREATE names it."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    opened(client, "dir\\größe.txt", FILE_ID, server)
    assert files(client) == [File("dir/größe.txt", *FILE_ID)]
    for command in ID_AT:
        code, body = COMMAND_CODES[f"SMB2_{command}"], with_id(command, FILE_ID)
        mid = client.alloc(1, server, code, body=body)
        waiting = client.rig.probe.files().of(client.rig.probe.in_flight())
        client.receive(mid)
        client.release(mid)
        assert waiting == files(client) == [File("dir/größe.txt", *FILE_ID)], command


def test_a_create_in_flight_and_one_that_fails_have_a_name(client: FakeClient) -> None:
    """The name is known before any response, and without an id."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    mid = client.alloc(0, server, CREATE, path="missing")
    waiting = client.rig.probe.in_flight()
    assert client.rig.probe.files().of(waiting) == [File("missing")]
    client.receive(mid, OBJECT_NAME_NOT_FOUND, file_id=(1, 2))
    client.release(mid)
    assert files(client) == [File("missing")]


def test_the_parts_of_a_compound_are_about_the_file_of_its_create(client: FakeClient) -> None:
    """All ones for an id: that of the CREATE with the next lower message id."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    ones = (2**64 - 1,) * 2
    mids = [client.alloc(0, server, CREATE, path="a\\b", next_command=152)]
    for slot, command in enumerate(("QUERY_INFO", "CLOSE"), start=1):
        code, body = COMMAND_CODES[f"SMB2_{command}"], with_id(command, ones)
        mids.append(client.alloc(slot, server, code, body=body, flags=RELATED))
    for mid in mids:
        client.receive(mid, file_id=(3, 4))
        client.release(mid)
    assert files(client) == [File("a/b", 3, 4)] * 3


def test_a_request_without_a_file_has_none(client: FakeClient) -> None:
    """ECHO has no id; an IOCTL outside of a compound may have all ones, which is none."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    ones = with_id("IOCTL", (2**64 - 1,) * 2)
    for slot, command in enumerate(("ECHO", "IOCTL")):
        mid = client.alloc(slot, server, COMMAND_CODES[f"SMB2_{command}"], body=ones)
        client.receive(mid)
        client.release(mid)
    assert files(client) == [File(), File()]


def test_the_share_s_root_and_a_long_name(client: FakeClient) -> None:
    """The root has no name on the wire; of a long one the last components are kept."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    opened(client, "", (1, 1), server)
    long = "\\".join(f"directory-{n:03}" for n in range(60))
    opened(client, long, (2, 2), server)
    root, cut = files(client)
    assert root.name == "."
    assert cut.name.startswith(".../directory-0")
    assert long.replace("\\", "/").endswith(cut.name.removeprefix("..."))
    assert NAME_BYTES // 2 - 16 < len(cut.name) <= NAME_MAX_BYTES


def test_what_the_ring_of_names_cannot_hold_is_counted(client: FakeClient) -> None:
    """The oldest names are lost, and counted once it is certain; their requests are not."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    many = NAME_SLOTS + 100
    for _ in range(many):
        opened(client, "name", (1, 1), server)
    rows = client.rig.probe.read(many + 1)
    named = [file.name for file in client.rig.probe.files().of(rows)]
    assert named == [""] * 100 + ["name"] * NAME_SLOTS
    opened(client, "last", (1, 1), server)
    assert files(client)[-1].name == "last"
    assert client.rig.probe.losses()["name_ring_full"] == 100


def test_a_create_that_was_built_elsewhere_has_no_name(client: FakeClient) -> None:
    """It is counted, and a former name is not taken for its own."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    opened(client, "first", (1, 1), server)
    client.begin_create = lambda *_: None  # type: ignore[method-assign]
    mid = client.alloc(0, server, CREATE)
    client.receive(mid, file_id=(2, 2))
    client.release(mid)
    assert files(client) == [File("first", 1, 1), File("", 2, 2)]
    assert client.rig.probe.figures()["name_unseen"] == 1


def test_a_skipped_look_at_a_name_is_no_lost_request(client: FakeClient) -> None:
    """How often the kernel skipped the program that notes names is a figure, and no loss."""
    assert "skipped_paths" in client.rig.probe.figures()
    assert "skipped_paths" not in client.rig.probe.losses()


def test_without_a_book_nothing_is_known(client: FakeClient) -> None:
    """A probe that was told to keep no files answers for none."""
    server = client.server(0, 12, "files.example", "10.9.9.1")
    opened(client, "first", (1, 1), server)
    rows = client.rig.probe.read(10)
    assert FileBook(0).of(rows) == [File()]
