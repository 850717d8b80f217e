# SPDX-License-Identifier: MIT
"""Which bundles to delete: a plan made from names, sizes and times alone.

1. Only what bears a bundle's name is ours; anything else is neither counted nor
   deleted, and neither is a bundle that is still being collected.
2. Past its age, a bundle goes.
3. Over the size, or with too little space free, the oldest go until it fits,
   but the newest one of each anomaly stays: a budget smaller than one bundle
   would otherwise delete the very evidence that was just collected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aodasync.bundle.names import ARCHIVE_SUFFIX, BundleName
from aodasync.config.model import Cleanup

__all__ = ["Budget", "Plan", "StoredFile", "plan_cleanup"]

_DAY_NS = 86_400 * 1_000_000_000
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A directory entry: its name, the space it takes, its modification time."""

    name: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What bundles may cost."""

    max_age_ns: int
    max_total_bytes: int
    min_free_bytes: int

    @classmethod
    def of(cls, cleanup: Cleanup) -> Budget:
        """The configured budget; a megabyte is 1,048,576 bytes."""
        return cls(
            max_age_ns=round(cleanup.max_log_age_days * _DAY_NS),
            max_total_bytes=round(cleanup.max_total_log_size_mb * _MB),
            min_free_bytes=round(cleanup.min_free_mb * _MB),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Bundles to delete, oldest first, and those that stay."""

    delete: tuple[StoredFile, ...]
    keep: tuple[StoredFile, ...]


def plan_cleanup(
    files: Iterable[StoredFile], *, now_ns: int, free_bytes: int, budget: Budget
) -> Plan:
    """Plan a cleanup. Times are CLOCK_REALTIME.

    A bundle is as old as its name says or its file, whichever is older: copying
    one does not renew it.
    """
    bundles = []
    for file in files:
        name = BundleName.parse(file.name)
        if name is not None and file.name.endswith(ARCHIVE_SUFFIX):
            bundles.append((min(name.realtime_ns, file.modified_ns), file.name, name.anomaly, file))
    bundles.sort(key=lambda bundle: bundle[:2])
    newest = {anomaly: file for _, _, anomaly, file in bundles}

    total = sum(file.size_bytes for *_, file in bundles)
    delete: list[StoredFile] = []
    keep: list[StoredFile] = []
    for time_ns, _, anomaly, file in bundles:
        expired = now_ns - time_ns > budget.max_age_ns
        over = total > budget.max_total_bytes or free_bytes < budget.min_free_bytes
        if expired or (over and newest[anomaly] is not file):
            delete.append(file)
            total -= file.size_bytes
            free_bytes += file.size_bytes
        else:
            keep.append(file)
    return Plan(tuple(delete), tuple(keep))
