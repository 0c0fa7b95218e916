"""A model server without models: its sizes, times and failures are what the registrations say.

For trying out a mesh, and for its tests: everything between the clients and the model server is real. Answers the V2
inference protocol, and any other method by sending the request back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc
from grpc import aio

from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc
from runtimes import sdk
from runtimes.behaviour import Behaviour, behaviour
from runtimes.gate import Gate

INJECTED = {f"inference.GRPCInferenceService/{name}": (1,) for name in ("ModelInfer", "ModelMetadata", "ModelReady")}


@dataclass(slots=True)
class Counts:
    """What became of one model, and of all of them."""

    loads: int = 0
    failed_loads: int = 0
    unloads: int = 0
    infers: int = 0
    failed_infers: int = 0
    in_flight: int = 0
    peak: int = 0
    """Most requests in flight at once."""

    def enter(self) -> None:
        self.infers += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)


class Fake(sdk.Runtime):
    """Holds no more of a model than its behaviour."""

    def __init__(self, capacity_bytes: int, default: Behaviour, instance: str = "fake") -> None:
        self.capacity_bytes = capacity_bytes
        self.instance = instance
        self.version = "fake"
        self.default = default
        self.models: dict[str, Behaviour] = {}
        self.counts: dict[str, Counts] = {}
        self.total = Counts()
        self.peak_bytes = 0
        self.unloads = Gate()
        """Unloads that are asked for pass here first."""

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        counts = self.counts.setdefault(model.id, Counts())
        try:
            said = behaviour(model, self.default)
            await asyncio.sleep(said.load_ms / 1000)
            if said.fail:
                raise sdk.LoadError(grpc.StatusCode[said.fail], said.fail_text)
        except Exception:
            counts.failed_loads += 1
            self.total.failed_loads += 1
            raise
        self.models[model.id] = said
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        counts.loads += 1
        self.total.loads += 1
        return sdk.Loaded(0 if said.measure else said.size, said.concurrency)

    async def unload(self, model_id: str) -> None:
        await self.unloads.passed()
        await asyncio.sleep(self.models[model_id].unload_ms / 1000)
        del self.models[model_id]
        self.counts[model_id].unloads += 1
        self.total.unloads += 1

    def is_loaded(self, model_id: str) -> bool:
        return model_id in self.models

    async def model_size(self, model_id: str) -> int:
        return self.models[model_id].size

    async def predict_size(self, model: sdk.ModelInfo) -> int:
        return behaviour(model, self.default).size

    @property
    def used_bytes(self) -> int:
        return sum(said.size for said in self.models.values())

    def register(self, server: aio.Server) -> None:
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Inference(self), server)
        control = {
            "Stats": grpc.unary_unary_rpc_method_handler(self._stats),
            "Forget": grpc.unary_unary_rpc_method_handler(self._forget),
            "HoldUnloads": grpc.unary_unary_rpc_method_handler(self._hold_unloads),
            "LetUnload": grpc.unary_unary_rpc_method_handler(self._let_unload),
        }
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("fake.Control", control), AnyOther(self)),
        )

    async def answer(self, model_id: str, context: aio.ServicerContext) -> None:
        """Take the time a request to a model takes, or end it as the model fails."""
        if not model_id:
            await sdk.abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the request names no model")
        said = self.models.get(model_id)
        if said is None:
            await sdk.abort(context, grpc.StatusCode.NOT_FOUND, f"model {model_id} is not loaded")
        ascii_id = (("fake-model", model_id),) if model_id.isascii() and model_id.isprintable() else ()
        headers = (*ascii_id, ("fake-model-bin", model_id.encode()), ("fake-instance", self.instance))
        await context.send_initial_metadata(headers)
        both = (self.counts[model_id], self.total)
        for counts in both:
            counts.enter()
        try:
            if said.infer_ms:
                await asyncio.sleep(said.infer_ms / 1000)
            if said.infer_fail:
                for counts in both:
                    counts.failed_infers += 1
                await sdk.abort(context, grpc.StatusCode[said.infer_fail], said.infer_text)
        finally:
            for counts in both:
                counts.in_flight -= 1

    async def _stats(self, request: bytes, context: aio.ServicerContext) -> bytes:
        stats = {
            "instance": self.instance,
            **asdict(self.total),
            "used_bytes": self.used_bytes,
            "peak_bytes": self.peak_bytes,
            "held_unloads": self.unloads.waiting,
            "models": {
                model_id: {**asdict(counts), "loaded": model_id in self.models}
                for model_id, counts in sorted(self.counts.items())
            },
        }
        return json.dumps(stats).encode()

    async def _forget(self, request: bytes, context: aio.ServicerContext) -> bytes:
        """Lose a model, as a model server does that restarts on its own."""
        self.models.pop(request.decode(), None)
        return b""

    async def _hold_unloads(self, request: bytes, context: aio.ServicerContext) -> bytes:
        """Begin no further unload."""
        self.unloads.shut()
        return b""

    async def _let_unload(self, request: bytes, context: aio.ServicerContext) -> bytes:
        """Begin as many of the unloads that are held as the body says, the oldest first; without one all, and further
        ones at once."""
        if not request:
            self.unloads.open()
        elif request.isdigit():
            self.unloads.let(int(request))
        else:
            await sdk.abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"{request!r} is no number of unloads")
        return b""


class Inference(grpc_predict_v2_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The V2 protocol: inputs come back as outputs."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def ServerLive(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: aio.ServicerContext) -> Any:
        return v2.ServerMetadataResponse(name=self._fake.instance, version="fake")

    async def ModelReady(self, request: Any, context: aio.ServicerContext) -> Any:
        await self._fake.answer(sdk.model_id(context) or request.name, context)
        return v2.ModelReadyResponse(ready=True)

    async def ModelMetadata(self, request: Any, context: aio.ServicerContext) -> Any:
        await self._fake.answer(sdk.model_id(context) or request.name, context)
        return v2.ModelMetadataResponse(name=request.name, platform="fake", versions=["1"])

    async def ModelInfer(self, request: Any, context: aio.ServicerContext) -> Any:
        await self._fake.answer(sdk.model_id(context) or request.model_name, context)
        outputs = [
            v2.ModelInferResponse.InferOutputTensor(
                name=tensor.name,
                datatype=tensor.datatype,
                shape=tensor.shape,
                contents=tensor.contents if tensor.HasField("contents") else None,
            )
            for tensor in request.inputs
        ]
        return v2.ModelInferResponse(
            model_name=request.model_name,
            id=request.id,
            outputs=outputs,
            raw_output_contents=request.raw_input_contents,
        )


class AnyOther(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method that nobody else has: the request comes back; with `Stream` in its name, each message does."""

    def __init__(self, fake: Fake) -> None:
        self._unary = grpc.unary_unary_rpc_method_handler(self._echo)
        self._stream = grpc.stream_stream_rpc_method_handler(self._echo_each)
        self._fake = fake

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._stream if "Stream" in handler_call_details.method.rsplit("/", 1)[-1] else self._unary

    async def _echo(self, request: bytes, context: aio.ServicerContext) -> bytes:
        await self._fake.answer(sdk.model_id(context), context)
        return request

    async def _echo_each(self, requests: AsyncIterator[bytes], context: aio.ServicerContext) -> AsyncIterator[bytes]:
        await self._fake.answer(sdk.model_id(context), context)
        async for request in requests:
            yield request


def main(arguments: Sequence[str] | None = None) -> int:
    parser = sdk.flags("python -m runtimes.fake", (__doc__ or "").splitlines()[0])
    size = sdk.size_flag
    parser.add_argument("--capacity", type=size, required=True, metavar="SIZE", help="memory for models, such as 1GiB")
    parser.add_argument("--default-size", type=size, metavar="SIZE", help="what the mesh assumes (as --size)")
    parser.add_argument("--loading-concurrency", type=int, default=2, metavar="N", help="loads at once (2)")
    parser.add_argument("--load-timeout-ms", type=int, default=60_000, metavar="MS", help="longest load (60000)")
    parser.add_argument("--limit-concurrency", action="store_true", help="have the mesh hold requests back")
    parser.add_argument("--inject", action="store_true", help="have the mesh write model ids into V2 requests")
    parser.add_argument("--instance", default=f"fake-{os.getpid()}", help="what answers say in fake-instance")
    models = parser.add_argument_group("models that their path and key say nothing else about")
    models.add_argument("--size", type=size, default=64 << 10, metavar="SIZE", help="size (64KiB)")
    models.add_argument("--load-ms", type=float, default=0.0, metavar="MS", help="time a load takes (0)")
    models.add_argument("--unload-ms", type=float, default=0.0, metavar="MS", help="time an unload takes (0)")
    models.add_argument("--infer-ms", type=float, default=0.0, metavar="MS", help="time a request takes (0)")
    codes = list(grpc.StatusCode.__members__)
    models.add_argument("--fail", default="", choices=codes, metavar="CODE", help="gRPC status that loads fail with")
    models.add_argument("--concurrency", type=int, default=0, metavar="N", help="requests at once, as told to the mesh")
    options = parser.parse_args(arguments)
    return sdk.run(_fake(options), options)


def _fake(options: argparse.Namespace) -> Fake:
    default = Behaviour(
        options.size, options.load_ms, options.unload_ms, options.infer_ms, concurrency=options.concurrency,
        fail=options.fail,
    )  # fmt: skip
    fake = Fake(options.capacity, default, options.instance)
    fake.default_model_size_bytes = options.default_size or options.size
    fake.max_loading_concurrency = options.loading_concurrency
    fake.load_timeout_ms = options.load_timeout_ms
    fake.limit_model_concurrency = options.limit_concurrency
    if options.inject:
        fake.methods, fake.allow_any_method = INJECTED, True
    return fake


if __name__ == "__main__":
    sys.exit(main())
