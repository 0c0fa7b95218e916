"""A model server for ONNX models, with the V2 inference protocol over gRPC.

Every model runs on the processor, in a session of its own. Small runs are computed right where the request is handled,
which saves the way to another thread and back; a model whose runs are not small has them in threads.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import onnxruntime
from grpc import aio

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc
from runtimes import sdk, tensors
from runtimes.runtime import MIB
from runtimes.session import Port, Session, memory_bytes, model_file

SERVICE = "inference.GRPCInferenceService"
VERSION = "1"
"""The only version of every model."""


class Onnx(sdk.Runtime):
    """Loads ONNX files from below one directory."""

    version = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, root: Path, capacity_bytes: int, threads: int = 1) -> None:
        self.capacity_bytes = capacity_bytes
        self.methods = {f"{SERVICE}/{name}": () for name in ("ModelInfer", "ModelMetadata", "ModelReady")}
        self.sessions: dict[str, Session] = {}
        self._root = Path(os.path.realpath(root))
        self._threads = threads

    def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        file = model_file(self._root, model.path)
        self.sessions[model.id] = Session(file, self._threads)
        return sdk.Loaded(memory_bytes(file))

    def unload(self, model_id: str) -> None:
        del self.sessions[model_id]

    def predict_size(self, model: sdk.ModelInfo) -> int:
        return memory_bytes(model_file(self._root, model.path))

    def register(self, server: aio.Server) -> None:
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Inference(self.sessions), server)


class Inference(grpc_predict_v2_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The V2 protocol over the sessions of loaded models."""

    def __init__(self, sessions: dict[str, Session]) -> None:
        self._sessions = sessions
        self._threads = ThreadPoolExecutor(os.cpu_count(), "onnx")

    async def ServerLive(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerMetadataResponse(name="onnxruntime", version=onnxruntime.__version__)

    async def ModelReady(self, request: Any, context: aio.ServicerContext) -> Any:
        await self._session(request.name, context)
        return v2.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, context: aio.ServicerContext) -> Any:
        name, session = await self._session(request.name, context)
        return v2.ModelMetadataResponse(
            name=name,
            versions=[VERSION],
            platform="onnxruntime_onnx",
            inputs=_metadata(session.inputs.values()),
            outputs=_metadata(session.outputs.values()),
        )

    async def ModelInfer(self, request: Any, context: aio.ServicerContext) -> Any:
        name, session = await self._session(request.model_name, context)
        try:
            if session.pace.is_quick(_elements(request)):
                return answer(name, session, request)
            return await asyncio.get_running_loop().run_in_executor(self._threads, answer, name, session, request)
        except Exception as failure:
            await sdk.refuse(context, failure, f"inference with {name}")

    async def _session(self, said: str, context: aio.ServicerContext) -> tuple[str, Session]:
        name = sdk.model_id(context) or said
        session = self._sessions.get(name)
        if session is None:
            await sdk.abort(context, grpc.StatusCode.NOT_FOUND, f"model {name} is not loaded")
        return name, session


def answer(name: str, session: Session, request: v2.ModelInferRequest) -> v2.ModelInferResponse:
    """The response to a request: raw if the request was. Raises what Session and tensors raise."""
    began = time.thread_time_ns()
    arrays = tensors.inputs(request)
    session.check(arrays)
    outputs = session.asked([output.name for output in request.outputs])
    results = session.run(arrays, outputs)
    response = v2.ModelInferResponse(model_name=name, model_version=VERSION, id=request.id)
    tensors.put_outputs(response, zip(outputs, results, strict=True), bool(request.raw_input_contents))
    session.pace.learn(_elements(request), (time.thread_time_ns() - began) // 1000)
    return response


def _elements(request: v2.ModelInferRequest) -> int:
    return sum(math.prod(tensor.shape) for tensor in request.inputs)


def _metadata(ports: Iterable[Port]) -> list[v2.ModelMetadataResponse.TensorMetadata]:
    return [
        v2.ModelMetadataResponse.TensorMetadata(name=port.name, datatype=port.datatype, shape=port.shape)
        for port in ports
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = sdk.flags("python -m runtimes.onnx", (__doc__ or "").splitlines()[0])
    size = sdk.size_flag
    parser.add_argument(
        "--model-root", type=_directory, required=True, metavar="DIR", help="models are below this directory only"
    )
    parser.add_argument("--capacity", type=size, required=True, metavar="SIZE", help="memory for models, as 512MiB")
    parser.add_argument(
        "--default-size", type=size, default=MIB, metavar="SIZE", help="assumed for a model without a file (1MiB)"
    )
    parser.add_argument("--loading-concurrency", type=int, default=2, metavar="N", help="loads at once (2)")
    parser.add_argument("--load-timeout-ms", type=int, default=60_000, metavar="MS", help="longest load (60000)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads that share one run (1)")
    options = parser.parse_args(arguments)
    runtime = Onnx(options.model_root, options.capacity, options.threads)
    runtime.default_model_size_bytes = options.default_size
    runtime.max_loading_concurrency = options.loading_concurrency
    runtime.load_timeout_ms = options.load_timeout_ms
    return sdk.run(runtime, options)


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a directory")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
