# SPDX-License-Identifier: MIT
"""The faults of the matrix, as a table: how each comes and goes, and what must be seen of it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from product import MOUNT, SHARE_DIR, lab

_CONF = Path("/etc/samba/smb.conf")


@dataclass(frozen=True)
class Fault:
    """A fault: ``inject`` is given thresholds in ms by command, and undoes it at its end.

    ``types`` must all appear (``a|b``: one of them), the first with one of ``causes``,
    and its bundle must show what ``shown`` names (of :data:`evidence.SHOWN`). What
    ``over_thresholds`` delays must be no hang yet: it needs a machine on which they are low.
    ``sufferer`` is a process that it hurts: one of the workload's, or the lab's script itself.
    """

    name: str
    inject: Callable[[Mapping[str, float]], None]
    types: tuple[str, ...]
    causes: frozenset[str]
    emergency: bool = False
    over_thresholds: bool = False
    shown: tuple[str, ...] = ()
    sufferer: str = "python3"


@contextmanager
def _network(command: str) -> Iterator[None]:
    lab(command)
    try:
        yield
    finally:
        lab("lab_clear_net || true")


def _over(thresholds: Mapping[str, float]) -> float:
    return 1.5 * max(thresholds.values())


def delay(thresholds: Mapping[str, float]) -> None:
    """Each round trip takes longer than any threshold."""
    with _network(f"lab_delay {_over(thresholds):.0f}ms"):
        time.sleep(8)


def _loss(percent: int) -> str:
    """Packets of both sides get lost: what the client sends again is its own figure."""
    return f'lab_loss {percent}%; tc qdisc replace dev "$LAB_CLIENT_IF" root netem loss {percent}%'


def loss(_thresholds: Mapping[str, float]) -> None:
    """The network loses packets."""
    with _network(_loss(15)):
        time.sleep(8)


def bandwidth(_thresholds: Mapping[str, float]) -> None:
    """A link that carries less than the workload asks for."""
    with _network("lab_bandwidth 100kbit"):
        time.sleep(8)


def blackout(_thresholds: Mapping[str, float]) -> None:
    """Nothing arrives."""
    with _network(_loss(100)):
        time.sleep(8)


def _stopped(seconds: float) -> None:
    lab("lab_server_stop")
    try:
        time.sleep(seconds)
    finally:
        lab("lab_server_cont")


def stall(_thresholds: Mapping[str, float]) -> None:
    """The server stands still for longer than the emergency threshold."""
    _stopped(1.5)


def standstill(_thresholds: Mapping[str, float]) -> None:
    """The server stands still for as long as makes a hang."""
    _stopped(8)


def restart(_thresholds: Mapping[str, float]) -> None:
    """The server is killed and started again."""
    lab("lab_server_restart")


def slow_disk(thresholds: Mapping[str, float]) -> None:
    """Writing to some files takes the server long."""
    name = lab(f"lab_slow_name pwrite {_over(thresholds):.0f}").strip()
    end = time.monotonic() + 8

    def write(number: int) -> None:
        descriptor = os.open(MOUNT / f"{name}-{number}", os.O_CREAT | os.O_RDWR)
        while time.monotonic() < end:
            os.pwrite(descriptor, b"x" * 4096, 0)
            os.fsync(descriptor)
        os.close(descriptor)

    with ThreadPoolExecutor(12) as writers:
        list(writers.map(write, range(12)))


def disk_full(_thresholds: Mapping[str, float]) -> None:
    """No space is left on the server's file system."""
    filler = SHARE_DIR / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], check=False, stderr=-3)
    try:
        for number in range(40):
            try:
                (MOUNT / f"no-room-{number}").write_bytes(b"x" * 65536)
            except OSError:
                continue
    finally:
        filler.unlink()


def denied(_thresholds: Mapping[str, float]) -> None:
    """Files of another owner are asked for."""
    for number in range(40):
        secret = SHARE_DIR / f"secret-{number}"
        secret.write_text("not yours")
        secret.chmod(0o600)
    refused = 0
    for number in range(40):
        try:
            (MOUNT / f"secret-{number}").read_text()
        except PermissionError:
            refused += 1
    assert refused == 40


def share_removed(_thresholds: Mapping[str, float]) -> None:
    """The administrator takes the share away, and gives it back."""
    before = _CONF.read_text()
    _CONF.write_text(before.replace("[share]", "[removed]"))
    try:
        lab("smbcontrol smbd reload-config; smbcontrol smbd close-share share")
        time.sleep(6)
    finally:
        _CONF.write_text(before)
        lab("smbcontrol smbd reload-config")


def starved(_thresholds: Mapping[str, float]) -> None:
    """The client has a CPU to itself, and others that matter more on it; the server has another."""
    pins = (
        "for p in $(lab_server_pids) $(pgrep -f bin/aodasync); do taskset -acp 1 $p; done;"
        "for p in $(pgrep cifsd) $(pgrep -f workload.py); do taskset -acp 0 $p; done"
    )
    lab(f"{{ {pins}; }} >/dev/null 2>&1 || true")
    spin = ["taskset", "-c", "0", "nice", "-n", "-20", "sh", "-c", "while :; do :; done"]
    hogs = [subprocess.Popen(spin) for _ in range(12)]
    try:
        time.sleep(8)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
        lab(
            f"{{ {pins.replace('-acp 1', '-acp 0-1').replace('-acp 0 ', '-acp 0-1 ')}; }} "
            ">/dev/null 2>&1 || true"
        )


def drift(thresholds: Mapping[str, float]) -> None:
    """The network gets slower bit by bit, and no threshold is crossed by it."""
    most_ms = min(thresholds.values()) / 2
    try:
        for step in range(1, 6):
            lab(f"lab_delay {most_ms * step / 5:.0f}ms")
            time.sleep(2)
        time.sleep(40)
    finally:
        lab("lab_clear_net || true")


_SERVER = frozenset({"server"})
_NETWORK = frozenset({"network"})
_LOST = "sockets.log shows the loss"
_HUNG = (
    "stacks.log shows a process that waits in cifs",
    "inflight.json shows the hung requests with their ages",
)

FAULTS = (
    Fault("network delay", delay, ("latency",), _NETWORK, over_thresholds=True),
    Fault("packet loss", loss, ("latency",), _NETWORK, shown=(_LOST,)),
    Fault("bandwidth limit", bandwidth, ("latency",), _NETWORK),
    Fault("100 % loss for 8 s", blackout, ("hang", "connection"), _NETWORK, shown=_HUNG),
    Fault("smbd stopped 1.5 s", stall, ("latency",), _SERVER, emergency=True),
    Fault("smbd stopped 8 s", standstill, ("hang",), _SERVER, shown=_HUNG),
    Fault("smbd killed and restarted", restart, ("connection",), _SERVER),
    Fault("slow disk", slow_disk, ("latency",), _SERVER, over_thresholds=True, sufferer="script"),
    Fault("disk full", disk_full, ("error",), _SERVER),
    Fault("permission denied", denied, ("error",), _SERVER, sufferer="script"),
    Fault("starved client CPU", starved, ("latency",), frozenset({"client"})),
    Fault("slow drift", drift, ("drift",), _NETWORK),
    # The last one: Linux 6.1 does not come back from it, and sends no request any more.
    Fault("share removed", share_removed, ("error|connection",), _SERVER),
)
