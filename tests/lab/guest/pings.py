# SPDX-License-Identifier: MIT
"""The wake-up delay of this machine: a small TCP request and answer beside the workload.

A ping is measured as requests are: from before it is sent until the receiver
runs again, less what lies between its two packets in the same capture. What is
left is the way to the wire and the wake-up of whoever waits, in this machine,
under this load.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from product import SERVER, lab, wait_for
from wire import nanoseconds

__all__ = ["PORT", "Pings"]

PORT = 4450
BUSY_NS, BUSY_REQUESTS = 100_000_000, 10

_ECHO_SERVER = f"""
import socket
listener = socket.create_server(("{SERVER}", {PORT}))
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(64):
        connection.sendall(data)
"""


class Pings:
    """Pings every ``period_sec`` from construction to :meth:`stop`."""

    def __init__(self, period_sec: float = 0.015) -> None:
        argv = ["ip", "netns", "exec", "srv", sys.executable, "-c", _ECHO_SERVER]
        self._server = subprocess.Popen(argv)
        wait_for("the echo server", lambda: lab(f"lab_in_server ss -Hltn sport = :{PORT}"), 20)
        self._socket = socket.create_connection((SERVER, PORT))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._period_sec = period_sec
        self._ending = threading.Event()
        self._took_ns: list[int] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(self._period_sec):
            begun_ns = time.monotonic_ns()
            self._socket.send(b"ping")
            self._socket.recv(64)
            self._took_ns.append(time.monotonic_ns() - begun_ns)

    def stop(self) -> None:
        """End them; the capture may be stopped then."""
        self._ending.set()
        self._thread.join()
        self._socket.close()
        self._server.kill()
        self._server.wait()

    def excess_us(self, capture: Path, requests_ns: Sequence[int]) -> Any:
        """Shape (N,), float: time beyond the wire's, in us, of the pings sent under load.

        ``requests_ns`` are the times of the requests in the same capture, ascending:
        a ping counts when BUSY_REQUESTS of them came in the BUSY_NS before it.
        """
        argv = ["tshark", "-r", str(capture), "-n", "-Y", f"tcp.port == {PORT} && tcp.len > 0"]
        argv += ["-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.srcport", "-e", "tcp.seq"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        first: dict[tuple[str, str], int] = {}  # a segment may be sent twice
        for line in done.stdout.splitlines():
            stamp, port, sequence = line.split("\t")
            first.setdefault((port, sequence), nanoseconds(stamp))
        answered = np.array([at for (port, _), at in first.items() if port == str(PORT)])
        sent = np.array([at for (port, _), at in first.items() if port != str(PORT)])
        excess = np.array(self._took_ns) - (answered - sent)
        requests = np.array(requests_ns)
        before = np.searchsorted(requests, sent) - np.searchsorted(requests, sent - BUSY_NS)
        return excess[before >= BUSY_REQUESTS] / 1e3
