"""What an instance has under way on the others, counted without an event for each request's return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from sys import intern
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from meshcore.commands import Holder, Route

if TYPE_CHECKING:
    from sim.plane import Copy


class Line:
    """The way from one instance to another, or to itself; milliseconds count from the start."""

    __slots__ = ("arrivals", "back_ms", "done", "ends", "entry", "instance", "is_cut", "is_on_trial", "out", "out_ms")

    def __init__(self, entry: str, instance: str, done: Answers) -> None:
        self.entry, self.instance, self.done = entry, instance, done
        self.out_ms = self.back_ms = 0.0
        """How long a request, and an answer, is on its way."""
        self.out = 0
        """Requests sent and not known to be back."""
        self.arrivals: list[float] = []
        self.ends: list[float] = []
        """When requests came to the mesh, and when their answers will be back, or were and nobody has looked since."""
        self.is_on_trial = self.is_cut = False
        """Whether the core wants to hear of the next one that arrives, and whether none does."""

    def delay(self, now: float, for_ms: float) -> None:
        """What is not back yet comes so much later."""
        self.ends = [end + for_ms if end > now else end for end in self.ends]

    def hold(self, from_ms: float, until_ms: float) -> None:
        """What came back in between is taken in at its end."""
        self.ends = [until_ms if from_ms < end < until_ms else end for end in self.ends]

    def lose(self, now: float) -> list[tuple[float, float]]:
        """What is not done yet does not come back: arrivals and ends of that; answers on their way arrive."""
        self.under_way(now + self.back_ms)
        lost = list(zip(self.arrivals, self.ends, strict=True))
        self.out -= len(lost)
        self.arrivals, self.ends = [], []
        return lost

    def under_way(self, now: float) -> int:
        """How many are out at ``now``; those that are back are handed on."""
        ends, arrivals = self.ends, self.arrivals
        if not ends:
            return self.out
        if max(ends) <= now:
            self.done.add(arrivals, ends)
            self.out -= len(ends)
            ends.clear()
            arrivals.clear()
            return self.out
        both = list(zip(arrivals, ends, strict=True))
        back = [each for each in both if each[1] <= now]
        if back:
            self.done.add([arrival for arrival, _ in back], [end for _, end in back])
            self.out -= len(back)
            left = [each for each in both if each[1] > now]
            self.arrivals, self.ends = [arrival for arrival, _ in left], [end for _, end in left]
        return self.out


class Answers:
    """When answered requests had come and were answered, until somebody takes that."""

    __slots__ = ("arrivals", "ends")

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.ends: list[float] = []

    def add(self, arrivals: list[float], ends: list[float]) -> None:
        """Some more."""
        self.arrivals += arrivals
        self.ends += ends

    def take(self) -> tuple[list[float], list[float]]:
        """All of them, once."""
        taken = self.arrivals, self.ends
        self.arrivals, self.ends = [], []
        return taken


class Hop:
    """Where a request for a model goes: to one holder."""

    __slots__ = ("copy", "holder", "instance")

    def __init__(self, holder: Holder, copy: Copy) -> None:
        self.holder, self.instance = holder, intern(holder.instance)
        self.copy = copy
        """As it was seen there last."""


class Known:
    """A route, and the hops to its holders, by instance."""

    __slots__ = ("__weakref__", "hops", "route")

    def __init__(self, route: Route, copy: Copy) -> None:
        self.route = route
        self.hops = {holder.instance: Hop(holder, copy) for holder in route.holders}


class Shared:
    """What all planes of a mesh have together.

    Most have the same route for a model. They have it as one object, with its hops: where there are hundreds of planes,
    what a request looks at is then near, and not one of as many copies of it.
    """

    def __init__(self) -> None:
        self.numbers = count()
        """Tell apart what happens at one instant."""
        self._known: WeakValueDictionary[Route, Known] = WeakValueDictionary()

    def known(self, route: Route, copy: Copy) -> Known:
        """The one for ``route``, with hops to ``copy`` if it is new."""
        known = self._known.get(route)
        if known is None:
            known = self._known[route] = Known(route, copy)
        return known


class Outstanding(Mapping[str, int]):
    """Requests under way by instance at the instant of ``at``, counted when somebody asks."""

    def __init__(self, me: str, here: Callable[[float], int], lines: Mapping[str, Line]) -> None:
        self._me, self._here, self._lines = me, here, lines
        self.at = 0.0

    def get(self, instance: str, default: int = 0) -> int:  # type: ignore[override]
        """How many are under way on ``instance``."""
        if instance == self._me:
            return self._here(self.at)
        line = self._lines.get(instance)
        if line is None:
            return default
        return line.under_way(self.at) if line.ends else line.out

    def __getitem__(self, instance: str) -> int:
        return self.get(instance)

    def __iter__(self) -> Iterator[str]:
        yield self._me
        yield from self._lines

    def __len__(self) -> int:
        return 1 + len(self._lines)
