# SPDX-License-Identifier: MIT
"""For scenarios in Python: the agent as a user runs it, its log, its bundles, calibration."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from aodasync.smb.commands import COMMANDS

OUT = Path(os.environ["LAB_OUT"])
MOUNT = Path(os.environ["LAB_MOUNT"])
SHARE_DIR = Path(os.environ["LAB_SHARE_DIR"])
SERVER = os.environ["LAB_SERVER_ADDR"]

Event = dict[str, Any]
Rows = npt.NDArray[Any]


def check(what: str, ok: object, detail: object = "") -> bool:
    """Print one line; anything not ok makes the run fail."""
    print(
        f"{'ok' if ok else 'not ok'} - {what}" + (f" ({detail})" if detail != "" else ""),
        flush=True,
    )
    if not ok:
        Path(os.environ["LAB_RUN"], "failed").touch()
    return bool(ok)


def failed() -> bool:
    """Whether any check failed so far."""
    return Path(os.environ["LAB_RUN"], "failed").exists()


def lab(command: str) -> str:
    """Run a line of bash with the lab's helpers; returns what it printed."""
    script = f'. "$LAB_LIB"; {command}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def preemption() -> str:
    """How the kernel preempts; uname(2) tells of one that was built for one way."""
    choice = Path("/sys/kernel/debug/sched/preempt")
    return choice.read_text().strip() if choice.exists() else os.uname().version


def wait_for(what: str, found: Callable[[], Any], timeout_sec: float) -> Any:
    """Poll until ``found`` returns something true."""
    deadline = time.monotonic() + timeout_sec
    while not (result := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_sec} s")
        time.sleep(0.05)
    return result


class Workload:
    """Several steady mixes of file operations on the mount, until stopped or time is up."""

    def __init__(
        self,
        processes: int = 10,
        rate: float = 1.0,
        directory: Path = MOUNT,
        seconds: int = 900,
    ) -> None:
        self._children = []
        for seed in range(processes):
            where = directory / f"work-{seed}"
            where.mkdir(exist_ok=True)
            argv = ["/usr/bin/python3", "/lab/workload.py", str(where), "--rate", str(rate)]
            argv += ["--seconds", str(seconds), "--seed", str(seed)]
            self._children.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))

    def stop(self) -> None:
        """End them all."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(30)


class Agent:
    """``aodasync --config ...`` in the background, its JSON log in $LAB_OUT."""

    def __init__(self, name: str, config: dict[str, Any]) -> None:
        self.name = name
        self.output_dir = Path("/var/log") / f"aod-{name}"
        self._config = Path("/run/lab") / f"{name}.yaml"
        self._config.write_text(yaml.safe_dump({**config, "aod_output_dir": str(self.output_dir)}))
        self._log = OUT / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, prefix: Sequence[str] = (), program: Sequence[str] = ("aodasync",)) -> None:
        """Start it, behind a command that executes it."""
        with self._log.open("ab") as log:
            argv = [*prefix, *program, "--config", str(self._config)]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)

    def stop(self) -> int:
        """Send SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def events(self, name: str = "", **fields: Any) -> list[Event]:
        """Log lines by event name and field values."""
        return [
            event
            for event in self._lines()
            if name in ("", event.get("event"))
            and all(event.get(key) == value for key, value in fields.items())
        ]

    def wait(self, name: str, timeout_sec: float = 60, skip: int = 0, **fields: Any) -> Event:
        """The first event of that name after ``skip`` of them."""

        def found() -> list[Event]:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"the agent ended with {self.process.returncode}: {self.tail()}")
            return self.events(name, **fields)[skip:]

        result: Event = wait_for(f"event {name} {fields or ''}", found, timeout_sec)[0]
        return result

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text()[-2000:]

    def snapshot(self) -> Path:
        """Ask for a bundle by SIGUSR1; returns its path."""
        assert self.process is not None
        written = len(self.events("bundle_written"))
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for event in self.events("bundle_written")[written:]:
                if event["path"].endswith("_snapshot.tar.zst"):
                    return Path(event["path"])
            time.sleep(0.1)
        raise TimeoutError("no snapshot within 60 s")

    def _lines(self) -> Iterator[Event]:
        for line in self._log.read_text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue


def bundle_file(bundle: Path, name: str) -> bytes:
    """A file out of a bundle, by the tools a user has."""
    inner = f"{bundle.name.removesuffix('.tar.zst')}/{name}"
    return subprocess.run(
        ["tar", "--zstd", "-xOf", str(bundle), inner], capture_output=True, check=True
    ).stdout


def bundle_list(bundle: Path) -> list[str]:
    """What ``tar --zstd -t`` lists."""
    done = subprocess.run(
        ["tar", "--zstd", "-tf", str(bundle)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def bundle_manifest(bundle: Path) -> dict[str, Any]:
    """The parsed manifest of a bundle."""
    manifest: dict[str, Any] = json.loads(bundle_file(bundle, "manifest.json"))
    return manifest


def bundle_events(bundle: Path) -> Rows:
    """The recorded rows of a bundle."""
    rows: Rows = np.load(io.BytesIO(bundle_file(bundle, "events.npy")), allow_pickle=False)
    return rows


def latency_ms(rows: Rows) -> npt.NDArray[np.float64]:
    """Latency of each row."""
    latency: npt.NDArray[np.float64] = (rows["released_ns"] - rows["issued_ns"]) / 1e6
    return latency


def calibrate(rows: Rows, factor: float = 5.0, floor_ms: float = 20.0) -> dict[str, float]:
    """Thresholds: ``factor`` times the 99.9th percentile of each command in clean traffic."""
    thresholds = {}
    for code in np.unique(rows["command"]):
        of_command = rows[(rows["command"] == code) & (rows["kind"] == 0)]
        percentile = float(np.percentile(latency_ms(of_command), 99.9))
        thresholds[COMMANDS[code]] = round(max(floor_ms, factor * percentile), 1)
    return thresholds


def config(thresholds: dict[str, float], **latency: Any) -> dict[str, Any]:
    """A configuration with the calibrated thresholds; commands never seen get the largest."""
    return {
        "watch_interval_sec": 1,
        "guardian": {
            "anomalies": {
                "latency": {
                    "type": "Latency",
                    "tool": "smbslower",
                    "mode": "all",
                    "acceptable_count": 5,
                    "default_threshold_ms": max(thresholds.values(), default=10_000),
                    "track_commands": [
                        {"command": c, "threshold": ms} for c, ms in sorted(thresholds.items())
                    ],
                    **latency,
                },
                "error": {
                    "type": "Error",
                    "tool": "smbiosnoop",
                    "mode": "trackonly",
                    "acceptable_count": 10,
                    "track_codes": ["EACCES", "EIO"],
                },
            }
        },
        "cleanup": {"max_total_log_size_mb": 200},
        "audit": {"enabled": True},
    }


def quiet_config(**sections: Any) -> dict[str, Any]:
    """A configuration under which nothing fires, with the cheapest bundles."""
    off: dict[str, Any] = {"enabled": False}
    anomalies = {"hang": off, "connection": off, "drift": off}
    return {
        "watcher": {"actions": ["mounts"]},
        "guardian": {"anomalies": anomalies},
        **sections,
    }


def unix_time(event: Event) -> float:
    """The moment of a log line, seconds since the epoch."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()
