# SPDX-License-Identifier: MIT
"""AODv2's newer format: ``anomalies`` by protocol and type."""

from __future__ import annotations

from aodasync.config.aodv2.protocols import Anomalies, definitions
from aodasync.config.aodv2.reader import Reader

__all__ = ["Anomalies", "Reader", "definitions"]
