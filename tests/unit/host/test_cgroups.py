# SPDX-License-Identifier: MIT
"""A process' service or container, by the name of its cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.host.cgroups import Units, unit_name

_ID = "3f2a9c0d1e4b" + "0" * 52
_UID = "6b1e2f3a-0c4d-4e5f-8a9b-0123456789ab"
_POD = f"kubepods-burstable-pod{_UID.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("0::/system.slice/postgresql.service", "postgresql"),
        ("0::/user.slice/user-1000.slice/session-3.scope", "session-3"),
        (f"0::/system.slice/docker-{_ID}.scope", "docker 3f2a9c0d1e4b"),
        (f"0::/machine.slice/libpod-{_ID}.scope/container", "libpod 3f2a9c0d1e4b"),
        (f"0::/kubepods.slice/pod7.slice/cri-containerd-{_ID}.scope", "containerd 3f2a9c0d1e4b"),
        (f"0::/kubepods/besteffort/pod7/{_ID}", "container 3f2a9c0d1e4b"),
        ("0::/system.slice/nginx.service/supervisor", "nginx"),
        ("0::/", ""),
        ("", ""),
        ("nonsense\n0::", ""),
        ("4:memory:/x\n1:name=systemd:/system.slice/cron.service\n0::/", "cron"),
    ],
)
def test_the_name_is_that_of_the_unit_or_container(path: str, name: str) -> None:
    """Of either version of cgroups, as systemd, Docker, Podman and Kubernetes name them."""
    assert unit_name(path) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"/system.slice/docker-{_ID}.scope", "docker"),
        (f"/docker/{_ID}", "container"),
        (f"/system.slice/docker.service/system.slice:docker:{_ID}", "docker"),
        (f"/machine.slice/machine-libpod_pod_{'b' * 64}.slice/libpod-{_ID}.scope", "libpod"),
        (f"/libpod_parent/libpod-{_ID}", "libpod"),
        (f"/user.slice/user-0.slice/user@0.service/user.slice/libpod-{_ID}.scope", "libpod"),
        (f"/system.slice/web.service/libpod-payload-{_ID}", "libpod-payload"),
        (f"/system.slice/nerdctl-{_ID}.scope", "nerdctl"),
        (f"/default/{_ID}", "container"),
        (
            f"/kubepods.slice/kubepods-burstable.slice/{_POD}/cri-containerd-{_ID}.scope",
            "containerd",
        ),
        (f"/kubepods.slice/kubepods-burstable.slice/{_POD}/crio-{_ID}.scope/container", "crio"),
        (f"/kubepods.slice/kubepods-burstable.slice/{_POD}/docker-{_ID}.scope", "docker"),
        (f"/kubepods/burstable/pod{_UID}/{_ID}", "container"),
        (f"/kubepods/burstable/pod{_UID}/crio-{_ID}", "crio"),
        (f"/system.slice/containerd.service/{_POD}:cri-containerd:{_ID}", "containerd"),
        (
            f"/system.slice/docker-{'c' * 64}.scope/kubelet.slice/cri-containerd-{_ID}.scope",
            "containerd",
        ),
    ],
)
def test_a_container_is_known_by_its_runtime_and_the_id_that_its_tools_take(
    path: str, name: str
) -> None:
    """By systemd's driver and by cgroupfs', in either version, of a pod and of none.

    So is one that a reader in another container sees, to whom paths lead up first.
    """
    for text in (f"0::{path}", f"0::/../../..{path}", f"4:memory:/x\n1:name=systemd:{path}\n0::/"):
        assert unit_name(text) == f"{name} 3f2a9c0d1e4b"


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods.slice/kubepods-burstable.slice/{_POD}",
        f"/kubepods/burstable/pod{_UID}",
        f"/kubepods/pod{_UID}/kata_overhead",
    ],
)
def test_a_pod_without_containers_on_the_host_is_known_by_its_uid(path: str) -> None:
    """As the API server writes it: its processes are those of a virtual machine."""
    assert unit_name(f"0::{path}") == f"pod {_UID}"
    assert unit_name(f"0::{path.replace(_UID, '7' * 32)}").startswith("pod ")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/../../system.slice/cron.service", "cron"),
        ("/../..", ""),
        ("/../../../init.scope", ""),
        ("/system.slice/cron.service (deleted)", "cron"),
        ("/system.slice/podman.service", "podman"),
        ("/system.slice/tripod0123.service", "tripod0123"),
    ],
)
def test_what_is_no_name_is_left_out(path: str, name: str) -> None:
    """The way up out of a reader's own container, and the kernel's remark on a removed one."""
    assert unit_name(f"0::{path}") == name


def test_a_process_is_read_once_and_remembered(tmp_path: Path) -> None:
    """One that cannot be read has no unit; one that ended keeps its own for a while."""
    (tmp_path / "7").mkdir()
    file = tmp_path / "7" / "cgroup"
    file.write_text("0::/system.slice/cron.service\n")
    units = Units(tmp_path)
    assert (units(7), units(8)) == ("cron", "")
    file.unlink()
    assert units(7) == "cron"
