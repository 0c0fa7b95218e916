"""Everything around the instances, and what they go by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from meshcore.asks import Done, Failed
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.constraints import TypeConstraint
from meshcore.me import Me
from meshcore.rules import Rules
from meshcore.settings import Settings
from sim.churn import Errand
from sim.plane import Plane, Server
from sim.runtime import Ways
from sim.store import Delays
from sim.watched import WatchedNode

Arrivals = tuple[Iterable[float], Iterable[str], Iterable[int]]
"""Requests in order: milliseconds from the start, model, number of the instance that they come to."""


class Book(Protocol):
    """Is told what became of the requests; times are milliseconds from the start."""

    def answered(self, instance: str, is_forwarded: bool, arrivals: list[float], ends: list[float]) -> None:
        """Copies that were ready answered requests that came to ``instance``."""

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
    churn: Callable[[], Iterable[Errand]] = lambda: ()
    """Registrations that are made and ended during the run, in order."""
    patience_ms: int | None = None
    """A client goes away when it has waited this long for the core to find it a copy."""


def make_node(world: World, name: str, at_ms: int = 0) -> WatchedNode:
    """The brain of one instance that starts ``at_ms`` after all began."""
    start_ms, place = world.start_ms + at_ms, world.place(name)
    me = Me(name, start_ms, f"{name}:8080", f"{name}:8033", zone=place.zone, labels=place.labels)
    return WatchedNode(me, world.settings, world.params(name), world.rules, Random(f"{world.seed}/{name}"))


def make_plane(world: World, name: str, clock: Callable[[], int], numbers: Iterator[int]) -> Plane:
    """One instance's data plane; ``numbers`` are never the same."""
    rng = Random(f"{world.seed}/{name}/hot")
    plane = Plane(name, world.start_ms, clock, world.rules.balance, rng, world.server(name), numbers)
    for other in world.instances:
        if other == name:
            continue
        line = plane.line(other)
        line.out_ms, line.back_ms = world.network_ms(name, other), world.network_ms(other, name)
    return plane
