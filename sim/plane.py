"""The data plane of one instance in simulated time: serves requests for ready models without a simpy event each."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from math import ceil, inf
from random import Random

from meshcore.asks import Met, RuntimeFailed
from meshcore.commands import Local, Peer, Peers, Route
from meshcore.errors import Code
from meshcore.events import Usage
from meshcore.hot import Choice
from meshcore.rules import Balance

Answered = Callable[[float, float, bool], None]
"""Called with a request's arrival and its end, in milliseconds, and whether another instance answered it."""

FLOW = -1.0
"""The arrival of a request that is not the plane's own: the core's flow reports it."""

OVERLOADED = RuntimeFailed(Code.RESOURCE_EXHAUSTED, "Model queue overload")
"""What a request meets at a copy that is full."""


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

    def apart(self, concurrency: int) -> Server:
        """Another one for ``concurrency`` requests at once, which works as fast."""
        return Server(concurrency, self._service_ms)


class Copy:
    """A copy here that answers, or is being withdrawn; ``server`` works on its requests."""

    __slots__ = (
        "busy_until", "count", "ended", "gen", "in_flight", "is_leaving", "last_used", "limit", "model", "most",
        "server", "service_ms",
    )  # fmt: skip

    def __init__(self, model: str, local: Local, server: Server) -> None:
        self.model, self.gen, self.server = model, local.gen, server
        self.limit, self.most = local.max_concurrency, local.max_inflight
        """Requests at once, and with those that wait; 0: any number."""
        self.in_flight = self.count = self.ended = self.last_used = 0
        self.service_ms = 0.0
        """How long was worked on those that have ended."""
        self.busy_until = 0.0
        self.is_leaving = False

    @property
    def is_full(self) -> bool:
        """Whether it takes no more requests until one ends."""
        return 0 < self.most <= self.in_flight

    @property
    def queued(self) -> int:
        """Requests that wait for their turn, if their number is limited."""
        return max(0, self.in_flight - self.limit) if self.limit else 0


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
        self._running: list[tuple[float, int, Copy, float, float]] = []
        """Heap of what the runtime works on: (end, number, copy, arrival, how long it is worked on)."""
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
            server = self._server.apart(local.max_concurrency) if local.max_concurrency else self._server
            self._copies[model] = Copy(model, local, server)
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
            done = copy.ended, int(copy.service_ms * 1000)
            usages.append(Usage(copy.model, copy.count, copy.last_used, copy.in_flight, *done, copy.queued))
            copy.count = copy.ended = 0
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
            copy = self._copies[model]
            if copy.is_full:
                return Choice.ASK
            self.begin(at, copy, at)
        return choice

    def met_full(self, model: str) -> Met | None:
        """What a request met that the copy here has just not taken; None: there is no copy here, or it would."""
        copy = self._copies.get(model)
        if copy is None or not copy.is_full:
            return None
        load_ts = next(holder.load_ts for holder in self.routes[model].holders if holder.instance == self.me)
        return Met(self.me, load_ts, copy.gen, OVERLOADED)

    def copy(self, model: str, at: float) -> Copy | None:
        """The copy here that answers for ``model``."""
        if at >= self._soonest:
            self.settle(at)
        return self._copies.get(model)

    def begin(self, at: float, copy: Copy, arrival: float) -> float:
        """A request comes to a copy that is not full; when it is done."""
        end, service_ms = copy.server.end(at)
        self._count += 1
        heappush(self._running, (end, self._count, copy, arrival, service_ms))
        if end < self._soonest:
            self._soonest = end
        copy.count += 1
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
            end, _, copy, arrival, service_ms = heappop(running)
            copy.in_flight -= 1
            copy.ended += 1
            copy.service_ms += service_ms
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
