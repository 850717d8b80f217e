# SPDX-License-Identifier: MIT
"""The real ring: nothing is lost uncounted, and the reader is woken when it should be."""

from __future__ import annotations

import mmap
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from aodasync.events import EVENT
from aodasync.probes.ring import RECORD_BYTES
from aodasync.probes.shared import FILL_MARK_BYTES
from tests.kernel.fake_client import FakeClient
from tests.kernel.flood import Flood, compile_flood
from tests.kernel.rig import Rig

PRIME = 9973
BIG_RING = 8 << 20
LONG_SEC = 10.0
SHORT_SEC = 0.3
READ = 8


@pytest.fixture(scope="session")
def quiet_code() -> bytes:
    """Records that are not urgent."""
    return compile_flood(urgent=False)


@pytest.fixture(scope="session")
def urgent_code() -> bytes:
    """Records that are."""
    return compile_flood(urgent=True)


@pytest.fixture
def floods() -> Iterator[Callable[[bytes, Rig], Flood]]:
    """Makes floods and unloads them."""
    made: list[Flood] = []

    def make(code: bytes, rig: Rig) -> Flood:
        made.append(Flood(code, rig.maps))
        rig.track_since(0)  # the flood counts in this place
        return made[-1]

    yield make
    for flood in made:
        flood.close()


def drain(rig: Rig) -> list[int]:
    """Message ids of all that waits."""
    seen: list[int] = []
    while len(rows := rig.probe.read(4096)):
        seen += rows["message_id"].tolist()
    return seen


def test_a_prime_number_of_records_comes_out(
    make_rig: Callable[..., Rig], floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """Exactly as many as went in, in order."""
    rig = make_rig(ring_bytes=BIG_RING)
    floods(quiet_code, rig).run(PRIME)
    assert drain(rig) == list(range(PRIME))
    assert rig.probe.figures()["produced"] == PRIME
    assert not any(rig.probe.losses().values())


def test_overflow_is_counted_to_the_record(
    rig: Rig, floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """Offered = read + lost, exactly, over many rounds of too much."""
    flood = floods(quiet_code, rig)
    offered, seen = 0, []
    for round_ in range(7):
        times = 15_013 + round_
        flood.run(times)
        offered += times
        seen += drain(rig)
    lost = rig.probe.losses()["ring_full"]
    assert lost > 0
    assert len(seen) + lost == offered
    assert len(seen) == rig.probe.figures()["produced"]
    assert sorted(set(seen)) == seen


def test_several_cpus_and_a_concurrent_reader_agree(
    rig: Rig, floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """Two producers, one reader that drains meanwhile: read + lost = offered, none twice."""
    flood = floods(quiet_code, rig)
    times = 200_003
    producers = [threading.Thread(target=flood.run, args=(times,)) for _ in range(2)]
    for producer in producers:
        producer.start()
    chunks = []
    while any(producer.is_alive() for producer in producers):
        chunks.append(rig.probe.read(100_000)["message_id"])
    chunks.append(rig.probe.read(1_000_000)["message_id"])
    seen = np.concatenate(chunks)
    lost = rig.probe.losses()["ring_full"]
    assert len(seen) + lost == 2 * times
    assert len(np.unique(seen)) == len(seen)
    print(f"two producers: {len(seen)} read, {lost} lost of {2 * times}")


def wait_in_thread(rig: Rig, timeout_sec: float) -> Callable[[], float | None]:
    """Sleep on the ring's descriptor; the result tells when it woke, or None."""
    woken: list[float | None] = []

    def wait() -> None:
        with select.epoll() as poll:
            poll.register(rig.probe.fileno(), select.EPOLLIN)
            found = poll.poll(timeout_sec)
            woken.append(time.monotonic() if found else None)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)

    def result() -> float | None:
        thread.join()
        return woken[0]

    return result


def test_ordinary_records_wake_nobody(
    rig: Rig, floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """A sleeping reader sleeps on, and finds them when it looks."""
    woken = wait_in_thread(rig, SHORT_SEC)
    floods(quiet_code, rig).run(101)
    assert woken() is None
    assert rig.probe.figures()["wakeups"] == 0
    assert len(drain(rig)) == 101


def test_an_urgent_record_wakes_at_once(
    rig: Rig,
    floods: Callable[[bytes, Rig], Flood],
    quiet_code: bytes,
    urgent_code: bytes,
) -> None:
    """Also on top of ordinary ones that nobody has read (an adaptive wake-up would not)."""
    ordinary, urgent = floods(quiet_code, rig), floods(urgent_code, rig)
    woken = wait_in_thread(rig, LONG_SEC)
    ordinary.run(100)
    begun = time.monotonic()
    urgent.run(1)
    at = woken()
    assert at is not None
    assert rig.probe.figures()["wakeups"] == 1
    print(f"woken after {1e6 * (at - begun):.0f} us")
    assert at - begun < 1


def test_a_wake_up_is_told_once(
    rig: Rig,
    floods: Callable[[bytes, Rig], Flood],
    quiet_code: bytes,
    urgent_code: bytes,
) -> None:
    """Records that nobody has read yet do not wake again: only another urgent one does."""
    ordinary, urgent = floods(quiet_code, rig), floods(urgent_code, rig)
    with select.epoll() as poll:
        poll.register(rig.probe.fileno(), select.EPOLLIN)
        urgent.run(1)
        assert poll.poll(LONG_SEC)
        assert poll.poll(0)
        rig.probe.acknowledge()
        ordinary.run(100)
        assert not poll.poll(SHORT_SEC)
        urgent.run(1)
        assert poll.poll(LONG_SEC)
    assert len(drain(rig)) == 102


def test_a_filling_ring_wakes_the_reader(
    make_rig: Callable[..., Rig], floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """From the fill mark on, but not once a record."""
    rig = make_rig(ring_bytes=BIG_RING)
    flood = floods(quiet_code, rig)
    below = FILL_MARK_BYTES // RECORD_BYTES - 1
    flood.run(below)
    assert rig.probe.figures()["wakeups"] == 0
    woken = wait_in_thread(rig, LONG_SEC)
    begun = time.monotonic()
    flood.run(30_000)
    elapsed_ms = (time.monotonic() - begun) * 1e3
    assert woken() is not None
    assert 1 <= rig.probe.figures()["wakeups"] <= elapsed_ms + 2
    assert len(drain(rig)) == below + 30_000


def test_the_emergency_threshold_makes_a_request_urgent(rig: Rig) -> None:
    """Per command, from the threshold on; 0 is never; interim answers only where named."""
    client = FakeClient(rig)
    server = client.server(0, 1, "s", "10.0.0.1")

    def urgent(command: int, *, flags: int = 1) -> bool:
        mid = client.alloc(0, server, command)
        time.sleep(0.002)
        client.receive(mid, flags=flags)
        client.release(mid)
        (row,) = rig.probe.read(10)
        return bool(row["flags"] & 16)

    assert not urgent(READ)
    rig.probe.set_emergency_ns([0] * READ + [1_000_000])
    assert urgent(READ)
    assert not urgent(READ + 1)
    assert not urgent(READ, flags=3)
    rig.probe.set_emergency_ns([0] * READ + [1_000_000], interim_too=[READ])
    assert urgent(READ, flags=3)
    rig.probe.set_emergency_ns([0] * READ + [60_000_000_000])
    assert not urgent(READ)
    rig.probe.set_emergency_ns([])
    assert not urgent(READ)


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_a_large_ring_is_not_resident(
    make_rig: Callable[..., Rig], floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """The reader maps a window of it, also after it has been all over the ring."""
    make_rig().probe.read(1)
    before = resident_bytes()
    rig = make_rig(ring_bytes=8 * BIG_RING)
    flood = floods(quiet_code, rig)
    for _ in range(2 * 8 * BIG_RING // RECORD_BYTES // PRIME + 1):
        flood.run(PRIME)
        assert len(rig.probe.read(PRIME)) == PRIME
    grown = resident_bytes() - before
    print(f"{8 * BIG_RING >> 20} MiB of ring: {grown >> 10} KiB resident")
    assert grown < BIG_RING


def test_reading_costs_nanoseconds(
    make_rig: Callable[..., Rig], floods: Callable[[bytes, Rig], Flood], quiet_code: bytes
) -> None:
    """Six times what it costs to copy as many records at most, in CPU time, side by side.

    On an idle machine it is less than three times, some 30 ns; neither a slow machine nor a
    busy one changes that.
    """
    rig = make_rig(ring_bytes=BIG_RING)
    flood = floods(quiet_code, rig)
    records = np.ones((50_000, RECORD_BYTES), np.uint8)
    for batch in (1, 10, 100, 1000, 50_000):
        best = reference = float("inf")
        for _ in range(5):
            per_record = flood.run(batch)
            begun_ns = time.thread_time_ns()
            copied = records[:batch, -EVENT.itemsize :].copy(), records[:batch, :4].copy()
            reference = min(reference, (time.thread_time_ns() - begun_ns) / batch)
            begun_ns = time.thread_time_ns()
            rows = rig.probe.read(1 << 20)
            best = min(best, (time.thread_time_ns() - begun_ns) / batch)
            assert len(rows) == len(copied[0]) == batch
            assert rows.dtype == EVENT
        print(
            f"read {batch:6} records: {best:8.1f} ns each, copied in {reference:.1f} ns"
            f" (submitted in {per_record} ns each)"
        )
    assert best < 6 * reference
