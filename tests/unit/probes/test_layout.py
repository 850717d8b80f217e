# SPDX-License-Identifier: MIT
"""The layout, on the types of four kernels."""

from __future__ import annotations

import pytest

from aodasync.probes.compiler.btf import Btf
from aodasync.probes.compiler.layout import Layout, LayoutProblemError, Target, decide
from tests.unit.probes.kernel_types import KERNELS, kernel_blobs

REQUEST_ROLES = {"freed", "release", "received", "interim", "alloc"}


def layout(version: str, *leave_out: str, exclude: tuple[str, ...] = ()) -> Layout:
    """The layout of a kernel's types, less some."""
    kernel, cifs = kernel_blobs(version, leave_out=frozenset(leave_out))
    return decide(Btf(cifs, Btf(kernel)), exclude)


def roles(found: Layout) -> list[tuple[str, str, str]]:
    """What is attached for requests, in order."""
    return [(t.role, t.attach, t.function) for t in found.targets if t.role in REQUEST_ROLES]


@pytest.mark.parametrize("version", ["6.1", "6.12"])
def test_layout_of_6_1_and_6_12(version: str) -> None:
    """The MID comes first in dequeue_mid, as a kref in __release_mid; flags are a word."""
    found = layout(version)
    expected = {
        "MID_mid": 32,
        "MID_pid": 44,
        "MID_when_alloc": 56,
        "MID_when_sent": 64,
        "MID_resp_buf": 120,
        "MID_mid_state": 132,
        "MID_command": 140,
        "MID_server": 24,
        "MID_cancelled": 136,
        "MID_cancelled_mask": 1,
        "MID_deleted": 136,
        "MID_deleted_mask": 2,
        "MID_FIRST": 24,
        "MID_SPAN": 120,
        "HDR_Status": 8,
        "HDR_Command": 12,
        "HDR_Flags": 16,
        "HDR_NextCommand": 20,
        "HDR_MessageId": 24,
        "HDR_TreeId": 36,
        "HDR_SessionId": 40,
        "HDR_BYTES": 48,
        "MID_callback_data": 104,
        "MID_creator": 112,
        "MID_refcount": 16,
        "READ_iov": 176,
        "TASK_tgid": 12,
        "TASK_comm": 32,
        "SERVER_conn_id": 56,
        "SERVER_hostname": 112,
        "SERVER_dstaddr": 128,
        "RELEASE_MID_ARG": 0,
        "RELEASE_MID_BIAS": 16,
        "RECEIVED_MID_ARG": 0,
        "ALLOC_REQUEST_ARG": 0,
        "ALLOC_SERVER_ARG": 1,
        "ALLOC_RESULT": 2,
    }
    assert {name: found.definitions.get(name) for name in expected} == expected
    assert "RELEASE_SERVER_ARG" not in found.definitions


def test_layout_of_7_2() -> None:
    """The server comes first and is no member; flags are bitfields of one byte."""
    found = layout("7.2")
    expected = {
        "MID_mid": 24,
        "MID_resp_buf": 112,
        "MID_mid_state": 128,
        "MID_command": 136,
        "MID_cancelled": 148,
        "MID_cancelled_mask": 1,
        "MID_deleted": 148,
        "MID_deleted_mask": 2,
        "MID_FIRST": 24,
        "MID_SPAN": 128,
        "RELEASE_MID_ARG": 1,
        "RELEASE_MID_BIAS": 0,
        "RELEASE_SERVER_ARG": 0,
        "RECEIVED_MID_ARG": 1,
        "RECEIVED_SERVER_ARG": 0,
    }
    assert {name: found.definitions.get(name) for name in expected} == expected
    assert "MID_server" not in found.definitions


def test_received_is_attached_once_where_no_program_can_be_skipped() -> None:
    """A kernel that does not preempt its threads runs each program to its end."""
    kernel, cifs = kernel_blobs("6.12")
    found = decide(Btf(cifs, Btf(kernel)), preempts=False)
    assert roles(found).count(("received", "fentry", "dequeue_mid")) == 1
    assert sorted({*roles(layout("6.12"))}) == sorted(roles(found))


def test_without_the_io_of_a_read_its_status_is_known_to_be_at_stake() -> None:
    """Encrypted READs cannot be followed then, which the plan says; all else is as ever."""
    found = layout("6.12", "cifs_io_subrequest")
    assert "READ_iov" not in found.definitions
    assert any("encrypted" in note for note in found.notes)
    assert roles(found) == roles(layout("6.12"))


def test_the_running_task_is_followed_where_the_kernel_has_the_helper() -> None:
    """Its name is two loads then; one that is not aligned is asked of the other helper."""
    for comm, follows in ((1752, True), (1756, False)):
        kernel, cifs = kernel_blobs("6.12", task={"tgid": 1268, "comm": comm})
        found = decide(Btf(cifs, Btf(kernel)))
        assert ("FOLLOWS_TASK" in found.definitions) == follows
    assert "FOLLOWS_TASK" not in layout("6.12").definitions


def test_without_the_creator_only_the_name_of_unseen_issuers_is_missing() -> None:
    """The MID's pid is enough to go on."""
    found = layout("6.12", "creator")
    assert "TASK_comm" not in found.definitions
    assert roles(found) == roles(layout("6.12"))


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_ends_are_attached_before_beginnings(version: str) -> None:
    """Release, received, alloc: no request is seen to begin and not to end."""
    assert roles(layout(version)) == [
        ("release", "fentry", "__release_mid"),
        ("received", "fentry", "dequeue_mid"),
        ("received", "fentry", "dequeue_mid"),
        ("interim", "fexit", "smb2_is_status_pending"),
        ("alloc", "fexit", "smb2_mid_entry_alloc"),
    ]


def test_an_inlined_release_falls_back_to_the_dropped_reference() -> None:
    """Entry and exit of the function that drops a reference stand in for the free."""
    found = layout("5.15")
    assert roles(found)[:2] == [
        ("freed", "fexit", "cifs_mid_q_entry_release"),
        ("release", "fentry", "cifs_mid_q_entry_release"),
    ]
    assert found.definitions["PUT_MID_ARG"] == 0
    assert found.definitions["MID_refcount"] == 16
    assert "RELEASE_MID_ARG" not in found.definitions


def test_targets_carry_the_split_btf_id_of_their_function() -> None:
    """Ids continue those of vmlinux; every function has its own."""
    kernel, cifs = kernel_blobs("6.12")
    base = Btf(kernel)
    targets = [t for t in decide(Btf(cifs, base)).targets if t.role in REQUEST_ROLES]
    assert all(target.btf_id >= base.end_id for target in targets)
    assert len({target.btf_id for target in targets}) == len({t.function for t in targets})


def test_every_candidate_has_its_reason() -> None:
    """What was considered for the release, in order of preference, up to the one chosen."""
    tried = [c for c in layout("5.15").tried if c.role == "release"]
    assert [(c.target, c.chosen) for c in tried] == [
        ("__release_mid", False),
        ("_cifs_mid_q_entry_release", False),
        ("release_mid", False),
        ("cifs_mid_q_entry_release", True),
    ]
    assert tried[0].why == "not among the kernel's types"
    assert tried[-1].why == "known as cifs_mid_q_entry_release(mid)"
    excluded = layout("6.12", exclude=("dequeue_mid",)).tried
    assert [c.why for c in excluded if c.role == "received"] == ["it could not be attached to"]


def test_without_dequeue_mid_all_else_goes_on() -> None:
    """It is optional: the note says what is missing then."""
    found = layout("6.12", "dequeue_mid")
    assert [role for role, _, _ in roles(found)] == ["release", "interim", "alloc"]
    assert "RECEIVED_MID_ARG" not in found.definitions
    assert any("received_ns is 0" in note for note in found.notes)


def test_without_interim_responses_all_else_goes_on() -> None:
    """The function may be missing, or be inlined; the note says what is not seen then."""
    found = layout("6.12", "smb2_is_status_pending")
    assert [role for role, _, _ in roles(found)] == ["release", "received", "received", "alloc"]
    assert "INTERIM_RESULT" not in found.definitions
    assert any("interim" in note for note in found.notes)


def test_without_when_sent_all_else_goes_on() -> None:
    """It depends on CONFIG_CIFS_STATS2."""
    found = layout("6.12", "when_sent")
    assert "MID_when_sent" not in found.definitions
    assert any("sent_ns is 0" in note for note in found.notes)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("mid_state", "mid_state"),
        ("conn_id", "conn_id"),
        ("mid_flags", "mid_flags"),
        ("smb2_mid_entry_alloc", "smb2_mid_entry_alloc"),
        ("__release_mid", "__release_mid"),
        ("mid", "mid_q_entry"),
    ],
)
def test_what_is_missing_is_named(missing: str, named: str) -> None:
    """An unknown kernel is refused with the name of what it lacks."""
    with pytest.raises(LayoutProblemError, match=named):
        layout("6.12", missing)


def test_an_excluded_function_is_not_chosen() -> None:
    """A function that turned out not to be attachable leaves an error or a note."""
    with pytest.raises(LayoutProblemError, match="__release_mid"):
        layout("6.12", exclude=("__release_mid",))
    assert [role for role, _, _ in roles(layout("6.12", exclude=("dequeue_mid",)))] == [
        "release",
        "interim",
        "alloc",
    ]


@pytest.mark.parametrize("missing", ["tree_name", "tcon_ipc", "smb_ses_list"])
def test_without_the_trees_all_else_goes_on(missing: str) -> None:
    """Shares are not known then, as the note says; what was missing is told."""
    found = layout("6.12", missing)
    assert "walk" not in {target.role for target in found.targets}
    assert "SES_tcon_list" not in found.definitions
    assert any("shares are unknown" in note for note in found.notes)
    assert any(missing in c.why for c in found.tried if c.role == "trees")


def test_without_smb2_tcon_trees_are_found_by_walking() -> None:
    """The walk needs no function to attach to."""
    found = layout("6.12", "SMB2_tcon")
    assert [t.role for t in found.targets if t.role in {"walk", "trees"}] == ["walk"]
    assert not any("shares" in note for note in found.notes)


@pytest.mark.parametrize("version", sorted(KERNELS))
def test_tracepoints_are_chosen_by_their_arguments(version: str) -> None:
    """Each tracepoint gets the program written for its arguments; unknown ones a note."""
    found = layout(version)
    trouble = {t.program: t for t in found.targets if t.role == "trouble"}
    lease = "smb3_lease_not_found" + ("_epoch" if version == "7.2" else "")
    assert set(trouble) == {
        lease,
        "smb3_reconnect",
        "smb3_reconnect_detected",
        "smb3_ses_expired",
        "smb3_tcon",
        "smb3_connect_err",
    }
    assert trouble[lease] == Target("trouble", lease, "smb3_lease_not_found", "raw_tracepoint", 0)
    assert found.notes == ["smb3_credit_timeout has unknown arguments of 8, 8, 8 bytes: left out"]
    why = {c.target: (c.chosen, c.why) for c in found.tried if c.role == "trouble"}
    assert why["smb3_eio"] == (False, "not in this kernel")
    assert why["smb3_credit_timeout"] == (False, "arguments of 8, 8, 8 bytes")
    assert why["smb3_reconnect"] == (True, "arguments of 8, 8, 8 bytes")


def test_operations_are_followed_from_end_to_beginning() -> None:
    """What is seen to begin must be seen to end, so the end is attached first."""
    found = layout("6.12")
    targets = [t for t in found.targets if t.role == "operations"]
    assert [(t.program, t.function, t.attach) for t in targets] == [
        ("operation_ended", "_free_xid", "fentry"),
        ("smb3_enter", "smb3_enter", "raw_tracepoint"),
    ]
    assert targets[0].btf_id
    assert found.definitions["XID_ARG"] == 0


@pytest.mark.parametrize("missing", ["smb3_enter", "_free_xid"])
def test_operations_are_followed_from_both_ends_or_not_at_all(missing: str) -> None:
    """The note says what is not seen then; the reason of each is told."""
    found = layout("6.12", missing)
    assert "operations" not in {target.role for target in found.targets}
    assert "XID_ARG" not in found.definitions
    assert any("waits without a request" in note for note in found.notes)
    why = {c.target: (c.chosen, c.why) for c in found.tried if c.role == "operations"}
    assert set(why) == {"smb3_enter", "_free_xid"}
    assert why[missing][1] in {"not in this kernel", "not among the kernel's types"}
    assert not any(chosen for chosen, _ in why.values())


@pytest.mark.parametrize("missing", ["SMB2_open_init", "rq_iov"])
def test_without_the_names_of_files_their_ids_are_there(missing: str) -> None:
    """The note says so, what was missing is told, and nothing else is lost."""
    found = layout("6.12", missing)
    assert "PATH_RQST_ARG" not in found.definitions
    assert found.definitions["FILE_NAMES"] == 1
    assert found.notes[-1] == "SMB2_open_init cannot be probed: files have ids, and no names"
    assert [c.chosen for c in found.tried if c.role == "paths"] == [False]
    assert roles(found) == roles(layout("6.12"))


def test_without_file_names_nothing_is_attached_for_them() -> None:
    """Neither names nor ids are recorded, and nobody is told that they are missing."""
    kernel, cifs = kernel_blobs("6.12")
    found = decide(Btf(cifs, Btf(kernel)), file_names=False)
    assert not {"FILE_NAMES", "PATH_RQST_ARG"} & set(found.definitions)
    assert "paths" not in {target.role for target in found.targets}
    assert not any("names" in note for note in found.notes)
