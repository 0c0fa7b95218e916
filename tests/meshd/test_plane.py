"""The data plane: what of a call reaches the runtime and comes back, over none or one hop, and how calls end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc
from runtimes import sdk
from runtimes.fake import Fake
from tests.client import ECHO, Client, instance_of, refused
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until

TELL, SAY, FAIL, BIG = "/spy.Spy/Tell", "/spy.Spy/Say", "/spy.Spy/Fail", "/spy.Spy/Big"
OWN = (("x-user", "u"), ("trace-bin", b"\x00\xff"), ("tas-model", "kept"))
SENT = (
    *OWN, ("mm-balanced", "false"), ("mm-required", "all"), ("mm-i-v", "1"), ("mm-i-key-bin", b"guess"),
    ("mm-i-kind", "hit"), ("mm-i-model-bin", b"other"), ("mm-vmodel-other", "v"),
)  # fmt: skip


class Spy(Fake):
    """A fake runtime that also tells what it was sent, and answers with metadata of its own."""

    def register(self, server: aio.Server) -> None:
        calls = {"Tell": self._tell, "Say": self._say, "Fail": self._fail, "Big": self._big}
        handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
        handlers["Sum"] = grpc.stream_unary_rpc_method_handler(self._sum)
        handlers["One"] = grpc.unary_stream_rpc_method_handler(self._one)
        handlers["Late"] = grpc.unary_stream_rpc_method_handler(self._late)
        handlers["Break"] = grpc.stream_stream_rpc_method_handler(self._break)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("spy.Spy", handlers),))
        super().register(server)

    async def _tell(self, body: bytes, context: Any) -> bytes:
        await self.answer(sdk.model_id(context), context)
        metadata = [
            (name, value.hex() if isinstance(value, bytes) else value) for name, value in context.invocation_metadata()
        ]
        return json.dumps({"metadata": metadata, "left_s": context.time_remaining()}).encode()

    async def _say(self, body: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("first", "1"), ("first-bin", b"\x01"), ("mm-secret", "x")))
        context.set_trailing_metadata((("last", "2"), ("last-bin", b"\x02"), ("mm-i-verdict", "full")))
        return body

    async def _fail(self, body: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("first", "1"),))
        code = grpc.StatusCode[body.decode()]
        await context.abort(code, "naïve reason", (("detail-bin", b"\x03"), ("mm-own", "x")))
        return b""

    async def _sum(self, bodies: AsyncIterator[bytes], context: Any) -> bytes:
        size = 0
        async for body in bodies:
            size += len(body)
        await self.answer(sdk.model_id(context), context)
        return str(size).encode()

    async def _one(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        yield body
        await asyncio.Event().wait()

    async def _late(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(float(body))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough")

    async def _break(self, bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        # A client that may still send is answered at once: what is done here is not to depend on who is faster.
        for body in [body async for body in bodies]:
            yield body
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone in the middle")

    async def _big(self, body: bytes, context: Any) -> bytes:
        return bytes(int(body))


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2, runtime=Spy, MM_SVC_GRPC_MAX_MSG_SIZE="100000") as made:
        yield made


@pytest.fixture(params=["straight", "over a hop"])
def on_way(request: pytest.FixtureRequest, pair: Mesh) -> tuple[Client, Client]:
    """A client of the instance that shall hold the model, and one of the instance that is asked."""
    return pair[0].client, pair[0 if request.param == "straight" else 1].client


def loaded_on_i0(pair: Mesh, model: str, path: str = "fake:?") -> None:
    pair[0].client.register(model, path)
    pair.copy(model, 0)
    until(lambda: pair[1].client.holders(model) == ["i0"], "i1 knows of the copy")
    until(lambda: pair[1].client.state(model) == "LOADED", "i1 knows that it is ready")


# -- which model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ((), ("INVALID_ARGUMENT", "must include mm-model-id header")),
        ((("mm-model-id", ""),), ("INVALID_ARGUMENT", "provided model-id header must be non-empty")),
        ((("mm-vmodel-id", ""),), ("INVALID_ARGUMENT", "provided vmodel-id header must be non-empty")),
        ((("mm-model-id", "a"), ("mm-vmodel-id", "a")),
         ("INVALID_ARGUMENT", "must include only one of model id and vmodel id")),
        ((("mm-model-id", "nowhere"),), ("NOT_FOUND", "model not found")),
        ((("mm-model-id-bin", "näh/nirgends".encode()),), ("NOT_FOUND", "model not found")),
        ((("tas-model-id", "nowhere"),), ("NOT_FOUND", "model not found")),
        ((("mm-vmodel-id", "nowhere"),), ("NOT_FOUND", "vmodel not found")),
    ],
)  # fmt: skip
def test_a_call_that_names_no_registered_model_is_refused(pair: Mesh, metadata: Any, status: tuple[str, str]) -> None:
    for instance in pair.instances:
        assert refused(lambda instance=instance: instance.client.call(ECHO, b"x", metadata)) == status  # type: ignore[misc]


@pytest.mark.parametrize("name", ["plain", "naïve model/β", "tab\there", "line\nbreak", "%41/../x?y=z"])
def test_every_id_reaches_its_model(pair: Mesh, on_way: tuple[Client, Client], name: str) -> None:
    holder, asked = on_way
    holder.register(name)
    pair.copy(name, 0)
    until(lambda: asked.state(name) == "LOADED", "known")
    answer = asked.infer(name)
    assert answer.initial["fake-model-bin"] == name.encode()
    told = json.loads(asked.call(TELL, b"", (("mm-model-id-bin", name.encode()),)).body)["metadata"]
    assert ["mm-model-id-bin", name.encode().hex()] in told
    assert (["mm-model-id", name] in told) is (name.isascii() and name.isprintable())


# -- what passes ------------------------------------------------------------------------------------------------


def test_the_runtime_sees_the_clients_metadata_and_the_id_alone(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model)
    told = json.loads(on_way[1].call(TELL, b"", (("mm-model-id", model), *SENT), timeout_s=50).body)
    expected = [[name, value.hex() if isinstance(value, bytes) else value] for name, value in OWN]
    expected += [["mm-model-id-bin", model.encode().hex()], ["mm-model-id", model]]
    assert [pair for pair in told["metadata"] if pair[0] != "user-agent"] == expected
    assert 30 < told["left_s"] < 51, "the client gave it 50"


def test_the_client_sees_the_runtimes_metadata(pair: Mesh, on_way: tuple[Client, Client], model: str) -> None:
    loaded_on_i0(pair, model)
    answer = on_way[1].call(SAY, b"\x00body", (("mm-model-id", model),))
    assert answer.body == b"\x00body"
    assert answer.initial == {"first": "1", "first-bin": b"\x01"}
    assert answer.trailing == {"last": "2", "last-bin": b"\x02"}


def test_the_runtimes_error_comes_with_its_code_text_and_metadata(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model)
    for code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNKNOWN", "DATA_LOSS", "INTERNAL",
                 "PERMISSION_DENIED", "UNAUTHENTICATED", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"):  # fmt: skip
        with pytest.raises(grpc.RpcError) as caught:
            on_way[1].call(FAIL, code.encode(), (("mm-model-id", model),))
        error: Any = caught.value
        assert (error.code().name, error.details()) == (code, f"spy.Spy/Fail: {code}: naïve reason")
        assert dict(error.initial_metadata()) == {"first": "1"}
        assert dict(error.trailing_metadata()) == {"detail-bin": b"\x03"}
    assert pair[0].client.holders(model) == ["i0"]


def test_a_request_that_the_runtime_answers_with_an_error_is_asked_once(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model, "fake:?infer_fail=ABORTED&infer_text=conflict")
    assert refused(lambda: on_way[1].infer(model))[0] == "ABORTED"
    assert sum(i.fake.counts[model].infers for i in pair.instances if model in i.fake.counts) == 1


def test_an_error_without_a_text_has_just_its_code(pair: Mesh, on_way: tuple[Client, Client], model: str) -> None:
    loaded_on_i0(pair, model, "fake:?infer_fail=ABORTED&infer_text=")
    assert refused(lambda: on_way[1].infer(model)) == ("ABORTED", "some.Service/Method: ABORTED")


def test_an_unavailable_runtime_is_an_internal_error_and_keeps_its_copy(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model, "fake:?infer_fail=UNAVAILABLE&infer_text=busy")
    text = "ModelRuntime UNAVAILABLE: some.Service/Method: UNAVAILABLE: busy"
    assert refused(lambda: on_way[1].infer(model)) == ("INTERNAL", text)
    assert "i0" in pair[0].client.holders(model)


def test_an_exhausted_copy_is_passed_over_once(pair: Mesh, on_way: tuple[Client, Client], model: str) -> None:
    loaded_on_i0(pair, model, "fake:?infer_fail=RESOURCE_EXHAUSTED&infer_text=queue")
    text = "some.Service/Method: RESOURCE_EXHAUSTED: queue"
    assert refused(lambda: on_way[1].infer(model)) == ("RESOURCE_EXHAUSTED", text)
    assert sum(instance.fake.counts[model].infers for instance in pair.instances) == 2


@pytest.mark.parametrize(
    "service", ["mmesh.ModelRuntime/loadModel", "com.ibm.watson.tas.internal.proto.ModelServer/unloadModel"]
)
def test_the_runtimes_management_is_out_of_reach(pair: Mesh, model: str, service: str) -> None:
    loaded_on_i0(pair, model)
    text = f"{service}: UNIMPLEMENTED: Method not found or not permitted: {service}"
    call = lambda: pair[1].client.call(f"/{service}", b"", (("mm-model-id", model),))  # noqa: E731
    assert refused(call) == ("UNIMPLEMENTED", text)


def test_typed_clients_need_no_change(pair: Mesh, on_way: tuple[Client, Client], model: str) -> None:
    loaded_on_i0(pair, model)
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(on_way[1].channel)
    request = v2.ModelInferRequest(model_name="served", raw_input_contents=[b"\x00\x01"])
    answer = stub.ModelInfer(request, metadata=(("mm-model-id", model),))
    assert (answer.model_name, list(answer.raw_output_contents)) == ("served", [b"\x00\x01"])


def test_a_request_larger_than_allowed_is_refused_and_harms_nobody(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model)
    headers = (("mm-model-id", model),)
    assert len(on_way[1].call(ECHO, bytes(100_000), headers).body) == 100_000
    assert refused(lambda: on_way[1].call(ECHO, bytes(100_001), headers))[0] == "RESOURCE_EXHAUSTED"
    assert on_way[1].call(ECHO, b"x", headers).body == b"x"


def test_an_answer_larger_than_allowed_is_refused_and_harms_nobody(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model)
    headers = (("mm-model-id", model),)
    assert len(on_way[1].call(BIG, b"100000", headers).body) == 100_000
    assert refused(lambda: on_way[1].call(BIG, b"100001", headers))[0] == "RESOURCE_EXHAUSTED"
    assert on_way[1].call(ECHO, b"x", headers).body == b"x"


# -- where ------------------------------------------------------------------------------------------------------


def test_a_balanced_request_stays_where_there_is_a_copy(pair: Mesh, model: str) -> None:
    loaded_on_i0(pair, model)
    pair.copy(model, 1)
    for instance in pair.instances:
        until(lambda instance=instance: instance.client.holders(model) == ["i0", "i1"], "both are known")  # type: ignore[misc]
        answers = [instance_of(instance.client.infer(model, metadata=(("mm-balanced", "true"),))) for _ in range(20)]
        assert answers == [instance.name] * 20


def test_other_requests_are_spread_over_the_copies(pair: Mesh, model: str) -> None:
    loaded_on_i0(pair, model)
    pair.copy(model, 1)
    until(lambda: len({instance_of(pair[0].client.infer(model)) for _ in range(10)}) == 2, "both answer")


def test_a_balanced_request_goes_to_the_copy_where_there_is_none_here(pair: Mesh, model: str) -> None:
    loaded_on_i0(pair, model)
    assert instance_of(pair[1].client.infer(model, metadata=(("mm-balanced", "true"),))) == "i0"


# -- loads on the way -------------------------------------------------------------------------------------------


def test_a_request_for_a_model_that_is_nowhere_loads_it_and_is_answered(pair: Mesh, model: str) -> None:
    pair[0].client.register(model, "fake:?load_ms=50")
    answer = pair[1].client.infer(model)
    assert answer.body == b"hello"
    assert pair[0].client.holders(model) == [instance_of(answer)]


def test_requests_that_come_together_share_one_load(pair: Mesh, model: str) -> None:
    pair[0].client.register(model, "fake:?load_ms=200")
    headers = (("mm-model-id", model),)
    calls = [instance.client.begin(ECHO, b"x", headers) for instance in pair.instances * 8]
    assert [call.result() for call in calls] == [b"x"] * 16
    assert sum(i.fake.counts[model].loads for i in pair.instances if model in i.fake.counts) == 1


def test_a_load_that_fails_everywhere_is_told_with_the_runtimes_reason(pair: Mesh, model: str) -> None:
    pair[0].client.register(model, "fake:?fail=INVALID_ARGUMENT&fail_text=bad+load")
    for instance in pair.instances:
        told = refused(lambda instance=instance: instance.client.infer(model))  # type: ignore[misc]
        assert told == ("INTERNAL", "INVALID_ARGUMENT: bad load")
    failed = sum(instance.fake.counts[model].failed_loads for instance in pair.instances)
    assert failed == 2, "once on each instance, and recorded from then on"


def test_a_copy_that_the_runtime_lost_is_loaded_again_and_the_request_answered(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model)
    del pair[0].fake.models[model]
    assert on_way[1].infer(model).body == b"hello"
    assert sum(i.fake.counts[model].loads for i in pair.instances if model in i.fake.counts) == 2


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("NOT_FOUND", "no such model"),
        ("UNAVAILABLE", "Request for unknown model: 'x' is not found"),
        ("UNAVAILABLE", "Request for unknown model: 'x' has no available versions"),
        ("INVALID_ARGUMENT", "Model x not found"),
    ],
)
def test_a_runtime_that_never_has_its_model_ends_the_request(pair: Mesh, model: str, code: str, text: str) -> None:
    pair[0].client.register(model, f"fake:?infer_fail={code}&infer_text={text.replace(' ', '+')}")
    assert refused(lambda: pair[1].client.infer(model)) == ("INTERNAL", "8 retry iterations exhausted")
    assert 2 < sum(i.fake.counts[model].loads for i in pair.instances) <= 8


# -- clients that leave -----------------------------------------------------------------------------------------


def in_flight(pair: Mesh) -> int:
    return sum(instance.fake.total.in_flight for instance in pair.instances)


def test_a_client_that_leaves_ends_its_request_in_the_runtime(
    pair: Mesh, on_way: tuple[Client, Client], model: str
) -> None:
    loaded_on_i0(pair, model, "fake:?infer_ms=600000")
    call = on_way[1].begin(ECHO, b"x", (("mm-model-id", model),))
    until(lambda: in_flight(pair) == 1, "the runtime has it")
    call.cancel()
    until(lambda: in_flight(pair) == 0, "the runtime is told")


def test_a_deadline_ends_a_request_in_the_runtime(pair: Mesh, on_way: tuple[Client, Client], model: str) -> None:
    loaded_on_i0(pair, model, "fake:?infer_ms=600000")
    call = lambda: on_way[1].call(ECHO, b"x", (("mm-model-id", model),), timeout_s=0.2)  # noqa: E731
    assert refused(call)[0] == "DEADLINE_EXCEEDED"
    until(lambda: in_flight(pair) == 0, "the runtime is told")


def test_a_deadline_ends_the_wait_for_a_load_and_not_the_load(pair: Mesh, model: str) -> None:
    pair[0].client.register(model, "fake:?load_ms=500")
    call = lambda: pair[0].client.call(ECHO, b"x", (("mm-model-id", model),), timeout_s=0.1)  # noqa: E731
    assert refused(call)[0] == "DEADLINE_EXCEEDED"
    until(lambda: pair[0].client.state(model) == "LOADED", "the load goes on")
    assert pair[1].client.infer(model).body == b"hello"


# -- beside inference -------------------------------------------------------------------------------------------


def test_the_health_service_answers(pair: Mesh) -> None:
    stub = health_pb2_grpc.HealthStub(pair[0].client.channel)
    assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
