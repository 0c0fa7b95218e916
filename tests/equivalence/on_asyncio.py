"""The scripted world under the server's driver: asyncio in virtual time, ports with the simulator's delays.

Each port is the asyncio spelling of its simpy counterpart: one sleep where that has one timeout. The plane, the store's
contents and the order at one instant (timers, requests passed on, arrivals) are the simulator's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from math import ceil, inf
from typing import Any

from meshcore import kv
from meshcore.asks import (
    Answered,
    Clashed,
    Done,
    Failed,
    Forward,
    Infer,
    Kind,
    Met,
    Op,
    Outcome,
    Refused,
    Request,
    Verdict,
    Wrote,
)
from meshcore.commands import Holder, Load, Measure, Peers, Predict, Route, Unload
from meshcore.events import Constrained, Loaded, LoadFailed, Measured, Predicted, Seen, Unloaded, Usage
from meshd.driver import Driver
from sim.given import Arrivals, Book, Ending, World, make_node, make_plane
from sim.lines import Hop, Line, Shared
from sim.mesh import USAGE_MS
from sim.plane import NOWHERE, Plane
from sim.runtime import CANCELLED, load_answer
from sim.store import INSTANCES, REGISTRY, Records
from sim.trip import as_outcome
from tests.virtual_loop import ORDINARY, VirtualLoop

PASSED_ON, ARRIVAL = ORDINARY + 1, ORDINARY + 2
"""The ranks of what the simulator serves inline."""

Ends = Coroutine[Any, Any, Done | Failed]


async def sleep_ms(delay_ms: int) -> None:
    await asyncio.sleep(delay_ms / 1000)


class Server:
    def __init__(self, loop: VirtualLoop, world: World, instance: str) -> None:
        self._loop, self._ways, self._instance = loop, world.ways, instance
        self._loads: dict[tuple[str, int], asyncio.Future[Loaded | LoadFailed]] = {}

    def load(self, command: Load) -> Coroutine[Any, Any, Loaded | LoadFailed]:
        gate = self._loads[command.model, command.gen] = self._loop.create_future()
        return self._load(command, gate)

    async def _load(self, command: Load, gate: asyncio.Future[Loaded | LoadFailed]) -> Loaded | LoadFailed:
        takes_ms, _, answer = load_answer(self._ways, self._instance, command, self._loop.now_ms)
        self._loop.call_later(takes_ms / 1000, _open, gate, answer)
        given = await gate
        del self._loads[command.model, command.gen]
        return given

    def cancel_load(self, model: str, gen: int) -> None:
        if gate := self._loads.get((model, gen)):
            _open(gate, LoadFailed(model, gen, CANCELLED))

    async def predict(self, command: Predict) -> Predicted:
        return Predicted(command.model, command.gen, await self._size(command))

    async def measure(self, command: Measure) -> Measured:
        return Measured(command.model, command.gen, await self._size(command))

    async def _size(self, command: Predict | Measure) -> int:
        await sleep_ms(self._ways.size_ms(self._instance, command.model, command.gen))
        return self._ways.size_bytes(command.model)

    async def unload(self, command: Unload) -> Unloaded:
        await sleep_ms(self._ways.unload_ms(self._instance, command.model, command.gen))
        return Unloaded(command.model, command.gen)


def _open(gate: asyncio.Future[Loaded | LoadFailed], answer: Loaded | LoadFailed) -> None:
    if not gate.done():
        gate.set_result(answer)


class Client:
    def __init__(self, world: World, instance: str, records: Records) -> None:
        self._delays, self._instance, self._records = world.delays, instance, records

    async def write(self, model: str, expect: int, value: bytes | None, gone: tuple[str, ...] = ()) -> Wrote | Clashed:
        await sleep_ms(self._delays.commit_ms(self._instance, REGISTRY + model, expect))
        return self._records.write(model, expect, value, gone)

    async def read(self, model: str) -> Seen:
        await sleep_ms(self._delays.read_ms(self._instance, REGISTRY + model))
        return self._records.read(model)

    async def publish(self, value: bytes) -> str:
        await sleep_ms(self._delays.commit_ms(self._instance, INSTANCES + self._instance, kv.ANY))
        self._records.publish(self._instance, value)
        return ""


class AsyncPlane:
    """The simulator's plane as the server's driver sees one."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    def apply(self, route: Route) -> None:
        self.plane.apply(route)

    def peers(self, peers: Peers) -> None:
        self.plane.peers(peers)

    async def withdraw(self, model: str, gen: int, deadline_s: float) -> None:
        if busy_ms := min(self.plane.busy_ms(model, gen), round(deadline_s * 1000)):
            await sleep_ms(busy_ms)

    def drain_usage(self) -> tuple[Usage, ...]:
        return self.plane.drain_usage()


@dataclass(frozen=True, slots=True)
class Instance:
    name: str
    plane: Plane
    driver: Driver


class Trip:
    def __init__(self, mesh: AsyncMesh, at: Instance) -> None:
        self._mesh, self._at = mesh, at
        self.has_waited = self.is_forwarded = False

    def waits(self) -> None:
        self.has_waited = True

    async def infer(self, step: Infer) -> Outcome:
        plane, now = self._at.plane, self._mesh.loop.now_ms
        copy = plane.copies.get(step.model)
        if copy is None or copy.gen != step.gen:
            return Refused(Verdict.NOT_HERE, plane.me)
        await sleep_ms(ceil(plane.begin(now, copy)) - now)
        return Answered(None)

    async def forward(self, step: Forward) -> Outcome:
        mesh, plane, me = self._mesh, self._at.plane, self._at.name
        line = plane.line(step.instance)
        line.out += 1
        try:
            await sleep_ms(mesh.world.network_ms(me, step.instance))
            there = Trip(mesh, mesh.named[step.instance])
            end = await there.arrive(step.request)
            await sleep_ms(mesh.world.network_ms(step.instance, me))
        finally:
            line.out -= 1
        self.has_waited |= there.has_waited
        self.is_forwarded = True
        return as_outcome(end)

    async def arrive(self, request: Request) -> Done | Failed:
        copy = self._at.plane.copies.get(request.model)
        if request.op is Op.INFER and copy is not None:
            outcome = await self.infer(Infer(request.model, copy.gen))
            assert isinstance(outcome, Answered)
            return Done(outcome)
        return await self._at.driver.run(request, self)


class AsyncMesh:
    def __init__(self, world: World, book: Book) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.world, self.loop, self._book = world, loop, book
        self._tasks: list[asyncio.Task[None]] = []
        self.records = Records(world.delays, lambda delay_ms, call: loop.call_later(delay_ms / 1000, call))
        for model, value in world.registrations.items():
            self.records.register(model, value)
        self._shared = Shared(world.instances, NOWHERE)
        self.instances = [self._instance(name) for name in world.instances]
        self.named = {instance.name: instance for instance in self.instances}

    def _instance(self, name: str) -> Instance:
        plane = make_plane(self.world, name, lambda: self.loop.now_ms, self._shared)
        driver = Driver(
            make_node(self.world, name),
            lambda: self.world.start_ms + self.loop.now_ms,
            Server(self.loop, self.world, name),
            Client(self.world, name, self.records),
            AsyncPlane(plane),
            own_call=lambda: Trip(self, self.named[name]),
            observe=partial(self._book.commanded, name),
            on_stop=lambda: None,
            on_depart=lambda: None,
        )
        return Instance(name, plane, driver)

    async def play(self, traffic: list[Arrivals], until_ms: int) -> None:
        for instance in self.instances:
            instance.driver.feed(Constrained(self.world.constraints))
            self.records.watch(instance.name, instance.driver.feed, self.world.start_ms)
            self._start(self._account(instance))
        for instants, models, entries in traffic:
            for at, model, entry in zip(instants, models, entries, strict=True):
                self.loop.at_ms(int(at), ARRIVAL, self._arrive, at, model, self.instances[entry])
        await sleep_ms(until_ms)
        for instance in self.instances:
            instance.plane.returns.settle(inf)
            for answers, is_forwarded in ((instance.plane.local, False), (instance.plane.forwarded, True)):
                self._book.answered(instance.name, is_forwarded, *answers.take())
        for task in self._tasks:
            if task.done():
                task.result()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(coroutine)
        self._tasks.append(task)
        return task

    async def _account(self, instance: Instance) -> None:
        while True:
            await sleep_ms(USAGE_MS)
            instance.driver.take_usage()

    def _arrive(self, at: float, model: str, entry: Instance) -> None:
        hop = entry.plane.way(at, model)
        if hop is None:
            trip = Trip(self, entry)
            self._ask(entry, at, trip, entry.driver.run(Request(model), trip))
            return
        line = entry.plane.lines[hop.number]
        line.out += 1
        if hop.instance == entry.name:
            line.fresh.append((entry.plane.begin(at, hop.copy), at, line))
            return
        there = int(at) + self.world.network_ms(entry.name, hop.instance)
        self.loop.at_ms(there, PASSED_ON, self._arrive_elsewhere, entry, hop, line, model, at)

    def _arrive_elsewhere(self, entry: Instance, hop: Hop, line: Line, model: str, arrival: float) -> None:
        there, now = self.named[hop.instance], self.loop.now_ms
        copy = there.plane.taker(model, now)
        if copy is not None:
            end = there.plane.begin(now, copy)
            line.fresh.append((end + self.world.network_ms(there.name, entry.name), arrival, line))
        else:
            trip = Trip(self, entry)
            self._ask(entry, arrival, trip, self._not_ready(entry, hop.holder, model, trip))

    def _ask(self, entry: Instance, arrival: float, trip: Trip, ends: Ends) -> None:
        task = self._start(self._until_over(entry, arrival, trip, ends))
        assert self.world.patience_ms is not None
        self.loop.call_later(self.world.patience_ms / 1000, task.cancel)

    async def _until_over(self, entry: Instance, arrival: float, trip: Trip, ends: Ends) -> None:
        try:
            how = await ends
            end = max(arrival, self.loop.now_ms)
            self._book.ended(Ending(entry.name, arrival, end, how, trip.has_waited, trip.is_forwarded))
        except asyncio.CancelledError:
            self._book.left(entry.name, arrival)

    async def _not_ready(self, entry: Instance, holder: Holder, model: str, trip: Trip) -> Done | Failed:
        tried = ((holder.instance, holder.load_ts),)
        there = Trip(self, self.named[holder.instance])
        try:
            end = await there.arrive(Request(model, kind=Kind.HIT, tried=tried, origin=entry.name, hops=1))
            await sleep_ms(self.world.network_ms(holder.instance, entry.name))
        finally:
            entry.plane.line(holder.instance).out -= 1
        trip.has_waited, trip.is_forwarded = there.has_waited, True
        outcome = as_outcome(end)
        if isinstance(outcome, Answered):
            return Done(outcome)
        met = Met(holder.instance, holder.load_ts, 0, outcome)
        return await entry.driver.run(Request(model, met=met), trip)
