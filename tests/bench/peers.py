# SPDX-License-Identifier: MIT
"""Beside what a user would run instead, on the same records, in turns.

From the ring to the decision: ours reads, records and asks all default detectors. Stock bcc
calls a Python function a record, which compares it with its command's threshold and keeps
nothing. The plain loop does that over the rows that our reader has read.

In the kernel: all that ours runs for a request that is an operation of its own; a pair of
tracepoint programs with a hash map between them, which sees less of a request; three empty
programs. The kernel counts their time, which adds some 40 ns a run to each.

All take turns within a round, and a ratio is that of one round: what else the machine does
hits all of them.
"""

from __future__ import annotations

import os
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count

from aodasync import config
from aodasync.config.anomalies.latency import LatencyAnomaly
from aodasync.config.model import Recorder
from aodasync.events import EVENT, NS_PER_MS, EventArray, EventBatch, MidState
from aodasync.evidence.recorder import FlightRecorder
from aodasync.probes.bpf import ProgramType, load_program, run
from aodasync.smb.commands import COMMAND_CODES
from tests.bench import hotpath
from tests.bench.bcc_process import BccProcess, bcc_process
from tests.bench.figures import Figure, number
from tests.bench.rigging import Bench
from tests.bench.traffic import WAITING, Background
from tests.kernel.fake_client import FakeClient
from tests.kernel.program_stats import ProgramStats
from tests.kernel.rig import Rig, run_repeatedly

__all__ = ["OVER_BCC", "OVER_LOOP", "OVER_PAIR", "measure"]

OVER_BCC = {100: 0.3, 1_000: 0.1, 10_000: 0.04}
OVER_LOOP = {100: 1.0, 1_000: 0.5, 10_000: 0.25}
"""Of what stock bcc and the loop take, by batch size, the share that ours may take."""

OVER_PAIR = 2.0
"""Times what the tracepoint pair takes in the kernel."""

_ROUNDS = 15
_TURNS = 3  # a round: the best of them counts
_ROW = struct.Struct("<7Q4I2H4B16s")
assert _ROW.size == EVENT.itemsize
_ISSUED, _RELEASED, _STATUS, _COMMAND = map(
    list(EVENT.fields or ()).index, ("issued_ns", "released_ns", "status", "command")
)
_RETURN_0 = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
_OURS = ("smb3_enter", "request_alloc", "request_received", "request_release", "operation_ended")
_WRITE = COMMAND_CODES["SMB2_WRITE"]

_Step = Callable[[], float]


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures: medians of the rounds; the notes say the least and the most."""
    thresholds_ns = _thresholds_ns()
    with bench.rig() as rig, bcc_process(thresholds_ns) as tool:
        for size in OVER_BCC:
            yield from _paths(rig, tool, thresholds_ns, size)
        yield from _programs(rig, tool)


def _thresholds_ns() -> dict[int, int]:
    """By command, as shipped."""
    anomalies = config.load(hotpath._SHIPPED).anomalies
    (latency,) = (one for one in anomalies if isinstance(one, LatencyAnomaly))
    of_names = latency.thresholds_ms.items()
    return {COMMAND_CODES[name]: round(ms * NS_PER_MS) for name, ms in of_names}


def _paths(
    rig: Rig, tool: BccProcess, thresholds_ns: Mapping[int, int], size: int
) -> Iterator[Figure]:
    """From the ring to the decision."""
    background = Background(rig, connection_id=1)
    recorder = FlightRecorder(Recorder().max_events)
    detector = hotpath._detector(recorder)

    def ours() -> float:
        background.run(size)
        left, begun_ns = size, time.perf_counter_ns()
        while left:  # one batch, two where the recorder begins again
            rows, _ = recorder.fill(rig.probe.read_into, left)
            detector.process(EventBatch(rows, time.monotonic_ns(), recorded=True))
            recorder.release(len(rows))
            left -= len(rows)
        return (time.perf_counter_ns() - begun_ns) / size

    def callback() -> float:
        run_repeatedly(tool.programs["ordinary"], size)
        return tool.consume(size) / size

    def loop() -> float:
        background.run(size)
        begun_ns = time.perf_counter_ns()
        rows = rig.probe.read(size)
        slow = _slow(rows, thresholds_ns)
        took_ns = time.perf_counter_ns() - begun_ns
        assert (len(rows), slow) == (size, 0)
        return took_ns / size

    mine, bcc, python = _in_turns(ours, callback, loop)
    assert not detector.metrics.anomalies
    background.close()
    batches, unit = f"batches of {size:,}", "ns/event"
    yield _figure(f"ours, ring to decision, {batches}", mine, unit)
    yield _figure(f"stock bcc, a callback a record, {batches}", bcc, unit)
    yield _figure(f"our reader, a plain Python loop, {batches}", python, unit)
    yield _figure(f"ours over stock bcc, {batches}", _ratios(mine, bcc), "x", OVER_BCC[size])
    yield _figure(
        f"ours over the plain loop, {batches}", _ratios(mine, python), "x", OVER_LOOP[size]
    )


def _slow(rows: EventArray, thresholds_ns: Mapping[int, int]) -> int:
    """How many failed, or took as long as their command may."""
    slow = 0
    for row in _ROW.iter_unpack(rows.data.cast("B")):
        took_ns = row[_RELEASED] - row[_ISSUED]
        if row[_STATUS] or took_ns >= thresholds_ns[row[_COMMAND]]:
            slow += 1
    return slow


def _programs(rig: Rig, tool: BccProcess) -> Iterator[Figure]:
    """In the kernel."""
    requests = _Requests(rig)
    ours = {name: rig.programs[name] for name in _OURS}
    pair = {name: tool.programs[name] for name in ("enter", "done")}
    with ExitStack() as stack:
        empty = {}
        for name in ("empty_1", "empty_2", "empty_3"):
            empty[name] = load_program(ProgramType.RAW_TRACEPOINT, _RETURN_0, name)
            stack.callback(os.close, empty[name])

        def our_programs() -> float:
            took_ns = _counted_ns(ours, requests.ours)
            assert len(rig.probe.read(2 * WAITING)) == WAITING
            return took_ns

        def the_pair() -> float:
            took_ns = _counted_ns(pair, lambda: requests.by(pair))
            tool.consume(WAITING)
            return took_ns

        def none() -> float:
            return _counted_ns(empty, lambda: requests.by(empty))

        mine, theirs, least = _in_turns(our_programs, the_pair, none)
    what = "BPF a request"
    yield _figure(f"{what}: ours, its operation included", mine, "ns")
    yield _figure(f"{what}: tracepoint pair, hash map", theirs, "ns")
    yield _figure(f"{what}: three empty programs", least, "ns")
    yield _figure(f"{what}: ours over three empty programs", _ratios(mine, least), "x")
    yield _figure(f"{what}: the pair over three empty programs", _ratios(theirs, least), "x")
    yield _figure(f"{what}: ours over the pair", _ratios(mine, theirs), "x", OVER_PAIR)


class _Requests:
    """Requests that are in flight together, as many as elsewhere in the bench."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._client = FakeClient(rig)
        self._server = self._client.server(0, 1, "server", "10.0.0.1")
        self._xids = count(1)

    def ours(self) -> None:
        """Each is its operation's only one."""
        function = self._rig.arena.base
        waiting = []
        for slot in range(WAITING):
            xid = next(self._xids)
            self._rig.run("smb3_enter", xid, function)
            waiting.append((xid, self._client.alloc(slot, self._server, _WRITE)))
        for xid, mid in waiting:
            self._client.receive(mid)
            self._client.release(mid, MidState.READY)
            self._rig.run("operation_ended", xid)

    def by(self, programs: Mapping[str, int]) -> None:
        """One program after another: (u32 tid, u64 sesid, u16 cmd, u64 mid) as at a tracepoint."""
        for descriptor in programs.values():
            for message_id in range(WAITING):
                run(descriptor, [5, 77, _WRITE, message_id])


def _counted_ns(programs: Mapping[str, int], work: Callable[[], None]) -> float:
    """What the kernel says that the programs took a request; each runs for each."""
    with ProgramStats(programs) as stats:
        before = stats.totals()
        work()
        after = stats.totals()
    assert {after[name][1] - before[name][1] for name in programs} == {WAITING}
    return sum(after[name][0] - before[name][0] for name in programs) / WAITING


def _in_turns(*steps: _Step) -> list[list[float]]:
    """Of each step, its best turn in each round."""
    rounds = []
    for _ in range(1 + _ROUNDS):  # the first one warms up
        turns = [[step() for step in steps] for _ in range(_TURNS)]
        rounds.append([min(of_step) for of_step in zip(*turns, strict=True)])
    return [list(of_step) for of_step in zip(*rounds[1:], strict=True)]


def _figure(name: str, values: Sequence[float], unit: str, bound: float | None = None) -> Figure:
    note = f"{number(min(values))} to {number(max(values))}"
    return Figure(name, statistics.median(values), unit, bound, note)


def _ratios(values: Sequence[float], beside: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, beside, strict=True)]
