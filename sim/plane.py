"""The data plane of one instance in simulated time: serves requests for ready models without a simpy event each."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from math import ceil, inf
from random import Random

from meshcore.commands import Peer, Peers, Route
from meshcore.events import Usage
from meshcore.hot import Choice
from meshcore.rules import Balance

Answered = Callable[[float, float, bool], None]
"""Called with a request's arrival and its end, in milliseconds, and whether another instance answered it."""

FLOW = -1.0
"""The arrival of a request that is not the plane's own: the core's flow reports it."""


class Server:
    """``concurrency`` requests at once, the others queue in order of arrival."""

    def __init__(self, concurrency: int, service_ms: Callable[[], float]) -> None:
        self._service_ms = service_ms
        self._free_at = [0.0] * concurrency
        heapify(self._free_at)

    def end(self, at: float) -> tuple[float, float]:
        """When the request that comes at ``at`` is done, and how long it is worked on; calls in order of ``at``."""
        free_at, service_ms = self._free_at[0], self._service_ms()
        end = (at if at > free_at else free_at) + service_ms
        heapreplace(self._free_at, end)
        return end, service_ms


class Copy:
    """A copy here that answers, or is being withdrawn."""

    __slots__ = ("busy_until", "count", "gen", "in_flight", "is_leaving", "last_used", "model", "service_ms")

    def __init__(self, model: str, gen: int) -> None:
        self.model, self.gen = model, gen
        self.in_flight = self.count = self.last_used = 0
        self.service_ms = 0.0
        """How long is worked on what was counted, known as soon as it begins."""
        self.busy_until = 0.0
        self.is_leaving = False


class Plane:
    """Milliseconds count from ``start_ms``, ``clock`` tells them; ``answered`` hears of each request from outside.

    What ends is taken note of late, but always before it could matter: ``settle`` comes before every look.
    """

    def __init__(
        self,
        me: str,
        start_ms: int,
        clock: Callable[[], int],
        balance: Balance,
        rng: Random,
        server: Server,
        answered: Answered,
    ) -> None:
        self.me = me
        self.routes: dict[str, Route] = {}
        self.outstanding: dict[str, int] = {me: 0}
        self._start_ms, self._clock = start_ms, clock
        self._balance, self._rng, self._server, self._answered = balance, rng, server, answered
        self._copies: dict[str, Copy] = {}
        self._leaving: dict[tuple[str, int], Copy] = {}
        self._news: dict[str, Copy] = {}
        self._peers: dict[str, Peer] = {}
        self._count = 0
        self._running: list[tuple[float, int, Copy, float]] = []
        """Heap of what the runtime works on: (end, number, copy, arrival)."""
        self._returning: list[tuple[float, int, str, float]] = []
        """Heap of answers on their way here: (when, number, instance, arrival)."""
        self._soonest = inf
        """The first of both."""

    # -- the table -----------------------------------------------------------------------------------

    def apply(self, route: Route) -> None:
        """Replace what is known about one model."""
        model, local = route.model, route.local
        held = self._copies.get(model)
        if held is not None and (local is None or held.gen != local.gen):
            held.is_leaving = True
            self._leaving[model, held.gen] = self._copies.pop(model)
            self._news.pop(model, None)
            held = None
        if local is not None and held is None:
            self._copies[model] = Copy(model, local.gen)
        if route.holders:
            self.routes[model] = route
        else:
            self.routes.pop(model, None)

    def peers(self, peers: Peers) -> None:
        """Replace what is known about some instances."""
        for peer in peers.peers:
            if peer.address:
                self._peers[peer.instance] = peer
            else:
                self._peers.pop(peer.instance, None)

    def is_ok(self, instance: str) -> bool:
        """Whether an instance is worth trying."""
        peer = self._peers.get(instance)
        return peer is not None and peer.is_ok

    def busy_ms(self, model: str, gen: int) -> int:
        """For how long a copy that was taken out of the table still answers requests."""
        copy = self._leaving.pop((model, gen), None)
        return 0 if copy is None else max(0, ceil(copy.busy_until) - self._clock())

    def drain_usage(self) -> tuple[Usage, ...]:
        """What was served here since the last call, for every copy with news."""
        if (now := self._clock()) >= self._soonest:
            self.settle(now)
        if not self._news:
            return ()
        usages = []
        for copy in self._news.values():
            service_us = int(copy.service_ms * 1000)
            usages.append(Usage(copy.model, copy.count, copy.last_used, copy.in_flight, copy.count, service_us))
            copy.count = 0
            copy.service_ms = 0.0
        self._news.clear()
        return tuple(usages)

    def is_idle(self) -> bool:
        """Whether nothing is under way here, nor elsewhere for a client that came here."""
        self.settle(self._clock())
        return not self._running and not self._returning

    # -- requests --------------------------------------------------------------------------------------

    def arrive(self, at: float, model: str) -> Choice | str:
        """A request from outside: LOCAL is served, the rest is for the caller to pass on or to ask about."""
        if at >= self._soonest:
            self.settle(at)
        route = self.routes.get(model)
        if route is None:
            return Choice.ASK
        choice = self._balance(route, self.me, False, self.outstanding, self.is_ok, self._rng)
        if choice is Choice.LOCAL:
            self.begin(at, self._copies[model], at)
        return choice

    def copy(self, model: str, at: float) -> Copy | None:
        """The copy here that answers for ``model``."""
        if at >= self._soonest:
            self.settle(at)
        return self._copies.get(model)

    def begin(self, at: float, copy: Copy, arrival: float) -> float:
        """A request starts on a copy; when it is done."""
        end, service_ms = self._server.end(at)
        self._count += 1
        heappush(self._running, (end, self._count, copy, arrival))
        if end < self._soonest:
            self._soonest = end
        copy.count += 1
        copy.service_ms += service_ms
        copy.in_flight += 1
        copy.last_used = self._start_ms + int(at)
        if end > copy.busy_until:
            copy.busy_until = end
        self._news[copy.model] = copy
        self.outstanding[self.me] += 1
        return end

    def sent(self, instance: str) -> None:
        """One more request is under way on another instance."""
        self.outstanding[instance] = self.outstanding.get(instance, 0) + 1

    def returned(self, instance: str) -> None:
        """One request on another instance is over."""
        self.outstanding[instance] -= 1

    def returns(self, at: float, instance: str, arrival: float) -> None:
        """The answer to a request that was passed on will be here at ``at``."""
        self._count += 1
        heappush(self._returning, (at, self._count, instance, arrival))
        if at < self._soonest:
            self._soonest = at

    def settle(self, now: float) -> None:
        """Take note of all that has ended by ``now``."""
        running, returning = self._running, self._returning
        while running and running[0][0] <= now:
            end, _, copy, arrival = heappop(running)
            copy.in_flight -= 1
            self.outstanding[self.me] -= 1
            if not copy.is_leaving:
                copy.last_used = self._start_ms + int(end)
                self._news[copy.model] = copy
            if arrival >= 0:
                self._answered(arrival, end, False)
        while returning and returning[0][0] <= now:
            end, _, instance, arrival = heappop(returning)
            self.outstanding[instance] -= 1
            self._answered(arrival, end, True)
        first = running[0][0] if running else inf
        self._soonest = min(first, returning[0][0]) if returning else first
