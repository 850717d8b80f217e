# SPDX-License-Identifier: MIT
"""An agent of ours, seen from outside: what it logs, what it uses."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import yaml

from aodasync.cli.ask_agent import ask
from aodasync.probes.shared import MapNumber
from tests.loop_lag import waited_sec

__all__ = ["AgentProcess"]

_CONFIG = Path(__file__).parents[2] / "config" / "config.yaml"
_WAIT_SEC = 60.0


class AgentProcess:
    """Started with the shipped configuration, and stopped at the end of the block.

    ``scratch`` is a directory of ours; byte code and Python's own stay there between
    agents. ``changes`` is laid over the configuration, mapping by mapping.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        types: Path,
        maps: Mapping[MapNumber, int] | None = None,
        changes: Mapping[str, Any] = MappingProxyType({}),
        sample_lag: bool = False,
    ) -> None:
        state = scratch / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        self._run_dir = state / "run"
        config = scratch / "config.yaml"
        config.write_text(_configuration(scratch / "bundles", changes))
        argv = [sys.executable, "-m", "tests.bench.agent"]
        argv += ["--types", str(types), "--state", str(state), "--config", str(config)]
        for number, descriptor in (maps or {}).items():
            argv += ["--map", f"{number.name}={descriptor}"]
        self._lag_file = scratch / "lag.json"
        if sample_lag:
            argv += ["--lag", str(self._lag_file)]
        self.started_sec = time.monotonic()
        self._process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=tuple((maps or {}).values()),
            env=_environment(scratch),
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next line of that event; lines before it are passed over."""
        deadline_sec = time.monotonic() + _WAIT_SEC
        while (left_sec := deadline_sec - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=min(left_sec, 0.5))
            except queue.Empty:
                if self._process.poll() is not None:
                    break
                continue
            if line["event"] == event:
                return line
        raise RuntimeError(f"the agent ({self._process.poll()}) did not log {event}")

    def logged(self) -> Iterator[dict[str, Any]]:
        """The lines that have come and were not yet asked for."""
        while not self._lines.empty():
            yield self._lines.get()

    def status(self) -> dict[str, Any]:
        """Its answer to ``aodasync status``."""
        return ask("status", timeout_sec=_WAIT_SEC, run_dir=self._run_dir)

    def snapshot(self) -> Path:
        """A bundle, as by ``aodasync snapshot``."""
        return Path(ask("snapshot", timeout_sec=_WAIT_SEC, run_dir=self._run_dir)["path"])

    def memory_kb(self) -> dict[str, int]:
        """``VmRSS``, ``RssAnon``, ``RssFile``, ``VmHWM``, ``Private_Dirty``, in KiB."""
        proc = Path(f"/proc/{self._process.pid}")
        lines = (proc / "status").read_text() + (proc / "smaps_rollup").read_text()
        fields = (line.split() for line in lines.splitlines() if line.endswith(" kB"))
        return {name.rstrip(":"): int(value) for name, value, _ in fields}

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew (proc_pid_clear_refs(5))."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def cpu_sec(self) -> float:
        """CPU time of all its threads."""
        total_ns = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9

    def all_cpu_sec(self) -> float:
        """CPU time of its threads, those included that ended (MAKE_PROCESS_CPUCLOCK)."""
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def switches(self) -> dict[str, int]:
        """Voluntary context switches of each thread that it has now, by its number."""
        found = {}
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text = (task / "status").read_text()
                found[task.name] = int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
        return found

    def waited_sec(self) -> float:
        """Time that its threads, all together, could run and had no processor."""
        return waited_sec(self._process.pid)

    def stop(self) -> None:
        """End it, as systemd would."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(_WAIT_SEC)
        self._reading.join()

    def lag_samples(self) -> list[tuple[int, float]]:
        """CLOCK_MONOTONIC and lag in ms, of an agent that sampled its loop and has ended."""
        return [(at_ns, lag_ms) for at_ns, lag_ms in json.loads(self._lag_file.read_text())]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))


def _configuration(output_dir: Path, changes: Mapping[str, Any]) -> str:
    """The shipped one, with its bundles here and no word to syslog."""
    own = {"aod_output_dir": str(output_dir), "audit": {"enabled": False}}
    shipped = yaml.safe_load(_CONFIG.read_text())
    return yaml.safe_dump(_overlaid(_overlaid(shipped, own), changes))


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            result[key] = _overlaid(inner, value)
        else:
            result[key] = value
    return result


def _environment(scratch: Path) -> dict[str, str]:
    """Python's byte code is kept, as an installed package's is."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPYCACHEPREFIX": str(scratch / "pycache")}
