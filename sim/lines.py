"""What an instance has under way on the others, counted without an event for each request's return."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from meshcore.commands import Holder, Route

if TYPE_CHECKING:
    from sim.plane import Copy


class Answers:
    """When answered requests had come and were answered, until somebody takes that.

    In arrays of numbers: there are many, and what counts them later has not to go after each number's object.
    """

    __slots__ = ("arrivals", "ends")

    def __init__(self) -> None:
        self.arrivals, self.ends = array("d"), array("d")

    def take(self) -> tuple[array[float], array[float]]:
        """All of them, once."""
        taken = self.arrivals, self.ends
        self.arrivals, self.ends = array("d"), array("d")
        return taken


class _HotLine:
    """What every request looks at of a line; slots of a base come first in memory, so these are near each other."""

    __slots__ = ("back_ms", "fresh", "is_cut", "is_on_trial", "out", "out_ms")


class Line(_HotLine):
    """The way from one instance to another, or to itself; milliseconds count from the start."""

    __slots__ = ("done", "entry", "instance", "returns")

    def __init__(self, entry: str, instance: str, done: Answers, returns: Returns) -> None:
        self.entry, self.instance, self.done = entry, instance, done
        self.returns, self.fresh = returns, returns.fresh
        self.out_ms = self.back_ms = 0.0
        """How long a request, and an answer, is on its way."""
        self.out = 0
        """Requests sent and not known to be back."""
        self.is_on_trial = self.is_cut = False
        """Whether the core wants to hear of the next one that arrives, and whether none does."""

    def delay(self, now: float, for_ms: float) -> None:
        """What is not back at ``now`` comes so much later."""
        self.returns.shift(lambda end, line: end + for_ms if line is self and end > now else end)

    def under_way(self, now: float) -> int:
        """How many are out at ``now``."""
        self.returns.settle(now)
        return self.out


class Returns:
    """When answers to the requests that came to one instance will be there, or were and nobody has looked since."""

    __slots__ = ("_numbers", "_waiting", "fresh")

    def __init__(self, numbers: Iterator[int]) -> None:
        self.fresh: list[tuple[float, float, Line]] = []
        """When it will be there, when the request came to the mesh, and over which line, since somebody looked."""
        self._waiting: list[tuple[float, int, float, Line]] = []
        """Heap of those that were not there then, numbered."""
        self._numbers = numbers

    def settle(self, now: float) -> None:
        """Take note of what is there by ``now``."""
        waiting, fresh = self._waiting, self.fresh
        while waiting and waiting[0][0] <= now:
            end, _, arrival, line = heappop(waiting)
            line.out -= 1
            line.done.arrivals.append(arrival)
            line.done.ends.append(end)
        if not fresh:
            return
        for end, arrival, line in fresh:
            if end <= now:
                line.out -= 1
                done = line.done
                done.arrivals.append(arrival)
                done.ends.append(end)
            else:
                heappush(waiting, (end, next(self._numbers), arrival, line))
        fresh.clear()

    def shift(self, shifted: Callable[[float, Line], float]) -> None:
        """Answers come at other times: ``shifted`` says when, of those that nobody has taken note of."""
        self.settle(-inf)
        self._waiting = [(shifted(end, line), number, arrival, line) for end, number, arrival, line in self._waiting]
        heapify(self._waiting)

    def hold(self, from_ms: float, until_ms: float) -> None:
        """What came from others in between is taken in at its end."""
        self.shift(lambda end, line: until_ms if line.instance != line.entry and from_ms < end < until_ms else end)

    def lose(self, line: Line, now: float) -> list[tuple[float, float]]:
        """What is not done yet does not come over ``line``: arrivals and ends of that; answers on their way arrive."""
        self.settle(-inf)
        is_lost = [each[3] is line and each[0] - line.back_ms > now for each in self._waiting]
        lost = sorted(each[:3] for each, gone in zip(self._waiting, is_lost, strict=True) if gone)
        self._waiting = [each for each, gone in zip(self._waiting, is_lost, strict=True) if not gone]
        heapify(self._waiting)
        line.out -= len(lost)
        return [(arrival, end) for end, _, arrival in lost]


class _HotHop:
    """What every request looks at of a hop, as with a line."""

    __slots__ = ("copy", "number")


class Hop(_HotHop):
    """Where a request for a model goes: to one holder."""

    __slots__ = ("__weakref__", "agreed", "holder", "instance")

    def __init__(self, holder: Holder, number: int, copy: Copy) -> None:
        self.holder, self.instance, self.number = holder, holder.instance, number
        """``number`` is the instance's."""
        self.copy = copy
        """As it was seen there last."""
        self.agreed = 0
        """Planes that send all requests for the model there."""


class Known:
    """A route, and the hops to its holders, by instance."""

    __slots__ = ("__weakref__", "hops", "route")

    def __init__(self, route: Route, hops: dict[str, Hop]) -> None:
        self.route, self.hops = route, hops


class Shared:
    """What all planes of a mesh have together.

    Most know the same of a model. They have it as one object, and where all of them send all requests for it to one
    copy it is in one table: where there are hundreds of planes, what a request looks at is then near, and not one of as
    many copies of it.
    """

    def __init__(self, instances: tuple[str, ...], nowhere: Copy) -> None:
        self.number_of = {instance: number for number, instance in enumerate(instances)}
        self.numbers = count()
        """Tell apart what happens at one instant."""
        self.agreed: dict[str, Hop] = {}
        """By model: some of the hops that are every plane's only one."""
        self._planes = 0
        self._nowhere = nowhere
        self._known: WeakValueDictionary[Route, Known] = WeakValueDictionary()
        self._hops: WeakValueDictionary[tuple[str, Holder], Hop] = WeakValueDictionary()

    def known(self, route: Route) -> Known:
        """The one for ``route``; a hop that is new leads to no copy that takes anything."""
        known = self._known.get(route)
        if known is None:
            hops = {holder.instance: self._hop(route.model, holder) for holder in route.holders}
            known = self._known[route] = Known(route, hops)
        return known

    def _hop(self, model: str, holder: Holder) -> Hop:
        hop = self._hops.get((model, holder))
        if hop is None:
            hop = self._hops[model, holder] = Hop(holder, self.number_of[holder.instance], self._nowhere)
        return hop

    def came(self) -> None:
        """There is another plane, which agrees to nothing yet."""
        self._planes += 1
        self.agreed.clear()

    def went(self, sole: Mapping[str, Hop]) -> None:
        """A plane is gone, and these were its only ways."""
        self._planes -= 1
        for hop in sole.values():
            hop.agreed -= 1

    def look(self, model: str, hop: Hop) -> None:
        """A plane uses this one: if it is every plane's only one, nobody has to ask a plane any more."""
        if hop.agreed == self._planes:
            self.agreed[model] = hop

    def begin(self, model: str, hop: Hop) -> None:
        """A plane sends all requests for ``model`` there from now on."""
        hop.agreed += 1

    def end(self, model: str, hop: Hop) -> None:
        """A plane does so no longer."""
        hop.agreed -= 1
        self.agreed.pop(model, None)


class Outstanding(Mapping[str, int]):
    """Requests under way by instance at the instant of ``at``, which lines have been told of."""

    def __init__(self, me: str, here: Callable[[float], int], lines: list[Line], number_of: Mapping[str, int]) -> None:
        self._me, self._here, self._lines, self._number_of = me, here, lines, number_of
        self.at = 0.0

    def get(self, instance: str, default: int = 0) -> int:  # type: ignore[override]
        """How many are under way on ``instance``."""
        if instance == self._me:
            return self._here(self.at)
        number = self._number_of.get(instance)
        return default if number is None else self._lines[number].out

    def __getitem__(self, instance: str) -> int:
        return self.get(instance)

    def __iter__(self) -> Iterator[str]:
        yield from self._number_of

    def __len__(self) -> int:
        return len(self._number_of)
