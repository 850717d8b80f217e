# SPDX-License-Identifier: MIT
"""Watching the kernel's SMB client: what to attach, the loader, the ring, requests in flight.

A name is imported from its module when it is asked for: the compiler's child is started
before numpy is there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aodasync.probes.cifs_module import cifs_loaded, install_hint, wait_for_cifs
    from aodasync.probes.interface import Attachment, Candidate, Probe, ProbePlan
    from aodasync.probes.opening import open_probe
    from aodasync.probes.requirements import require_host
    from aodasync.probes.ring import RingReader
    from aodasync.probes.shared import RING_BYTES

__all__ = [
    "RING_BYTES",
    "Attachment",
    "Candidate",
    "Probe",
    "ProbePlan",
    "RingReader",
    "cifs_loaded",
    "install_hint",
    "open_probe",
    "require_host",
    "wait_for_cifs",
]

_MODULES: Final = {
    "cifs_module": ("cifs_loaded", "install_hint", "wait_for_cifs"),
    "interface": ("Attachment", "Candidate", "Probe", "ProbePlan"),
    "opening": ("open_probe",),
    "requirements": ("require_host",),
    "ring": ("RingReader",),
    "shared": ("RING_BYTES",),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """What is asked for, from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
