"""Instances that serve traffic together: what is warm is served inline, in time order with simpy's events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from heapq import heappop, heappush, heapreplace
from itertools import count
from math import inf
from random import Random
from time import process_time
from typing import Any

import simpy

from meshcore.asks import Answered, Done, Kind, Met, Outcome, Request, Unreachable
from meshcore.commands import Holder
from meshcore.events import Constrained, DrainAsked, Idled, SessionRenewed, Started, StoreFound, StoreLost
from sim.churn import Registrar
from sim.driver import Driver
from sim.given import Arrivals, Book, Restart, StoreOutage, World, make_node, make_plane
from sim.lines import Hop, Line
from sim.runtime import ModelServer
from sim.store import DEADLINE_MS, SESSION_MS, Client, Records
from sim.trip import GONE, Ends, Instance, Network, Trip, as_outcome

HANDOVER_MS, NOT_READY_MS, IDLE_MS, DEREGISTER_MS = 22_000, 2000, 200, 200
"""An instance that goes serves on for as long as clients may not have heard of it, and until nothing is under way; then
it takes its copies out of their records."""
USAGE_MS = 1000
"""The core hears of what the plane served at least this often."""

NOBODY = ""
"""Asked for when only time is to go on."""


class Mesh:
    """Plays traffic in ``world``; the same world and traffic tell ``book`` the same story.

    Order at one instant: what simpy has scheduled, then requests passed on inline, then arrivals. simpy counts whole
    milliseconds: what an arrival within one sets going begins at its start.
    """

    def __init__(self, world: World, book: Book) -> None:
        self.world, self.env = world, simpy.Environment()
        self._book = book
        self._network = Network(self.env, {}, world.network_ms)
        self.records = Records(world.delays, self.later)
        for model, value in world.registrations.items():
            self.records.register(model, value)
        self._numbers = count()
        """Tell apart what happens at one instant."""
        self.instances = [self._instance(name) for name in world.instances]
        self._ways: list[Mapping[str, Hop]] = [instance.plane.sole for instance in self.instances]
        """Where requests go without a question, by the number of the instance that they come to."""
        self._passed_on: list[tuple[float, int, Hop, Line, float, str]] = []
        """Heap of requests on their way: (when there, number, to where, how, arrival, model)."""
        self._open = 0
        """Requests that the core has been asked about and that are not over."""
        self._event_at = 0.0
        """When simpy has something to do next; no later than that."""
        self.inline_s = 0.0
        """CPU time spent on requests that cost no simpy event."""
        self._eventful_s = 0.0

    def _instance(self, name: str) -> Instance:
        world, env = self.world, self.env
        node, plane = make_node(world, name, int(env.now)), make_plane(world, name, lambda: int(env.now), self._numbers)
        driver = Driver(
            node,
            env,
            world.start_ms,
            ModelServer(env, name, world.ways),
            Client(env, name, self.records, world.delays),
            plane,
            own_call=lambda: Trip(self._network, self._network.instances[name]),
            observe=partial(self._book.commanded, name),
            on_stop=lambda: None,
            on_depart=lambda: None,
        )
        return Instance(name, node, plane, driver)

    def present(self) -> list[Instance]:
        """The instances that are there."""
        return list(self._network.instances.values())

    def later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Have something done in so many milliseconds."""
        self.env.timeout(delay_ms).callbacks.append(lambda _: callback())

    # -- time --------------------------------------------------------------------------------------------

    def play(self, traffic: Iterable[Arrivals]) -> None:
        """Start the instances, serve all of ``traffic`` and wait for every answer."""
        for instance in self.instances:
            self._join(instance)
        for restart in self.world.restarts:
            self.env.process(self._restart(restart))
        for outage in self.world.store_outages:
            self.env.process(self._lose_store(outage))
        self.env.process(Registrar(self._network, Random(f"{self.world.seed}/registrar")).play(self.world.churn()))
        began = process_time()
        for instants, models, entries in traffic:
            self._serve(instants, models, entries)
            for instance in self.instances:
                self._note(instance, self.env.now)
        while self._open or self._passed_on:
            first = self._passed_on[0][0] if self._passed_on else inf
            self._serve((max(self.env.now, min(self.env.peek(), first)),), (NOBODY,), (0,))
        for instance in self.instances:
            self._note(instance, inf)
        self.inline_s = process_time() - began - self._eventful_s

    def _serve(self, instants: Iterable[float], models: Iterable[str], entries: Iterable[int]) -> None:
        """The loop that all requests go through: ``Plane.begin`` and ``_ask_way`` without the calls."""
        passed_on, ways, numbers = self._passed_on, self._ways, self._numbers
        event_at = self._event_at
        for at, model, entry in zip(instants, models, entries, strict=True):
            while True:
                if passed_on and (there_at := passed_on[0][0]) <= at and there_at < event_at:
                    _, _, hop, line, arrival, name = heappop(passed_on)
                    copy = hop.copy
                    if not copy.is_plain or line.is_on_trial:
                        self._arrive_elsewhere(there_at, hop, line, arrival, name)
                        event_at = self._event_at
                        continue
                    server = copy.server
                    free_at, service_ms = server.free_at[0], next(server.service_ms)
                    end = (there_at if there_at > free_at else free_at) + service_ms
                    heapreplace(server.free_at, end)
                    copy.begun.append((end, copy, there_at, service_ms))
                    line.arrivals.append(arrival)
                    line.ends.append(end + line.back_ms)
                    continue
                if event_at > at:
                    break
                event_at = self._happen(min(at, passed_on[0][0]) if passed_on else at)
            way = ways[entry].get(model)
            if way is None:
                if model is not NOBODY:
                    self._ask_way(at, model, self.instances[entry])
                    event_at = self._event_at
                continue
            line = way.line
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
            line.arrivals.append(at)
            line.ends.append(end)

    def _happen(self, until: float) -> float:
        """Let all simpy events up to ``until`` happen; when the next is due."""
        env, began = self.env, process_time()
        while (event_at := env.peek()) <= until:
            env.step()
        self._event_at = event_at
        self._eventful_s += process_time() - began
        return event_at

    def _note(self, instance: Instance, now: float) -> None:
        """Have the book take in what was answered by ``now``."""
        plane = instance.plane
        for line in plane.lines.values():
            line.under_way(now)
        for answers, is_forwarded in ((plane.local, False), (plane.forwarded, True)):
            if answers.ends:
                self._book.answered(instance.name, is_forwarded, *answers.take())

    def _advance(self, at: float) -> None:
        """Let simpy's clock show the millisecond of ``at``, up to which it has nothing more to do."""
        if self.env.now < int(at):
            self.env.run(until=int(at))

    def _account(self, instance: Instance) -> Generator[simpy.Event, Any, None]:
        while self._network.instances.get(instance.name) is instance:
            yield self.env.timeout(USAGE_MS)
            instance.driver.take_usage()
            for line in instance.plane.lines.values():
                line.under_way(self.env.now)

    # -- coming and going ----------------------------------------------------------------------------------

    def _join(self, instance: Instance) -> None:
        self._network.instances[instance.name] = instance
        instance.driver.feed(Constrained(self.world.constraints))
        self.records.watch(instance.name, instance.driver.feed, self.world.start_ms + int(self.env.now))
        instance.driver.feed(Started())
        self.env.process(self._account(instance))

    def _restart(self, restart: Restart) -> Generator[simpy.Event, Any, None]:
        """Take an instance out of service as meshd does on SIGTERM, and bring it back with nothing loaded."""
        yield self.env.timeout(restart.from_ms)
        instance = self.instances[restart.number]
        self.records.resign(instance.name)
        instance.driver.feed(DrainAsked(HANDOVER_MS))
        while not instance.node.departure.is_over:
            yield self.env.timeout(IDLE_MS)
        yield self.env.timeout(NOT_READY_MS)
        while not self._is_idle(instance):
            yield self.env.timeout(IDLE_MS)
        instance.driver.feed(Idled())
        yield self.env.timeout(DEREGISTER_MS)
        del self._network.instances[instance.name]
        self._note(instance, self.env.now)
        instance.driver.close()
        self.records.leave(instance.name, instance.driver.feed)
        yield self.env.timeout(max(0, restart.until_ms - self.env.now))
        fresh = self._instance(instance.name)
        fresh.node.peak_deficit_units = instance.node.peak_deficit_units
        self.instances[restart.number], self._ways[restart.number] = fresh, fresh.plane.sole
        self._join(fresh)

    def _lose_store(self, outage: StoreOutage) -> Generator[simpy.Event, Any, None]:
        """All notice when the first question has had no answer for its time; leases that are over are so at the end."""
        records = self.records
        yield self.env.timeout(outage.from_ms)
        records.is_away = True
        yield self.env.timeout(DEADLINE_MS)
        records.is_known_away = True
        for instance in self.instances:
            instance.driver.feed(StoreLost())
        yield self.env.timeout(outage.until_ms - outage.from_ms - DEADLINE_MS)
        records.is_away = records.is_known_away = False
        for instance in self.instances:
            instance.driver.feed(StoreFound())
        if outage.until_ms - outage.from_ms >= SESSION_MS:
            records.lose_leases()
            for instance in self.instances:
                instance.driver.feed(SessionRenewed())

    def _is_idle(self, instance: Instance) -> bool:
        is_asked = instance.driver.open or any(passed_on[3].entry == instance.name for passed_on in self._passed_on)
        return not is_asked and instance.plane.is_idle()

    # -- requests ------------------------------------------------------------------------------------------

    def _ask_way(self, at: float, model: str, entry: Instance) -> None:
        """A request that does not go where all for its model go."""
        hop = entry.plane.way(at, model)
        if hop is None:
            trip = Trip(self._network, entry)
            met = entry.plane.met_full(model)
            trip.tries = int(met is not None)
            self._ask(at, entry, at, trip, entry.driver.run(Request(model, met=met), trip))
            return
        hop.line.out += 1
        if not hop.line.out_ms:
            hop.line.arrivals.append(at)
            hop.line.ends.append(entry.plane.begin(at, hop.copy))
        else:
            heappush(self._passed_on, (at + hop.line.out_ms, next(self._numbers), hop, hop.line, at, model))

    def _arrive_elsewhere(self, at: float, hop: Hop, line: Line, arrival: float, model: str) -> None:
        """A request was passed on to an instance where more than the usual has to be looked at."""
        entry, there = self._network.instances[line.entry], self._network.instances.get(line.instance)
        copy = there.plane.taker(model, at) if there is not None else None
        if there is not None and copy is not None:
            hop.copy = copy
            line.arrivals.append(arrival)
            line.ends.append(there.plane.begin(at, copy) + line.back_ms)
        else:
            trip = Trip(self._network, entry)
            self._ask(at, entry, arrival, trip, self._not_ready(entry, hop.holder, model, trip))

    def _ask(self, at: float, entry: Instance, arrival: float, trip: Trip, ends: Ends) -> None:
        began = process_time()
        self._advance(at)
        self._event_at = self.env.now
        self._open += 1
        process = self.env.process(self._until_over(entry, arrival, trip, ends))
        if self.world.patience_ms is not None:
            self.later(self.world.patience_ms, lambda: process.interrupt() if process.is_alive else None)
        self._eventful_s += process_time() - began

    def _until_over(self, entry: Instance, arrival: float, trip: Trip, ends: Ends) -> Generator[simpy.Event, Any, None]:
        try:
            how = yield from ends
            end = max(arrival, self.env.now)
            self._book.ended(entry.name, arrival, end, trip.has_waited, trip.is_forwarded, how, trip.tries > 1)
        except simpy.Interrupt:
            self._book.left(entry.name, arrival)
        self._open -= 1

    def _not_ready(self, entry: Instance, holder: Holder, model: str, trip: Trip) -> Ends:
        """A request was passed on to a copy that is not ready there (any more), or full: the core says what to do."""
        trip.tries = 1
        tried = ((holder.instance, holder.load_ts),)
        outcome: Outcome = Unreachable(GONE)
        try:
            if instance := self._network.instances.get(holder.instance):
                there = Trip(self._network, instance)
                end = yield from there.arrive(Request(model, kind=Kind.HIT, tried=tried, origin=entry.name, hops=1))
                yield self.env.timeout(self.world.network_ms(holder.instance, entry.name))
                trip.has_waited, trip.is_forwarded, outcome = there.has_waited, True, as_outcome(end)
        finally:
            entry.plane.line(holder.instance).out -= 1
        if isinstance(outcome, Answered):
            return Done(outcome)
        met = Met(holder.instance, holder.load_ts, 0, outcome)
        return (yield from entry.driver.run(Request(model, met=met), trip))
