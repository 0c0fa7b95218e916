"""What a runtime of the SDK answers the mesh: its status, loads, unloads, sizes, and why something failed."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from protos import model_runtime_pb2 as pb
from runtimes import sdk
from tests.runtimes.shelf import Shelf, load, refused, served, unload


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
