"""The port between instances: who may use it, what it answers, and what an instance makes of strangers on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from meshcore.records import InstanceRecord
from meshd.plane import stream
from protos import meshd_internal_pb2 as wire
from protos import meshd_internal_pb2_grpc
from tests.client import ECHO, GUARD_S, instance_of, refused
from tests.meshd.mesh import Mesh, mesh
from tests.meshd.test_plane import TELL, Spy
from tests.processes import free_port, until

DENIED = ("PERMISSION_DENIED", "this port is for instances of this mesh")


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2, runtime=Spy) as made:
        yield made


def headers(pair: Mesh, model: str, **change: str | bytes) -> tuple[tuple[str, str | bytes], ...]:
    """What an instance sends with a request, changed."""
    usual: dict[str, str | bytes] = {
        "mm-i-v": "1",
        "mm-i-key-bin": pair.key,
        "mm-i-kind": "hit",
        "mm-i-model-bin": model.encode(),
        "mm-i-from": "i9",
        "mm-i-hops": "1",
    }
    return tuple({**usual, **{f"mm-i-{name.replace('_', '-')}": value for name, value in change.items()}}.items())


def passed_on(pair: Mesh, number: int, metadata: Any) -> tuple[bytes, dict[str, Any]]:
    """The answer to a request on the mesh port, and its trailers."""
    reply, call = pair[number].peer.unary_unary(ECHO).with_call(b"x", metadata=metadata, timeout=GUARD_S)
    return reply, dict(call.trailing_metadata())


def verdict(pair: Mesh, number: int, metadata: Any) -> tuple[str, str, wire.Verdict]:
    """How a request on the mesh port was refused: status, word, verdict."""
    with pytest.raises(grpc.RpcError) as caught:
        passed_on(pair, number, metadata)
    error: Any = caught.value
    trailers = dict(error.trailing_metadata())
    assert trailers["mm-i-answer"] == "1"
    return error.code().name, trailers["mm-i-verdict"], wire.Verdict.FromString(trailers["mm-i-verdict-bin"])


# -- who may ----------------------------------------------------------------------------------------------------


def test_nobody_without_the_key_gets_anything(pair: Mesh, model: str) -> None:
    pair.client.register(model)
    pair.copy(model, 0)
    stub = meshd_internal_pb2_grpc.MeshStub(pair[0].peer)
    ensure = wire.EnsureLoadedRequest(protocol=1, model=model, kind=wire.EnsureLoadedRequest.LOAD)
    for key in (None, b"", b"wrong", pair.key[:-1], pair.key + b"\0"):
        given: Any = (("mm-i-v", "1"),) if key is None else (("mm-i-v", "1"), ("mm-i-key-bin", key))
        full = tuple(pair_ for pair_ in headers(pair, model) if pair_[0] != "mm-i-key-bin") + given[1:]
        assert refused(lambda full=full: passed_on(pair, 0, full)) == DENIED  # type: ignore[misc]
        assert refused(lambda given=given: stub.EnsureLoaded(ensure, metadata=given)) == DENIED  # type: ignore[misc]
        assert refused(lambda given=given: stub.Hello(wire.HelloRequest(), metadata=given)) == DENIED  # type: ignore[misc]
    assert pair[0].fake.counts[model].infers == 0


def test_an_instance_says_who_it_is(pair: Mesh) -> None:
    stub = meshd_internal_pb2_grpc.MeshStub(pair[1].peer)
    hello = stub.Hello(wire.HelloRequest(protocol=1), metadata=(("mm-i-v", "1"), ("mm-i-key-bin", pair.key)))
    assert (hello.protocol, hello.instance, hello.phase) == (1, "i1", "ready")


def test_headers_of_instances_mean_nothing_from_outside(pair: Mesh, model: str) -> None:
    """Even with the right key: `hit` would say not-here, and another model would answer."""
    pair.client.register(model)
    pair.client.register(f"{model}-other")
    forged = headers(pair, f"{model}-other", tried_bin=json.dumps([["i0", 1]]).encode(), hops="9")
    answer = pair.client.call(TELL, b"", (("mm-model-id", model), *forged))
    told = json.loads(answer.body)["metadata"]
    assert not [name for name, _ in told if name.startswith("mm-i-")]
    assert answer.initial["fake-model"] == model
    assert not [name for name in {**answer.initial, **answer.trailing} if name.startswith("mm-")]
    no_model = ("INVALID_ARGUMENT", "must include mm-model-id header")
    assert refused(lambda: pair.client.call(ECHO, b"", forged)) == no_model
    assert refused(lambda: pair.client.call("/meshd.internal.v1.Mesh/Hello", b"", forged)) == no_model


# -- answers and verdicts ---------------------------------------------------------------------------------------


def test_an_answer_carries_a_mark_and_whether_it_waited_for_a_load(pair: Mesh, model: str) -> None:
    pair.client.register(model)
    load = headers(pair, model, kind="load")
    assert passed_on(pair, 1, load) == (b"x", {"mm-i-answer": "1", "mm-i-waited": "1"})
    assert passed_on(pair, 1, load) == (b"x", {"mm-i-answer": "1"})
    assert pair[0].client.holders(model) == ["i1"]


def test_an_only_message_says_that_it_is_the_whole_answer(
    pair: Mesh, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whoever passed the request on waits for its end; a client is not told."""
    monkeypatch.setattr(stream, "FIRST_S", GUARD_S)  # however long the status takes here
    pair.client.register(model)
    pair.copy(model, 0)
    reply, call = pair[0].peer.unary_unary(ECHO).with_call(b"x", metadata=headers(pair, model), timeout=GUARD_S)
    assert (reply, dict(call.initial_metadata()).get("mm-i-whole")) == (b"x", "1")
    assert "mm-i-whole" not in pair.client.infer(model).initial
    several = pair[0].peer.stream_stream("/some.Service/Stream")
    answers: Any = several(iter([b"a", b"b"]), metadata=headers(pair, model), timeout=GUARD_S)
    assert list(answers) == [b"a", b"b"]
    assert "mm-i-whole" not in dict(answers.initial_metadata())


def test_a_hit_loads_nothing(pair: Mesh, model: str) -> None:
    pair.client.register(model)
    code, word, told = verdict(pair, 0, headers(pair, model))
    assert (code, word, told.kind, told.instance) == ("UNAVAILABLE", "not-here", "not-here", "i0")
    assert InstanceRecord.decode(told.record).address
    assert pair[0].client.state(model) == "NOT_LOADED"


def test_a_model_that_is_registered_nowhere_is_told_so(pair: Mesh, model: str) -> None:
    assert verdict(pair, 0, headers(pair, model, kind="load"))[1] == "unknown-model"


def test_a_load_that_fails_is_told_with_its_reason(pair: Mesh, model: str) -> None:
    pair.client.register(model, "fake:?fail=DATA_LOSS&fail_text=bad+load")
    _, word, told = verdict(pair, 0, headers(pair, model, kind="load"))
    assert (word, told.text) == ("load-failed", "DATA_LOSS: bad load")


def test_a_request_of_another_version_is_told_so(pair: Mesh, model: str) -> None:
    pair.client.register(model)
    pair.copy(model, 0)
    for change in ({"v": "2"}, {"kind": "other"}, {"hops": "many"}):
        code, word, told = verdict(pair, 0, headers(pair, model, **change))
        assert (code, word, told.instance) == ("UNAVAILABLE", "version", "i0")
    stub = meshd_internal_pb2_grpc.MeshStub(pair[0].peer)
    ensure = wire.EnsureLoadedRequest(protocol=2, model=model, kind=wire.EnsureLoadedRequest.LOAD)
    metadata = (("mm-i-v", "1"), ("mm-i-key-bin", pair.key))
    assert refused(lambda: stub.EnsureLoaded(ensure, metadata=metadata))[0] == "FAILED_PRECONDITION"


def test_an_error_of_the_runtime_is_no_verdict(pair: Mesh, model: str) -> None:
    pair.client.register(model, "fake:?infer_fail=ABORTED&infer_text=x")
    pair.copy(model, 0)
    with pytest.raises(grpc.RpcError) as caught:
        passed_on(pair, 0, headers(pair, model))
    error: Any = caught.value
    assert (error.code().name, error.details()) == ("ABORTED", "some.Service/Method: ABORTED: x")
    assert dict(error.trailing_metadata()) == {"mm-i-answer": "1"}


# -- strangers --------------------------------------------------------------------------------------------------


Answering = Callable[[Any], Any]


class Stranger(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Whatever else may listen where an instance is expected."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.asked = 0

    def service(self, handler_call_details: Any) -> Any:
        def serve(_: bytes, context: Any) -> Any:
            self.asked += 1
            return self._answer(context)

        return grpc.unary_unary_rpc_method_handler(serve)


def another_mesh(context: Any) -> None:
    context.abort(grpc.StatusCode.PERMISSION_DENIED, DENIED[1])


def another_program(context: Any) -> None:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


def a_crash(context: Any) -> None:
    context.abort(grpc.StatusCode.UNKNOWN, "Unexpected <class 'Exception'>")


def another_version(context: Any) -> None:
    told = wire.Verdict(kind="version", instance="j")
    marks = (("mm-i-answer", "1"), ("mm-i-verdict", "version"), ("mm-i-verdict-bin", told.SerializeToString()))
    context.set_trailing_metadata(marks)
    context.abort(grpc.StatusCode.UNAVAILABLE, "version")


def a_later_verdict(context: Any) -> None:
    told = wire.Verdict(kind="moved-to-the-moon", instance="j")
    context.set_trailing_metadata((("mm-i-answer", "1"), ("mm-i-verdict-bin", told.SerializeToString())))
    context.abort(grpc.StatusCode.UNAVAILABLE, "no")


@contextmanager
def stranger(pair: Mesh, address: str, model: str) -> Iterator[None]:
    """An instance ``j`` at ``address`` that is said to have the model, and to be the best to load others."""
    record = InstanceRecord(start_ms=1, capacity_units=2**40, load_threads=64, address=address, phase="ready")
    pair.put("instances/j", record.encode())
    pair.put(f"registry/{model}", b'{"type":"fake","instanceIds":{"j":5},"meshd":{"ready":{"j":5}}}')
    try:
        for instance in pair.instances:
            until(lambda instance=instance: "j" in instance.client.instances(), "j is known")  # type: ignore[misc]
            until(lambda instance=instance: instance.client.holders(model) == ["j"], "so is its copy")  # type: ignore[misc]
        yield
    finally:
        pair.delete("instances/j")


@pytest.mark.parametrize("answering", [another_mesh, another_program, a_crash, another_version, a_later_verdict])
def test_a_request_is_answered_in_spite_of_a_stranger(pair: Mesh, model: str, answering: Answering) -> None:
    handler = Stranger(answering)
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with stranger(pair, f"127.0.0.1:{port}", model):
            assert instance_of(pair.client.infer(model)) in ("i0", "i1")
            assert handler.asked
            assert pair[1].client.infer(model).body == b"hello"
    finally:
        server.stop(None).wait()


class Dying(grpc.GenericRpcHandler):  # type: ignore[misc]
    """An instance that has the whole of an answer, passes it on, takes its time and dies before it ends it."""

    TIME_S = 0.2
    """Longer than the first message of an answer is held that may go on."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._never = threading.Event()

    def service(self, handler_call_details: Any) -> Any:
        def serve(_: Any, context: Any) -> Iterator[bytes]:
            context.send_initial_metadata((("mm-i-whole", "1"),))
            yield b"from j"
            self._never.wait(self.TIME_S)
            self.asked.set()
            self._never.wait(GUARD_S)

        return grpc.stream_stream_rpc_method_handler(serve)

    def end(self) -> None:
        self._never.set()


def test_a_whole_answer_is_no_answer_without_its_end(pair: Mesh, model: str) -> None:
    handler = Dying()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with stranger(pair, f"127.0.0.1:{port}", model):
            call = pair.client.begin(ECHO, b"x", (("mm-model-id", model),))
            assert handler.asked.wait(GUARD_S)
            server.stop(0)
            assert call.result() == b"x"
    finally:
        handler.end()
        server.stop(0).wait()


def test_a_request_is_answered_in_spite_of_an_instance_that_is_gone(pair: Mesh, model: str) -> None:
    with stranger(pair, f"127.0.0.1:{free_port()}", model):
        for instance in pair.instances:
            assert instance_of(instance.client.infer(model)) in ("i0", "i1")
        assert pair.client.ensure(model).status == 3


def test_a_copy_that_is_not_there_is_taken_out_of_its_record(pair: Mesh, model: str) -> None:
    pair.put(f"registry/{model}", b'{"type":"fake"}')
    started = pair[1].client.instances()["i1"].start_ms
    record = {"type": "fake", "instanceIds": {"i1": started}, "meshd": {"ready": {"i1": started}}}
    pair.put(f"registry/{model}", json.dumps(record).encode())
    assert pair.client.infer(model).body == b"hello"
    until(lambda: (pair.record(model) or {})["instanceIds"].get("i1") != started, "the record is right again")
