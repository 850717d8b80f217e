# SPDX-License-Identifier: MIT
"""Captures: recorders outside the agent that run all the time.

:data:`CAPTURES` is the table of them: a new one is a class in a module here and a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aodasync.captures.capture import Capture, CaptureSettings
from aodasync.captures.tcpdump import Tcpdump
from aodasync.captures.trace_cmd import TraceCmd

__all__ = ["CAPTURES", "PRIVATE_FILES", "Capture", "CaptureSettings"]

CAPTURES: Final[Mapping[str, type[Capture]]] = MappingProxyType(
    {capture.name: capture for capture in (Tcpdump, TraceCmd)}
)
"""Captures by the name that ``watcher.captures`` has for them."""

PRIVATE_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {capture.file: capture.private for capture in CAPTURES.values() if capture.private}
)
"""Files in bundles that are no text and hold names, and the reason not to give them away."""
