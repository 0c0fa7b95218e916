"""Runtimes that say what cannot be, say nothing, or break off: no instance is harmed, other models are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import grpc
import pytest

from meshcore.events import LoadFailed
from meshd.handshake import RuntimeUnusable
from runtimes import sdk
from runtimes.fake import Fake
from tests.client import ECHO, GUARD_S, Client, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.meshd.runtime_server import Relay, RuntimeServer
from tests.meshd.scripted_runtime import client_of, given_up, load, run, says, serving
from tests.processes import until

GOOD = "good"


@contextmanager
def beside(kind: type[Fake] = Fake, **fields: Any) -> Iterator[tuple[Mesh, Fake]]:
    """An instance on a bad runtime that has one good model loaded; at the end that is still so."""
    with mesh(1, runtime=kind, **fields) as made:
        fake = made[0].fake
        made.client.register(GOOD)
        made.client.infer(GOOD)
        yield made, fake
        made.client.infer(GOOD)
        if isinstance(fake, Hanging):
            made.run(fake.stop_hanging())
        assert fake.counts[GOOD].loads == 1
        assert made[0].metrics()['meshd_decisions{rule="restart",}'] == 0
        assert made[0].ready()[0] == 200


def load_failure(client: Client, model: str) -> str:
    """Why a model is not loaded."""
    client.register(model)
    return refused(lambda: client.infer(model))[1]


# -- sizes


class Nonsense(Fake):
    """Answers sizes that are asked for by the model's name."""

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        loaded = await super().load(model)
        return sdk.Loaded(int(model.id)) if model.id != GOOD else loaded

    async def predict_size(self, model: sdk.ModelInfo) -> int:
        return 2**63 if model.id != GOOD else 0

    async def model_size(self, model_id: str) -> int:
        return 2**64 - 1 if model_id == "0" else 64 << 10


@pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**62 + 1])
def test_size_that_cannot_be_fails_the_load_alone(size: int) -> None:
    """A negative number, most likely; the runtime is told to unload the model that it says it has."""
    with beside(Nonsense) as (made, fake):
        assert load_failure(made.client, str(size)) == f"the runtime says that the model has {size} bytes"
        until(lambda: str(size) not in fake.models, "it is unloaded")
        assert made.client.instances()["i0"].used_bytes < 10 * MIB


def test_size_of_nothing_is_asked_for_and_then_guessed() -> None:
    """What a prediction or a measurement cannot be counts as none."""
    with beside(Nonsense) as (made, _):
        made.client.register("0")
        made.client.infer("0")
        until(lambda: made.client.instances()["i0"].used_bytes >= 64 << 10, "it takes what is assumed of a model")
        assert made.client.instances()["i0"].used_bytes < 10 * MIB


def test_model_that_turns_out_larger_than_the_instance_goes_again() -> None:
    """It had its chance; nothing else goes for it that is used as much."""
    with mesh(1, runtime=Nonsense) as made:
        huge = str(2 << 30)
        made.client.register(huge, load=True)
        until(lambda: made[0].fake.total.unloads == 1, "it is unloaded")
        until(lambda: made.client.state(huge) == "NOT_LOADED", "its record says so")
        made.client.register(GOOD)
        made.client.infer(GOOD)


# -- no answer


class Hanging(Fake):
    """Never answers about models that are named after what hangs."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.load_timeout_ms = 3_000
        self.max_loading_concurrency = 2
        self._over = asyncio.Event()

    async def stop_hanging(self) -> None:
        """The test is over."""
        self._over.set()

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        if model.id == "load":
            await self._over.wait()
        loaded = await super().load(model)
        return sdk.Loaded(0) if model.id == "size" else loaded

    async def unload(self, model_id: str) -> None:
        if model_id == "unload":
            await self._over.wait()
        await super().unload(model_id)

    async def predict_size(self, model: sdk.ModelInfo) -> int:
        if model.id == "predict":
            await self._over.wait()
        return 0

    async def model_size(self, model_id: str) -> int:
        await self._over.wait()
        return 0


def test_load_that_hangs_fails_in_time_and_others_are_loaded_meanwhile() -> None:
    """The runtime said itself how long it may take."""
    with beside(Hanging) as (made, _):
        assert load_failure(made.client, "load") == "DEADLINE_EXCEEDED: not loaded after 3 s"
        made.client.register("other")
        made.client.infer("other")


def test_prediction_and_measurement_that_hang_hold_up_no_request() -> None:
    """The first for half a second, the second not at all."""
    with beside(Hanging) as (made, _):
        for model in ("predict", "size"):
            made.client.register(model)
            made.client.infer(model)
            made.client.infer(model)
        assert made.client.state("size") == "LOADED"


def test_unload_that_hangs_keeps_its_memory_and_nothing_else() -> None:
    """What the runtime does not give back is not there for others."""
    with beside(Hanging) as (made, fake):
        made.client.register("unload", "fake:?size=100MiB")
        made.client.infer("unload")
        made.client.unregister("unload")
        made.client.register("other")
        made.client.infer("other")
        until(lambda: made.client.instances()["i0"].capacity_bytes <= (1024 - 100) * MIB, "its memory is not there")
        assert "unload" in fake.models


def test_status_that_hangs_is_told_at_the_end_of_the_start() -> None:
    async def scene() -> None:
        async def hangs(_: bytes, context: Any) -> bytes:
            await asyncio.Event().wait()
            return b""

        handler = grpc.unary_unary_rpc_method_handler(hangs)
        silent = grpc.method_handlers_generic_handler("mmesh.ModelRuntime", {"runtimeStatus": handler})
        async with serving(silent) as target, client_of(target) as client:
            with pytest.raises(RuntimeUnusable, match=r"did not start after 0.2 seconds: .* answers nothing$"):
                await client.start(limit_s=0.2)

    run(scene())


# -- answers that are none


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp(talk: Talk) -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A server that is no gRPC server; its target and its connections."""
    connections: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()
        for writer in connections:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in connections), return_exceptions=True)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100_000, b""])
def test_garbage_instead_of_a_runtime_is_no_runtime(answer: bytes) -> None:
    """It is asked again, as it may be something that starts; in the end what it answered is told."""

    async def scene() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)

        async with tcp(talk) as (target, connections), client_of(target) as client:
            assert (await given_up(client, poll_s=0.1)).startswith(f"{target} answers UNAVAILABLE")
            assert connections

    run(scene())


def test_answer_of_a_gigabyte_is_refused_by_the_length_it_announces() -> None:
    """None of it need come, so none of it need be kept."""
    announced = b"\x00" + (1 << 30).to_bytes(4, "big")

    async def scene() -> None:
        async with tcp(partial(answer_once, announced)) as (target, _), client_of(target) as client:
            client._managing, client._service = client._channel(target), "mmesh.ModelRuntime"
            failed = await client.load(load())
            assert isinstance(failed, LoadFailed)
            assert failed.text.startswith("RESOURCE_EXHAUSTED: ")
            assert "1073741824" in failed.text

    run(scene())


async def answer_once(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/2 as bare as can be: a request is answered with headers and ``data``, and with nothing more."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value

    await reader.readexactly(24)
    writer.write(frame(4, 0, 0, b""))
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == 4 and not flags & 1:
            writer.write(frame(4, 1, 0, b""))
        if kind == 1:
            headers = b"\x88" + literal(b"content-type", b"application/grpc")
            writer.write(frame(1, 4, stream, headers) + frame(0, 0, stream, data))


class Large(Fake):
    """Has a method that answers 32 MiB, whatever the model."""

    METHOD = "/large.Service/Get"

    def register(self, server: Any) -> None:
        handler = grpc.unary_unary_rpc_method_handler(says(bytes(32 * MIB)))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("large.Service", {"Get": handler}),))
        super().register(server)


def test_inference_answer_above_the_limit_is_an_error_of_its_request() -> None:
    """The next one is answered, by the same copy."""
    with beside(Large, MM_SVC_GRPC_MAX_MSG_SIZE=str(MIB)) as (made, _):
        code, text = refused(lambda: made.client.call(Large.METHOD, b"", (("mm-model-id", GOOD),)))
        assert code == "RESOURCE_EXHAUSTED"
        assert text.startswith("large.Service/Get: RESOURCE_EXHAUSTED: ")


# -- connections that break


def test_connection_that_breaks_in_a_load_fails_that_load() -> None:
    """The runtime is there: that is no restart, and the other copies stay."""
    with mesh(0) as made:
        runtime = RuntimeServer(made)
        runtime.start()
        relay = Relay(made, runtime.port)
        made.add(INTERNAL_GRPC_PORT=str(relay.port))
        made.client.register(GOOD)
        made.client.infer(GOOD)
        made.client.register("slow", "fake:?load_ms=600000", load=True, sync=False)
        until(lambda: "slow" in runtime.fake.counts, "it loads")
        relay.cut()
        until(lambda: made.client.state("slow") == "LOADING_FAILED", "it failed")
        assert made.client.status("slow").errors[0].startswith("UNAVAILABLE: ")
        made.client.infer(GOOD)
        assert runtime.fake.counts[GOOD].loads == 1


def test_connection_that_breaks_in_a_request_is_answered_by_another_instance() -> None:
    """Or named as what it is, where there is none."""
    with mesh(0) as made:
        runtime = RuntimeServer(made)
        runtime.start()
        relay = Relay(made, runtime.port)
        made.add(INTERNAL_GRPC_PORT=str(relay.port))
        made.client.register("m", "fake:?infer_ms=600000")
        for _ in range(2):
            asked = made.client.begin(ECHO, b"x", (("mm-model-id", "m"),), GUARD_S)
            until(lambda: runtime.fake.total.in_flight == 1, "it is asked")
            relay.cut()
            text = asked.details()
            assert (asked.code(), text.partition("UNAVAILABLE: some")[0]) == (
                grpc.StatusCode.INTERNAL,
                "ModelRuntime ",
            )
            until(lambda: runtime.fake.total.in_flight == 0, "the runtime heard of it")
        assert runtime.fake.counts["m"].loads == 1


def test_runtime_that_ends_in_a_load_is_asked_again_when_it_is_back() -> None:
    """The request that waits for the load is answered, and no failure is on record."""
    with mesh(0) as made:
        runtime = RuntimeServer(made)
        runtime.start()
        made.add(**runtime.settings)
        made.client.register("m", "fake:?load_ms=300")
        asked = made.client.begin(ECHO, b"x", (("mm-model-id", "m"),), GUARD_S)
        until(lambda: "m" in runtime.fake.counts, "it loads")
        runtime.kill()
        until(lambda: made[0].ready()[0] == 503, "it is noticed")
        runtime.start()
        assert asked.result() == b"x"
        assert "failedIn" not in (made.record("m") or {})


def test_runtime_that_loses_its_models_by_itself_has_them_loaded_again_one_by_one() -> None:
    """As one behind an adapter does: with the connection kept, it is not asked for its status."""
    with mesh(1) as made:
        models = [f"m{number}" for number in range(5)]
        for model in models:
            made.client.register(model)
            made.client.infer(model)
        made[0].fake.models.clear()
        for model in models:
            made.client.infer(model)
        assert {model: made[0].fake.counts[model].loads for model in models} == dict.fromkeys(models, 2)
        assert made[0].metrics()['meshd_decisions{rule="restart",}'] == 0


def test_service_that_says_not_found_of_something_else_costs_no_other_model() -> None:
    """It says what a runtime says that lost its model, so that one is loaded again, but no more than so often."""
    with beside() as (made, fake):
        for model in ("a", "b"):
            made.client.register(model, "fake:?infer_fail=NOT_FOUND&infer_text=no such user")
            assert refused(lambda model=model: made.client.infer(model)) == ("INTERNAL", "8 retry iterations exhausted")  # type: ignore[misc]
            assert fake.counts[model].loads <= 8
