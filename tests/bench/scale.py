# SPDX-License-Identifier: MIT
"""What a large host costs: each thing that is asked for, against the size of the host.

Servers, mounts, shares, requests in flight, operations, processes and recorded requests
all grow together (:mod:`tests.bench.world`), so that what is looked for in one of them for
each of another grows with the square. A cost may grow four times where the host does, and
half as much again, as caches are no larger on a large host.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from aodasync import agent as agent_module
from aodasync import config
from aodasync.actions.stacks import collect_stacks
from aodasync.agent import Agent
from aodasync.bundle import beginning
from aodasync.bundle.archive import read_manifest
from aodasync.bundle.bundle_name import BundleName
from aodasync.bundle.output_dir import OutputDirectory
from aodasync.bundle.packing import pack
from aodasync.bundle.partial import PartialBundle
from aodasync.bundle.writing import Writer
from aodasync.cli.top_screen import Screen, draw
from aodasync.cli.why import episode_of_bundle, explain
from aodasync.evidence.arrays import distinct
from aodasync.evidence.model import Sample, Trigger
from aodasync.live.frames import Decoder, hello, state_frame
from aodasync.live.prometheus import exposition
from aodasync.live.window import Window
from aodasync.process.children import Children
from aodasync.report import render
from aodasync.report.content import read_bundle
from aodasync.tasks.throttled import Throttled
from aodasync.verdict.judge import judge
from tests.bench.figures import Figure
from tests.bench.rigging import Bench
from tests.bench.world import World
from tests.builders import MS, SECOND

__all__ = ["measure"]

_SIZES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_GROWTH = 4 * 1.5
_FLOOR_MS = 0.5  # what is quicker than this on a quarter of the host counts as this
_ROUNDS = 7
_SHIPPED = Path(__file__).parents[2] / "config" / "config.yaml"

_BOUNDS_MS: Final[dict[str, float | None]] = {
    "look, all is well": 20.0,
    "look, all servers hang": 20.0,
    "status, its answer": 50.0,
    "status, on the loop": 20.0,
    "top, a state of the agent": 20.0,
    "top, a frame on the screen": 20.0,
    "metrics, the agent's answer": 50.0,
    "metrics, as text": 50.0,
    "bundle, what decays first": 60.0,
    "bundle, stacks of who waits": None,
    "bundle, its verdict": 200.0,
    "the cause, all requests of one server": 40.0,
    "bundle, its archive": 500.0,
    "why": 100.0,
    "report": 1000.0,
}


@dataclass(frozen=True)
class _Host:
    """A host of some size, and the agent that watches it."""

    world: World
    agent: Agent
    folder: Path
    output: OutputDirectory
    samples: tuple[Sample, ...]


def measure(bench: Bench) -> Iterator[Figure]:
    """Yield the figures: the best of some rounds, as any other is the machine's doing."""
    costs: dict[str, list[float]] = {name: [] for name in _BOUNDS_MS}
    for size in _SIZES:
        for name, cost_ms in asyncio.run(_costs(bench, size)):
            costs[name].append(cost_ms)
    for name, of_sizes in costs.items():
        *smaller, full = of_sizes
        note = "n/8, n/4, n/2: " + ", ".join(f"{cost:.2f}" for cost in smaller)
        yield Figure(name, full, "ms", _BOUNDS_MS[name], note)
    for name, (_, quarter, _, full) in costs.items():
        yield Figure(f"{name}: n against n/4", full / max(quarter, _FLOOR_MS), "times", _GROWTH)


async def _costs(bench: Bench, size: float) -> list[tuple[str, float]]:
    with bench.rig() as rig, TemporaryDirectory(dir=bench.scratch) as directory:
        folder = Path(directory)
        world = World(size, time.monotonic_ns())
        vars(agent_module).update(STATE_DIR=folder / "state")
        with OutputDirectory.prepare(folder / "bundles") as output:
            shipped = replace(config.load(_SHIPPED), output_dir=output.path)
            log = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()))
            agent = Agent(shipped, output=output, run_dir=folder, log=log)
            agent._evidence.probe = rig.probe
            agent._mounts._mounts = world.mounts()
            samples = tuple(
                Sample(world.now_ns - age_sec * SECOND, world.sockets(), {"cpu": 1, "io": 1})
                for age_sec in range(30, 0, -1)
            )
            host = _Host(world, agent, folder, output, samples)
            if (sampler := agent._pipeline.sampler) is not None:
                sampler.keep(samples[-1])
            world.fill(rig, 5 * MS)
            for start in range(0, len(world.rows), 1000):
                rows = world.rows[start : start + 1000]
                engine = agent._pipeline.detector.engine
                engine.process(rows, world.now_ns)
                agent._recorder.append(rows)
                agent._facts.observe(rows, engine.content)
            found = [("look, all is well", await _best(partial(_look, host)))]
            world.fill(rig, 6 * SECOND)
            found.append(("look, all servers hang", await _best(partial(_look, host))))
            found += [cost async for cost in _asked(host)]
            found += [cost async for cost in _collected(host)]
    return found


async def _look(host: _Host) -> None:
    host.agent._pipeline.detector._look(host.world.now_ns)
    host.agent._mounts.look()


async def _asked(host: _Host) -> AsyncIterator[tuple[str, float]]:
    """What a user asks the agent for."""
    agent = host.agent
    on_loop_ms = []

    async def status() -> None:
        agent._servers = Throttled(0.0)
        begun_sec = time.thread_time()
        json.dumps(await agent.status(), default=str)
        on_loop_ms.append((time.thread_time() - begun_sec) * 1e3)

    yield "status, its answer", await _best(status)
    yield "status, on the loop", min(on_loop_ms)

    async def state() -> bytes:
        return state_frame(*agent._state())

    yield "top, a state of the agent", await _best(state)
    window, decoder, screen = Window(10.0), Decoder(), Screen(unit_of=lambda _: "unit")
    (frame,) = list(decoder.feed(hello() + await state()))[1:]
    for start in range(0, len(host.world.rows), 1000):
        window.add(host.world.rows[start : start + 1000])

    async def screenful() -> None:
        window.update(frame.header, frame.rows)
        draw(window, screen, width=120, height=60)

    yield "top, a frame on the screen", await _best(screenful)

    async def metrics() -> str:
        return json.dumps(await agent.metrics(), default=str)

    yield "metrics, the agent's answer", await _best(metrics)
    facts = json.loads(await metrics())

    async def text() -> None:
        exposition(facts)

    yield "metrics, as text", await _best(text)


async def _collected(host: _Host) -> AsyncIterator[tuple[str, float]]:
    """A bundle of one server that hangs, and what is made of it."""
    agent, world = host.agent, host.world
    proc, children = host.folder / "proc", Children()
    world.make_proc(proc)
    finding = agent._pipeline.detector.engine.episodes.open_findings()[0]
    now_ns, realtime_ns = time.monotonic_ns(), time.time_ns()
    trigger = Trigger("hang", finding, (), now_ns, realtime_ns, 1, samples=host.samples)
    rows = agent._evidence.events()
    written: list[Writer] = []

    async def decaying() -> None:
        source = agent._evidence
        before = await asyncio.to_thread(source.snapshot, *beginning._DECAYING)
        name = BundleName(realtime_ns + len(written), "hang")
        bundle = PartialBundle(name, host.output.batches_fd)
        recorded = agent._evidence.recorded()
        writer = Writer(bundle, trigger, agent._config, live=True, before=before, recorded=recorded)
        written.append(writer)
        await asyncio.to_thread(bundle.create, before.clocks.realtime_ns)
        await asyncio.to_thread(writer.begin, rows)
        counted = await asyncio.to_thread(source.snapshot, *beginning._COUNTED)
        await asyncio.to_thread(writer.outline, (), counted)

    yield "bundle, what decays first", await _best(decaying)
    waiting = frozenset(distinct(written[-1].before.in_flight["pid"]))

    async def stacks() -> None:
        await collect_stacks(children, waiting, str(proc))

    yield "bundle, stacks of who waits", await _best(stacks)
    bundle = written[-1].bundle
    after = agent._evidence.snapshot()

    async def verdict() -> None:
        written[-1].verdict = None
        written[-1].conclude(
            after=after,
            meanwhile=None,
            added=rows[:0],
            recorded=len(rows),
            results=(),
            sample=None,
            volatile_ms=1,
        )

    yield "bundle, its verdict", await _best(verdict)
    alone = rows.copy()
    alone["connection_id"] = finding.connections[0]

    async def cause() -> None:
        judge(
            trigger,
            rows=alone,
            in_flight=after.in_flight,
            connections=after.connections,
            shares=after.shares,
            later=host.samples[-1],
        )

    yield "the cause, all requests of one server", await _best(cause)

    async def archive() -> None:
        pack(
            bundle.name,
            batches_fd=host.output.batches_fd,
            mtime_sec=1,
            cancelled=threading.Event(),
        )

    yield "bundle, its archive", await _best(archive)
    path = host.output.batches / bundle.name.archive

    async def why() -> None:
        read_manifest(path)
        explain(episode_of_bundle(path), now_ns=None)

    yield "why", await _best(why)

    async def report() -> None:
        render(read_bundle(path))

    yield "report", await _best(report)
    for writer in written:
        writer.bundle.remove()


async def _best(step: Callable[[], Awaitable[object]]) -> float:
    """The quickest of some rounds, in ms.

    What was made before is no garbage of this one, as in the agent (memory_tuning.py).
    """
    gc.collect()
    gc.freeze()
    best = float("inf")
    for _ in range(_ROUNDS):
        begun_ns = time.perf_counter_ns()
        await step()
        best = min(best, time.perf_counter_ns() - begun_ns)
    gc.unfreeze()
    return best / MS
