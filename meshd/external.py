"""The ports that take inference calls: clients on the external one, other instances on the mesh port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from meshcore.asks import Answered, Done, Failed, Refused, RuntimeFailed, Verdict, VerdictError
from meshcore.errors import Code, MeshError
from meshcore.trace import COLD, HIT
from meshd import request_id
from meshd.codes import TO_GRPC
from meshd.handshake import SERVICES
from meshd.metrics import Metrics
from meshd.plane import internal
from meshd.plane.call import Ended, InferenceCall
from meshd.plane.inbound import Retained
from meshd.plane.metadata import Metadata
from meshd.plane.methods import UNARY, Methods
from meshd.plane.python import PythonPlane
from meshd.plane.stream import StreamCall
from meshd.plane.unary import UnaryCall
from meshd.trace import Tracer

FORBIDDEN = tuple(f"/{service}/" for service in SERVICES)
"""The runtime's management, under all its names, is no business of clients."""

_LEFT = Failed(MeshError("the client went away", Code.CANCELLED))
_ANSWER: Metadata = ((internal.ANSWER, "1"),)
_WAITED: Metadata = ((internal.WAITED, "1"),)
_WHOLE: Metadata = ((internal.WHOLE, "1"),)


Serve = Callable[[str, Any, bytes | None], Awaitable[bytes]]


class InferencePort(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes every method that nobody else on the port serves as an inference call."""

    def __init__(
        self, plane: PythonPlane, metrics: Metrics, now: Callable[[], float], tracer: Tracer | None = None
    ) -> None:
        self._plane, self._metrics, self._now, self._tracer = plane, metrics, now, tracer

    def service(self, handler_call_details: Any) -> Any:
        """grpc's question which handler serves a method."""
        return handler(handler_call_details.method, self._serve)

    async def _serve(self, path: str, context: Any, body: bytes | None) -> bytes:
        metadata = tuple(context.invocation_metadata() or ())
        request_id.take(metadata)
        await check_method(context, path, self._plane.methods)
        began = self._now()
        plane = self._plane
        try:
            request, shadow = plane.aim(metadata)
        except MeshError as error:
            await context.abort(TO_GRPC[error.code], error.text)
        copied = plane.shadows.begin(shadow, body) if shadow else None
        call = _call(plane, path, metadata, context, body, plane.buffer, tell=copied.take if copied else None)
        call.vmodel = request.vmodel
        arrival = self._tracer.arrived(request.model) if self._tracer is not None else None
        end: Done | Failed = _LEFT
        try:
            end = await plane.serve(request, call)
        finally:
            call.close()
            ms = (self._now() - began) * 1000
            self._count(path, end, call, ms, request.model)
            if self._tracer is not None and arrival is not None:
                model, outcome = request.model or call.model, _outcome(end, call)
                self._tracer.ended(arrival, model, outcome, ms, call.waited_ms, call.service_ms)
            if copied is not None:
                # An answer may overtake the news that the client has said all: what it was an answer to is whole.
                if end is _LEFT or not (call.sent.is_done or status_of(end) is grpc.StatusCode.OK):
                    plane.shadows.pass_over(copied)
                else:
                    plane.shadows.send(copied, path, metadata, request.is_balanced, call.given_s)
        return await answer(end, context)

    def _count(self, path: str, end: Done | Failed, call: InferenceCall, ms: float, model: str) -> None:
        counters = self._metrics.counters
        counters.requests += 1
        if isinstance(end, Failed):
            counters.failures += 1
        elif call.has_waited:
            counters.cold += 1
        else:
            counters.hits += 1
        self._metrics.api_request(
            path, status_of(end).name, ms, call.sent.count_bytes, call.reply_bytes, model, call.vmodel
        )


def _outcome(end: Done | Failed, call: InferenceCall) -> str:
    """What a trace says of a request's end."""
    status = status_of(end)
    if status is not grpc.StatusCode.OK:
        return str(status.name)
    return COLD if call.has_waited else HIT


class MeshPort(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes inference calls that other instances of this service pass on, and from nobody else."""

    def __init__(self, plane: PythonPlane) -> None:
        self._plane = plane

    def service(self, handler_call_details: Any) -> Any:
        """grpc's question which handler serves a method."""
        return handler(handler_call_details.method, self._serve)

    async def _serve(self, path: str, context: Any, body: bytes | None) -> bytes:
        metadata = tuple(context.invocation_metadata() or ())
        await check_peer(context, metadata, self._plane.key)
        await check_method(context, path, self._plane.methods, _ANSWER)
        request_id.take(metadata, request_id.HEADER)
        try:
            request = internal.to_request(metadata)
        except internal.NotAPeer as error:
            refused = Refused(Verdict.VERSION, self._plane.me, text=str(error))
            return await answer(Failed(VerdictError(refused)), context, _ANSWER)
        buffer = self._plane.shadows.buffer if request.is_shadow else self._plane.buffer
        call = _call(self._plane, path, metadata, context, body, buffer, _WHOLE)
        call.vmodel = request.vmodel
        try:
            end = await self._plane.serve(request, call)
        finally:
            call.close()
        return await answer(end, context, _ANSWER + _WAITED if call.has_waited else _ANSWER)


def handler(path: str, serve: Serve) -> Any:
    """grpc's handler for calls of a method: of any kind, unless it is known to be unary."""

    async def serve_one(body: bytes, context: Any) -> bytes:
        return await serve(path, context, body)

    async def serve_any(_: Any, context: Any) -> None:
        await serve(path, context, None)

    if path in UNARY:
        return grpc.unary_unary_rpc_method_handler(serve_one)
    return grpc.stream_stream_rpc_method_handler(serve_any)


def _call(
    plane: PythonPlane, path: str, metadata: Metadata, context: Any, body: bytes | None, buffer: Retained,
    whole_mark: Metadata = (), tell: Callable[[bytes], None] | None = None,
) -> InferenceCall:  # fmt: skip
    if body is None:
        return StreamCall(plane, path, metadata, context, buffer, whole_mark, tell)
    return UnaryCall(plane, path, metadata, context, body, buffer)


async def check_method(context: Any, path: str, methods: Methods, mark: Metadata = ()) -> None:
    """End a call of a method that nobody may call through the mesh."""
    if path.startswith(FORBIDDEN) or not methods.is_permitted(path):
        method = path.removeprefix("/")
        text = f"{method}: UNIMPLEMENTED: Method not found or not permitted: {method}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text, mark)


async def check_peer(context: Any, metadata: Metadata, key: bytes) -> None:
    """End a call that does not carry the cluster's key."""
    if not internal.is_peer(metadata, key):
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this port is for instances of this mesh")


def status_of(end: Done | Failed) -> grpc.StatusCode:
    """The status that a request's end shows."""
    match end:
        case Failed(error):
            return TO_GRPC[error.code]
        case Done(Answered(Ended(status=status)) | RuntimeFailed(reply=Ended(status=status))):
            return status
        case Done(RuntimeFailed(code=code)):
            return TO_GRPC[code]
        case _:
            return grpc.StatusCode.OK


async def answer(end: Done | Failed, context: Any, mark: Metadata = ()) -> bytes:
    """Send how a call ended; what is not OK aborts it. The message that is still to be sent, if it is a unary call."""
    match end:
        case Done(Answered(Ended() as ended)):
            return await _end(context, ended, ended.text, mark)
        case Done(RuntimeFailed(text=text, reply=Ended() as ended)):
            return await _end(context, ended, text, mark)
        case Done(RuntimeFailed(code=code, text=text)):
            await context.abort(TO_GRPC[code], text, mark)
        case Failed(VerdictError() as told):
            await context.abort(grpc.StatusCode.UNAVAILABLE, told.text, internal.to_trailers(told.refused) + mark)
        case Failed(error):
            await context.abort(TO_GRPC[error.code], error.text, mark)
        case _:
            await context.abort(grpc.StatusCode.INTERNAL, f"no answer came of this: {end}", mark)
    raise AssertionError("abort returned")


async def _end(context: Any, ended: Ended, text: str, mark: Metadata) -> bytes:
    if ended.initial:
        await context.send_initial_metadata(ended.initial)
    if ended.status is not grpc.StatusCode.OK:
        await context.abort(ended.status, text, ended.trailing + mark)
    if ended.trailing or mark:
        context.set_trailing_metadata(ended.trailing + mark)
    return ended.body
