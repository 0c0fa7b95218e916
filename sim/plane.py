"""The data plane of one instance in simulated time: serves requests for ready models without a simpy event each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace
from math import ceil
from random import Random

from meshcore.asks import Met, RuntimeFailed
from meshcore.commands import Local, Peers, Route
from meshcore.errors import Code
from meshcore.events import Usage
from meshcore.hot import Choice, alone
from meshcore.rules import Balance
from sim.lines import Answers, Hop, Known, Line, Outstanding, Returns, Shared

OVERLOADED = RuntimeFailed(Code.RESOURCE_EXHAUSTED, "Model queue overload")
"""What a request meets at a copy that is full."""


class Server:
    """``concurrency`` requests at once, the others queue in order of arrival; ``service_ms``: how long each takes."""

    __slots__ = ("free_at", "service_ms")

    def __init__(self, concurrency: int, service_ms: Iterator[float]) -> None:
        self.service_ms = service_ms
        self.free_at = [0.0] * concurrency
        """Heap of the instants at which a place comes free."""

    def apart(self, concurrency: int) -> Server:
        """Another one for ``concurrency`` requests at once, which works as fast."""
        return Server(concurrency, self.service_ms)

    def stand_still(self, now: float, for_ms: float) -> None:
        """Do nothing for so long."""
        self.free_at = [max(at, now) + for_ms for at in self.free_at]


class _HotCopy:
    """What every request looks at of a copy; slots of a base come first in memory, so these are near each other."""

    __slots__ = ("begun", "is_plain", "server")


class Copy(_HotCopy):
    """A copy here that answers, or is being withdrawn; ``server`` works on its requests, ``begun`` is the plane's."""

    __slots__ = (
        "count", "ended", "gen", "has_news", "in_flight", "is_leaving", "last_at", "limit", "model", "most",
        "service_ms",
    )  # fmt: skip

    def __init__(self, model: str, local: Local, server: Server, begun: list[Begun]) -> None:
        self.model, self.gen, self.server, self.begun = model, local.gen, server, begun
        self.limit, self.most = local.max_concurrency, local.max_inflight
        """Requests at once, and with those that wait; 0: any number."""
        self.in_flight = self.count = self.ended = 0
        self.last_at = 0.0
        self.service_ms = 0.0
        """How long was worked on those that have ended."""
        self.is_leaving = self.has_news = False
        self.is_plain = not self.most
        """Whether it takes every request."""

    @property
    def queued(self) -> int:
        """Requests that wait for their turn, if their number is limited."""
        return max(0, self.in_flight - self.limit) if self.limit else 0

    def leave(self) -> None:
        """Take no more requests."""
        self.is_leaving, self.is_plain = True, False


Begun = tuple[float, Copy, float, float]
"""A request: when it is done, at which copy, when it came there, for how long it is worked on."""

NOWHERE = Copy("", Local(0), Server(1, iter(())), [])
"""The copy of a hop of which none was seen yet."""
NOWHERE.leave()


class Plane:
    """Milliseconds count from ``start_ms``, ``clock`` tells them. What ends is taken note of late, but before it could
    matter: ``settle`` comes before every look.

    The traffic of a mesh goes through what is public here in one loop, ``Mesh.play``, without a call for each step.
    """

    def __init__(
        self,
        me: str,
        start_ms: int,
        clock: Callable[[], int],
        balance: Balance,
        rng: Random,
        server: Server,
        shared: Shared,
    ) -> None:
        self.me, self.server = me, server
        self.known: dict[str, Known] = {}
        """By model: what the core has said of it."""
        self.sole: dict[str, Hop] = {}
        """Where all requests for a model go as long as its route stands, if that is to one copy that takes all."""
        self.copies: dict[str, Copy] = {}
        self.begun: list[Begun] = []
        """What began since somebody looked."""
        self.returns = Returns(shared.numbers)
        self.local, self.forwarded = Answers(), Answers()
        """To requests that came here, given here and given by others."""
        self.lines = [
            Line(me, instance, self.local if instance == me else self.forwarded, self.returns)
            for instance in shared.number_of
        ]
        """By the numbers of the instances that they lead to."""
        self.outstanding = Outstanding(me, self.running_at, self.lines, shared.number_of)
        self._running: list[tuple[float, int, Begun]] = []
        """Heap of what was not done when somebody looked, numbered."""
        self._news: list[Copy] = []
        self._start_ms, self._clock, self._balance, self._rng = start_ms, clock, balance, rng
        self._shared = shared
        self._leaving: dict[tuple[str, int], Copy] = {}
        self._ok: set[str] = set()
        """Instances that are worth trying."""
        self._is_ok = self._ok.__contains__

    # -- what the core says ----------------------------------------------------------------------------

    def apply(self, route: Route) -> None:
        """Replace what is known about one model."""
        model, local = route.model, route.local
        held = self.copies.get(model)
        if held is not None and (local is None or held.gen != local.gen):
            self.settle(self._clock())
            held.leave()
            self._leaving[model, held.gen] = self.copies.pop(model)
            held = None
        if local is not None and held is None:
            server = self.server.apart(local.max_concurrency) if local.max_concurrency else self.server
            self.copies[model] = Copy(model, local, server, self.begun)
        if model in self.sole:
            self._shared.end(model, self.sole.pop(model))
        if not route.holders:
            self.known.pop(model, None)
            return
        known = self.known[model] = self._shared.known(route)
        if local is not None and self.me in known.hops:
            known.hops[self.me].copy = self.copies[model]
        if len(route.holders) > 1:
            return
        chosen = alone(route, self.me)
        if isinstance(chosen, str) or (chosen is Choice.LOCAL and self.copies[model].is_plain):
            hop = self.sole[model] = known.hops[route.holders[0].instance]
            self._shared.begin(model, hop)

    def peers(self, peers: Peers) -> None:
        """Replace what is known about some instances."""
        for peer in peers.peers:
            if peer.address and peer.is_ok:
                self._ok.add(peer.instance)
            else:
                self._ok.discard(peer.instance)
            self.line(peer.instance).is_on_trial = bool(peer.address) and peer.is_on_trial

    def busy_ms(self, model: str, gen: int) -> int:
        """For how long a copy that was taken out of the table still answers requests."""
        copy = self._leaving.pop((model, gen), None)
        now = self._clock()
        self.settle(now)
        if copy is None or not copy.in_flight:
            return 0
        return max(0, ceil(max(end for end, _, begun in self._running if begun[1] is copy)) - now)

    def drain_usage(self) -> tuple[Usage, ...]:
        """What was served here since the last call, for every copy with news."""
        self.settle(self._clock())
        if not self._news:
            return ()
        usages = []
        for copy in self._news:
            copy.has_news = False
            if copy.is_leaving:
                continue
            done = copy.ended, int(copy.service_ms * 1000)
            last_used = self._start_ms + int(copy.last_at)
            usages.append(Usage(copy.model, copy.count, last_used, copy.in_flight, *done, copy.queued))
            copy.count = copy.ended = 0
            copy.service_ms = 0.0
        self._news.clear()
        return tuple(usages)

    def is_idle(self) -> bool:
        """Whether nothing is under way here, nor elsewhere for a client that came here."""
        now = self._clock()
        self.returns.settle(now)
        return not self.running_at(now) and not any(line.out for line in self.lines)

    # -- requests --------------------------------------------------------------------------------------

    def way(self, at: float, model: str) -> Hop | None:
        """Where a request from outside goes that comes at ``at``; None: that is for the core to say."""
        return self.sole.get(model) or self.choose(at, model)

    def choose(self, at: float, model: str) -> Hop | None:
        """The same where ``sole`` has no answer."""
        known = self.known.get(model)
        if known is None:
            return None
        if len(known.hops) == 1:  # the only copy is here, and full, or not ready
            return known.hops[self.me] if self.taker(model, at) is not None else None
        self.returns.settle(at)
        self.outstanding.at = at
        chosen = self._balance(known.route, self.me, False, self.outstanding, self._is_ok, self._rng)
        if isinstance(chosen, str):
            return known.hops[chosen]
        if chosen is Choice.ASK:
            return None
        hop = known.hops[self.me]
        return hop if hop.copy.is_plain or self.taker(model, at) is not None else None

    def met_full(self, model: str) -> Met | None:
        """What a request met that the copy here has just not taken; None: there is no copy here, or it would."""
        copy = self.copies.get(model)
        if copy is None or not 0 < copy.most <= copy.in_flight:
            return None
        load_ts = next(holder.load_ts for holder in self.known[model].route.holders if holder.instance == self.me)
        return Met(self.me, load_ts, copy.gen, OVERLOADED)

    def taker(self, model: str, at: float) -> Copy | None:
        """The copy here that takes a request for ``model`` that comes at ``at``; None: there is none, or it is full."""
        copy = self.copies.get(model)
        if copy is not None and copy.most:
            self.settle(at)
            if copy.in_flight >= copy.most:
                return None
        return copy

    def begin(self, at: float, copy: Copy) -> float:
        """A request comes to a copy that takes it, in order of ``at``; when it is done."""
        server = copy.server
        free_at, service_ms = server.free_at[0], next(server.service_ms)
        end = (at if at > free_at else free_at) + service_ms
        heapreplace(server.free_at, end)
        copy.begun.append((end, copy, at, service_ms))
        return end

    def line(self, instance: str) -> Line:
        """The way to another instance."""
        return self.lines[self._shared.number_of[instance]]

    def settle(self, now: float) -> None:
        """Take note of all that has begun, and of what has ended by ``now``."""
        begun, running, news = self.begun, self._running, self._news
        while running and running[0][0] <= now:
            end, _, (_, copy, _, service_ms) = heappop(running)
            copy.in_flight -= 1
            copy.ended += 1
            copy.service_ms += service_ms
            if end > copy.last_at:
                copy.last_at = end
            if not copy.has_news:
                copy.has_news = True
                news.append(copy)
        if not begun:
            return
        for each in begun:
            end, copy, at, service_ms = each
            copy.count += 1
            if end <= now:
                copy.ended += 1
                copy.service_ms += service_ms
                at = end
            else:
                copy.in_flight += 1
                heappush(running, (end, next(self._shared.numbers), each))
            if at > copy.last_at:
                copy.last_at = at
            if not copy.has_news:
                copy.has_news = True
                news.append(copy)
        begun.clear()

    def stand_still(self, now: float, for_ms: float) -> None:
        """The runtime does nothing for so long, and goes on."""
        self.settle(now)
        servers = {id(copy.server): copy.server for copy in self.copies.values()} | {id(self.server): self.server}
        for server in servers.values():
            server.stand_still(now, for_ms)
        self._running = [
            (end + for_ms, number, (end + for_ms, copy, at, service_ms))
            for end, number, (_, copy, at, service_ms) in self._running
        ]

    def unfinished(self, now: float) -> dict[float, list[str]]:
        """The models of what runs here, by when it would be done."""
        self.settle(now)
        found: dict[float, list[str]] = {}
        for end, _, (_, copy, *_) in sorted(self._running, key=lambda item: item[:2]):
            found.setdefault(end, []).append(copy.model)
        return found

    def die(self) -> None:
        """No copy here takes requests any more."""
        for copy in self.copies.values():
            copy.leave()
        self._shared.went(self.sole)

    def running_at(self, now: float) -> int:
        """How many requests run here at ``now``."""
        self.settle(now)
        return len(self._running)
