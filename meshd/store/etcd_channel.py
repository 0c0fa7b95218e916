"""Reaches one of several etcd endpoints: connections, failover, tokens, deadlines (docs/design.md, store)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar

import grpc

from meshd.store.backoff import pause_s
from meshd.store.base import StoreRefused, StoreUnavailable
from meshd.store.etcd_cause import advice_on, cause_of
from protos import etcd_pb2, etcd_pb2_grpc

Reply = TypeVar("Reply")

Metadata = tuple[tuple[str, str], ...]

OPTIONS: Final = (
    ("grpc.max_receive_message_length", 128 << 20),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    ("grpc.http2.ping_timeout_ms", 8_000),  # which keeps the one above from its effect where it is longer
    # Not without calls: etcd ends idle connections that ping (too_many_pings). A watch is a call.
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 6_000),  # how long one attempt to connect may take, in spite of its name
    ("grpc.enable_http_proxy", 0),  # etcd is a neighbour
    ("grpc.max_reconnect_backoff_ms", 2_000),  # else a store that was long away stays away for up to two minutes more
)

PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.ABORTED,
    }
)
"""Statuses that another endpoint, or the same one later, may not give."""

PASSING_TEXTS: Final = ("too many requests", "not leader", "not supported for learner")
"""The same, under a status that otherwise means more."""

CLOSED: Final = "the connection to etcd is closed"

STALE_TOKEN: Final = ("invalid auth token", "user name is empty", "revision of auth store is old")


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts: ``trust`` None means the system's, ``key`` and ``certificate`` go together.

    ``authority`` is the name to verify, empty: the endpoint's.
    """

    trust: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = None
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``address`` is host:port."""

    address: str
    is_tls: bool = False


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """How to reach an etcd cluster; ``user`` empty: no authentication."""

    endpoints: tuple[Endpoint, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = Tls()


class EtcdRefused(StoreRefused):
    """The answer was a status that no repetition changes."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        advice = advice_on(text)
        super().__init__(f"etcd refused: {text}{advice and ': '}{advice}")
        self.code, self.is_for_all = code, bool(advice)


class WatchDenied(StoreRefused):
    """A watch was refused, in words that may also mean a stale token."""


class Member:
    """One endpoint with its connection, which is kept for life.

    To close a channel raises CancelledError in every call on it, as if the caller itself were cancelled.
    """

    def __init__(self, endpoint: Endpoint, tls: Tls) -> None:
        self.address = endpoint.address
        if endpoint.is_tls:
            named = (("grpc.ssl_target_name_override", tls.authority),) if tls.authority else ()
            credentials = grpc.ssl_channel_credentials(tls.trust, tls.key, tls.certificate)
            self.channel = grpc.aio.secure_channel(endpoint.address, credentials, (*OPTIONS, *named))
        else:
            self.channel = grpc.aio.insecure_channel(endpoint.address, OPTIONS)
        self.kv = etcd_pb2_grpc.KVStub(self.channel)
        self.watch = etcd_pb2_grpc.WatchStub(self.channel)
        self.lease = etcd_pb2_grpc.LeaseStub(self.channel)
        self.auth = etcd_pb2_grpc.AuthStub(self.channel)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call: at ``member``, with ``metadata``, for ``timeout_s`` at most."""

    member: Member
    metadata: Metadata
    timeout_s: float


class Cluster:
    """The endpoints of one etcd cluster, the one in use first."""

    def __init__(self, config: EtcdConfig, rng: Random) -> None:
        self._config, self._rng = config, rng
        self._members = deque(Member(endpoint, config.tls) for endpoint in config.endpoints)
        self._token: str | None = None
        self._renewing = asyncio.Lock()
        self._is_closed = False
        self.addresses = ", ".join(endpoint.address for endpoint in config.endpoints)

    async def run(self, call: Callable[[Attempt], Awaitable[Reply]], within_s: float) -> tuple[Reply, bool]:
        """What ``call`` returns at the first endpoint that answers, and whether it was tried in vain before.

        Such a try may have had its effect all the same. ``call`` may raise AioRpcError and TimeoutError.

        Raises:
            StoreUnavailable: no endpoint answered within ``within_s``.
            EtcdRefused, WatchDenied: one did, and will not. A stale token is renewed once before.
        """
        now = asyncio.get_running_loop().time
        ends = now() + within_s
        share_s = within_s / min(3, len(self._members))  # one that is frozen leaves time for others
        tries, has_renewed, failure = 0, False, "it does not answer"
        while True:
            if self._is_closed:
                raise StoreUnavailable(CLOSED)
            member, token = self._members[0], self._token
            try:
                timeout_s = max(0.0, min(share_s, ends - now()))
                token = await self._current_token(member, timeout_s)
                return await call(Attempt(member, _metadata(token), timeout_s)), tries > 0
            except (grpc.aio.AioRpcError, WatchDenied) as error:
                if not has_renewed and token is not None and _may_be_stale(error):
                    has_renewed = True
                    self._forget(token)
                    continue
                if isinstance(error, WatchDenied):
                    raise
                if not is_passing(error):
                    raise EtcdRefused(error.code(), error.details() or error.code().name) from error
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:  # which only says that time was short
                    failure = cause_of(f"{error.code().name}: {error.details()}")
            except (TimeoutError, asyncio.InvalidStateError):
                pass
            except asyncio.CancelledError as cancelled:
                raise self.explained(cancelled) from None
            self.leave(member)
            tries += 1
            round_over = tries - len(self._members) + 1
            pause = pause_s(round_over, self._rng) if round_over > 0 else 0.0
            if now() + pause >= ends:
                raise StoreUnavailable(f"no answer from etcd at {self.addresses} within {within_s:g} s: {failure}")
            await asyncio.sleep(pause)

    async def ask(self, method: Callable[[Member], Any], request: Any, within_s: float) -> tuple[Any, bool]:
        """``run`` for one request with one reply."""

        async def call(attempt: Attempt) -> Any:
            return await method(attempt.member)(request, timeout=attempt.timeout_s, metadata=attempt.metadata)

        return await self.run(call, within_s)

    def leave(self, member: Member) -> None:
        """``member`` has failed: the first to notice moves everybody on."""
        if self._members[0] is member:
            self._members.rotate(-1)

    async def pause(self) -> None:
        """A moment, so that what fails at once is not tried in a tight loop."""
        await asyncio.sleep(pause_s(1, self._rng))

    def explained(self, cancelled: asyncio.CancelledError) -> BaseException:
        """What a CancelledError out of a call means: closing the channel raises it too, in tasks nobody cancelled."""
        task = asyncio.current_task()
        if self._is_closed and task is not None and not task.cancelling():
            return StoreUnavailable(CLOSED)
        return cancelled

    async def close(self) -> None:
        """Break off every call."""
        self._is_closed = True
        for member in self._members:
            await member.channel.close()

    async def _current_token(self, member: Member, timeout_s: float) -> str | None:
        """The token to send: None without a user, empty where etcd does not ask for one."""
        if not self._config.user:
            return None
        async with asyncio.timeout(timeout_s), self._renewing:
            if self._token is None:
                request = etcd_pb2.AuthenticateRequest(name=self._config.user, password=self._config.password)
                try:
                    self._token = (await member.auth.Authenticate(request, timeout=timeout_s)).token
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                        raise
                    self._token = ""  # authentication is not enabled
            return self._token

    def _forget(self, token: str) -> None:
        if self._token == token:
            self._token = None


def is_passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether another endpoint, or the same one later, may answer otherwise."""
    return error.code() in PASSING or any(text in (error.details() or "") for text in PASSING_TEXTS)


def _may_be_stale(error: grpc.aio.AioRpcError | WatchDenied) -> bool:
    return isinstance(error, WatchDenied) or any(text in (error.details() or "") for text in STALE_TOKEN)


def _metadata(token: str | None) -> Metadata:
    # A member that has lost its leader, and so may be partitioned, answers an error instead of old data.
    with_leader = (("hasleader", "true"),)
    return (*with_leader, ("token", token)) if token else with_leader
