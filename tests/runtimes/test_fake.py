from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from grpc import aio

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc, model_runtime_pb2_grpc
from protos import model_runtime_pb2 as pb
from runtimes import behaviour, sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake

T = TypeVar("T")
HANG_S = 30
MIB = 1 << 20


class Client:
    """Everything a test calls on one fake runtime."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.spi = model_runtime_pb2_grpc.ModelRuntimeStub(channel)
        self.v2 = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def load(self, model_id: str, path: str = "", key: str = "") -> Any:
        return await self.spi.loadModel(pb.LoadModelRequest(modelId=model_id, modelPath=path, modelKey=key))

    def call(self, method: str, body: bytes = b"", model_id: str = "") -> Any:
        metadata = (("mm-model-id-bin", model_id.encode()),) if model_id else ()
        return self.channel.unary_unary(method)(body, metadata=metadata)

    async def stats(self) -> Any:
        return json.loads(await self.call("/fake.Control/Stats"))


def served(test: Callable[[Client], Awaitable[T]], default: Behaviour | None = None) -> T:
    async def run() -> T:
        fake = Fake(1024 * MIB, default or Behaviour(), "fake-1")
        async with (
            asyncio.timeout(HANG_S),
            sdk.serving(fake, sdk.Listen(port=0)) as running,
            aio.insecure_channel(running.address) as channel,
        ):
            return await test(Client(channel))

    return asyncio.run(run())


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details()


def test_any_method_sends_the_request_back_and_says_who_answered() -> None:
    async def test(client: Client) -> None:
        await client.load("m")
        await client.load("é\n")
        call = client.call("/some.Service/Method", b"\x00body", "m")
        assert await call == b"\x00body"
        headers = dict(list(await call.initial_metadata()))
        assert (headers["fake-model"], headers["fake-model-bin"], headers["fake-instance"]) == ("m", b"m", "fake-1")
        call = client.call("/some.Service/Method", b"", "é\n")
        await call
        headers = dict(list(await call.initial_metadata()))
        assert headers["fake-model-bin"].decode() == "é\n"
        assert "fake-model" not in headers

    served(test)


def test_a_stream_comes_back_message_by_message() -> None:
    async def test(client: Client) -> list[bytes]:
        await client.load("m")
        call = client.channel.stream_stream("/some.Service/AStream")(
            iter([b"1", b"2", b"3"]), metadata=(("mm-model-id", "m"),)
        )
        return [message async for message in call]

    assert served(test) == [b"1", b"2", b"3"]


def test_a_model_that_is_not_loaded_is_not_found() -> None:
    async def test(client: Client) -> None:
        expected = ("NOT_FOUND", "model m is not loaded")
        assert await refused(client.call("/a.B/C", b"", "m")) == expected
        assert await refused(client.v2.ModelInfer(v2.ModelInferRequest(model_name="m"))) == expected
        await client.load("m")
        await client.spi.unloadModel(pb.UnloadModelRequest(modelId="m"))
        assert await refused(client.call("/a.B/C", b"", "m")) == expected
        assert await refused(client.call("/a.B/C")) == ("INVALID_ARGUMENT", "the request names no model")

    served(test)


def test_v2_inputs_come_back_as_outputs() -> None:
    async def test(client: Client) -> None:
        await client.load("m")
        request = v2.ModelInferRequest(model_name="m", id="7")
        request.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1, 2])
        answer = await client.v2.ModelInfer(request)
        assert (answer.model_name, answer.id) == ("m", "7")
        assert answer.outputs[0].name == "x"
        assert list(answer.outputs[0].contents.fp32_contents) == [1, 2]
        request = v2.ModelInferRequest(model_name="other", raw_input_contents=[b"\0\0"])
        request.inputs.add(name="x", datatype="INT16", shape=[1])
        answer = await client.v2.ModelInfer(request, metadata=(("mm-model-id", "m"),))
        assert list(answer.raw_output_contents) == [b"\0\0"]
        assert (await client.v2.ModelReady(v2.ModelReadyRequest(name="m"))).ready
        assert (await client.v2.ModelMetadata(v2.ModelMetadataRequest(name="m"))).platform == "fake"
        assert (await client.v2.ServerLive(v2.ServerLiveRequest())).live
        assert (await client.v2.ServerReady(v2.ServerReadyRequest())).ready
        assert (await client.v2.ServerMetadata(v2.ServerMetadataRequest())).name == "fake-1"

    served(test)


def test_sizes_and_concurrency_are_what_the_registration_says() -> None:
    async def test(client: Client) -> None:
        answer = await client.load("m", "fake:?size=50MiB&concurrency=2")
        assert (answer.sizeInBytes, answer.maxConcurrency) == (50 * MIB, 2)
        request = pb.PredictModelSizeRequest(modelId="p", modelKey='{"size": "3MiB", "storage_key": "s3"}')
        assert (await client.spi.predictModelSize(request)).sizeInBytes == 3 * MIB
        answer = await client.load("late", "fake:size=5MiB&measure=true")
        assert answer.sizeInBytes == 0
        assert (await client.spi.modelSize(pb.ModelSizeRequest(modelId="late"))).sizeInBytes == 5 * MIB
        assert (await client.load("plain", "/models/x")).sizeInBytes == 7 * MIB

    served(test, Behaviour(size=7 * MIB))


def test_failures_are_what_the_registration_says() -> None:
    async def test(client: Client) -> None:
        assert await refused(client.load("m", "fake:?fail=NOT_FOUND&fail_text=gone")) == ("NOT_FOUND", "gone")
        assert await refused(client.load("m", "fake:?fail=INTERNAL")) == ("INTERNAL", "told to fail")
        await client.load("i", "fake:?infer_fail=RESOURCE_EXHAUSTED&infer_text=too%20much")
        assert await refused(client.call("/a.B/C", b"", "i")) == ("RESOURCE_EXHAUSTED", "too much")

    served(test)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("fake:?sise=1", "no such instruction: sise; there are size, load_ms"),
        ("fake:?size=1parrot", "size=1parrot of model m: '1parrot' is not a size"),
        ("fake:?load_ms=-1", "not a duration"),
        ("fake:?load_ms=soon", "load_ms=soon of model m"),
        ("fake:?fail=BROKEN", "not a gRPC status code"),
        ("fake:?measure=perhaps", "neither true nor false"),
        ("{", "Expecting"),
    ],
)
def test_instructions_that_cannot_be_read_fail_the_load(path: str, said: str) -> None:
    async def test(client: Client) -> None:
        code, text = await refused(client.load("m", path))
        assert code == "INVALID_ARGUMENT"
        assert said in text

    served(test)


def test_the_key_counts_more_than_the_path_and_both_more_than_the_default() -> None:
    model = sdk.ModelInfo("m", "t", "fake:?size=1MiB&load_ms=5", '{"load_ms": 7, "size": 4096}')
    assert behaviour.behaviour(model, Behaviour(infer_ms=3)) == Behaviour(size=4096, load_ms=7, infer_ms=3)


def test_every_part_of_a_behaviour_can_be_said() -> None:
    assert list(behaviour.READERS) == [field.name for field in fields(Behaviour)]


def test_times_are_taken_without_holding_others_up() -> None:
    async def test(client: Client) -> None:
        await client.load("slow", "fake:?infer_ms=3600000&load_ms=1&unload_ms=1")
        waiting = [client.call("/a.B/C", b"", "slow") for _ in range(3)]
        while (await client.stats())["in_flight"] < 3:
            pass
        await client.load("quick", "fake:?infer_ms=1")
        assert await client.call("/a.B/C", b"!", "quick") == b"!"
        for call in waiting:
            call.cancel()
        while (await client.stats())["in_flight"]:
            pass

    served(test)


def test_a_long_load_can_be_cancelled() -> None:
    async def test(client: Client) -> None:
        request = pb.LoadModelRequest(modelId="m", modelPath="fake:?load_ms=3600000")
        assert (await refused(client.spi.loadModel(request, timeout=0.2)))[0] == "DEADLINE_EXCEEDED"
        await client.spi.unloadModel(pb.UnloadModelRequest(modelId="m"))
        stats = await client.stats()
        assert (stats["loads"], stats["unloads"]) == (0, 0)

    served(test)


def test_stats_count_what_happened() -> None:
    async def test(client: Client) -> None:
        await client.load("a", "fake:?size=20MiB")
        await client.load("a", "fake:?size=20MiB")
        await client.load("b", "fake:?size=5MiB&infer_fail=INTERNAL")
        await refused(client.load("c", "fake:?fail=INTERNAL"))
        await client.call("/a.B/C", b"", "a")
        await refused(client.call("/a.B/C", b"", "b"))
        await client.spi.unloadModel(pb.UnloadModelRequest(modelId="b"))
        stats = await client.stats()
        models = stats.pop("models")
        assert stats == {
            "instance": "fake-1",
            "loads": 2,
            "failed_loads": 1,
            "unloads": 1,
            "infers": 2,
            "failed_infers": 1,
            "in_flight": 0,
            "peak": 1,
            "used_bytes": 20 * MIB,
            "peak_bytes": 25 * MIB,
            "held_unloads": 0,
        }
        assert [(name, counts["loads"], counts["infers"], counts["loaded"]) for name, counts in models.items()] == [
            ("a", 1, 1, True),
            ("b", 1, 1, False),
            ("c", 0, 0, False),
        ]

    served(test)


def test_unloads_are_held_until_they_are_let_the_first_one_first() -> None:
    """Without a number all go on, and later ones are not held."""

    async def test(client: Client) -> None:
        async def unload(name: str) -> None:
            await client.spi.unloadModel(pb.UnloadModelRequest(modelId=name))

        async def loaded() -> list[str]:
            return [name for name, counts in (await client.stats())["models"].items() if counts["loaded"]]

        for name in ("a", "b", "c", "d"):
            await client.load(name)
        await client.call("/fake.Control/HoldUnloads")
        unloads = [asyncio.ensure_future(unload(name)) for name in ("a", "b", "c")]
        while (await client.stats())["held_unloads"] != 3:
            pass
        await client.call("/fake.Control/LetUnload", b"1")
        await asyncio.wait(unloads, return_when=asyncio.FIRST_COMPLETED)
        assert [unload.done() for unload in unloads] == [True, False, False]
        assert await loaded() == ["b", "c", "d"]
        assert (await refused(client.call("/fake.Control/LetUnload", b"x")))[0] == "INVALID_ARGUMENT"
        await client.call("/fake.Control/LetUnload")
        await asyncio.gather(*unloads)
        await unload("d")
        assert ((await client.stats())["held_unloads"], await loaded()) == (0, [])

    served(test)


def test_a_forgotten_model_is_not_found_until_it_is_loaded_again() -> None:
    async def test(client: Client) -> None:
        await client.load("m")
        await client.call("/fake.Control/Forget", b"m")
        assert (await refused(client.call("/a.B/C", b"", "m")))[0] == "NOT_FOUND"
        await client.load("m")
        assert await client.call("/a.B/C", b"here", "m") == b"here"
        assert (await client.stats())["loads"] == 2

    served(test)


def start(*flags: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "runtimes.fake", "--capacity", "1GiB", *flags]
    return subprocess.Popen(program, stderr=subprocess.PIPE, text=True)


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    match = re.fullmatch(r"ready on (.+)\n", line)
    assert match, line
    return match[1]


@pytest.mark.e2e
def test_the_process_says_where_it_listens_and_ends_calls_before_it_ends(tmp_path: Path) -> None:
    process = start("--socket", str(tmp_path / "s"), "--instance", "one", "--inject", "--limit-concurrency")

    async def run() -> None:
        async with asyncio.timeout(HANG_S), aio.insecure_channel(address_of(process)) as channel:
            client = Client(channel)
            status = await client.spi.runtimeStatus(pb.RuntimeStatusRequest())
            assert list(status.methodInfos["inference.GRPCInferenceService/ModelInfer"].idInjectionPath) == [1]
            assert (status.allowAnyMethod, status.limitModelConcurrency) == (True, True)
            await client.load("m", "fake:?infer_ms=500")
            call = asyncio.ensure_future(_answer(client.call("/a.B/C", b"body", "m")))
            while not (call.done() or (await client.stats())["in_flight"]):
                pass
            process.send_signal(signal.SIGTERM)
            assert await call == b"body"

    try:
        asyncio.run(run())
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.communicate()


async def _answer(call: Awaitable[T]) -> T:
    return await call


@pytest.mark.e2e
def test_a_port_in_use_ends_the_process_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert said == f"Fake: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.e2e
def test_a_capacity_the_mesh_would_refuse_ends_the_process_with_one_line() -> None:
    process = start("--default-size", "900MiB")
    _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert said.startswith("Fake: Fake.capacity_bytes is 1073741824; with a default model size of")
    assert said.count("\n") == 1
