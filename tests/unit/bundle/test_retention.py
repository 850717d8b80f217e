# SPDX-License-Identifier: MIT
"""Retention keeps within its budget, spares the newest, and touches nothing that is not ours."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.retention import (
    Budget,
    Plan,
    Rank,
    StoredFile,
    boottime_of,
    plan_cleanup,
    rank_of,
)
from aodasync.config.model import Cleanup

_NOW_NS = 1000

_bundles = st.builds(
    lambda time_ns, anomaly, size, touched_ns, rank: StoredFile(
        BundleName(time_ns, anomaly).archive, size, time_ns + touched_ns, rank
    ),
    st.integers(0, _NOW_NS),
    st.sampled_from(["latency", "error", "hang"]),
    st.integers(0, 50),
    st.integers(-20, 20),
    st.sampled_from(Rank),
)
_foreign = st.builds(
    StoredFile,
    st.sampled_from(
        [
            "aod_quick_5_latency.tar.zst.partial",
            "aod_quick_5_latency.partial",
            "aod_quick_5_latency",
            "notes.txt",
            "backup.tar.zst",
        ]
    ),
    st.integers(0, 10**9),
    st.integers(0, _NOW_NS),
)
_files = st.lists(_bundles | _foreign, max_size=30, unique_by=lambda file: file.name)
_budgets = st.builds(
    Budget, st.integers(0, 1500), st.integers(0, 400), st.integers(0, 400), st.just(100)
)
_free = st.integers(0, 400)


def _plan(files: list[StoredFile], budget: Budget, free_bytes: int) -> Plan:
    return plan_cleanup(files, now_ns=_NOW_NS, free_bytes=free_bytes, budget=budget)


def _time_ns(file: StoredFile) -> int:
    name = BundleName.parse(file.name)
    assert name is not None
    return min(name.realtime_ns, file.modified_ns)


def _place(file: StoredFile) -> tuple[int, BundleName]:
    """Where it stands: names sort as bundles were made; a file's time may have been changed."""
    name = BundleName.parse(file.name)
    assert name is not None
    return name.realtime_ns, name


def _newest(files: list[StoredFile]) -> dict[str, str]:
    """The name of the newest bundle by anomaly."""
    named = [(BundleName.parse(f.name), f) for f in files if f.name.endswith(".tar.zst")]
    ours = sorted((name, f.name) for name, f in named if name is not None)
    return {name.anomaly: file for name, file in ours}


@given(files=_files, budget=_budgets, free=_free)
def test_only_ours_is_planned_for(files: list[StoredFile], budget: Budget, free: int) -> None:
    """What is deleted or counted bears a whole bundle's name; all of those are accounted for."""
    plan = _plan(files, budget, free)
    ours = {f.name for f in files if f.name.endswith(".tar.zst") and BundleName.parse(f.name)}
    assert {f.name for f in (*plan.delete, *plan.keep)} == ours
    assert len(plan.delete) + len(plan.keep) == len(ours)


@given(files=_files, budget=_budgets, free=_free)
def test_never_over_budget_while_something_may_go(
    files: list[StoredFile], budget: Budget, free: int
) -> None:
    """Afterwards size and space are within the budget, or only the newest ones are left."""
    plan = _plan(files, budget, free)
    total = sum(f.size_bytes for f in plan.keep)
    free += sum(f.size_bytes for f in plan.delete)
    if total > budget.max_total_bytes or free < budget.min_free_bytes:
        assert {f.name for f in plan.keep} <= set(_newest(files).values())


@given(files=_files, budget=_budgets, free=_free)
def test_age_is_kept(files: list[StoredFile], budget: Budget, free: int) -> None:
    """Nothing past its age stays but the newest of each anomaly, which never goes."""
    plan = _plan(files, budget, free)
    newest = set(_newest(files).values())
    others = [f for f in plan.keep if f.name not in newest]
    assert all(_NOW_NS - _time_ns(f) <= budget.max_age_ns for f in others)
    assert newest <= {f.name for f in plan.keep}


def _rank(file: StoredFile, files: list[StoredFile]) -> Rank:
    """Its rank, counting as a repeat what follows one of its anomaly within 100 ns."""
    anomaly = file.name.split("_")[3]
    ours = [f for f in files if f.name.endswith(f"_{anomaly}") and BundleName.parse(f.name)]
    earlier = [f for f in ours if _place(f) < _place(file)]
    soon = any(_time_ns(file) - _time_ns(f) < 100 for f in earlier)
    return Rank.REPEAT if soon and file.rank == Rank.FIRST else file.rank


@given(files=_files, budget=_budgets, free=_free)
def test_repeats_go_before_critical_ones_and_old_before_new(
    files: list[StoredFile], budget: Budget, free: int
) -> None:
    """Expired and spared ones aside, what goes is of lower rank, or older, than what stays."""
    plan = _plan(files, budget, free)
    newest = set(_newest(files).values())
    alive = [f for f in plan.delete if _NOW_NS - _time_ns(f) <= budget.max_age_ns]
    went = [(_rank(f, files), _place(f)) for f in alive]
    stayed = [(_rank(f, files), _place(f)) for f in plan.keep if f.name not in newest]
    assert not went or not stayed or max(went) <= min(stayed)


@given(files=_files, budget=_budgets, free=_free)
def test_nothing_goes_without_need(files: list[StoredFile], budget: Budget, free: int) -> None:
    """Of what is not expired, the last to go was needed to get within the budget."""
    plan = _plan(files, budget, free)
    alive = [f for f in plan.delete if _NOW_NS - _time_ns(f) <= budget.max_age_ns]
    if alive:
        last = max(alive, key=lambda f: (_rank(f, files), _place(f)))
        total = sum(f.size_bytes for f in plan.keep) + last.size_bytes
        freed = sum(f.size_bytes for f in plan.delete) - last.size_bytes
        assert total > budget.max_total_bytes or free + freed < budget.min_free_bytes


@given(files=_files, budget=_budgets, free=_free)
def test_a_second_run_deletes_nothing(files: list[StoredFile], budget: Budget, free: int) -> None:
    """A plan carried out leaves nothing to plan."""
    plan = _plan(files, budget, free)
    freed = sum(f.size_bytes for f in plan.delete)
    assert _plan(list(plan.keep), budget, free + freed) == Plan((), plan.keep)


def test_a_repeat_remains_one_when_what_it_repeated_is_gone() -> None:
    """Of a storm the newest stay: what survived one plan is no first one in the next."""
    names = [BundleName(n, "latency").archive for n in range(900, 910)]
    kept = [StoredFile(name, 10, int(name.split("_")[2])) for name in names]
    for left in (80, 50, 20):
        kept = list(_plan(kept, Budget(1500, left, 0, 100), 1).keep)
    assert [file.name for file in kept] == [names[0], names[-1]]


def test_a_tiny_budget_spares_the_bundle_just_written() -> None:
    """AODv2 ships 0.5 MB: one bundle is larger, and stays all the same."""
    budget = Budget.of(Cleanup(max_total_log_size_mb=0.5))
    file = StoredFile(BundleName(900, "latency").archive, 3 << 20, 900)
    assert plan_cleanup([file], now_ns=1000, free_bytes=1 << 40, budget=budget).keep == (file,)


def test_configured_units() -> None:
    """Days and megabytes of the configuration are 86,400 s and 1,048,576 bytes."""
    cleanup = Cleanup(max_log_age_days=0.5, max_total_log_size_mb=1.5, min_free_mb=2)
    assert Budget.of(cleanup) == Budget(43_200 * 10**9, 3 << 19, 2 << 20)


@pytest.mark.parametrize(
    ("anomaly", "rank"),
    [
        ({"type": "latency", "emergency": False}, Rank.FIRST),
        ({"type": "latency", "emergency": True}, Rank.CRITICAL),
        ({"type": "mine", "grave": True}, Rank.CRITICAL),
        ({"type": "hang", "grave": False}, Rank.FIRST),
        ({"type": "hang"}, Rank.CRITICAL),
        ({"type": "connection"}, Rank.CRITICAL),
        ({"type": "hang", "phase": "end"}, Rank.REPEAT),
        ({"type": "hang", "phase": "start"}, Rank.CRITICAL),
        ({"type": "snapshot"}, Rank.FIRST),
        (None, Rank.FIRST),
        ([1], Rank.FIRST),
    ],
)
def test_ranks_come_from_the_manifest(anomaly: object, rank: Rank) -> None:
    """Hangs, lost connections and emergencies are critical, second bundles repeats."""
    assert rank_of({"anomaly": anomaly}) == rank


def test_a_thousand_bundles_are_kept_within_budget() -> None:
    """Written one by one, with a plan after each: always within budget, and quick enough."""
    budget = Budget(10**18, 100_000, 0)
    kept: tuple[StoredFile, ...] = ()
    begun = time.process_time()
    for n in range(1000):
        rank = Rank.CRITICAL if n % 5 == 0 else Rank.FIRST
        name = BundleName(n * 60 * 10**9, ("latency", "error", "hang")[n % 3]).archive
        file = StoredFile(name, 900 + n % 200, n * 60 * 10**9, rank)
        plan = plan_cleanup([*kept, file], now_ns=n * 60 * 10**9, free_bytes=1, budget=budget)
        kept = plan.keep
        assert file.name in {f.name for f in kept}
        assert sum(f.size_bytes for f in kept) <= 100_000
    assert sum(f.rank == Rank.CRITICAL for f in kept) > 90
    assert time.process_time() - begun < 6


def test_ten_thousand_bundles_are_planned_at_once() -> None:
    """As at the first start after a long while: the newest and the critical ones stay."""
    budget = Budget(10**18, 100_000, 0)
    files = [
        StoredFile(
            BundleName(n * 60 * 10**9, ("latency", "error", "hang")[n % 3]).archive,
            900 + n % 200,
            n * 60 * 10**9,
            Rank.CRITICAL if n % 50 == 0 else Rank.FIRST,
        )
        for n in range(10_000)
    ]
    begun = time.process_time()
    plan = plan_cleanup(files, now_ns=10_000 * 60 * 10**9, free_bytes=1, budget=budget)
    assert time.process_time() - begun < 6
    assert len(plan.keep) + len(plan.delete) == 10_000
    assert sum(f.size_bytes for f in plan.keep) <= 100_000
    assert files[-1].name in {f.name for f in plan.keep}
    assert sum(f.rank == Rank.CRITICAL for f in plan.keep) > 90


_DAY = 86_400 * 10**9
_BUDGET = Budget(2 * _DAY, 1 << 40, 0)


def _of_this_boot(name_ns: int, boottime_ns: int) -> StoredFile:
    return StoredFile(BundleName(name_ns, "latency").archive, 1, name_ns, boottime_ns=boottime_ns)


@pytest.mark.parametrize("step_ns", [3 * _DAY, -3 * _DAY, 20_000 * _DAY])
def test_a_step_of_the_clock_deletes_nothing_young(step_ns: int) -> None:
    """Three days on or back, or from 1970 to now: what this boot wrote today stays."""
    started_ns = 20_000 * _DAY if step_ns < 10_000 * _DAY else 0
    hour = _DAY // 24
    files = [_of_this_boot(started_ns + n * hour, n * hour) for n in range(1, 11)]
    plan = plan_cleanup(
        files,
        now_ns=started_ns + 11 * hour + step_ns,
        boottime_ns=11 * hour,
        free_bytes=0,
        budget=_BUDGET,
    )
    assert plan.delete == ()


def test_the_age_in_this_boot_is_kept_whatever_the_clock_says() -> None:
    """A clock that was set back does not keep what is three days old; the newest stays."""
    files = [_of_this_boot(20_000 * _DAY, _DAY), _of_this_boot(20_000 * _DAY + 1, _DAY + 1)]
    plan = plan_cleanup(
        files, now_ns=19_999 * _DAY, boottime_ns=4 * _DAY, free_bytes=0, budget=_BUDGET
    )
    assert [[f.name for f in part] for part in (plan.delete, plan.keep)] == [
        [files[0].name],
        [files[1].name],
    ]


def test_the_newest_right_after_a_step_back_is_the_newest() -> None:
    """The bundle just written bears the lower time, and is spared over a tiny budget."""
    before, after = _of_this_boot(100 * _DAY, _DAY), _of_this_boot(97 * _DAY, _DAY + 1)
    tiny = replace(_BUDGET, max_total_bytes=0)
    plan = plan_cleanup(
        [before, after], now_ns=97 * _DAY, boottime_ns=_DAY + 2, free_bytes=0, budget=tiny
    )
    assert [file.name for file in plan.keep] == [after.name]


def test_only_this_boots_manifests_have_a_boot_time() -> None:
    """Another boot's, an older agent's and a forged one have none."""
    assert boottime_of({"boot": {"id": "a", "boottime_ns": 5}}, "a") == 5
    for manifest in (
        {"boot": {"id": "b", "boottime_ns": 5}},
        {"boot": {"id": "a", "boottime_ns": "5"}},
        {"boot": 5},
        {},
    ):
        assert boottime_of(manifest, "a") is None
    assert boottime_of({"boot": {"id": None, "boottime_ns": 5}}, None) is None
