"""The service by which the mesh has models loaded and unloaded, over what a runtime holds."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import grpc
from grpc import aio

from protos import model_runtime_pb2 as pb
from protos import model_runtime_pb2_grpc
from runtimes.held import Dropped, Held
from runtimes.runtime import LoadError, ModelInfo, Runtime

log = logging.getLogger(__name__)

CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (FileNotFoundError, grpc.StatusCode.NOT_FOUND),
    (PermissionError, grpc.StatusCode.PERMISSION_DENIED),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (NotImplementedError, grpc.StatusCode.UNIMPLEMENTED),
    (MemoryError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    (Dropped, grpc.StatusCode.ABORTED),
)
"""What a runtime raises and what the mesh reads. The first that fits counts."""


def status_of(failure: Exception) -> tuple[grpc.StatusCode, str]:
    """The gRPC status of a failure; INTERNAL, with the name of its class, for one that nobody foresaw."""
    if isinstance(failure, LoadError):
        return failure.code, failure.text
    text = str(failure)
    if isinstance(failure, OSError) and failure.strerror and failure.filename:
        text = f"{failure.strerror}: {failure.filename}"
    for kind, code in CODES:
        if isinstance(failure, kind):
            return code, text or type(failure).__name__
    return grpc.StatusCode.INTERNAL, f"{type(failure).__name__}: {text}" if text else type(failure).__name__


class Spi(model_runtime_pb2_grpc.ModelRuntimeServicer):  # type: ignore[misc]
    """Answers the mesh for one runtime."""

    def __init__(self, runtime: Runtime, held: Held) -> None:
        self._runtime = runtime
        self._held = held

    async def loadModel(self, request: Any, context: aio.ServicerContext) -> Any:
        try:
            loaded = await self._held.load(_model(request))
            return pb.LoadModelResponse(sizeInBytes=loaded.size_bytes, maxConcurrency=loaded.max_concurrency)
        except Exception as failure:
            await refuse(context, failure, f"load of {request.modelId}")

    async def unloadModel(self, request: Any, context: aio.ServicerContext) -> Any:
        try:
            await self._held.unload(request.modelId)
            return pb.UnloadModelResponse()
        except Exception as failure:
            await refuse(context, failure, f"unload of {request.modelId}")

    async def predictModelSize(self, request: Any, context: aio.ServicerContext) -> Any:
        try:
            return pb.PredictModelSizeResponse(sizeInBytes=await self._held.predict(_model(request)))
        except Exception as failure:
            await refuse(context, failure, f"prediction for {request.modelId}")

    async def modelSize(self, request: Any, context: aio.ServicerContext) -> Any:
        try:
            return pb.ModelSizeResponse(sizeInBytes=await self._held.size(request.modelId))
        except KeyError:
            await abort(context, grpc.StatusCode.NOT_FOUND, f"model {request.modelId} is not loaded")
        except Exception as failure:
            await refuse(context, failure, f"size of {request.modelId}")

    async def runtimeStatus(self, request: Any, context: aio.ServicerContext) -> Any:
        """READY, once nothing is loaded any more: the mesh that asks has just started and believes so."""
        try:
            await self._held.clear()
        except Exception as failure:
            await refuse(context, failure, "dropping all models")
        runtime = self._runtime
        return pb.RuntimeStatusResponse(
            status=pb.RuntimeStatusResponse.READY,
            capacityInBytes=runtime.capacity_bytes,
            maxLoadingConcurrency=runtime.max_loading_concurrency,
            modelLoadingTimeoutMs=runtime.load_timeout_ms,
            defaultModelSizeInBytes=runtime.default_model_size_bytes,
            runtimeVersion=runtime.version,
            methodInfos={
                name: pb.RuntimeStatusResponse.MethodInfo(idInjectionPath=path)
                for name, path in runtime.methods.items()
            },
            limitModelConcurrency=runtime.limit_model_concurrency,
            allowAnyMethod=runtime.allow_any_method,
        )


async def refuse(context: aio.ServicerContext, failure: Exception, what: str) -> NoReturn:
    """End a call with the status of a failure; one that nobody foresaw is logged with its traceback."""
    if isinstance(failure, aio.AbortError):
        raise failure
    code, text = status_of(failure)
    if code is grpc.StatusCode.INTERNAL:
        log.error("%s failed", what, exc_info=failure)
    await abort(context, code, text)


async def abort(context: aio.ServicerContext, code: grpc.StatusCode, text: str) -> NoReturn:
    """End a call with a status."""
    await context.abort(code, text)
    raise AssertionError("abort raises")


def _model(request: Any) -> ModelInfo:
    if not request.modelId:
        raise ValueError("the request has no modelId")
    return ModelInfo(request.modelId, request.modelType, request.modelPath, request.modelKey)
