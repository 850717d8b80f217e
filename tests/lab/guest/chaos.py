# SPDX-License-Identifier: MIT
"""What chaos does to the agent and around it, and the agent that it is done to."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import product
from injections import FAULTS
from product import Agent, Workload, lab

__all__ = ["DISTURBANCES", "FAULT_NAMES", "Chaos", "ChaosAgent", "Footprint", "Steady", "fault"]

_THRESHOLDS = {"SMB2_WRITE": 300.0, "SMB2_READ": 300.0}
_OUTPUT_MB = 96
_PIPE_BYTES = 4096  # full after a few lines that nobody reads
_MOUNT_OPTIONS = "echo_interval=2"
FAULT_NAMES = (
    "network delay",
    "packet loss",
    "bandwidth limit",
    "100 % loss for 8 s",
    "smbd stopped 1.5 s",
    "smbd stopped 8 s",
    "smbd killed and restarted",
    "disk full",
    "permission denied",
)


@dataclass(frozen=True)
class Footprint:
    """What a process holds; its private dirty memory in bytes."""

    descriptors: int
    threads: int
    children: int
    private_dirty: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """Read /proc."""
        process = Path(f"/proc/{pid}")
        children = (process / f"task/{pid}/children").read_text().split()
        rollup = (process / "smaps_rollup").read_text().splitlines()
        dirty_kb = next(line.split()[1] for line in rollup if line.startswith("Private_Dirty"))
        return cls(
            len(tuple((process / "fd").iterdir())),
            len(tuple((process / "task").iterdir())),
            len(children),
            int(dirty_kb) * 1024,
        )


class ChaosAgent(Agent):
    """The agent, its output through a pipe that can be blocked, on a small file system."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__("chaos", config)
        self.reader: subprocess.Popen[bytes] | None = None
        self.output_dir.mkdir(mode=0o700)
        lab(f"mount -t tmpfs -o size={_OUTPUT_MB}m,mode=700 tmpfs {self.output_dir}")

    def start(self, prefix: Sequence[str] = (), program: Sequence[str] = ()) -> None:
        """Start it as :mod:`chaos_agent`."""
        program = program or (sys.executable, "/lab/chaos_agent.py")
        with self._log.open("ab") as log:
            self.reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        assert self.reader.stdin is not None
        argv = [*prefix, *program, "--config", str(self._config)]
        pipe = self.reader.stdin
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(argv, stdout=pipe, stderr=pipe, env=environment)
        pipe.close()

    def ready(self) -> None:
        """Start it, and wait until it is attached."""
        self.start()
        self.attached()

    def attached(self) -> None:
        """Wait until it answers as one that records."""

        def records() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.tail()
            done = subprocess.run(["aodasync", "status"], capture_output=True, check=False)
            return done.returncode == 0 and b"waiting for" not in done.stdout

        product.wait_for("the agent is attached", records, 120)

    def snapshot(self) -> Path:
        """By the command: a log line may be lost while the output is blocked."""
        argv = ["aodasync", "snapshot"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            ended = self.process.poll() if self.process else None
            raise RuntimeError(f"no snapshot (the agent's status {ended}): {done.stderr.strip()}")
        return Path(done.stdout.strip())

    def explain(self) -> None:
        """Print what it is at: its status, the end of its log, and where its threads are."""
        assert self.process is not None
        print("the agent's status:", self.process.poll(), flush=True)
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGABRT)  # Python's fault handler writes the stacks
            time.sleep(2)
        print(self.tail(), flush=True)
        print(lab("dmesg | tail -n 20"), flush=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid


class Steady(Workload):
    """A workload that can be stopped, continued and begun again."""

    def __init__(self) -> None:
        super().__init__(processes=4, rate=2.0, seconds=7200)

    def start(self) -> None:
        """Begin again."""
        super().__init__(processes=4, rate=2.0, seconds=7200)

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes."""
        for child in self._children:
            child.send_signal(number)


@dataclass(frozen=True)
class Chaos:
    """The agent, and what works on the share that it watches."""

    agent: ChaosAgent
    work: Steady

    @staticmethod
    def mount() -> None:
        """Mount the share; the server may be away for a while."""
        lab(f"lab_wait_for 60 lab_mount {_MOUNT_OPTIONS}")


def fault(name: str) -> str:
    """One of the matrix."""
    next(each for each in FAULTS if each.name == name).inject(_THRESHOLDS)
    return ""


def task_failed(chance: random.Random, _chaos: Chaos) -> str:
    """A task raises."""
    name = chance.choice(("detector", "reader", "mounts"))
    Path(f"/run/lab/fail-{name}").touch()
    time.sleep(5)
    return name


def children_killed(_chance: random.Random, chaos: Chaos) -> str:
    """Whatever children it has while a bundle is written."""
    pid = chaos.agent.pid
    os.kill(pid, signal.SIGUSR1)
    killed = 0
    for _ in range(40):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    return str(killed)


def disk_filled(_chance: random.Random, chaos: Chaos) -> str:
    """No space is left for bundles, for a while."""
    filler = chaos.agent.output_dir / "filler"
    argv = ["dd", "if=/dev/zero", f"of={filler}", "bs=1M"]
    subprocess.run(argv, check=False, stderr=subprocess.DEVNULL)
    os.kill(chaos.agent.pid, signal.SIGUSR1)
    time.sleep(8)
    filler.unlink()
    return ""


def output_blocked(_chance: random.Random, chaos: Chaos) -> str:
    """Nobody reads its standard output."""
    reader = chaos.agent.reader
    assert reader is not None
    reader.send_signal(signal.SIGSTOP)
    os.kill(chaos.agent.pid, signal.SIGUSR1)
    time.sleep(12)
    reader.send_signal(signal.SIGCONT)
    return ""


def clock_stepped(_chance: random.Random, chaos: Chaos) -> str:
    """Three days ahead, and back."""
    before = len(list(chaos.agent.output_dir.rglob("*.tar.zst")))
    lab("date -s '+3 days' >/dev/null")
    time.sleep(6)
    lab("date -s '-3 days' >/dev/null")
    after = len(list(chaos.agent.output_dir.rglob("*.tar.zst")))
    return f"{before} bundles before, {after} after"


def unmounted(_chance: random.Random, chaos: Chaos) -> str:
    """The share is unmounted, and mounted again, under an attached agent."""
    chaos.work.stop()
    lab("lab_wait_for 60 lab_umount")
    time.sleep(2)
    chaos.mount()
    chaos.work.start()
    return ""


DISTURBANCES: Mapping[str, Callable[[random.Random, Chaos], str]] = {
    "task failed": task_failed,
    "children killed": children_killed,
    "disk filled": disk_filled,
    "output blocked": output_blocked,
    "clock stepped": clock_stepped,
    "unmounted": unmounted,
}
