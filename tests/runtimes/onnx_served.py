"""The ONNX runtime over a directory of models, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from grpc import aio

pytest.importorskip("onnxruntime")

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc, model_runtime_pb2_grpc
from protos import model_runtime_pb2 as pb
from runtimes import sdk
from runtimes.onnx import Onnx

T = TypeVar("T")
HANG_S = 60


class Client:
    def __init__(self, channel: aio.Channel) -> None:
        self.spi = model_runtime_pb2_grpc.ModelRuntimeStub(channel)
        self.v2 = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def load(self, model_id: str, path: str) -> Any:
        return await self.spi.loadModel(pb.LoadModelRequest(modelId=model_id, modelType="onnx", modelPath=path))


def served(root: Path, test: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with (
            asyncio.timeout(HANG_S),
            sdk.serving(Onnx(root, 1 << 30), sdk.Listen(port=0)) as running,
            aio.insecure_channel(running.address) as channel,
        ):
            return await test(Client(channel))

    return asyncio.run(run())


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details()


def typed(model: str, values: list[list[float]], name: str = "x", **more: Any) -> Any:
    request = v2.ModelInferRequest(model_name=model, **more)
    tensor = request.inputs.add(name=name, datatype="FP32", shape=[len(values), len(values[0])])
    tensor.contents.fp32_contents.extend(value for row in values for value in row)
    return request


def raw(model: str, datatype: str, array: Any, name: str = "x") -> Any:
    request = v2.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()])
    request.inputs.add(name=name, datatype=datatype, shape=array.shape)
    return request
