"""What is asked of the runtime once it is ready: loads, sizes, unloads, and calls to what it serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshcore.commands import Measure
from meshcore.events import Failing, Loaded, LoadFailed, Measured, Predicted, Unloaded, UnloadFailed
from meshd.spi import RuntimeClient
from protos import model_runtime_pb2 as spi
from tests.meshd.scripted_runtime import (
    SERVICE,
    UNLOAD,
    Echo,
    FakeRuntime,
    bytes_of,
    client_of,
    fails,
    load,
    never,
    predict,
    raw,
    ready,
    run,
    says,
    serving,
    with_runtime,
)

# -- loads -----------------------------------------------------------------------------------------------


def test_a_load_carries_the_registration_and_answers_size_and_concurrency() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = says(spi.LoadModelResponse(sizeInBytes=77, maxConcurrency=2))
        assert await client.load(load(model="é/\n")) == Loaded("é/\n", 3, 77, 2)
        assert runtime.asked == [spi.LoadModelRequest(modelId="é/\n", modelType="t", modelPath="p", modelKey="k")]

    with_runtime(scene)


def test_a_load_has_no_grpc_deadline() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        left: list[float | None] = []

        async def answer(request: Any, context: Any) -> Any:
            left.append(context.time_remaining())
            return spi.LoadModelResponse()

        runtime.answers["load"] = answer
        await client.load(load())
        assert left == [None]

    with_runtime(scene)


@pytest.mark.parametrize(
    ("code", "details", "text"),
    [
        (grpc.StatusCode.INTERNAL, "bad load", "INTERNAL: bad load"),
        (grpc.StatusCode.UNKNOWN, "bad load", "bad load"),
        (grpc.StatusCode.NOT_FOUND, "", "NOT_FOUND"),
        (grpc.StatusCode.UNKNOWN, "", "UNKNOWN"),
    ],
)
def test_a_failed_load_says_why(code: grpc.StatusCode, details: str, text: str) -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = fails(code, details)
        assert await client.load(load()) == LoadFailed("m", 3, text)

    with_runtime(scene)


def test_a_load_that_takes_too_long_is_cancelled_and_says_how_long() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = never
        text = "DEADLINE_EXCEEDED: not loaded after 0.1 s"
        assert await client.load(load(deadline_ms=100)) == LoadFailed("m", 3, text, Failing.LATE)
        if runtime.entered.is_set():
            await runtime.cancelled.wait()

    with_runtime(scene)


def test_a_cancelled_load_is_answered_and_the_runtime_hears_of_it() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = never
        loading = asyncio.create_task(client.load(load()))
        await runtime.entered.wait()
        client.cancel_load("m", 2)
        client.cancel_load("m", 3)
        assert await loading == LoadFailed("m", 3, "CANCELLED: nobody waits for this load any more")
        await runtime.cancelled.wait()
        client.cancel_load("m", 3)

    with_runtime(scene)


def test_a_load_can_be_cancelled_before_anything_ran() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = never
        loading = client.load(load())
        client.cancel_load("m", 3)
        assert isinstance(await loading, LoadFailed)

    with_runtime(scene)


def test_a_task_that_is_cancelled_takes_its_load_with_it() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = never
        loading = asyncio.create_task(client.load(load()))
        await runtime.entered.wait()
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        await runtime.cancelled.wait()

    with_runtime(scene)


def test_a_size_that_cannot_be_fails_the_load() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["load"] = says(spi.LoadModelResponse(sizeInBytes=2**64 - 5))
        assert await client.load(load()) == LoadFailed(
            "m", 3, "the runtime says that the model has 18446744073709551611 bytes"
        )

    with_runtime(scene)


def test_a_registration_that_is_not_text_fails_the_load_alone() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        failed = await client.load(load(path="\ud800"))
        assert isinstance(failed, LoadFailed)
        assert failed.text.startswith("the registration cannot be sent to the runtime: ")
        assert await client.predict(predict(path="\ud800")) == Predicted("m", 3, 0)
        assert runtime.asked == []

    with_runtime(scene)


def test_a_runtime_that_is_gone_or_talks_nonsense_fails_the_load(tmp_path: Path) -> None:
    async def scene() -> None:
        socket = f"unix:{tmp_path}/grpc.sock"
        async with client_of(socket) as client:
            nonsense = raw(SERVICE, runtimeStatus=bytes_of(ready()), loadModel=b"\xff")
            async with serving(nonsense, address=socket):
                await client.start(poll_s=0)
                assert await client.load(load()) == LoadFailed("m", 3, "the runtime's answer cannot be read")
            failed = await client.load(load())
            assert isinstance(failed, LoadFailed)
            assert failed.text.startswith("UNAVAILABLE: ")
            assert failed.how is Failing.LOST

    run(scene())


# -- sizes -----------------------------------------------------------------------------------------------


def test_sizes_are_asked_for() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["predict"] = says(spi.PredictModelSizeResponse(sizeInBytes=5))
        runtime.answers["measure"] = says(spi.ModelSizeResponse(sizeInBytes=6))
        assert await client.predict(predict()) == Predicted("m", 3, 5)
        assert await client.measure(Measure("m", 3, 60_000)) == Measured("m", 3, 6)
        assert runtime.asked == [
            spi.PredictModelSizeRequest(modelId="m", modelType="t", modelPath="p", modelKey="k"),
            spi.ModelSizeRequest(modelId="m"),
        ]

    with_runtime(scene)


def test_a_method_for_sizes_that_the_runtime_lacks_is_asked_for_once() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["predict"] = runtime.answers["measure"] = fails(grpc.StatusCode.UNIMPLEMENTED)
        for _ in range(3):
            assert await client.predict(predict()) == Predicted("m", 3, 0)
            assert await client.measure(Measure("m", 3, 60_000)) == Measured("m", 3, 0)
        assert len(runtime.asked) == 2

    with_runtime(scene)


def test_a_size_that_is_late_wrong_or_refused_is_unknown_and_is_asked_for_again() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["predict"] = never
        assert await client.predict(predict(deadline_ms=50)) == Predicted("m", 3, 0)
        runtime.answers["predict"] = says(spi.PredictModelSizeResponse(sizeInBytes=2**63))
        assert await client.predict(predict()) == Predicted("m", 3, 0)
        runtime.answers["predict"] = fails(grpc.StatusCode.INTERNAL)
        assert await client.predict(predict()) == Predicted("m", 3, 0)
        runtime.answers["predict"] = says(spi.PredictModelSizeResponse(sizeInBytes=2**40))
        assert await client.predict(predict()) == Predicted("m", 3, 2**40)

    with_runtime(scene)


# -- unloads ---------------------------------------------------------------------------------------------


def test_an_unload_of_what_is_loaded_or_unknown_succeeds_anything_else_fails() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["unload"] = says(spi.UnloadModelResponse())
        assert await client.unload(UNLOAD) == Unloaded("m", 3)
        assert runtime.asked == [spi.UnloadModelRequest(modelId="m")]
        runtime.answers["unload"] = fails(grpc.StatusCode.NOT_FOUND, "who?")
        assert await client.unload(UNLOAD) == Unloaded("m", 3)
        runtime.answers["unload"] = fails(grpc.StatusCode.INTERNAL, "stuck")
        assert await client.unload(UNLOAD) == UnloadFailed("m", 3, "INTERNAL: stuck")

    with_runtime(scene)


def test_an_unload_does_not_last_for_ever() -> None:
    async def scene(runtime: FakeRuntime, client: RuntimeClient) -> None:
        runtime.answers["unload"] = never
        assert await client.unload(UNLOAD) == UnloadFailed("m", 3, "DEADLINE_EXCEEDED: not unloaded after 0.1 s")
        if runtime.entered.is_set():
            await runtime.cancelled.wait()

    with_runtime(scene, unload_limit_s=0.1)


# -- what the runtime serves -----------------------------------------------------------------------------


def test_calls_go_where_the_runtime_serves() -> None:
    async def scene() -> None:
        async with (
            serving(servicer=FakeRuntime()) as target,
            serving(Echo()) as apart,
            client_of(target, serving_target=apart) as client,
        ):
            await client.start(poll_s=0)
            assert await client.serving.unary_unary("/a.B/C")(b"\x00body") == b"/a.B/C \x00body"
        async with (
            serving(Echo(), servicer=FakeRuntime()) as target,
            client_of(target, serving_target=target) as client,
        ):
            await client.start(poll_s=0)
            assert await client.serving.unary_unary("/a.B/C")(b"there") == b"/a.B/C there"

    run(scene())


def test_an_answer_larger_than_allowed_is_an_error() -> None:
    async def scene() -> None:
        async with serving(Echo(), servicer=FakeRuntime()) as target, client_of(target) as client:
            await client.start(poll_s=0)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.serving.unary_unary("/a.B/C")(bytes(2 << 20))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(scene())
