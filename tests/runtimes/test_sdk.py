from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import pytest
from grpc import aio

from protos import model_runtime_pb2 as pb
from protos import model_runtime_pb2_grpc
from runtimes import sdk

T = TypeVar("T")
HANG_S = 30
ANY_PORT = sdk.Listen(port=0)


class Shelf(sdk.Runtime):
    """Loads whatever it is told to, and writes down what it was asked."""

    capacity_bytes = 1 << 30
    max_loading_concurrency = 2

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.lost: set[str] = set()
        self.result: Any = sdk.Loaded(size_bytes=1000, max_concurrency=3)

    def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        self.calls.append(f"load {model.id} {model.type} {model.path} {model.key}".rstrip())
        if self.failure:
            raise self.failure
        self.lost.discard(model.id)
        return self.result

    def unload(self, model_id: str) -> None:
        self.calls.append(f"unload {model_id}")
        if self.failure:
            raise self.failure

    def is_loaded(self, model_id: str) -> bool:
        return model_id not in self.lost


class SlowCoroutines(Shelf):
    """Its loads are coroutines and end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.finish: dict[str, asyncio.Event] = {}
        self.at_once = 0
        self.most_at_once = 0
        self.is_stubborn = False

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:  # type: ignore[override]
        self.calls.append(f"load {model.id}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.started.put_nowait(model.id)
        try:
            await self.finish.setdefault(model.id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.calls.append(f"cancelled {model.id}")
            if not self.is_stubborn:
                raise
        finally:
            self.at_once -= 1
        return sdk.Loaded(1)


def served(make: Callable[[], Shelf], test: Callable[[Any, Any], Awaitable[T]]) -> T:
    """What a test comes to that is given the runtime and a stub of its management service."""

    async def run() -> T:
        runtime = make()
        async with (
            asyncio.timeout(HANG_S),
            sdk.serving(runtime, ANY_PORT) as running,
            aio.insecure_channel(running.address) as channel,
        ):
            return await test(runtime, model_runtime_pb2_grpc.ModelRuntimeStub(channel))

    return asyncio.run(run())


def load(model_id: str, path: str = "") -> pb.LoadModelRequest:
    return pb.LoadModelRequest(modelId=model_id, modelPath=path)


def unload(model_id: str) -> pb.UnloadModelRequest:
    return pb.UnloadModelRequest(modelId=model_id)


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


def test_status_says_what_the_author_declared() -> None:
    class Declared(Shelf):
        capacity_bytes = 77 << 20
        default_model_size_bytes = 3 << 20
        max_loading_concurrency = 5
        load_timeout_ms = 1234
        limit_model_concurrency = True
        methods = {"a.B/C": (1, 2), "a.B/D": ()}
        allow_any_method = True
        version = "v7"

    async def test(runtime: Declared, stub: Any) -> None:
        status = await stub.runtimeStatus(pb.RuntimeStatusRequest())
        assert status.status == pb.RuntimeStatusResponse.READY
        assert (status.capacityInBytes, status.defaultModelSizeInBytes) == (77 << 20, 3 << 20)
        assert (status.maxLoadingConcurrency, status.modelLoadingTimeoutMs) == (5, 1234)
        assert {name: list(info.idInjectionPath) for name, info in status.methodInfos.items()} == {
            "a.B/C": [1, 2],
            "a.B/D": [],
        }
        assert (status.limitModelConcurrency, status.allowAnyMethod, status.runtimeVersion) == (True, True, "v7")

    served(Declared, test)


def test_status_drops_every_model_that_is_held() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await asyncio.gather(*(stub.loadModel(load(name)) for name in "abc"))
        runtime.calls.clear()
        await asyncio.gather(*(stub.runtimeStatus(pb.RuntimeStatusRequest()) for _ in range(3)))
        assert sorted(runtime.calls) == ["unload a", "unload b", "unload c"]

    served(Shelf, test)


def test_status_is_an_error_while_a_model_cannot_be_dropped() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await stub.loadModel(load("a"))
        await stub.loadModel(load("b"))
        runtime.failure = RuntimeError("stuck")
        code, text = await refused(stub.runtimeStatus(pb.RuntimeStatusRequest()))
        assert (code, text) == (grpc.StatusCode.INTERNAL, "RuntimeError: stuck")
        runtime.failure = None
        runtime.calls.clear()
        await stub.runtimeStatus(pb.RuntimeStatusRequest())
        assert sorted(runtime.calls) == ["unload a", "unload b"]

    served(Shelf, test)


def test_load_hands_over_what_was_registered_and_answers_the_size() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        request = pb.LoadModelRequest(modelId="m/é", modelType="t", modelPath="p", modelKey="k")
        answer = await stub.loadModel(request)
        assert (answer.sizeInBytes, answer.maxConcurrency) == (1000, 3)
        assert runtime.calls == ["load m/é t p k"]

    served(Shelf, test)


def test_a_model_is_loaded_once_however_often_the_mesh_says_so() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        answers = await asyncio.gather(*(stub.loadModel(load("a")) for _ in range(4)))
        assert [answer.sizeInBytes for answer in answers] == [1000] * 4
        assert runtime.calls == ["load a"]

    served(Shelf, test)


def test_a_model_held_with_another_path_is_replaced() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await stub.loadModel(load("a", "p1"))
        await stub.loadModel(load("a", "p2"))
        assert runtime.calls == ["load a  p1", "unload a", "load a  p2"]

    served(Shelf, test)


def test_a_lost_model_is_loaded_again_and_not_unloaded() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await stub.loadModel(load("a"))
        runtime.lost.add("a")
        await stub.loadModel(load("a"))
        runtime.lost.add("a")
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "load a"]

    served(Shelf, test)


def test_unload_of_a_model_that_is_not_there_is_fine() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await stub.unloadModel(unload("never"))
        await stub.loadModel(load("a"))
        await stub.unloadModel(unload("a"))
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "unload a"]

    served(Shelf, test)


def test_unload_that_fails_can_be_tried_again() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        await stub.loadModel(load("a"))
        runtime.failure = PermissionError("not now")
        assert await refused(stub.unloadModel(unload("a"))) == (grpc.StatusCode.PERMISSION_DENIED, "not now")
        runtime.failure = None
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "unload a", "unload a"]

    served(Shelf, test)


def test_as_many_models_load_at_once_as_the_author_allows() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loads = [stub.loadModel(load(name)) for name in "abcd"]
        tasks = [asyncio.ensure_future(call) for call in map(_answer, loads)]
        for _ in loads:
            runtime.finish[await runtime.started.get()].set()
        await asyncio.gather(*tasks)
        first, second = runtime.calls[:2]
        assert first != second
        assert runtime.most_at_once <= 2

    served(SlowCoroutines, test)


async def _answer(call: Awaitable[T]) -> T:
    return await call


def test_two_loads_run_side_by_side() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loads = [asyncio.ensure_future(_answer(stub.loadModel(load(name)))) for name in "ab"]
        names = {await runtime.started.get(), await runtime.started.get()}
        assert runtime.at_once == 2
        for name in names:
            runtime.finish[name].set()
        await asyncio.gather(*loads)

    served(SlowCoroutines, test)


def test_a_load_cancelled_by_its_deadline_is_given_up_too() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loading = asyncio.ensure_future(refused(stub.loadModel(load("a"), timeout=0.2)))
        await runtime.started.get()
        assert (await loading)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "cancelled a"]

    served(SlowCoroutines, test)


def test_a_cancelled_coroutine_is_cancelled() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        loading = stub.loadModel(load("a"))
        await runtime.started.get()
        loading.cancel()
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "cancelled a"]

    served(SlowCoroutines, test)


def test_a_coroutine_that_loads_on_after_it_was_cancelled_is_unloaded() -> None:
    async def test(runtime: SlowCoroutines, stub: Any) -> None:
        runtime.is_stubborn = True
        loading = stub.loadModel(load("a"))
        await runtime.started.get()
        loading.cancel()
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a", "cancelled a", "unload a"]

    served(SlowCoroutines, test)


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "/m"), "NOT_FOUND", "No such file or directory: /m"),
        (FileNotFoundError("no m"), "NOT_FOUND", "no m"),
        (ValueError("broken"), "INVALID_ARGUMENT", "broken"),
        (UnicodeDecodeError("utf8", b"\xff", 0, 1, "odd"), "INVALID_ARGUMENT", "odd"),
        (PermissionError(13, "Permission denied", "/m"), "PERMISSION_DENIED", "Permission denied: /m"),
        (MemoryError(), "RESOURCE_EXHAUSTED", "MemoryError"),
        (TimeoutError("slow"), "DEADLINE_EXCEEDED", "slow"),
        (sdk.LoadError(grpc.StatusCode.UNAVAILABLE, "store is away"), "UNAVAILABLE", "store is away"),
        (KeyError("x"), "INTERNAL", "KeyError: 'x'"),
        (RuntimeError(), "INTERNAL", "RuntimeError"),
        (OSError(5, "Input/output error", "/m"), "INTERNAL", "OSError: Input/output error: /m"),
    ],
)
def test_a_failed_load_tells_the_mesh_why(failure: Exception, code: str, text: str) -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        runtime.failure = failure
        got, said = await refused(stub.loadModel(load("a")))
        assert got.name == code
        assert text in said
        runtime.failure = None
        await stub.unloadModel(unload("a"))
        assert runtime.calls == ["load a"]

    served(Shelf, test)


def test_a_load_that_returns_something_else_is_a_fault_of_the_author() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        runtime.result = 12
        code, text = await refused(stub.loadModel(load("a")))
        assert (code, text) == (grpc.StatusCode.INTERNAL, "TypeError: Shelf.load returned 12 instead of a Loaded")

    served(Shelf, test)


def test_an_empty_model_id_is_refused() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        assert (await refused(stub.loadModel(load(""))))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert runtime.calls == []

    served(Shelf, test)


def test_sizes_that_the_author_does_not_tell_are_unimplemented() -> None:
    async def test(runtime: Shelf, stub: Any) -> None:
        prediction = stub.predictModelSize(pb.PredictModelSizeRequest(modelId="a"))
        assert (await refused(prediction))[0] is grpc.StatusCode.UNIMPLEMENTED
        runtime.result = sdk.Loaded()
        await stub.loadModel(load("a"))
        assert (await refused(stub.modelSize(pb.ModelSizeRequest(modelId="a"))))[0] is grpc.StatusCode.UNIMPLEMENTED

    served(Shelf, test)


def test_sizes_come_from_the_author_or_from_the_load() -> None:
    class Sized(Shelf):
        async def predict_size(self, model: sdk.ModelInfo) -> int:
            return len(model.path)

        def model_size(self, model_id: str) -> int:
            return 55

    async def test(runtime: Sized, stub: Any) -> None:
        prediction = pb.PredictModelSizeRequest(modelId="a", modelPath="four")
        assert (await stub.predictModelSize(prediction)).sizeInBytes == 4
        await stub.loadModel(load("a"))
        assert (await stub.modelSize(pb.ModelSizeRequest(modelId="a"))).sizeInBytes == 1000
        runtime.result = sdk.Loaded()
        assert (await stub.loadModel(load("b"))).sizeInBytes == 0
        assert (await stub.modelSize(pb.ModelSizeRequest(modelId="b"))).sizeInBytes == 55
        code, text = await refused(stub.modelSize(pb.ModelSizeRequest(modelId="c")))
        assert (code, text) == (grpc.StatusCode.NOT_FOUND, "model c is not loaded")

    served(Sized, test)


class Echo(Shelf):
    """Serves clients: answers the model id it was told, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()
        self.finish = asyncio.Event()

    def register(self, server: aio.Server) -> None:
        methods = {"Id": grpc.unary_unary_rpc_method_handler(self.id)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))

    async def id(self, request: bytes, context: aio.ServicerContext) -> bytes:
        self.started.set()
        if request == b"wait":
            await self.finish.wait()
        return sdk.model_id(context).encode()


def test_the_model_id_comes_with_the_metadata() -> None:
    async def run() -> list[str]:
        runtime = Echo()
        async with (
            asyncio.timeout(HANG_S),
            sdk.serving(runtime, ANY_PORT) as running,
            aio.insecure_channel(running.address) as channel,
        ):
            call = channel.unary_unary("/test.Echo/Id")
            binary = ("mm-model-id-bin", "é/ü".encode())
            plain = ("mm-model-id", "plain")
            return [
                (await call(b"", metadata=metadata)).decode() for metadata in ((), (plain,), (binary,), (plain, binary))
            ]

    assert asyncio.run(run()) == ["", "plain", "é/ü", "é/ü"]


def test_a_stop_lets_running_calls_end_and_unloads_what_is_held() -> None:
    async def run() -> bytes:
        runtime = Echo()
        async with asyncio.timeout(HANG_S):
            leave = asyncio.Event()

            async def serve() -> None:
                async with sdk.serving(runtime, ANY_PORT, grace_s=HANG_S) as running:
                    addresses.put_nowait(running.address)
                    await leave.wait()

            addresses: asyncio.Queue[str] = asyncio.Queue()
            serving = asyncio.create_task(serve())
            async with aio.insecure_channel(await addresses.get()) as channel:
                await model_runtime_pb2_grpc.ModelRuntimeStub(channel).loadModel(load("a"))
                call = channel.unary_unary("/test.Echo/Id")(b"wait", metadata=(("mm-model-id", "a"),))
                await runtime.started.wait()
                leave.set()
                for _ in range(10):  # the server has begun to stop
                    await asyncio.sleep(0)
                runtime.finish.set()
                answer: bytes = await call
                await serving
        assert runtime.calls == ["load a", "unload a"]
        return answer

    assert asyncio.run(run()) == b"a"


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("default_model_size_bytes", 0, "default_model_size_bytes is 0"),
        ("max_loading_concurrency", 0, "max_loading_concurrency is 0"),
        ("load_timeout_ms", 99, "load_timeout_ms is 99"),
        ("capacity_bytes", (10 << 20) - 1, "at least 10485760"),
    ],
)
def test_figures_that_the_mesh_would_refuse_are_refused_at_once(attribute: str, value: int, said: str) -> None:
    async def run() -> None:
        runtime = Shelf()
        setattr(runtime, attribute, value)
        async with sdk.serving(runtime, ANY_PORT):
            pass

    with pytest.raises(ValueError, match=said):
        asyncio.run(run())


def test_the_least_capacity_follows_from_the_default_size() -> None:
    runtime = Shelf()
    for default_mib, least_mib in ((1, 10), (100, 512), (400, 800)):
        runtime.default_model_size_bytes = default_mib << 20
        runtime.capacity_bytes = least_mib << 20
        sdk.check(runtime)
        runtime.capacity_bytes -= 1
        with pytest.raises(ValueError, match=str(least_mib << 20)):
            sdk.check(runtime)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1048576", 1 << 20), ("512MiB", 512 << 20), ("2GB", 2 * 10**9), ("64k", 64_000), ("1.5 GiB", 3 << 29), ("7b", 7)],
)
def test_sizes_on_the_command_line(text: str, value: int) -> None:
    assert sdk.size_bytes(text) == value


@pytest.mark.parametrize("text", ["", "MiB", "12 parrots", "-3", "1i"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        sdk.size_bytes(text)
