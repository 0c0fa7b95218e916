"""The data plane on grpc.aio: any unary method, raw bytes; what has a ready copy is served without asking the core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import grpc
import grpc.aio

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
    Outcome,
    Refused,
    Request,
    RuntimeFailed,
    Unreachable,
    Verdict,
)
from meshcore.commands import Peer, Peers, Route
from meshcore.errors import Code
from meshcore.events import Event, Reached, Usage
from meshd.codes import from_grpc
from meshd.metrics import Metrics
from meshd.plane import internal
from meshd.plane.copies import LocalCopies
from meshd.plane.metadata import Metadata, for_client, for_peer, for_runtime
from meshd.plane.methods import Methods
from meshd.plane.splice import Malformed, inject
from meshd.spi import RuntimeReply
from meshd.tls import Dialer

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
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


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for the client."""

    body: bytes
    initial: Metadata
    trailing: Metadata


@dataclass(frozen=True, slots=True)
class Failure:
    """The runtime's own error, for the client as it came."""

    status: grpc.StatusCode
    initial: Metadata
    trailing: Metadata


class Serving(Protocol):
    """The runtime's inference side."""

    async def call(self, method: str, body: bytes, metadata: Metadata, timeout_s: float | None) -> RuntimeReply: ...


class Core(Protocol):
    """The driver of the node that knows what the table does not."""

    def feed(self, event: Event) -> None: ...
    async def run(self, asked: Asked, call: UnaryCall) -> Done | Failed: ...


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
        dialer: Dialer,
    ) -> None:
        self.me, self.key, self.runtime, self.methods = me, key, runtime, methods
        self.copies = LocalCopies(now)
        self._rng = rng
        self._routes: dict[str, Route] = {}
        self._peers: dict[str, Peer] = {}
        self._channels: dict[str, Any] = {}  # by address, for as long as an instance has it
        self._outstanding: dict[str, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._core: Core | None = None
        self.metrics, self._dialer = metrics, dialer
        self.of_clients, self.of_peers = Calls(), Calls()

    def serve_for(self, core: Core) -> None:
        """Ask ``core`` about everything that the table does not say."""
        self._core = core

    async def close(self) -> None:
        """Close the connections to other instances."""
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
            if known is not None and known.address != peer.address and known.address in self._channels:
                self._close(self._channels.pop(known.address))
            if peer.address:
                self._peers[peer.instance] = peer

    def redial(self) -> None:
        """Connect to other instances anew at the next call: what connections are made with has changed."""
        while self._channels:
            self._close(self._channels.popitem()[1], REDIAL_GRACE_S)

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

    # -- requests --------------------------------------------------------------------------------------

    async def serve(self, request: Request, call: UnaryCall) -> Done | Failed:
        """One request from its arrival to its end."""
        assert self._core is not None
        calls = self.of_clients if request.kind is Kind.EXTERNAL else self.of_peers
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

    async def _straight(self, route: Route, request: Request, call: UnaryCall) -> Met | None:
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
        forwarded = Request(request.model, kind=Kind.HIT, tried=tried, origin=self.me, hops=1)
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
    )  # fmt: skip


class UnaryCall:
    """One unary call: its path, body and metadata, kept until it is answered, so that it can be sent again."""

    __slots__ = ("_body", "_deadline", "_loop", "_metadata", "_path", "_plane", "_tries", "_waits_since", "has_waited")

    def __init__(self, plane: PythonPlane, path: str, body: bytes, metadata: Metadata, timeout_s: float | None) -> None:
        self._plane, self._path, self._body, self._metadata = plane, path, body, metadata
        self.has_waited = False
        self._waits_since: float | None = None
        self._tries = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = None if timeout_s is None else self._loop.time() + timeout_s

    def waits(self) -> None:
        """The request begins to wait for a load here: a cold start."""
        self.has_waited = True
        self._waits_since = self._loop.time()

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self._loop.time())

    async def infer(self, step: Infer) -> Outcome:
        """Call the runtime here."""
        plane = self._plane
        copy = plane.copies.begin(step.model, step.gen)
        if copy is None:
            return Refused(Verdict.NOT_HERE, plane.me)
        self._try(step.model)
        plane.sent(plane.me)
        began, code = self._loop.time(), "CANCELLED"
        try:
            metadata = for_runtime(self._metadata, step.model)
            path = plane.methods.injection_path(self._path)
            body = inject(self._body, path, step.model.encode()) if path else self._body
            answer = await plane.runtime.call(self._path, body, metadata, self._left_s())
            code = "OK"
            return Answered(Reply(answer.body, for_client(answer.initial), for_client(answer.trailing)))
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            return self._failed(error)
        except Malformed as error:
            code = "UNKNOWN"
            failure = Failure(grpc.StatusCode.UNKNOWN, (), ())
            return RuntimeFailed(Code.UNKNOWN, f"{self._path.removeprefix('/')}: UNKNOWN: {error}", failure)
        finally:
            plane.returned(plane.me)
            plane.copies.end(copy)
            plane.metrics.invoke_model(self._path, code, (self._loop.time() - began) * 1000, step.model)

    async def forward(self, step: Forward) -> Outcome:
        """Pass the call on to another instance."""
        plane = self._plane
        channel = plane.channel(step.instance)
        if channel is None:
            return Unreachable("not known any more")
        metadata = for_peer(self._metadata) + internal.to_metadata(step.request, plane.key)
        self._try(step.request.model)
        plane.sent(step.instance)
        plane.metrics.counters.forwarded += 1
        try:
            call = channel.unary_unary(self._path)(self._body, timeout=self._left_s(), metadata=metadata)
            body = await call
            initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
            self._note_wait(trailing)
            return Answered(Reply(body, for_client(initial), for_client(trailing)))
        except grpc.aio.AioRpcError as error:
            trailers = error.trailing_metadata() or ()
            self._note_wait(trailers)
            refused = internal.from_trailers(trailers)
            if refused is not None:
                return refused
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED and not _is_answer(error):
                return Unreachable(error.details() or "connection lost")
            return self._failed(error, is_prefixed=True)
        finally:
            plane.returned(step.instance)

    def _try(self, model: str) -> None:
        """One more try begins; what was waited for is over."""
        metrics = self._plane.metrics
        metrics.counters.retries += self._tries > 0
        self._tries += 1
        if self._waits_since is not None:
            metrics.cache_miss.observe((self._loop.time() - self._waits_since) * 1000, model)
            self._waits_since = None

    def _note_wait(self, trailers: Iterable[tuple[str, str | bytes]]) -> None:
        if any(name == internal.WAITED for name, _ in trailers):
            self.has_waited = True

    def _failed(self, error: grpc.aio.AioRpcError, is_prefixed: bool = False) -> RuntimeFailed:
        code, details = error.code(), error.details() or ""
        if is_prefixed:
            text = details
        else:
            method = self._path.removeprefix("/")
            text = f"{method}: {code.name}: {details}" if details else f"{method}: {code.name}"
        trailing = error.trailing_metadata() or ()
        initial = error.initial_metadata() or ()
        return RuntimeFailed(from_grpc(code), text, Failure(code, for_client(initial), for_client(trailing)))


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether an instance of this mesh sent this error and not the connection, or somebody else at its address: an
    instance marks all it sends."""
    return any(name == internal.ANSWER for name, _ in error.trailing_metadata() or ())
