# SPDX-License-Identifier: MIT
"""Hosts on which the agent cannot work, or not fully: doctor says what ``aodasync run`` does.

Each is made really, in a mount namespace of its own, and both commands run in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel.frozen_mount import FrozenMount
from tests.unit.probes.kernel_types import write_kernel

_ROOT = Path(__file__).parents[2]
_PRIVATE = "for d in /run /var/lib /var/cache; do mount -t tmpfs private $d; done; "
_CLIENT = (
    "mount -t tmpfs modules /sys/module; mkdir /sys/module/cifs;"
    " echo live >/sys/module/cifs/initstate; "
)
_NO_BCC = (
    'for d in $(find /usr /opt -xdev -type d -path "*-packages/bcc" 2>/dev/null);'
    " do mount -t tmpfs empty $d; done; "
)
_FULL = "mkdir -p $OUT; mount -t tmpfs -o size=64k,mode=700 small $OUT; "
_CAPABILITIES = "setpriv --bounding-set=-sys_admin,-bpf,-perfmon"
_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups"


@dataclass(frozen=True)
class Host:
    """``made`` by shell commands (OUT is the output directory); commands run as ``by`` has it.

    ``check`` of doctor, and what ``run`` says, have ``cause`` in them.
    """

    name: str
    check: str
    cause: str
    exit_code: int = 0
    made: str = ""
    by: str = ""
    config: str = "audit: {enabled: false}\n"


ENDS = (
    Host("not root", "root", "the agent must run as root", 77, by=_NOBODY),
    Host("broken configuration", "configuration", "CONF:1:", 78, config="watch_interval_sec: x\n"),
    Host("no configuration", "configuration", "CONF", 78, "rm -f $CONF; "),
    Host(
        "another agent that does not answer",
        "agent",
        "another agent is running (pid 4242)",
        1,
        "mkdir -m 700 /run/aodasync; echo 4242 >/run/aodasync/lock;"
        " exec 9<>/run/aodasync/lock; flock 9; ",
    ),
    Host(
        "read-only file system",
        "output directory",
        "OUT/batches: read-only file system",
        1,
        "mkdir -p $OUT; mount -t tmpfs -o ro,mode=700 t $OUT; ",
    ),
    Host(
        "file system that became read-only",
        "output directory",
        "OUT/batches: read-only file system",
        1,
        "mkdir -p $OUT; mount -t tmpfs -o mode=700 t $OUT; mkdir -m 700 $OUT/batches;"
        " mount -o remount,ro $OUT; ",
    ),
    Host(
        "full disk",
        "output directory",
        "OUT/batches: no space left on device",
        1,
        "mkdir -p $OUT; mount -t tmpfs -o nr_inodes=1,mode=700 t $OUT; ",
    ),
    Host(
        "directory of another user",
        "output directory",
        "OUT belongs to uid 65534",
        1,
        "mkdir -p $OUT; chown 65534 $OUT; ",
    ),
    Host(
        "directory that others can write",
        "output directory",
        "others can write OUT",
        1,
        "mkdir -p $OUT; chmod 777 $OUT; ",
    ),
    Host(
        "link in place of the directory",
        "output directory",
        "OUT: is a symbolic link",
        1,
        "mkdir -p $OUT.d; ln -sfn $OUT.d $OUT; ",
    ),
    Host(
        "another writer in the directory",
        "output directory",
        "another aodasync writes to OUT/batches",
        1,
        "mkdir -p -m 700 $OUT $OUT/batches; exec 9<$OUT/batches; flock 9; ",
    ),
    Host("no bcc", "probe", "no Python with a usable bcc", 69, _NO_BCC),
    Host(
        "no bcc, with the client",
        "probe",
        "no Python with a usable bcc",
        69,
        _CLIENT + "mount --bind $OUT.btf /sys/kernel/btf; " + _NO_BCC,
    ),
    Host("no right to load", "probe", "Operation not permitted", 69, by=_CAPABILITIES),
    Host(
        "no right to load, with the client",
        "probe",
        "Operation not permitted",
        69,
        _CLIENT + "mount --bind $OUT.btf /sys/kernel/btf; ",
        _CAPABILITIES,
    ),
    Host(
        "client without types",
        "probe",
        "no type information of the SMB client: /sys/kernel/btf/cifs is missing",
        69,
        _CLIENT,
    ),
    Host(
        "kernel without the functions",
        "probe",
        "cannot attach to",
        69,
        _CLIENT + "mount --bind $OUT.btf /sys/kernel/btf; ",
    ),
)

GOES_ON = (
    Host("client not loaded", "SMB client", "the cifs module"),
    Host(
        "kernel without the client",
        "SMB client",
        "has no cifs: apt install linux-modules-extra",
        made="mkdir -p $OUT.m/$(uname -r); echo kernel/x.ko: >$OUT.m/$(uname -r)/modules.dep;"
        " [ -d /lib/modules ] || mkdir /lib/modules; mount --bind $OUT.m /lib/modules; ",
    ),
    Host(
        "no tracefs",
        "tracefs",
        "has no events",
        made="for d in /sys/kernel/tracing /sys/kernel/debug; do mount -t tmpfs t $d; done; ",
    ),
    Host(
        "no smbinfo",
        "tool: smbinfo",
        "not found",
        made="mount --bind /dev/null $(command -v smbinfo); ",
    ),
    Host(
        "disk that filled up",
        "output directory",
        "0 MB free",
        made=_FULL + "mkdir -m 700 $OUT/batches; cat /dev/zero >$OUT/x 2>/dev/null || :; ",
    ),
)


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """A broken host, not yet made."""
    made: Host = request.param
    (tmp_path / "conf.yaml").write_text(made.config)
    (tmp_path / "out.btf").mkdir()
    write_kernel(tmp_path / "out.btf", "6.12")
    return made


def _argv(host: Host, directory: Path, *command: str) -> list[str]:
    names = f"OUT={directory}/out; CONF={directory}/conf.yaml; "
    options = ["--config", f"{directory}/conf.yaml", "--output-dir", f"{directory}/out"]
    return [
        *("unshare", "--mount", "--propagation", "private"),
        *("sh", "-ec", f'{names}{_PRIVATE}{host.made}exec {host.by} "$@"', "sh"),
        *(sys.executable, "-m", "aodasync", *command, *options),
    ]


def _doctor(host: Host, directory: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and checks by their name."""
    done = subprocess.run(
        _argv(host, directory, "doctor", "--json"),
        capture_output=True,
        text=True,
        cwd=_ROOT,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {check["name"]: check for check in reversed(checks)}


def _cause(host: Host, directory: Path) -> str:
    names = {"OUT": f"{directory}/out", "CONF": f"{directory}/conf.yaml"}
    cause = host.cause
    for name, value in names.items():
        cause = cause.replace(name, value)
    return cause


@contextmanager
def _running(host: Host, directory: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        _argv(host, directory, "run", "--log-format", "json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("host", ENDS, ids=lambda host: host.name, indirect=True)
def test_doctor_fails_with_the_code_and_the_sentence_of_run(host: Host, tmp_path: Path) -> None:
    """Both name the cause; the summary of neither is a traceback; nothing is left by doctor."""
    code, checks = _doctor(host, tmp_path)
    check, cause = checks[host.check], _cause(host, tmp_path)
    assert (check["state"], code) == ("failed", host.exit_code), check
    assert cause in check["detail"]
    with _running(host, tmp_path) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == host.exit_code, err
    assert cause in err
    assert "Traceback" not in out + err
    if host.exit_code != 77:
        said = json.loads(out.splitlines()[-1])
        assert (said["event"], said["exit_code"]) == ("agent_failed", host.exit_code)
        assert said["error"].startswith(check["detail"].split("\n")[-1]) or cause in said["error"]


@pytest.mark.parametrize("host", GOES_ON, ids=lambda host: host.name, indirect=True)
def test_doctor_warns_where_the_agent_goes_on(host: Host, tmp_path: Path) -> None:
    """It exits 0, and so does the agent, when it is told to end."""
    code, checks = _doctor(host, tmp_path)
    check = checks[host.check]
    assert (check["state"], code) == ("warning", 0), check
    assert host.cause in check["detail"] + check["fix"]
    with _running(host, tmp_path) as process:
        assert process.stdout is not None
        waiting = next(line for line in process.stdout if '"agent_waiting"' in line)
        process.terminate()
        assert process.wait(60) == 0
    if host.check == "SMB client":
        assert host.cause in waiting


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """By its mount's name alone; both with the same words."""
    (tmp_path / "out").mkdir()
    (tmp_path / "conf.yaml").write_text("audit: {enabled: false}\n")
    host = Host("network", "output directory", "which hangs when its server does", 1)
    with ExitStack() as stack:
        stack.enter_context(FrozenMount(tmp_path / "out"))
        code, checks = _doctor(host, tmp_path)
        with _running(host, tmp_path) as process:
            _, err = process.communicate(timeout=60)
    assert (code, process.returncode) == (1, 1)
    assert host.cause in checks["output directory"]["detail"]
    assert checks["output directory"]["detail"] in err


def test_doctor_leaves_nothing_behind(tmp_path: Path) -> None:
    """What it tries to make it removes; the output directory is not made for it."""
    (tmp_path / "conf.yaml").write_text("audit: {enabled: false}\n")
    code, checks = _doctor(Host("whole", "", ""), tmp_path)
    assert code == 0, checks
    assert [path.name for path in tmp_path.iterdir()] == ["conf.yaml"]
