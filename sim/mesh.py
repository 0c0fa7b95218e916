"""Instances that serve traffic together: what is warm is served inline, in time order with simpy's events."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Generator, Iterable
from functools import partial
from heapq import heappop, heappush, heapreplace
from math import ceil, inf
from random import Random
from time import process_time
from typing import Any

import simpy

from meshcore.asks import Answered, Done, Failed, Kind, Met, Outcome, Request, RuntimeFailed, Unreachable
from meshcore.commands import Holder
from meshcore.errors import Code
from meshcore.events import Constrained, Reached, Started
from sim.churn import Registrar
from sim.driver import Driver
from sim.fates import Hand
from sim.given import Arrivals, Book, Ending, World, make_node, make_plane
from sim.lines import Hop, Line, Shared
from sim.plane import NOWHERE, Plane
from sim.runtime import ModelServer
from sim.store import Client, Records
from sim.trip import BROKEN, GONE, SILENT, Died, Ends, Instance, Network, Trip, as_outcome, failed

USAGE_MS = 1000
"""The core hears of what the plane served at least this often."""

NOTED_AT = 1 << 18
"""Requests after which the book is told what became of them: it looks at every way from one instance to another."""

NOBODY = ""
"""Asked for when only time is to go on."""

AGAIN = frozenset({Code.UNAVAILABLE})
"""Clients ask again where a request fails with one of these."""


class Mesh:
    """Plays traffic in ``world``; the same world and traffic tell ``book`` the same story.

    Order at one instant: what simpy has scheduled, then requests passed on inline, then arrivals. simpy counts whole
    milliseconds: what an arrival within one sets going begins at its start.
    """

    def __init__(self, world: World, book: Book) -> None:
        self.world, self.env = world, simpy.Environment()
        self._book = book
        self.network = Network(self.env, world.network_ms)
        self.records = Records(world.delays, self.later)
        for model, value in world.registrations.items():
            self.records.register(model, value)
        self._shared = Shared(world.instances, NOWHERE)
        self.instances = [self._instance(name) for name in world.instances]
        self._lines = [instance.plane.lines for instance in self.instances]
        self._planes: list[Plane | None] = [None] * len(self.instances)
        """Of those instances, None where every request has to be looked at."""
        self._entrances: list[int] = []
        """Numbers of the instances that clients find, ascending."""
        self._turn = 0
        self.passed_on: list[tuple[float, int, Hop, Line, float, str]] = []
        """Heap of requests on their way: (when there, number, to where, how, arrival, model)."""
        self._open = 0
        """Requests that the core has been asked about and that are not over."""
        self._served = 0
        """Requests since the book was told."""
        self._event_at = 0.0
        """When simpy has something to do next; no later than that."""
        self.inline_s = 0.0
        """CPU time spent on requests that cost no simpy event."""
        self.eventful_s = 0.0
        """The same on everything else."""

    def _instance(self, name: str) -> Instance:
        world, env = self.world, self.env
        node, plane = make_node(world, name, int(env.now)), make_plane(world, name, lambda: int(env.now), self._shared)
        client = Client(env, name, self.records, world.delays)
        driver = Driver(
            node,
            env,
            world.start_ms + world.place(name).ahead_ms,
            ModelServer(env, name, world.ways),
            client,
            plane,
            own_call=lambda: Trip(self.network, self.network.instances[name]),
            observe=partial(self._book.commanded, name),
            on_stop=lambda: None,
            on_depart=lambda: None,
        )
        return Instance(name, node, plane, driver, client)

    def present(self) -> list[Instance]:
        """The instances that are there."""
        return list(self.network.instances.values())

    def later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Have something done in so many milliseconds."""
        self.env.timeout(delay_ms).callbacks.append(lambda _: callback())

    # -- time --------------------------------------------------------------------------------------------

    def play(self, traffic: Iterable[Arrivals]) -> None:
        """Start the instances, serve all of ``traffic`` and wait for every answer."""
        hand = Hand(self, self.world.instances, self.world.fates)
        for number in range(len(self.instances)):
            if number in hand.late:
                self.serve_apart(number)
            else:
                self._join(number)
        hand.play()
        self.env.process(Registrar(self.network, Random(f"{self.world.seed}/registrar")).play(self.world.churn()))
        began = process_time()
        for instants, models, entries in traffic:
            self._serve(instants, models, entries)
            self._served += len(entries)
            if self._served >= NOTED_AT:
                self._served = 0
                for instance in self.instances:
                    if not instance.driver.is_frozen:
                        self._note(instance, self.env.now)
        while self._open or self.passed_on:
            first = self.passed_on[0][0] if self.passed_on else inf
            self._serve((max(self.env.now, min(self.env.peek(), first)),), (NOBODY,), (0,))
        for instance in self.instances:
            self._note(instance, inf)
        self.inline_s = process_time() - began - self.eventful_s

    def _serve(self, instants: Iterable[float], models: Iterable[str], entries: Iterable[int]) -> None:
        """The loop that all requests go through: ``Plane.begin`` and ``_look_closer`` without the calls."""
        passed_on, shared, numbers = self.passed_on, self._shared, self._shared.numbers
        planes, lines, agreed, event_at = self._planes, self._lines, shared.agreed, self._event_at
        for at, model, entry in zip(instants, models, entries, strict=True):
            while True:
                if passed_on and (there_at := passed_on[0][0]) <= at and there_at < event_at:
                    _, _, hop, line, arrival, name = heappop(passed_on)
                    copy = hop.copy
                    if not copy.is_plain or line.is_on_trial or line.is_cut:
                        self._arrive_elsewhere(there_at, hop, line, arrival, name)
                        event_at = self._event_at
                        continue
                    server = copy.server
                    free_at, service_ms = server.free_at[0], next(server.service_ms)
                    end = (there_at if there_at > free_at else free_at) + service_ms
                    heapreplace(server.free_at, end)
                    copy.begun.append((end, copy, there_at, service_ms))
                    line.fresh.append((end + line.back_ms, arrival, line))
                    continue
                if event_at > at:
                    break
                event_at = self._happen(min(at, passed_on[0][0]) if passed_on else at)
            plane = planes[entry]
            if plane is None:
                self._look_closer(at, model, entry)
                event_at = self._event_at
                continue
            way = agreed.get(model)
            if way is None:
                way = plane.sole.get(model)
                if way is not None:
                    shared.look(model, way)
                elif model is NOBODY:
                    continue
                else:
                    way = plane.choose(at, model)
                    if way is None:
                        self._ask_core(at, model, self.instances[entry])
                        event_at = self._event_at
                        continue
            line = lines[entry][way.number]
            line.out += 1
            if line.out_ms:
                heappush(passed_on, (at + line.out_ms, next(numbers), way, line, at, model))
                continue
            copy = way.copy
            server = copy.server
            free_at, service_ms = server.free_at[0], next(server.service_ms)
            end = (at if at > free_at else free_at) + service_ms
            heapreplace(server.free_at, end)
            copy.begun.append((end, copy, at, service_ms))
            line.fresh.append((end, at, line))

    def _happen(self, until: float) -> float:
        """Let all simpy events up to ``until`` happen; when the next is due."""
        env, began = self.env, process_time()
        while (event_at := env.peek()) <= until:
            env.step()
        self._event_at = event_at
        self.eventful_s += process_time() - began
        return event_at

    def _note(self, instance: Instance, now: float) -> None:
        """Have the book take in what was answered by ``now``."""
        plane = instance.plane
        plane.returns.settle(now)
        for answers, is_forwarded in ((plane.local, False), (plane.forwarded, True)):
            if answers.ends:
                self._book.answered(instance.name, is_forwarded, *answers.take())

    def _advance(self, at: float) -> None:
        """Let simpy's clock show the millisecond of ``at``, up to which it has nothing more to do."""
        if self.env.now < int(at):
            self.env.run(until=int(at))

    def _account(self, instance: Instance) -> Generator[simpy.Event, Any, None]:
        while self.network.instances.get(instance.name) is instance:
            yield self.env.timeout(USAGE_MS)
            instance.driver.take_usage()

    # -- coming and going ----------------------------------------------------------------------------------

    def join(self, number: int) -> None:
        """An instance starts, with nothing loaded."""
        instance = self.instances[number]
        fresh = self._instance(instance.name)
        fresh.node.peak_deficit_units = instance.node.peak_deficit_units
        self.instances[number] = fresh
        self._join(number)

    def _join(self, number: int) -> None:
        instance = self.instances[number]
        self.network.instances[instance.name] = instance
        self._shared.came()
        self.serve_inline(number)
        insort(self._entrances, number)
        instance.driver.feed(Constrained(self.world.constraints))
        self.records.watch(instance.name, instance.driver.feed, self.world.start_ms + int(self.env.now))
        instance.driver.feed(Started())
        self.env.process(self._account(instance))

    def serve_inline(self, number: int) -> None:
        """Requests that come to an instance go where its plane says."""
        plane = self._planes[number] = self.instances[number].plane
        self._lines[number] = plane.lines

    def serve_apart(self, number: int) -> None:
        """Every request that comes to an instance is looked at."""
        self._planes[number] = None

    def close_entrance(self, number: int) -> None:
        """Clients come to the others from now on."""
        self.serve_apart(number)
        if number in self._entrances:
            self._entrances.remove(number)

    def remove(self, instance: Instance) -> None:
        """An instance on which nothing is under way is no longer there."""
        del self.network.instances[instance.name]
        self._note(instance, self.env.now)
        instance.driver.close()
        instance.plane.die()

    def is_idle(self, instance: Instance) -> bool:
        """Whether nothing is under way on an instance."""
        is_asked = instance.driver.open or any(passed_on[3].entry == instance.name for passed_on in self.passed_on)
        return not is_asked and instance.plane.is_idle()

    # -- requests ------------------------------------------------------------------------------------------

    def _look_closer(self, at: float, model: str, number: int) -> None:
        """A request comes to an instance that is not there, or stands still."""
        entry = self.instances[number]
        if model is NOBODY:
            return
        if number not in self._entrances:
            if not self._entrances:
                self.ask(at, entry, at, model, Trip(self.network, entry), failed(GONE))
                return
            entry = self._next_entry()
        hop = None if entry.driver.is_frozen else entry.plane.way(at, model)
        if hop is None:
            self._ask_core(at, model, entry)
            return
        line = entry.plane.lines[hop.number]
        line.out += 1
        if not line.out_ms:
            line.fresh.append((entry.plane.begin(at, hop.copy), at, line))
        else:
            heappush(self.passed_on, (at + line.out_ms, next(self._shared.numbers), hop, line, at, model))

    def _ask_core(self, at: float, model: str, entry: Instance) -> None:
        """Only the core can say what becomes of a request."""
        trip = Trip(self.network, entry)
        met = entry.plane.met_full(model)
        trip.tries = int(met is not None)
        self.ask(at, entry, at, model, trip, entry.driver.run(Request(model, met=met), trip))

    def _next_entry(self) -> Instance:
        """Where a client goes that finds its instance gone: to the others in turn."""
        self._turn += 1
        return self.instances[self._entrances[self._turn % len(self._entrances)]]

    def _arrive_elsewhere(self, at: float, hop: Hop, line: Line, arrival: float, model: str) -> None:
        """A request was passed on to an instance where more than the usual has to be looked at."""
        entry = self.network.instances[line.entry]
        there = None if line.is_cut else self.network.instances.get(line.instance)
        copy = there.plane.taker(model, at) if there is not None else None
        if there is not None and copy is not None:
            hop.copy = copy
            end = there.plane.begin(at, copy) + line.back_ms
            line.fresh.append((end, arrival, line))
            if line.is_on_trial:
                line.is_on_trial = False
                self._event_at = min(self._event_at, end)
                self.later(ceil(end) - int(self.env.now), lambda: entry.driver.feed(Reached(line.instance)))
        else:
            trip = Trip(self.network, entry)
            self.ask(at, entry, arrival, model, trip, self._not_ready(entry, hop.holder, model, trip))

    def ask(self, at: float, entry: Instance, arrival: float, model: str, trip: Trip, ends: Ends) -> None:
        """Take a request that came to ``entry`` to its end in a process of its own, which begins with ``ends``."""
        began = process_time()
        self._advance(at)
        self._event_at = self.env.now
        self._open += 1
        process = self.env.process(self._until_over(entry, arrival, model, trip, ends))
        if self.world.patience_ms is not None:
            self.later(self.world.patience_ms, lambda: process.interrupt() if process.is_alive else None)
        self.eventful_s += process_time() - began

    def _until_over(
        self, entry: Instance, arrival: float, model: str, trip: Trip, ends: Ends
    ) -> Generator[simpy.Event, Any, None]:
        name, left, is_again = entry.name, self.world.retries.times, False
        try:
            while True:
                how = yield from self._one_try(entry, ends)
                if not left or not _is_unavailable(how):
                    break
                left, is_again = left - 1, True
                yield self.env.timeout(self.world.retries.pause_ms)
                if not self._entrances:
                    ends = failed(GONE)
                    continue
                entry = self._next_entry()
                trip = Trip(self.network, entry)
                ends = entry.driver.run(Request(model), trip)
            end, is_retried = max(arrival, self.env.now), is_again or trip.tries > 1
            self._book.ended(Ending(name, arrival, end, how, trip.has_waited, trip.is_forwarded, is_retried))
        except simpy.Interrupt:
            self._book.left(name, arrival)
        self._open -= 1

    def _one_try(self, entry: Instance, ends: Ends) -> Ends:
        try:
            with entry.hosting(self.env):
                return (yield from ends)
        except simpy.Interrupt as interrupt:
            if interrupt.cause != Died(entry.name):
                raise
        return (yield from failed(BROKEN))

    def _not_ready(self, entry: Instance, holder: Holder, model: str, trip: Trip) -> Ends:
        """A request was passed on to a copy that is not ready there (any more), or full: the core says what to do."""
        trip.tries = 1
        network, name = self.network, holder.instance
        outcome: Outcome = Unreachable(GONE)
        try:
            if network.is_cut(entry.name, name):
                yield self.env.timeout(network.silent_ms(entry.name, name))
                outcome = Unreachable(SILENT)
            elif instance := network.instances.get(name):
                there = Trip(network, instance)
                tried = ((name, holder.load_ts),)
                with instance.hosting(self.env):
                    end = yield from there.arrive(Request(model, kind=Kind.HIT, tried=tried, origin=entry.name, hops=1))
                yield self.env.timeout(self.world.network_ms(name, entry.name))
                trip.has_waited, trip.is_forwarded, outcome = there.has_waited, True, as_outcome(end)
        except simpy.Interrupt as interrupt:
            if interrupt.cause != Died(name):
                raise
            outcome = Unreachable(BROKEN)
        finally:
            entry.plane.line(name).out -= 1
        if isinstance(outcome, Answered):
            return Done(outcome)
        met = Met(name, holder.load_ts, 0, outcome)
        return (yield from entry.driver.run(Request(model, met=met), trip))


def _is_unavailable(how: Done | Failed) -> bool:
    match how:
        case Failed(error):
            return error.code in AGAIN
        case Done(RuntimeFailed(code)):
            return code in AGAIN
        case _:
            return False
