"""One request on hold: how it reaches the runtime here or another instance, and what it met on its way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import simpy

from meshcore.asks import (
    Answered,
    Done,
    Failed,
    Forward,
    Infer,
    Op,
    Outcome,
    Refused,
    Request,
    RuntimeFailed,
    StatusInfo,
    Told,
    Unreachable,
    Verdict,
    VerdictError,
    VModelInfo,
)
from meshcore.errors import Code, MeshError
from sim.driver import Driver
from sim.plane import OVERLOADED, Plane
from sim.store import Client
from sim.watched import WatchedNode

Ends = Generator[simpy.Event, Any, Done | Failed]

GONE = "connection refused"
BROKEN = "the connection broke"
SILENT = "the connection is silent"
SILENCE_MS = 17_000
"""A connection on which nothing comes for 12 s is asked for a sign of life, and has 5 s for that."""


@dataclass(frozen=True, slots=True)
class Died:
    """Why a process is interrupted: the instance on which a part of it ran is gone."""

    instance: str


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance's parts."""

    name: str
    node: WatchedNode
    plane: Plane
    driver: Driver
    store: Client
    guests: dict[simpy.Process, int] = field(default_factory=dict)
    """Processes of which a part runs here, and how many parts; they are told when the instance dies."""

    @contextmanager
    def hosting(self, env: simpy.Environment) -> Iterator[None]:
        """The process that is active runs here meanwhile."""
        process = env.active_process
        assert process is not None
        self.guests[process] = self.guests.get(process, 0) + 1
        try:
            yield
        finally:
            self.guests[process] -= 1
            if not self.guests[process]:
                del self.guests[process]


class Network:
    """The instances that are there, and how long it is from one to another (whole milliseconds, at least 1)."""

    def __init__(self, env: simpy.Environment, delay_ms: Callable[[str, str], int]) -> None:
        self.env, self.delay_ms = env, delay_ms
        self.instances: dict[str, Instance] = {}
        self._cut: frozenset[str] = frozenset()
        self._cut_at = 0

    def cut(self, instances: frozenset[str]) -> None:
        """From now on these reach each other, and the others each other."""
        self._cut, self._cut_at = instances, int(self.env.now)

    def is_cut(self, one: str, other: str) -> bool:
        """Whether nothing gets from one to the other."""
        return (one in self._cut) != (other in self._cut)

    def silent_ms(self, one: str, other: str) -> int:
        """After how long a request from one to the other fails, as its connection is found to be dead."""
        return max(self.delay_ms(one, other), self._cut_at + SILENCE_MS - int(self.env.now))


def as_outcome(end: Done | Failed) -> Outcome:
    """How a request's end at one instance looks to the one that passed it on."""
    match end:
        case Done(answer):
            assert not isinstance(answer, VModelInfo), "no models are virtual here"
            return Told(answer) if isinstance(answer, StatusInfo) else answer
        case Failed(VerdictError() as verdict):
            return verdict.refused
        case Failed(error):
            return RuntimeFailed(error.code, error.text)


def failed(text: str) -> Ends:
    """The client finds nobody, or loses who it had found."""
    return Failed(MeshError(text, Code.UNAVAILABLE))
    yield


class Trip:
    """The body of a request at the instance ``at``."""

    def __init__(self, network: Network, at: Instance) -> None:
        self._network, self._at = network, at
        self.has_waited = False
        """For a load, here or elsewhere."""
        self.is_forwarded = False
        self.tries = 0
        """How often it was at a copy's door, or sent to one."""

    def waits(self) -> None:
        """The request waits for a load."""
        self.has_waited = True

    def infer(self, step: Infer) -> Generator[simpy.Event, Any, Outcome]:
        """Call the runtime here."""
        self.tries += 1
        env, plane = self._network.env, self._at.plane
        copy = plane.copies.get(step.model)
        if copy is None or copy.gen != step.gen:
            return Refused(Verdict.NOT_HERE, plane.me)
        if plane.taker(step.model, env.now) is None:
            return OVERLOADED
        end = plane.begin(env.now, copy)
        yield env.timeout(ceil(end) - env.now)
        yield from self._at.driver.awake()
        return Answered(None)

    def forward(self, step: Forward) -> Generator[simpy.Event, Any, Outcome]:
        """Pass the request on to another instance."""
        self.tries += 1
        network, plane, me = self._network, self._at.plane, self._at.name
        line = plane.line(step.instance)
        line.out += 1
        try:
            if network.is_cut(me, step.instance):
                yield network.env.timeout(network.silent_ms(me, step.instance))
                return Unreachable(SILENT)
            yield network.env.timeout(network.delay_ms(me, step.instance))
            instance = network.instances.get(step.instance)
            if instance is None:
                return Unreachable(GONE)
            there = Trip(network, instance)
            try:
                with instance.hosting(network.env):
                    end = yield from there.arrive(step.request)
            except simpy.Interrupt as interrupt:
                if interrupt.cause != Died(step.instance):
                    raise
                return Unreachable(BROKEN)
            yield network.env.timeout(network.delay_ms(step.instance, me))
        finally:
            line.out -= 1
        self.has_waited |= there.has_waited
        self.is_forwarded = True
        return as_outcome(end)

    def arrive(self, request: Request) -> Ends:
        """The request comes from another instance: a ready copy answers it, else the core says what to do."""
        copy = self._at.plane.copies.get(request.model)
        if request.op is Op.INFER and copy is not None:
            outcome = yield from self.infer(Infer(request.model, copy.gen))
            assert isinstance(outcome, Answered | RuntimeFailed)
            return Done(outcome)
        return (yield from self._at.driver.run(request, self))
