"""A runtime of the SDK that loads whatever it is told to, and its management service as the mesh calls it."""

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
