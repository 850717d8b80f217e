# SPDX-License-Identifier: MIT
"""A process' service or container, by the name of its cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from aodasync.host.cgroups import Units, unit_name

_ID = "3f2a9c0d1e4b" + "0" * 52


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


def test_a_process_is_read_once_and_remembered(tmp_path: Path) -> None:
    """One that cannot be read has no unit; one that ended keeps its own for a while."""
    (tmp_path / "7").mkdir()
    file = tmp_path / "7" / "cgroup"
    file.write_text("0::/system.slice/cron.service\n")
    units = Units(tmp_path)
    assert (units(7), units(8)) == ("cron", "")
    file.unlink()
    assert units(7) == "cron"
