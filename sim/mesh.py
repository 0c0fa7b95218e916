"""Instances that serve traffic together: what is warm is served inline, in time order with simpy's events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from math import inf
from random import Random
from time import process_time
from typing import Any, Protocol

import simpy

from meshcore.asks import Answered, Done, Failed, Kind, Met, Outcome, Request, Unreachable
from meshcore.capacity import CacheParams
from meshcore.commands import Command, Holder
from meshcore.constraints import TypeConstraint
from meshcore.events import Constrained, DrainAsked, Idled, SessionRenewed, Started, StoreFound, StoreLost
from meshcore.hot import Choice
from meshcore.me import Me
from meshcore.rules import Rules
from meshcore.settings import Settings
from sim.driver import Driver
from sim.plane import FLOW, Plane, Server
from sim.runtime import ModelServer, Ways
from sim.store import DEADLINE_MS, SESSION_MS, Client, Delays, Records
from sim.trip import GONE, Ends, Instance, Network, Trip, as_outcome
from sim.watched import WatchedNode

HANDOVER_MS, NOT_READY_MS, IDLE_MS, DEREGISTER_MS = 22_000, 2000, 200, 200
"""An instance that goes serves on for as long as clients may not have heard of it, and until nothing is under way; then
it takes its copies out of their records."""
USAGE_MS = 1000
"""The core hears of what the plane served at least this often."""

Arrivals = tuple[Iterable[float], Iterable[str], Iterable[int]]
"""Requests in order: milliseconds from the start, model, number of the instance that they come to."""


class Book(Protocol):
    """Is told what became of the requests; times are milliseconds from the start."""

    def answered(self, instance: str, arrival: float, end: float, is_forwarded: bool) -> None:
        """A copy that was ready answered."""

    def ended(
        self,
        instance: str,
        arrival: float,
        end: float,
        has_waited: bool,
        is_forwarded: bool,
        how: Done | Failed,
        is_retried: bool = False,
    ) -> None:
        """A request that the core was asked about is over; ``is_retried``: a copy or more had not taken it."""

    def left(self, instance: str, arrival: float) -> None:
        """A client went away."""

    def commanded(self, instance: str, command: Command) -> None:
        """The core wants something done."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Instance number ``number`` is told to go, and is back, with nothing loaded; milliseconds from the start."""

    number: int
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """The store answers nothing; milliseconds from the start."""

    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is, and what it has for models that ask for it."""

    zone: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything around the instances, and what they go by."""

    instances: tuple[str, ...]
    registrations: Mapping[str, bytes]
    start_ms: int
    seed: int
    settings: Settings
    params: Callable[[str], CacheParams]
    ways: Ways
    delays: Delays
    network_ms: Callable[[str, str], int]
    """From one instance to another: a pure answer, at least 1."""
    server: Callable[[str], Server]
    rules: Rules = field(default_factory=Rules)
    place: Callable[[str], Place] = lambda _: Place()
    constraints: Mapping[str, TypeConstraint] = field(default_factory=dict)
    """By type of models."""
    restarts: tuple[Restart, ...] = ()
    store_outages: tuple[StoreOutage, ...] = ()
    patience_ms: int | None = None
    """A client goes away when it has waited this long for the core to find it a copy."""


def make_node(world: World, name: str, at_ms: int = 0) -> WatchedNode:
    """The brain of one instance that starts ``at_ms`` after all began."""
    start_ms, place = world.start_ms + at_ms, world.place(name)
    me = Me(name, start_ms, f"{name}:8080", f"{name}:8033", zone=place.zone, labels=place.labels)
    return WatchedNode(me, world.settings, world.params(name), world.rules, Random(f"{world.seed}/{name}"))


def make_plane(world: World, name: str, clock: Callable[[], int], book: Book) -> Plane:
    """One instance's data plane."""
    rng = Random(f"{world.seed}/{name}/hot")
    told = partial(book.answered, name)
    return Plane(name, world.start_ms, clock, world.rules.balance, rng, world.server(name), told)


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
        self.instances = [self._instance(name) for name in world.instances]
        self._planes = [instance.plane for instance in self.instances]
        self._passed_on: list[tuple[float, int, Instance, Holder, str, float]] = []
        """Heap of requests on their way: (when there, number, from, to, model, arrival)."""
        self._count = 0
        self._open = 0
        """Requests that the core has been asked about and that are not over."""
        self._horizon = 0.0
        """The first thing that has to happen before an arrival from then on."""
        self.inline_s = 0.0
        """CPU time spent on requests that cost no simpy event."""
        self._eventful_s = 0.0

    def _instance(self, name: str) -> Instance:
        world, env = self.world, self.env
        node, plane = make_node(world, name, int(env.now)), make_plane(world, name, lambda: int(env.now), self._book)
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
        began = process_time()
        planes, local = self._planes, Choice.LOCAL
        for instants, models, entries in traffic:
            for at, model, entry in zip(instants, models, entries, strict=True):
                if at >= self._horizon:
                    self._catch_up(at)
                choice = planes[entry].arrive(at, model)
                if choice is not local:
                    self._send(at, model, self.instances[entry], choice)
        while self._open or self._passed_on:
            self._catch_up(self._horizon)
        for plane in planes:
            plane.settle(inf)
        self.inline_s = process_time() - began - self._eventful_s

    def _catch_up(self, at: float) -> None:
        """Let everything happen that comes before an arrival at ``at``."""
        env, passed_on = self.env, self._passed_on
        while True:
            event_at = env.peek()
            if passed_on and passed_on[0][0] < event_at:
                self._horizon = passed_on[0][0]
                if self._horizon > at:
                    return
                self._arrive_elsewhere(*heappop(passed_on))
                continue
            self._horizon = event_at
            if event_at > at:
                return
            began = process_time()
            until = min(at, passed_on[0][0]) if passed_on else at
            while env.peek() <= until:
                env.step()
            self._eventful_s += process_time() - began

    def _advance(self, at: float) -> None:
        """Let simpy's clock show the millisecond of ``at``, up to which it has nothing more to do."""
        if self.env.now < int(at):
            self.env.run(until=int(at))

    def _account(self, instance: Instance) -> Generator[simpy.Event, Any, None]:
        while self._network.instances.get(instance.name) is instance:
            yield self.env.timeout(USAGE_MS)
            instance.driver.take_usage()

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
        instance.driver.close()
        self.records.leave(instance.name, instance.driver.feed)
        yield self.env.timeout(max(0, restart.until_ms - self.env.now))
        fresh = self._instance(instance.name)
        self.instances[restart.number], self._planes[restart.number] = fresh, fresh.plane
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
        is_asked = instance.driver.open or any(passed_on[2] is instance for passed_on in self._passed_on)
        return not is_asked and instance.plane.is_idle()

    # -- requests ------------------------------------------------------------------------------------------

    def _send(self, at: float, model: str, entry: Instance, choice: Choice | str) -> None:
        """A request that the plane it came to cannot answer itself."""
        if isinstance(choice, Choice):
            trip = Trip(self._network, entry)
            met = entry.plane.met_full(model)
            trip.tries = int(met is not None)
            self._ask(at, entry, at, trip, entry.driver.run(Request(model, met=met), trip))
            return
        entry.plane.sent(choice)
        for holder in entry.plane.routes[model].holders:
            if holder.instance == choice:
                break
        self._count += 1
        there = at + self.world.network_ms(entry.name, choice)
        heappush(self._passed_on, (there, self._count, entry, holder, model, at))
        if there < self._horizon:
            self._horizon = there

    def _arrive_elsewhere(self, at: float, _: int, entry: Instance, holder: Holder, model: str, arrival: float) -> None:
        there = self._network.instances.get(holder.instance)
        copy = there.plane.copy(model, at) if there is not None else None
        if there is not None and copy is not None and not copy.is_full:
            end = there.plane.begin(at, copy, FLOW)
            entry.plane.returns(end + self.world.network_ms(there.name, entry.name), there.name, arrival)
        else:
            trip = Trip(self._network, entry)
            self._ask(at, entry, arrival, trip, self._not_ready(entry, holder, model, trip))

    def _ask(self, at: float, entry: Instance, arrival: float, trip: Trip, ends: Ends) -> None:
        began = process_time()
        self._advance(at)
        self._horizon = at
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
            entry.plane.returned(holder.instance)
        if isinstance(outcome, Answered):
            return Done(outcome)
        met = Met(holder.instance, holder.load_ts, 0, outcome)
        return (yield from entry.driver.run(Request(model, met=met), trip))
