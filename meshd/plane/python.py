"""The data plane on grpc.aio: any method, raw bytes; what has a ready copy is served without asking the core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import grpc

from meshcore import hot
from meshcore.asks import (
    Answered,
    Asked,
    Done,
    Failed,
    Forward,
    Infer,
    Kind,
    Met,
    Request,
    Unreachable,
)
from meshcore.commands import Peer, Peers, Route, Targets
from meshcore.errors import Code, MeshError
from meshcore.events import Event, Reached, Usage
from meshd.metrics import Metrics
from meshd.plane.call import InferenceCall, Serving
from meshd.plane.copies import LocalCopies
from meshd.plane.inbound import Retained
from meshd.plane.metadata import Metadata, is_balanced, model_id
from meshd.plane.methods import Methods
from meshd.plane.shadow import MOST_AT_ONCE, Shadows
from meshd.plane.targets import Target
from meshd.tls import Dialer

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),  # else a new connection waits out the backoff of the one before
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.keepalive_time_ms", 12_000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.ping_timeout_ms", 5000),  # which keeps the one above from its effect where it is longer
)
"""How an instance connects to another one. While a call is open it pings, so that one that stands still, or that the
network no longer leads to, holds a request up for seconds and not until its lease is over."""

CLOSE_GRACE_S = 30
"""Calls to an instance that is gone from the table have this long to end."""

REDIAL_GRACE_S = 600
"""Calls to an instance that is only connected to anew have this long."""


class Core(Protocol):
    """The driver of the node that knows what the table does not."""

    def feed(self, event: Event) -> None: ...
    async def run(self, asked: Asked, call: InferenceCall) -> Done | Failed: ...


@dataclass(slots=True)
class Calls:
    """How many calls are open, and how many there have been."""

    open: int = 0
    begun: int = 0


class PythonPlane:
    """Serves by the table that the node keeps up; ``rng`` only chooses between ready copies."""

    def __init__(
        self,
        me: str,
        key: bytes,
        runtime: Serving,
        methods: Methods,
        now: Callable[[], int],
        rng: Random,
        metrics: Metrics,
        buffer: Retained,
        dialer: Dialer,
    ) -> None:
        self.me, self.key, self.runtime, self.methods = me, key, runtime, methods
        self.copies = LocalCopies(now)
        self._rng = rng
        self._routes: dict[str, Route] = {}
        self.targets: dict[str, Target] = {}
        """By virtual model."""
        self._peers: dict[str, Peer] = {}
        self._channels: dict[str, Any] = {}  # by address, for as long as an instance has it
        self._outstanding: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._core: Core | None = None
        self.metrics, self.buffer, self._dialer = metrics, buffer, dialer
        self.shadows = Shadows(self, buffer.another(), metrics)
        self.logs_each_request = False
        self.large_calls = 0
        """Calls that have ended and took much memory."""
        self.of_clients, self.of_peers, self.of_nobody = Calls(), Calls(), Calls()

    def serve_for(self, core: Core) -> None:
        """Ask ``core`` about everything that the table does not say."""
        self._core = core

    def use_key(self, key: bytes) -> None:
        """Instances know each other by this key from now on."""
        self.key = key

    async def close(self) -> None:
        """Close the connections to other instances."""
        self.shadows.end()
        for channel in self._channels.values():
            await channel.close()

    # -- the table -----------------------------------------------------------------------------------

    def apply(self, route: Route) -> None:
        """Replace what is known about one model."""
        self.copies.apply(route.model, route.local)
        if route.holders:
            self._routes[route.model] = route
        else:
            self._routes.pop(route.model, None)

    def peers(self, peers: Peers) -> None:
        """Replace what is known about some instances."""
        for peer in peers.peers:
            known = self._peers.pop(peer.instance, None)
            if known is not None and known.address != peer.address and self._is_forsaken(known.address):
                self._close(self._channels.pop(known.address))
            if peer.address:
                self._peers[peer.instance] = peer
                if peer.is_ok and (known is None or not known.is_ok):
                    self._forget_failure(peer.address)

    def retarget(self, targets: Targets) -> None:
        """Replace what is known about one virtual model."""
        if targets.active:
            self.targets[targets.vmodel] = Target(targets.active, targets.split, targets.shadow)
        else:
            self.targets.pop(targets.vmodel, None)

    def redial(self) -> None:
        """Connect to other instances anew at the next call: what connections are made with has changed."""
        while self._channels:
            self._close(self._channels.popitem()[1], REDIAL_GRACE_S)

    def _forget_failure(self, address: str) -> None:
        """Whoever is worth trying there is worth connecting to: a connection that failed would go on to fail calls,
        without another attempt, until its own backoff is over."""
        channel = self._channels.get(address)
        if channel is not None and channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            self._dialer.give_up(channel)
            self._close(self._channels.pop(address))

    def _is_forsaken(self, address: str) -> bool:
        """Whether nobody is connected to for whom there is a connection: who came back there may have another name."""
        return address in self._channels and all(peer.address != address for peer in self._peers.values())

    def _close(self, channel: Any, grace_s: float = CLOSE_GRACE_S) -> None:
        """Let what is under way on a connection end before it goes."""
        closing = asyncio.get_running_loop().create_task(channel.close(grace=grace_s))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def withdraw(self, model: str, gen: int, deadline_s: float) -> None:
        """Wait until nothing is under way on a copy that has left the table."""
        await self.copies.withdraw(model, gen, deadline_s)

    def drain_usage(self) -> tuple[Usage, ...]:
        """What was served here since the last call."""
        return self.copies.drain_usage()

    def channel(self, instance: str) -> Any | None:
        """A connection to another instance; None: it is not known (any more)."""
        peer = self._peers.get(instance)
        if peer is None:
            return None
        channel = self._channels.get(peer.address)
        if channel is None:
            channel = self._channels[peer.address] = self._dialer.open(peer.address, CHANNEL_OPTIONS)
        return channel

    def aim(self, metadata: Metadata) -> tuple[Request, str]:
        """A client's request as the core sees it, and the model that is to see it too (empty: none).

        One by the name of a virtual model that is not in the table names no model yet. Raises InvalidRequest.
        """
        name, is_virtual = model_id(metadata)
        if not is_virtual:
            return Request(name, is_balanced=is_balanced(metadata)), ""
        target = self.targets.get(name)
        model = target.draw(metadata, self._rng) if target is not None else ""
        shadow = target.seen_by(model) if target is not None else ""
        return Request(model, is_balanced=is_balanced(metadata), vmodel=name), shadow

    # -- requests --------------------------------------------------------------------------------------

    async def serve(self, request: Request, call: InferenceCall) -> Done | Failed:
        """One request from its arrival to its end."""
        assert self._core is not None
        calls = self._calls_like(request)
        if calls is self.of_nobody and request.kind is not Kind.EXTERNAL and calls.open >= MOST_AT_ONCE:
            return Failed(MeshError("as many shadow calls as there may be are under way", Code.RESOURCE_EXHAUSTED))
        calls.open += 1
        calls.begun += 1
        try:
            route = self._routes.get(request.model)
            met = await self._straight(route, request, call) if route is not None else None
            if met is not None and isinstance(met.outcome, Answered):
                return Done(met.outcome)
            self.metrics.counters.flows += 1
            return await self._core.run(request if met is None else _with(request, met), call)
        finally:
            calls.open -= 1

    def _calls_like(self, request: Request) -> Calls:
        if request.is_shadow:
            return self.of_nobody
        return self.of_clients if request.kind is Kind.EXTERNAL else self.of_peers

    async def _straight(self, route: Route, request: Request, call: InferenceCall) -> Met | None:
        """Try the copy that the one hot rule names; None: it names none."""
        local = route.local
        if request.kind is Kind.EXTERNAL:
            chosen = hot.decide(route, self.me, request.is_balanced, self._outstanding, self._is_ok, self._rng)
        else:
            chosen = hot.Choice.LOCAL if local is not None else hot.Choice.ASK
        if chosen is hot.Choice.ASK:
            return None
        if chosen is hot.Choice.LOCAL:
            assert local is not None
            outcome = await call.infer(Infer(request.model, local.gen))
            load_ts = next(holder.load_ts for holder in route.holders if holder.instance == self.me)
            return Met(self.me, load_ts, local.gen, outcome)
        holder = next(holder for holder in route.holders if holder.instance == chosen)
        peer = self._peers.get(holder.instance)
        tried = ((holder.instance, holder.load_ts),)
        forwarded = Request(
            request.model, kind=Kind.HIT, tried=tried, origin=self.me, hops=1, is_asked_for=request.is_asked_for,
            is_shadow=request.is_shadow, vmodel=request.vmodel,
        )  # fmt: skip
        outcome = await call.forward(Forward(holder.instance, forwarded))
        if peer is not None and peer.is_on_trial and not isinstance(outcome, Unreachable):
            assert self._core is not None
            self._core.feed(Reached(holder.instance))
        return Met(holder.instance, holder.load_ts, 0, outcome)

    def _is_ok(self, instance: str) -> bool:
        peer = self._peers.get(instance)
        return peer is not None and peer.is_ok

    def sent(self, instance: str) -> None:
        """One more call is under way on an instance."""
        self._outstanding[instance] = self._outstanding.get(instance, 0) + 1

    def returned(self, instance: str) -> None:
        """One call on an instance is over."""
        left = self._outstanding[instance] - 1
        if left:
            self._outstanding[instance] = left
        else:
            del self._outstanding[instance]


def _with(request: Request, met: Met) -> Request:
    return Request(
        request.model, request.op, request.kind, request.is_balanced, tried=request.tried, targets=request.targets,
        origin=request.origin, hops=request.hops, size_units=request.size_units, met=met,
        is_asked_for=request.is_asked_for, is_shadow=request.is_shadow, vmodel=request.vmodel,
    )  # fmt: skip
