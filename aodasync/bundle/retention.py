# SPDX-License-Identifier: MIT
"""Which bundles to delete: a plan made from names, sizes and times alone.

1. Only what bears a bundle's name is ours; anything else is neither counted nor
   deleted, and neither is a bundle that is still being collected.
2. The newest one of each anomaly stays: a budget smaller than one bundle, or a clock that
   was set, would otherwise delete the very evidence that was just collected.
3. Of the others, past its age, a bundle goes.
4. Over the size, or with too little space free, bundles go until it fits: repeats
   first, then others, critical ones last; of each class the oldest first.

A bundle that this boot wrote is as old as CLOCK_BOOTTIME says, and newer than those of
other boots, whatever CLOCK_REALTIME was then or is now.

A repeat is the second bundle of an episode, or one of an anomaly that had another
within the hour before: a fault that comes and goes is one fault. Critical are hangs,
lost connections and emergencies, unless they are an episode's second bundle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from aodasync.bundle.bundle_name import ARCHIVE_SUFFIX, BundleName
from aodasync.config.model import Cleanup

__all__ = [
    "MEGABYTE",
    "Budget",
    "Plan",
    "Rank",
    "StoredFile",
    "boottime_of",
    "plan_cleanup",
    "rank_of",
]

_DAY_NS = 86_400 * 1_000_000_000
MEGABYTE = 1024 * 1024
"""As the configuration counts."""
_HOUR_NS = 3600 * 1_000_000_000
_GRAVE_ONCE = ("hang", "connection")  # types, in manifests that do not say "grave"


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
    grave = anomaly.get("grave", anomaly.get("type") in _GRAVE_ONCE)
    grave = grave is True or anomaly.get("emergency") is True
    return Rank.CRITICAL if grave else Rank.FIRST


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A directory entry: its name, the space it takes, its modification time, its rank.

    ``boottime_ns`` is CLOCK_BOOTTIME when this boot wrote it; None for another's.
    """

    name: str
    size_bytes: int
    modified_ns: int
    rank: Rank = Rank.FIRST
    boottime_ns: int | None = None


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
            max_total_bytes=round(cleanup.max_total_log_size_mb * MEGABYTE),
            min_free_bytes=round(cleanup.min_free_mb * MEGABYTE),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Bundles to delete, oldest first, and those that stay, with the ranks they had in it.

    To the next plan they are to come with these: a repeat remains one when what it
    repeated is gone.
    """

    delete: tuple[StoredFile, ...]
    keep: tuple[StoredFile, ...]


def boottime_of(manifest: Mapping[str, Any], boot_id: str | None) -> int | None:
    """CLOCK_BOOTTIME when this boot wrote a bundle, from its manifest; None for another's."""
    boot = manifest.get("boot")
    if boot_id is None or not isinstance(boot, Mapping) or boot.get("id") != boot_id:
        return None
    at_ns = boot.get("boottime_ns")
    return at_ns if isinstance(at_ns, int) and at_ns >= 0 else None


def _order(bundle: tuple[int, BundleName, StoredFile]) -> tuple[bool, int, BundleName]:
    """Those of other boots first, by their names; then this boot's, by when they were written.

    Names of one directory sort as its bundles were made; whoever copied one in renewed its file.
    """
    time_ns, name, file = bundle
    if file.boottime_ns is None:
        return False, name.realtime_ns, name
    return True, time_ns, name


def plan_cleanup(
    files: Iterable[StoredFile],
    *,
    now_ns: int,
    free_bytes: int,
    budget: Budget,
    boottime_ns: int = 0,
    stay: Collection[str] = (),
) -> Plan:
    """Plan a cleanup. ``now_ns`` is CLOCK_REALTIME, ``boottime_ns`` CLOCK_BOOTTIME.

    Those whose names are in ``stay`` cannot be deleted; they are counted all the same.

    A bundle of another boot is as old as its name says or its file, whichever is older:
    copying one does not renew it.
    """
    bundles = []
    for file in files:
        name = BundleName.parse(file.name)
        if name is not None and file.name.endswith(ARCHIVE_SUFFIX):
            time_ns = min(name.realtime_ns, file.modified_ns)
            if file.boottime_ns is not None:  # when it was, as the clock is set now
                time_ns = now_ns - max(0, boottime_ns - file.boottime_ns)
            bundles.append((time_ns, name, file))
    bundles.sort(key=_order)

    total = sum(file.size_bytes for *_, file in bundles)
    spared = set({name.anomaly: file.name for _, name, file in bundles}.values())
    ours: list[StoredFile] = []
    gone: set[str] = set()
    spendable: list[tuple[Rank, int, StoredFile]] = []
    last_ns: dict[str, int] = {}
    for at, (time_ns, name, found) in enumerate(bundles):
        anomaly = name.anomaly
        soon = time_ns - last_ns.get(anomaly, -budget.repeat_ns) < budget.repeat_ns
        repeats = soon and found.rank == Rank.FIRST
        file = replace(found, rank=Rank.REPEAT) if repeats else found
        ours.append(file)
        last_ns[anomaly] = max(time_ns, last_ns.get(anomaly, time_ns))
        if file.name in spared or file.name in stay:
            continue
        if now_ns - time_ns > budget.max_age_ns:
            gone.add(file.name)
            total -= file.size_bytes
            free_bytes += file.size_bytes
        else:
            spendable.append((file.rank, at, file))
    for _, _, file in sorted(spendable, key=lambda bundle: bundle[:2]):
        if total <= budget.max_total_bytes and free_bytes >= budget.min_free_bytes:
            break
        gone.add(file.name)
        total -= file.size_bytes
        free_bytes += file.size_bytes
    return Plan(
        tuple(file for file in ours if file.name in gone),
        tuple(file for file in ours if file.name not in gone),
    )
