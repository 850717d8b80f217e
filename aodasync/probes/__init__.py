# SPDX-License-Identifier: MIT
"""Watching the kernel's SMB client: what to attach, the loader, the ring, requests in flight."""

from __future__ import annotations

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
