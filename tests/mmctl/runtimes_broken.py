"""A small runtime that does what a mesh relies on, and one variant for each way not to."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc as v2_grpc
from protos import model_runtime_pb2 as spi
from protos.model_runtime_pb2_grpc import ModelRuntimeServicer

SIZE = 1 << 20
BAD = "bad"
"""The path that cannot be loaded."""


class Good(ModelRuntimeServicer, v2_grpc.GRPCInferenceServiceServicer):
    """Loads take a moment, by which they can be cancelled."""

    load_s = 0.1

    def __init__(self) -> None:
        self.models: dict[str, int] = {}

    async def runtimeStatus(self, request: Any, context: Any) -> Any:
        self.models.clear()
        return self.ready()

    def ready(self, **fields: Any) -> Any:
        return spi.RuntimeStatusResponse(
            **{
                "status": spi.RuntimeStatusResponse.READY, "capacityInBytes": 64 * SIZE, "maxLoadingConcurrency": 2,
                "modelLoadingTimeoutMs": 30_000, "defaultModelSizeInBytes": SIZE, "runtimeVersion": "1", **fields,
            }
        )  # fmt: skip

    async def predictModelSize(self, request: Any, context: Any) -> Any:
        return spi.PredictModelSizeResponse(sizeInBytes=SIZE)

    async def loadModel(self, request: Any, context: Any) -> Any:
        if request.modelPath == BAD:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "this is no model")
        await asyncio.sleep(self.load_s)
        self.loaded(request.modelId)
        return spi.LoadModelResponse(sizeInBytes=SIZE)

    def loaded(self, model: str) -> None:
        self.models[model] = 1

    async def unloadModel(self, request: Any, context: Any) -> Any:
        self.models.pop(request.modelId, None)
        return spi.UnloadModelResponse()

    async def modelSize(self, request: Any, context: Any) -> Any:
        if request.modelId not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, "not loaded")
        return spi.ModelSizeResponse(sizeInBytes=SIZE)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        if request.model_name not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, "not loaded")
        return v2.ModelInferResponse()


class NeverReady(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(status=spi.RuntimeStatusResponse.STARTING)


class Failing(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(status=spi.RuntimeStatusResponse.FAILING)


class NoCapacity(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(capacityInBytes=SIZE)


class NoThreads(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(maxLoadingConcurrency=0)


class NegativeDefault(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(defaultModelSizeInBytes=2**64 - 1)


class SlashedMethods(Good):
    def ready(self, **fields: Any) -> Any:
        return super().ready(methodInfos={"/a.B/C": spi.RuntimeStatusResponse.MethodInfo()})


class SilentStatus(Good):
    async def runtimeStatus(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


class SlowGuess(Good):
    async def predictModelSize(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


class WrongSize(Good):
    async def modelSize(self, request: Any, context: Any) -> Any:
        answer = await super().modelSize(request, context)
        answer.sizeInBytes *= 2
        return answer


class TooLarge(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        answer = await super().loadModel(request, context)
        answer.sizeInBytes = 2**40
        return answer


class NobodySaysTheSize(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        await super().loadModel(request, context)
        return spi.LoadModelResponse()

    async def modelSize(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")


class KnowsEverything(Good):
    async def modelSize(self, request: Any, context: Any) -> Any:
        return spi.ModelSizeResponse(sizeInBytes=SIZE)


class NeverLoads(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


class RefusesAgain(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        if request.modelId in self.models:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "it is loaded")
        return await super().loadModel(request, context)


class LoadsTwice(Good):
    def loaded(self, model: str) -> None:
        self.models[model] = self.models.get(model, 0) + 1

    async def unloadModel(self, request: Any, context: Any) -> Any:
        left = self.models.pop(request.modelId, 0) - 1
        if left > 0:
            self.models[request.modelId] = left
        return spi.UnloadModelResponse()


class NeverUnloads(Good):
    async def unloadModel(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()


class UnloadsKnownOnly(Good):
    async def unloadModel(self, request: Any, context: Any) -> Any:
        if request.modelId not in self.models:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "who is that")
        return await super().unloadModel(request, context)


class OneAtATime(Good):
    """The first of the loads side by side ends when the second has come, and was refused."""

    def __init__(self) -> None:
        super().__init__()
        self.is_loading = False
        self.refused = asyncio.Event()

    async def loadModel(self, request: Any, context: Any) -> Any:
        if self.is_loading:
            self.refused.set()
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "a load is under way")
        self.is_loading = True
        if "together" in request.modelId:
            await self.refused.wait()
        self.is_loading = False
        return await super().loadModel(request, context)


class IgnoresCancel(Good):
    """A load that has begun comes to its end, right after the unload that should have ended it."""

    load_s = 2.5
    """The run cancels it after more than half of that, by when it has begun on a busy machine too."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[str] = set()

    async def loadModel(self, request: Any, context: Any) -> Any:
        if "cancelled" in request.modelId:
            self.begun.add(request.modelId)
            await asyncio.Event().wait()  # its end comes with the unload
        if request.modelId in self.models:
            return spi.LoadModelResponse(sizeInBytes=SIZE)
        return await super().loadModel(request, context)

    async def unloadModel(self, request: Any, context: Any) -> Any:
        answer = await super().unloadModel(request, context)
        if request.modelId in self.begun:
            self.loaded(request.modelId)
        return answer


class LoadsAnything(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        self.loaded(request.modelId)
        return spi.LoadModelResponse(sizeInBytes=SIZE)


class KeepsWhatFailed(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        self.loaded(request.modelId)
        return await super().loadModel(request, context)

    async def unloadModel(self, request: Any, context: Any) -> Any:
        if "bad" not in request.modelId:
            self.models.pop(request.modelId, None)
        return spi.UnloadModelResponse()


class SaysItIsAway(Good):
    async def loadModel(self, request: Any, context: Any) -> Any:
        if request.modelPath == BAD:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no such model")
        return await super().loadModel(request, context)


class AnswersForAll(Good):
    async def ModelInfer(self, request: Any, context: Any) -> Any:
        return v2.ModelInferResponse()


class KeepsModels(Good):
    async def runtimeStatus(self, request: Any, context: Any) -> Any:
        return self.ready()


BREACHES: tuple[tuple[type[Good], str, str], ...] = (
    (NeverReady, "status", "runtimeStatus says STARTING"),
    (Failing, "status", "runtimeStatus says FAILING"),
    (NoCapacity, "status", "reports capacityInBytes = 1048576"),
    (NoThreads, "status", "reports maxLoadingConcurrency = 0"),
    (NegativeDefault, "status", "defaultModelSizeInBytes is 18446744073709551615"),
    (SlashedMethods, "status", "methodInfos names '/a.B/C', which no call matches"),
    (SilentStatus, "status", "runtimeStatus: no answer"),
    (SlowGuess, "predict", "predictModelSize: no answer"),
    (WrongSize, "size", "modelSize says 2097152 bytes, loadModel said 1048576"),
    (TooLarge, "load", "loadModel answers 1 TiB, more than all of capacityInBytes"),
    (NobodySaysTheSize, "size", "nobody says the size"),
    (KnowsEverything, "size", "modelSize of a model that was never loaded: OK"),
    (NeverLoads, "load", "loadModel: no answer"),
    (RefusesAgain, "load-again", "loadModel of a model that is loaded: ALREADY_EXISTS"),
    (LoadsTwice, "unload", "after two loads and one unload modelSize still knows the model"),
    (NeverUnloads, "unload", "unloadModel: no answer"),
    (UnloadsKnownOnly, "unload-unknown", "unloadModel of an unknown model: INVALID_ARGUMENT"),
    (OneAtATime, "load-together", "RESOURCE_EXHAUSTED: a load is under way"),
    (IgnoresCancel, "load-cancelled", "goes on, and its model is there afterwards"),
    (LoadsAnything, "load-impossible", "loadModel says OK to bad, which cannot be loaded"),
    (KeepsWhatFailed, "load-impossible", "a load that failed leaves its model"),
    (SaysItIsAway, "load-impossible", "UNAVAILABLE: no such model"),
    (AnswersForAll, "infer-unknown", "a request for an unknown model: OK"),
    (KeepsModels, "purge", "runtimeStatus leaves the models that were loaded"),
)
"""The variant, the step that finds it out, and words of what it says."""
