"""gRPC's interoperability cases, by their names, with the mesh between client and server: straight, and over a hop."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tests.client import GUARD_S
from tests.meshd.interop import ECHO_INITIAL, ECHO_TRAILING, MESSAGES, SERVICE, Interop
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until

MODEL = "interop"
REQUEST_SIZES, RESPONSE_SIZES = [27182, 8, 1828, 45904], [31415, 9, 2653, 58979]
LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
CUSTOM = ((ECHO_INITIAL, "test_initial_metadata_value"), (ECHO_TRAILING, b"\xab\xab\xab"))


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    with mesh(2, runtime=Interop) as made:
        made.client.register(MODEL)
        made.copy(MODEL, 0)
        for instance in made.instances:
            until(lambda instance=instance: instance.client.state(MODEL) == "LOADED", "the copy is known")  # type: ignore[misc]
        yield made
        assert made[1].fake.total.loads == 0, "what the second instance was asked went over a hop"


@dataclass
class Stub:
    """The methods of the service on one instance."""

    channel: grpc.Channel
    pair: Mesh

    def _method(self, make: Any, name: str, reply: str, service: str = SERVICE) -> Any:
        return make(
            f"/{service}/{name}",
            request_serializer=lambda it: it.SerializeToString(),
            response_deserializer=MESSAGES[reply].FromString,
        )

    def unary(self, name: str, request: Any, reply: str = "Empty", service: str = SERVICE, **options: Any) -> Any:
        method = self._method(self.channel.unary_unary, name, reply, service)
        return method.with_call(request, **with_model(options))

    def output(self, request: Any, **options: Any) -> Any:
        method = self._method(self.channel.unary_stream, "StreamingOutputCall", "StreamingOutputCallResponse")
        return method(request, **with_model(options))

    def input(self, requests: Iterator[Any], **options: Any) -> Any:
        method = self._method(self.channel.stream_unary, "StreamingInputCall", "StreamingInputCallResponse")
        return method.future(requests, **with_model(options))

    def duplex(self, requests: Iterator[Any], **options: Any) -> Any:
        method = self._method(self.channel.stream_stream, "FullDuplexCall", "StreamingOutputCallResponse")
        return method(requests, **with_model(options))

    def in_flight(self) -> int:
        return sum(instance.fake.total.in_flight for instance in self.pair.instances)


def with_model(options: dict[str, Any]) -> dict[str, Any]:
    metadata = (("mm-model-id", MODEL), *options.pop("metadata", ()))
    return {"metadata": metadata, "timeout": GUARD_S, **options}


@pytest.fixture(params=["straight", "over a hop"])
def stub(request: pytest.FixtureRequest, pair: Mesh) -> Stub:
    return Stub(pair[0 if request.param == "straight" else 1].client.channel, pair)


def simple(size: int = LARGE_RESPONSE, body: int = LARGE_REQUEST, **fields: Any) -> Any:
    return MESSAGES["SimpleRequest"](response_size=size, payload={"body": bytes(body)}, **fields)


def asking(*sizes: int, body: int = 0, **fields: Any) -> Any:
    parameters = [{"size": size, **fields} for size in sizes]
    return MESSAGES["StreamingOutputCallRequest"](response_parameters=parameters, payload={"body": bytes(body)})


def sending(*sizes: int) -> Iterator[Any]:
    return iter([MESSAGES["StreamingInputCallRequest"](payload={"body": bytes(size)}) for size in sizes])


class Typed(Iterator[Any]):
    """Requests as somebody types them: each is sent when it is put, None ends them."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.put = self._queue.put

    def __next__(self) -> Any:
        request = self._queue.get()
        if request is None:
            raise StopIteration
        return request


def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        for _ in call:
            pass
    return caught.value.code(), caught.value.details()


def test_empty_unary(stub: Stub) -> None:
    reply, call = stub.unary("EmptyCall", MESSAGES["Empty"]())
    assert (reply, call.code()) == (MESSAGES["Empty"](), grpc.StatusCode.OK)


def test_large_unary(stub: Stub) -> None:
    reply, _ = stub.unary("UnaryCall", simple(), "SimpleResponse")
    assert reply.payload.body == bytes(LARGE_RESPONSE)


def test_client_compressed_unary(stub: Stub) -> None:
    reply, _ = stub.unary("UnaryCall", simple(), "SimpleResponse", compression=grpc.Compression.Gzip)
    assert reply.payload.body == bytes(LARGE_RESPONSE)


def test_server_compressed_unary(stub: Stub) -> None:
    for is_compressed in (True, False):
        request = simple(response_compressed={"value": is_compressed})
        assert stub.unary("UnaryCall", request, "SimpleResponse")[0].payload.body == bytes(LARGE_RESPONSE)


def test_client_streaming(stub: Stub) -> None:
    assert stub.input(sending(*REQUEST_SIZES)).result().aggregated_payload_size == sum(REQUEST_SIZES)


def test_client_compressed_streaming(stub: Stub) -> None:
    call = stub.input(sending(*REQUEST_SIZES), compression=grpc.Compression.Gzip)
    assert call.result().aggregated_payload_size == sum(REQUEST_SIZES)


def test_server_streaming(stub: Stub) -> None:
    answers = list(stub.output(asking(*RESPONSE_SIZES)))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_server_compressed_streaming(stub: Stub) -> None:
    answers = list(stub.output(asking(*RESPONSE_SIZES, compressed={"value": True})))
    assert [len(answer.payload.body) for answer in answers] == RESPONSE_SIZES


def test_ping_pong(stub: Stub) -> None:
    requests = Typed()
    call = stub.duplex(requests)
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES, strict=True):
        requests.put(asking(response_size, body=request_size))
        assert len(next(call).payload.body) == response_size
    requests.put(None)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_empty_stream(stub: Stub) -> None:
    call = stub.duplex(iter(()))
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_custom_metadata(stub: Stub) -> None:
    _, call = stub.unary("UnaryCall", simple(), "SimpleResponse", metadata=CUSTOM)
    assert (tuple(call.initial_metadata()), tuple(call.trailing_metadata())) == (CUSTOM[:1], CUSTOM[1:])
    requests = Typed()
    stream = stub.duplex(requests, metadata=CUSTOM)
    assert tuple(stream.initial_metadata()) == CUSTOM[:1], "before anything is sent or answered"
    requests.put(asking(LARGE_RESPONSE, body=LARGE_REQUEST))
    requests.put(None)
    assert [len(answer.payload.body) for answer in stream] == [LARGE_RESPONSE]
    assert tuple(stream.trailing_metadata()) == CUSTOM[1:]


def test_status_code_and_message(stub: Stub) -> None:
    status = {"code": 2, "message": "test status message"}
    with pytest.raises(grpc.RpcError) as caught:
        stub.unary("UnaryCall", simple(response_status=status), "SimpleResponse")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert caught.value.details() == f"{SERVICE}/UnaryCall: UNKNOWN: test status message"
    request = MESSAGES["StreamingOutputCallRequest"](response_status=status)
    code, text = status_of(stub.duplex(iter([request])))
    assert (code, text) == (grpc.StatusCode.UNKNOWN, f"{SERVICE}/FullDuplexCall: UNKNOWN: test status message")


def test_status_after_answers(stub: Stub) -> None:
    request = asking(*RESPONSE_SIZES)
    request.response_status.code, request.response_status.message = 9, "enough"
    call = stub.output(request)
    assert [len(next(call).payload.body) for _ in RESPONSE_SIZES] == RESPONSE_SIZES
    code, text = status_of(call)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert text == f"{SERVICE}/StreamingOutputCall: FAILED_PRECONDITION: enough"


def test_special_status_message(stub: Stub) -> None:
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    with pytest.raises(grpc.RpcError) as caught:
        stub.unary("UnaryCall", simple(response_status={"code": 2, "message": message}), "SimpleResponse")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert caught.value.details() == f"{SERVICE}/UnaryCall: UNKNOWN: {message}"


def test_unimplemented_method(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.unary("UnimplementedCall", MESSAGES["Empty"]())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_unimplemented_service(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.unary("UnimplementedCall", MESSAGES["Empty"](), service="grpc.testing.UnimplementedService")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_cancel_after_begin(stub: Stub) -> None:
    requests = Typed()
    call = stub.input(requests)
    call.cancel()
    requests.put(None)
    assert call.code() is grpc.StatusCode.CANCELLED


def test_cancel_after_first_response(stub: Stub) -> None:
    requests = Typed()
    call = stub.duplex(requests)
    requests.put(asking(RESPONSE_SIZES[0], body=REQUEST_SIZES[0]))
    assert len(next(call).payload.body) == RESPONSE_SIZES[0]
    assert stub.in_flight() == 1
    call.cancel()
    requests.put(None)
    assert status_of(call)[0] is grpc.StatusCode.CANCELLED
    until(lambda: stub.in_flight() == 0, "the runtime is told")


def test_timeout_on_sleeping_server(stub: Stub) -> None:
    requests = Typed()
    call = stub.duplex(requests, timeout=0.2)
    requests.put(asking(body=27182))
    assert status_of(call)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    requests.put(None)
    until(lambda: stub.in_flight() == 0, "the runtime is told")
