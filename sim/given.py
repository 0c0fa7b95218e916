"""Everything around the instances, and what they go by."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from meshcore.asks import Done, Failed
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.constraints import TypeConstraint
from meshcore.me import Me
from meshcore.rules import Rules
from meshcore.settings import Settings
from sim.churn import Errand
from sim.faults import Fates
from sim.lines import Shared
from sim.plane import Plane, Server
from sim.runtime import Ways
from sim.store import Delays
from sim.surroundings import Retries
from sim.watched import WatchedNode

Arrivals = tuple[Sequence[float], Sequence[str], Sequence[int]]
"""Requests in order: milliseconds from the start, model, number of the instance that they come to."""


class Ending(NamedTuple):
    """How a request that the core was asked about was over; times are milliseconds from the start."""

    instance: str
    """That it came to."""
    arrival: float
    end: float
    how: Done | Failed
    has_waited: bool = False
    is_forwarded: bool = False
    is_retried: bool = False
    """Whether a copy or more had not taken it."""


class Book(Protocol):
    """Is told what became of the requests; times are milliseconds from the start."""

    def answered(self, instance: str, is_forwarded: bool, arrivals: array[float], ends: array[float]) -> None:
        """Copies that were ready answered requests that came to ``instance``."""

    def ended(self, ending: Ending) -> None:
        """A request that the core was asked about is over."""

    def left(self, instance: str, arrival: float) -> None:
        """A client went away."""

    def commanded(self, instance: str, command: Command) -> None:
        """The core wants something done."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance is, what it has for models that ask for it, what it is built from, and how its clock goes."""

    zone: str = ""
    labels: tuple[str, ...] = ()
    version: int = 0
    replica_set: str = ""
    ahead_ms: int = 0


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
    fates: Fates = field(default_factory=Fates)
    """By the names of instances; in an upgrade the second half of these takes the place of the first."""
    retries: Retries = field(default_factory=Retries)
    churn: Callable[[], Iterable[Errand]] = lambda: ()
    """Registrations that are made and ended during the run, in order."""
    patience_ms: int | None = None
    """A client goes away when it has waited this long for the core to find it a copy."""


def make_node(world: World, name: str, at_ms: int = 0) -> WatchedNode:
    """The brain of one instance that starts ``at_ms`` after all began."""
    place = world.place(name)
    start_ms = world.start_ms + place.ahead_ms + at_ms
    me = Me(
        name, start_ms, f"{name}:8080", f"{name}:8033", zone=place.zone, labels=place.labels, version=place.version,
        replica_set=place.replica_set,
    )  # fmt: skip
    return WatchedNode(me, world.settings, world.params(name), world.rules, Random(f"{world.seed}/{name}"))


def make_plane(world: World, name: str, clock: Callable[[], int], shared: Shared) -> Plane:
    """One instance's data plane."""
    rng = Random(f"{world.seed}/{name}/hot")
    start_ms = world.start_ms + world.place(name).ahead_ms
    plane = Plane(name, start_ms, clock, world.rules.balance, rng, world.server(name), shared)
    for other in world.instances:
        line = plane.line(other)
        if other != name:
            line.out_ms, line.back_ms = world.network_ms(name, other), world.network_ms(other, name)
    return plane
