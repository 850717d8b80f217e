# SPDX-License-Identifier: MIT
"""Which bundles to delete: a plan made from names, sizes and times alone.

1. Only what bears a bundle's name is ours; anything else is neither counted nor
   deleted, and neither is a bundle that is still being collected.
2. Past its age, a bundle goes.
3. Over the size, or with too little space free, bundles go until it fits: repeats
   first, then others, critical ones last; of each class the oldest first.
4. But the newest one of each anomaly stays: a budget smaller than one bundle would
   otherwise delete the very evidence that was just collected.

A repeat is the second bundle of an episode, or one of an anomaly that had another
within the hour before: a fault that comes and goes is one fault. Critical are hangs,
lost connections and emergencies, unless they are an episode's second bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from aodasync.bundle.names import ARCHIVE_SUFFIX, BundleName
from aodasync.config.model import Cleanup

__all__ = ["Budget", "Plan", "Rank", "StoredFile", "plan_cleanup", "rank_of"]

_DAY_NS = 86_400 * 1_000_000_000
_MB = 1024 * 1024


_HOUR_NS = 3600 * 1_000_000_000


class Rank(IntEnum):
    """What a bundle is worth; the lowest go first."""

    REPEAT = 0
    FIRST = 1
    CRITICAL = 2


def rank_of(manifest: Mapping[str, Any]) -> Rank:
    """A bundle's rank as its manifest has it; one that cannot be read is like any other."""
    anomaly = manifest.get("anomaly")
    if not isinstance(anomaly, Mapping):
        return Rank.FIRST
    if anomaly.get("phase") == "end":
        return Rank.REPEAT
    grave = anomaly.get("type") in ("hang", "connection") or anomaly.get("emergency") is True
    return Rank.CRITICAL if grave else Rank.FIRST


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A directory entry: its name, the space it takes, its modification time, its rank."""

    name: str
    size_bytes: int
    modified_ns: int
    rank: Rank = Rank.FIRST


@dataclass(frozen=True, slots=True)
class Budget:
    """What bundles may cost; one is a repeat within ``repeat_ns`` of its anomaly's last."""

    max_age_ns: int
    max_total_bytes: int
    min_free_bytes: int
    repeat_ns: int = _HOUR_NS

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
    """Bundles to delete, oldest first, and those that stay, with the ranks they had in it.

    To the next plan they are to come with these: a repeat remains one when what it
    repeated is gone.
    """

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

    total = sum(file.size_bytes for *_, file in bundles)
    ours: list[StoredFile] = []
    gone: set[str] = set()
    spendable: list[tuple[Rank, int, StoredFile]] = []
    newest: dict[str, StoredFile] = {}
    last_ns: dict[str, int] = {}
    for at, (time_ns, _, anomaly, found) in enumerate(bundles):
        soon = time_ns - last_ns.get(anomaly, -budget.repeat_ns) < budget.repeat_ns
        repeats = soon and found.rank == Rank.FIRST
        file = replace(found, rank=Rank.REPEAT) if repeats else found
        ours.append(file)
        newest[anomaly], last_ns[anomaly] = file, time_ns
        if now_ns - time_ns > budget.max_age_ns:
            gone.add(file.name)
            total -= file.size_bytes
            free_bytes += file.size_bytes
        else:
            spendable.append((file.rank, at, file))
    spared = {file.name for file in newest.values()}
    for _, _, file in sorted(spendable, key=lambda bundle: bundle[:2]):
        if total <= budget.max_total_bytes and free_bytes >= budget.min_free_bytes:
            break
        if file.name not in spared:
            gone.add(file.name)
            total -= file.size_bytes
            free_bytes += file.size_bytes
    return Plan(
        tuple(file for file in ours if file.name in gone),
        tuple(file for file in ours if file.name not in gone),
    )
