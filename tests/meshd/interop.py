"""gRPC's interoperability service (grpc.testing.TestService) as a model runtime serves it, and its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc import aio

from runtimes.fake import Fake

SERVICE = "grpc.testing.TestService"
ECHO_INITIAL, ECHO_TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"

_TYPES = {"int32": 5, "bool": 8, "string": 9, "message": 11, "bytes": 12}
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Empty": (),
    "BoolValue": (("value", 1, "bool"),),
    "Payload": (("type", 1, "int32"), ("body", 2, "bytes")),
    "EchoStatus": (("code", 1, "int32"), ("message", 2, "string")),
    "SimpleRequest": (
        ("response_type", 1, "int32"), ("response_size", 2, "int32"), ("payload", 3, "Payload"),
        ("response_compressed", 6, "BoolValue"), ("response_status", 7, "EchoStatus"),
        ("expect_compressed", 8, "BoolValue"),
    ),
    "SimpleResponse": (("payload", 1, "Payload"),),
    "StreamingInputCallRequest": (("payload", 1, "Payload"), ("expect_compressed", 2, "BoolValue")),
    "StreamingInputCallResponse": (("aggregated_payload_size", 1, "int32"),),
    "ResponseParameters": (("size", 1, "int32"), ("interval_us", 2, "int32"), ("compressed", 3, "BoolValue")),
    "StreamingOutputCallRequest": (
        ("response_type", 1, "int32"), ("response_parameters", 2, "*ResponseParameters"), ("payload", 3, "Payload"),
        ("response_status", 7, "EchoStatus"),
    ),
    "StreamingOutputCallResponse": (("payload", 1, "Payload"),),
}  # fmt: skip


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="interop.proto", package="grpc.testing", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            made = message.field.add(name=field, number=number, label=3 if kind.startswith("*") else 1)
            made.type = _TYPES.get(kind, _TYPES["message"])
            if kind not in _TYPES:
                made.type_name = f".grpc.testing.{kind.lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"grpc.testing.{name}")) for name in _MESSAGES
    }


MESSAGES = _classes()


class Interop(Fake):
    """A fake runtime that serves nothing but gRPC's interoperability service."""

    def register(self, server: aio.Server) -> None:
        empty, simple, simple_reply = MESSAGES["Empty"], MESSAGES["SimpleRequest"], MESSAGES["SimpleResponse"]
        asked, told = MESSAGES["StreamingOutputCallRequest"], MESSAGES["StreamingOutputCallResponse"]
        sent, summed = MESSAGES["StreamingInputCallRequest"], MESSAGES["StreamingInputCallResponse"]
        handlers = {
            "EmptyCall": _handler(grpc.unary_unary_rpc_method_handler, self._empty, empty, empty),
            "UnaryCall": _handler(grpc.unary_unary_rpc_method_handler, self._unary, simple, simple_reply),
            "StreamingOutputCall": _handler(grpc.unary_stream_rpc_method_handler, self._output, asked, told),
            "StreamingInputCall": _handler(grpc.stream_unary_rpc_method_handler, self._input, sent, summed),
            "FullDuplexCall": _handler(grpc.stream_stream_rpc_method_handler, self._duplex, asked, told),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _empty(self, request: Any, context: Any) -> Any:
        await self._greet(context)
        return request

    async def _unary(self, request: Any, context: Any) -> Any:
        await self._greet(context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        await _end_as_asked(request, context)
        return MESSAGES["SimpleResponse"](payload={"body": bytes(request.response_size)})

    async def _output(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._greet(context)
        if any(wanted.compressed.value for wanted in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for answer in _answers(request):
            yield answer
        await _end_as_asked(request, context)

    async def _input(self, requests: AsyncIterator[Any], context: Any) -> Any:
        await self._greet(context)
        size = 0
        async for request in requests:
            size += len(request.payload.body)
        return MESSAGES["StreamingInputCallResponse"](aggregated_payload_size=size)

    async def _duplex(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await self._greet(context)
        self.total.enter()
        try:
            async for request in requests:
                for answer in _answers(request):
                    yield answer
                await _end_as_asked(request, context)
        finally:
            self.total.in_flight -= 1

    @staticmethod
    async def _greet(context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        if ECHO_TRAILING in metadata:
            context.set_trailing_metadata(((ECHO_TRAILING, metadata[ECHO_TRAILING]),))
        if ECHO_INITIAL in metadata:
            await context.send_initial_metadata(((ECHO_INITIAL, metadata[ECHO_INITIAL]),))


def _answers(request: Any) -> Iterator[Any]:
    for wanted in request.response_parameters:
        yield MESSAGES["StreamingOutputCallResponse"](payload={"body": bytes(wanted.size)})


def _handler(make: Any, behaviour: Any, request: Any, reply: Any) -> Any:
    return make(
        behaviour, request_deserializer=request.FromString, response_serializer=lambda it: it.SerializeToString()
    )


async def _end_as_asked(request: Any, context: Any) -> None:
    if code := request.response_status.code:
        status = next(each for each in grpc.StatusCode if each.value[0] == code)
        await context.abort(status, request.response_status.message)
