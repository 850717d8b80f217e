# SPDX-License-Identifier: MIT
"""A headless Chromium, driven by the DevTools protocol over a pipe: no driver, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Page", "browser"]

_ANSWER_SEC = 60.0
_CHUNK_BYTES = 1 << 20
_ABOVE = 64  # descriptors that are not the two that Chromium reads and writes


class Page:
    """One tab; ``errors`` is what its scripts threw and what its policy refused."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._buffer = b""
        self._number = 0
        self._events: deque[dict[str, Any]] = deque()
        self._session = ""
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser, and return what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, path: Path, *, scripted: bool = True) -> float:
        """Load a page; the time in s until it is loaded, and drawn where its scripts run."""
        self._events.clear()
        begun_sec = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._note(self._receive())
        if scripted:
            self.drawn()
        return time.monotonic() - begun_sec

    def drawn(self) -> None:
        """Wait until what was asked for so far is on the screen."""
        self.value(
            "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))"
        )

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """``mouseMoved``, ``mousePressed``, ``mouseReleased`` at this place of the window."""
        held = {"button": "left", "buttons": 1, "clickCount": 1} if kind != "mouseMoved" else {}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **{**held, **more})

    def screen(
        self, *, width: int, height: int, phone: bool = False, scheme: str = "light"
    ) -> None:
        """Of this size, and in this colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def printed(self, path: Path) -> None:
        """The page as it is printed, a PDF."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))

    def quit(self) -> None:
        """End the browser, its helpers included."""
        self._session = ""
        self.call("Browser.close")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            readable, _, _ = select.select([self._answers], [], [], _ANSWER_SEC)
            assert readable, "the browser does not answer"
            data = os.read(self._answers, _CHUNK_BYTES)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def _note(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            return
        self._events.append(message)
        params = message["params"]
        if message["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        if message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A browser of its own, with an empty profile, and its one tab."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "chromium is not installed"
    requests_read, requests_write = os.pipe()
    answers_read, answers_write = os.pipe()
    for_child = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE) for fd in (requests_read, answers_write)]

    def three_and_four() -> None:
        os.dup2(for_child[0], 3)
        os.dup2(for_child[1], 4)

    argv = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    argv += ["--remote-debugging-pipe", "--no-first-run", "--disable-background-networking"]
    argv += [f"--user-data-dir={profile}", "about:blank"]
    with (profile.parent / "browser.log").open("wb") as log:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=False,
            preexec_fn=three_and_four,  # noqa: PLW1509  # no threads here
        )
    for descriptor in (requests_read, answers_write, *for_child):
        os.close(descriptor)
    try:
        page = Page(requests_write, answers_read)
        yield page
        page.quit()
        child.wait(_ANSWER_SEC)
    finally:
        child.kill()
        child.wait()
        os.close(requests_write)
        os.close(answers_read)
