# SPDX-License-Identifier: MIT
"""The types of anomalies that a file can configure, one module each."""

from __future__ import annotations

from typing import Final

from aodasync.config.anomalies.anomaly_type import Anomaly, AnomalyType
from aodasync.config.anomalies.connection import CONNECTION
from aodasync.config.anomalies.drift import DRIFT
from aodasync.config.anomalies.error import ERROR
from aodasync.config.anomalies.hang import HANG
from aodasync.config.anomalies.latency import LATENCY

__all__ = ["ANOMALY_TYPES", "Anomaly", "AnomalyType"]

ANOMALY_TYPES: Final[dict[str, AnomalyType]] = {
    "latency": LATENCY,
    "error": ERROR,
    "hang": HANG,
    "connection": CONNECTION,
    "drift": DRIFT,
}
"""By the name that ``type`` has in a file. Settings and schema are derived from it when used."""
