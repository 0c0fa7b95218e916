from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshcore.commands import Load, Measure, Predict, Probe, Unload
from meshcore.events import (
    Failing,
    Finding,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    RuntimeProbed,
    Unloaded,
    UnloadFailed,
)
from meshcore.reasons import Reason, Rule
from meshd.handshake import RuntimeUnusable
from meshd.spi import RuntimeClient
from protos import model_runtime_pb2 as spi
from protos.model_runtime_pb2_grpc import ModelRuntimeServicer, add_ModelRuntimeServicer_to_server
from tests.processes import free_port

READY, STARTING, FAILING = (
    spi.RuntimeStatusResponse.READY, spi.RuntimeStatusResponse.STARTING, spi.RuntimeStatusResponse.FAILING,
)  # fmt: skip
GIB = 1 << 30
GUARD_S = 20
WHY = Reason(Rule.LOAD, "m", "i", "test")
SERVICE = "mmesh.ModelRuntime"


def ready(**fields: Any) -> Any:
    least = {
        "status": READY,
        "capacityInBytes": GIB,
        "maxLoadingConcurrency": 6,
        "modelLoadingTimeoutMs": 90_000,
        "defaultModelSizeInBytes": 50 << 20,
    }
    return spi.RuntimeStatusResponse(**{**least, **fields})


Answer = Callable[[Any, Any], Awaitable[Any]]


class FakeRuntime(ModelRuntimeServicer):
    """Says what it is told to say; ``asked`` has every request."""

    def __init__(self, *statuses: Any) -> None:
        self.statuses = list(statuses) or [ready()]
        self.asked: list[Any] = []
        self.answers: dict[str, Answer] = {}
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def runtimeStatus(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        status = self.statuses.pop(0)
        if isinstance(status, grpc.StatusCode):
            await context.abort(status, "not yet")
        return status

    async def loadModel(self, request: Any, context: Any) -> Any:
        return await self._do("load", request, context)

    async def unloadModel(self, request: Any, context: Any) -> Any:
        return await self._do("unload", request, context)

    async def predictModelSize(self, request: Any, context: Any) -> Any:
        return await self._do("predict", request, context)

    async def modelSize(self, request: Any, context: Any) -> Any:
        return await self._do("measure", request, context)

    async def _do(self, name: str, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.entered.set()
        try:
            return await self.answers[name](request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def never(request: Any, context: Any) -> Any:
    await asyncio.Event().wait()


def says(message: Any) -> Answer:
    async def answer(request: Any, context: Any) -> Any:
        return message

    return answer


def fails(code: grpc.StatusCode, text: str = "") -> Answer:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort(code, text)

    return answer


def bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def raw(service: str, **answers: bytes) -> Any:
    """A service whose methods answer these bytes."""

    def method(answer: bytes) -> Any:
        return grpc.unary_unary_rpc_method_handler(says(answer))

    return grpc.method_handlers_generic_handler(service, {name: method(answer) for name, answer in answers.items()})


@asynccontextmanager
async def serving(*handlers: Any, servicer: Any = None, address: str = "localhost:0") -> AsyncIterator[str]:
    """A gRPC server; yields the target it is reached at."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    if servicer is not None:
        add_ModelRuntimeServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield address if address != "localhost:0" else f"localhost:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def client_of(*targets: str, serving_target: str = "", **options: Any) -> AsyncIterator[RuntimeClient]:
    client = RuntimeClient(targets, serving_target, **{"max_message_bytes": 1 << 20, "min_churn_age_ms": -1, **options})
    try:
        yield client
    finally:
        await client.close()


def run(scenario: Awaitable[None]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(GUARD_S):
            await scenario

    asyncio.run(guarded())


def load(deadline_ms: int = 90_000, model: str = "m", **fields: Any) -> Load:
    return Load(model, 3, **{"type": "t", "path": "p", "key": "k", **fields}, deadline_ms=deadline_ms, why=WHY)


def predict(**fields: Any) -> Predict:
    return Predict(**{"model": "m", "gen": 3, "type": "t", "path": "p", "key": "k", "deadline_ms": 5000, **fields})


UNLOAD = Unload("m", 3, WHY)


def with_runtime(scenario: Callable[[FakeRuntime, RuntimeClient], Awaitable[None]], **options: Any) -> None:
    """Run a scenario with a client whose handshake is over."""

    async def scene() -> None:
        runtime = FakeRuntime()
        async with serving(servicer=runtime) as target, client_of(target, **options) as client:
            await client.start(poll_s=0)
            runtime.asked.clear()
            await scenario(runtime, client)

    run(scene())


# -- handshake -------------------------------------------------------------------------------------------


def test_a_starting_runtime_is_asked_until_it_is_ready_and_then_never_again() -> None:
    async def scene() -> None:
        unavailable = grpc.StatusCode.UNAVAILABLE
        status = ready(
            runtimeVersion="1.2", allowAnyMethod=True, limitModelConcurrency=True,
            methodInfos={"a.B/C": spi.RuntimeStatusResponse.MethodInfo(idInjectionPath=[1, 2])},
        )  # fmt: skip
        starting = spi.RuntimeStatusResponse(status=STARTING)
        runtime = FakeRuntime(unavailable, starting, grpc.StatusCode.INTERNAL, starting, status)
        async with serving(servicer=runtime) as target, client_of(target) as client:
            info = await client.start(poll_s=0)
            assert len(runtime.asked) == 5
            assert info.target == target
            assert info.method_infos == {"a.B/C": (1, 2)}
            assert (info.allow_any_method, info.limits_concurrency, info.version) == (True, True, "1.2")
            assert (info.params.load_threads, info.params.load_timeout_ms, info.params.capacity_units) == (
                6,
                90_000,
                131_072,
            )
            assert info.params.limits_concurrency

    run(scene())


def test_the_churn_age_of_the_settings_is_in_the_parameters() -> None:
    async def scene() -> None:
        async with serving(servicer=FakeRuntime()) as target, client_of(target, min_churn_age_ms=7) as client:
            assert (await client.start(poll_s=0)).params.min_churn_age_ms == 7

    run(scene())


@pytest.mark.parametrize(("status", "word"), [(FAILING, "FAILING"), (17, "the unknown state 17")])
def test_a_runtime_that_fails_stops_the_start(status: int, word: str) -> None:
    async def scene() -> None:
        runtime = FakeRuntime(spi.RuntimeStatusResponse(status=status))
        async with serving(servicer=runtime) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match=f"^the runtime at {target} answers {word}$"):
                await client.start(poll_s=0)

    run(scene())


def test_a_runtime_that_does_not_get_ready_in_time_stops_the_start() -> None:
    async def scene() -> None:
        async with (
            serving(servicer=FakeRuntime(*[spi.RuntimeStatusResponse()] * 9)) as target,
            client_of(target) as client,
        ):
            with pytest.raises(RuntimeUnusable) as caught:
                await client.start(limit_s=0.2, poll_s=9)
        assert str(caught.value) == (
            f"Model server container did not start after 0.2 seconds: {target} answers STARTING"
        )

    run(scene())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"maxLoadingConcurrency": 0}, "The model server reports maxLoadingConcurrency = 0; it must be at least 1"),
        ({"capacityInBytes": 50 << 20}, "The model server reports capacityInBytes = 52428800; it must be"),
        ({"capacityInBytes": 2**64 - 1}, "The model server reports capacityInBytes = 18446744073709551615; it must be"),
        ({"defaultModelSizeInBytes": 2**63}, "The model server reports defaultModelSizeInBytes = 9223372036854775808"),
    ],
)
def test_parameters_that_cannot_be_stop_the_start(fields: dict[str, int], text: str) -> None:
    async def scene() -> None:
        async with serving(servicer=FakeRuntime(ready(**fields))) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable) as caught:
                await client.start(poll_s=0)
        assert str(caught.value).startswith(text)
        assert str(caught.value).endswith(f"({target})")

    run(scene())


def test_an_old_runtime_is_talked_to_by_its_old_name_from_then_on() -> None:
    async def scene() -> None:
        old = raw("com.ibm.watson.tas.internal.proto.ModelServer", runtimeStatus=bytes_of(ready()), unloadModel=b"")
        async with serving(old) as target, client_of(target) as client:
            assert (await client.start(poll_s=0)).target == target
            assert await client.unload(UNLOAD) == Unloaded("m", 3)

    run(scene())


def test_a_server_that_is_no_runtime_is_not_taken_for_one() -> None:
    async def scene() -> None:
        async with serving() as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match="answers UNIMPLEMENTED"):
                await client.start(limit_s=0.2, poll_s=9)
        async with serving(raw(SERVICE, runtimeStatus=b"\xff")) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match="no RuntimeStatusResponse"):
                await client.start(poll_s=0)

    run(scene())


def test_of_two_places_the_one_that_is_ready_first_is_used(tmp_path: Path) -> None:
    async def scene() -> None:
        socket = f"unix:{tmp_path}/grpc.sock"
        waiting = FakeRuntime(*[spi.RuntimeStatusResponse()] * 9)
        async with (
            serving(servicer=FakeRuntime(), address=socket),
            serving(servicer=waiting) as port,
            client_of(socket, port) as client,
        ):
            assert (await client.start(poll_s=9)).target == socket
        async with serving(servicer=FakeRuntime()) as port, client_of(f"unix:{tmp_path}/none", port) as client:
            assert (await client.start(poll_s=9)).target == port

    run(scene())


# -- whether it is still there -----------------------------------------------------------------------------


def watching(client: RuntimeClient) -> tuple[asyncio.Task[None], asyncio.Queue[str]]:
    told: asyncio.Queue[str] = asyncio.Queue()
    return asyncio.create_task(client.watch(lambda event: told.put_nowait(event.text))), told


def test_lost_connection_is_told_without_any_call() -> None:
    """Each time again; and what is to be seen then is asked for without a word to the runtime."""

    async def scene() -> None:
        port = free_port()
        async with client_of(f"localhost:{port}") as client:
            async with serving(servicer=FakeRuntime(), address=f"localhost:{port}"):
                await client.start(poll_s=0)
                watch, told = watching(client)
                assert await client.probe(Probe(7)) == RuntimeProbed(7, Finding.OPEN)
                assert told.empty()
            for _ in range(2):
                assert await told.get() == f"the connection to localhost:{port} ended"
                assert await client.probe(Probe(8)) == RuntimeProbed(8, Finding.REFUSED)
                runtime = FakeRuntime()
                async with serving(servicer=runtime, address=f"localhost:{port}"):
                    assert (await client.renew()).target == f"localhost:{port}"
                    assert len(runtime.asked) == 1
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    run(scene())


def test_connection_lost_before_anybody_watches_is_told_too() -> None:
    async def scene() -> None:
        async with client_of(f"localhost:{(port := free_port())}") as client:
            async with serving(servicer=FakeRuntime(), address=f"localhost:{port}"):
                await client.start(poll_s=0)
            state = client._managing.get_state()
            if state is grpc.ChannelConnectivity.READY:
                await client._managing.wait_for_state_change(state)
            watch, told = watching(client)
            assert (await told.get()).endswith(" ended")
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    run(scene())


def test_runtime_that_serves_elsewhere_is_back_when_it_serves_there() -> None:
    """Models that nobody answers for need not be loaded yet; the wait for it has the same end."""

    async def scene() -> None:
        apart, runtime = f"localhost:{free_port()}", FakeRuntime(ready(), ready())
        async with serving(servicer=runtime) as target, client_of(target, serving_target=apart) as client:
            await client.start(poll_s=0)
            with pytest.raises(RuntimeUnusable) as caught:
                await client.renew(limit_s=0.2, poll_s=0.01)
            text = f"Model server container did not start after 0.2 seconds: nobody listens at {apart}"
            assert (str(caught.value), len(runtime.asked)) == (text, 1)
            assert (await client.probe(Probe(1))).finding is Finding.REFUSED
            renewing = asyncio.create_task(client.renew(poll_s=0.01))
            async with serving(Echo(), address=apart):
                assert (await renewing).target == target
                assert len(runtime.asked) == 2
                assert (await client.probe(Probe(1))).finding is Finding.OPEN

    run(scene())


def test_methods_for_sizes_are_asked_for_anew_after_a_restart() -> None:
    async def scene() -> None:
        runtime = FakeRuntime(ready(), ready())
        runtime.answers["predict"] = fails(grpc.StatusCode.UNIMPLEMENTED)
        async with serving(servicer=runtime) as target, client_of(target) as client:
            await client.start(poll_s=0)
            assert await client.predict(predict()) == Predicted("m", 3, 0)
            await client.renew(poll_s=0)
            runtime.answers["predict"] = says(spi.PredictModelSizeResponse(sizeInBytes=5))
            assert await client.predict(predict()) == Predicted("m", 3, 5)

    run(scene())


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
        await runtime.entered.wait()
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
        assert await client.measure(Measure("m", 3, 5000)) == Measured("m", 3, 6)
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
            assert await client.measure(Measure("m", 3, 5000)) == Measured("m", 3, 0)
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
        await runtime.cancelled.wait()

    with_runtime(scene, unload_limit_s=0.1)


# -- what the runtime serves -----------------------------------------------------------------------------


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Any method but the management's own, on raw bytes."""

    def service(self, details: Any) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            asked = dict(context.invocation_metadata())
            await context.send_initial_metadata((("early", "1"), ("early-bin", b"\x00\xff")))
            context.set_trailing_metadata((("late", asked.get("color", "")),))
            if request == b"fail":
                await context.abort(grpc.StatusCode.DATA_LOSS, "spilt")
            if request == b"deadline":
                return b"%d" % (context.time_remaining() > 0)
            return details.method.encode() + b" " + request

        return grpc.unary_unary_rpc_method_handler(answer)


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
