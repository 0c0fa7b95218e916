"""A runtime of the SDK serves clients: it knows which model is meant, and lets their calls end when it stops."""

from __future__ import annotations

import asyncio

import grpc
from grpc import aio

from protos import model_runtime_pb2_grpc
from runtimes import sdk
from tests.runtimes.shelf import ANY_PORT, HANG_S, Shelf, load


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
