"""Requests of the management side between instances: ensure loaded and status, over meshd.internal.v1."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from meshcore.asks import (
    CopyInfo,
    Forward,
    Infer,
    Kind,
    Op,
    Outcome,
    Refused,
    Request,
    Status,
    StatusInfo,
    Told,
    Unreachable,
    Verdict,
)
from meshcore.errors import MeshError
from meshd.plane import internal
from meshd.plane.python import CHANNEL_OPTIONS, PythonPlane
from meshd.tls import Dialer
from protos import meshd_internal_pb2 as wire
from protos import meshd_internal_pb2_grpc as stubs
from protos import meshd_pb2

PROTOCOL = 1
ASYNC_LIMIT_S = 10
SYNC_LIMIT_S = 600
"""An instance that only starts a load answers at once; one that waits for it may take as long as a load."""

_KINDS = {Kind.HIT: wire.EnsureLoadedRequest.HIT, Kind.LOAD: wire.EnsureLoadedRequest.LOAD}
_FROM_KINDS = {number: kind for kind, number in _KINDS.items()}


class PeerCall:
    """The call of a request without a body: it can be passed on, and never reaches a runtime.

    A client's deadline is not passed on: when it ends, so does all that is done for it, and a peer whose answer comes
    later than that is none the worse.
    """

    def __init__(self, plane: PythonPlane) -> None:
        self._plane = plane

    def waits(self) -> None:
        """Waiting is no news: nobody counts these."""

    async def infer(self, step: Infer) -> Outcome:
        """Nothing to infer: whoever asks for this has lost its way."""
        raise MeshError(f"{step.model}: no inference in this request")

    async def forward(self, step: Forward) -> Outcome:
        """Ask another instance."""
        channel = self._plane.channel(step.instance)
        if channel is None:
            return Unreachable("not known any more")
        timeout_s = SYNC_LIMIT_S if step.request.is_sync else ASYNC_LIMIT_S
        metadata = internal.by_key(self._plane.key)
        try:
            stub: Any = stubs.MeshStub(channel)
            reply = await stub.EnsureLoaded(to_wire(step.request), timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return Refused(Verdict.VERSION, step.instance, text=error.details() or "")
            return Unreachable(error.details() or error.code().name)
        if reply.WhichOneof("answer") == "verdict":
            return internal.from_verdict(reply.verdict)
        told = reply.outcome
        copies = (CopyInfo(told.instance, Status.UNKNOWN, told.load_ts),) if told.load_ts else ()
        return Told(StatusInfo(Status(meshd_pb2.Model.Status.Name(told.status)), tuple(told.errors), copies))


async def who_answers(address: str, key: bytes, timeout_s: float, dialer: Dialer) -> str:
    """The id of the instance at ``address``; empty: nobody of this mesh answers there."""
    metadata = internal.by_key(key)
    async with dialer.open(address, CHANNEL_OPTIONS) as channel:
        stub: Any = stubs.MeshStub(channel)
        try:
            reply = await stub.Hello(wire.HelloRequest(protocol=PROTOCOL), timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError:
            return ""
    return str(reply.instance)


def to_wire(request: Request) -> wire.EnsureLoadedRequest:
    """A request as it travels."""
    return wire.EnsureLoadedRequest(
        protocol=PROTOCOL, model=request.model, kind=_KINDS[request.kind], sync=request.is_sync,
        last_used_ms=request.last_used, tried=[wire.Tried(instance=i, load_ts=ts) for i, ts in request.tried],
        tried_targets=request.targets, exclude=request.exclude, size_units=request.size_units,
        only_status=request.op is Op.STATUS, hops=request.hops, origin=request.origin,
        copies=request.copies, unasked=not request.is_asked_for,
    )  # fmt: skip


def from_wire(asked: wire.EnsureLoadedRequest) -> Request:
    """The request that travelled; raises NotAPeer."""
    if asked.protocol != PROTOCOL or asked.kind not in _FROM_KINDS:
        raise internal.NotAPeer(f"this instance speaks protocol {PROTOCOL} between instances, not {asked.protocol}")
    return Request(
        asked.model, Op.STATUS if asked.only_status else Op.ENSURE, _FROM_KINDS[asked.kind], is_sync=asked.sync,
        last_used=asked.last_used_ms, tried=tuple((tried.instance, tried.load_ts) for tried in asked.tried),
        targets=tuple(asked.tried_targets), exclude=tuple(asked.exclude), origin=asked.origin,
        hops=asked.hops, size_units=asked.size_units, copies=max(1, asked.copies),
        is_asked_for=not asked.unasked,
    )  # fmt: skip
