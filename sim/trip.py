"""One request on hold: how it reaches the runtime here or another instance, and what it met on its way."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
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
from sim.driver import Driver
from sim.plane import OVERLOADED, Plane
from sim.watched import WatchedNode

Ends = Generator[simpy.Event, Any, Done | Failed]

GONE = "connection refused"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance's parts."""

    name: str
    node: WatchedNode
    plane: Plane
    driver: Driver


@dataclass(frozen=True, slots=True)
class Network:
    """The instances that are there, and how long it is from one to another (whole milliseconds, at least 1)."""

    env: simpy.Environment
    instances: dict[str, Instance]
    delay_ms: Callable[[str, str], int]


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
        return Answered(None)

    def forward(self, step: Forward) -> Generator[simpy.Event, Any, Outcome]:
        """Pass the request on to another instance."""
        self.tries += 1
        network, plane, me = self._network, self._at.plane, self._at.name
        line = plane.line(step.instance)
        line.out += 1
        try:
            yield network.env.timeout(network.delay_ms(me, step.instance))
            if step.instance not in network.instances:
                return Unreachable(GONE)
            there = Trip(network, network.instances[step.instance])
            end = yield from there.arrive(step.request)
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
