"""Shadow models in a mesh: they see what clients send, and clients see nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc import aio

from meshcore.vmodel_record import VModelRecord
from meshd.plane.shadow import MOST_AT_ONCE
from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc, model_mesh_pb2
from runtimes import sdk
from runtimes.fake import Fake
from tests.client import ECHO, GUARD_S, Client, Metadata
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

WATCH = "/watch.Watch/Any"
OUTCOMES = ("answered", "failed", "dropped")


class Watched(Fake):
    """Keeps what it was sent; a model whose name begins with ``frozen`` never answers."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.seen: list[tuple[str, tuple[bytes, ...], dict[str, str | bytes]]] = []

    def register(self, server: aio.Server) -> None:
        handlers = {"Any": grpc.stream_stream_rpc_method_handler(self._any)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("watch.Watch", handlers),))
        super().register(server)

    async def _any(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        model = sdk.model_id(context)
        sent = tuple([message async for message in messages])
        self.seen.append((model, sent, dict(context.invocation_metadata())))
        await self.answer(model, context)
        yield b"".join(sent)

    async def answer(self, model_id: str, context: Any) -> None:
        if model_id.startswith("frozen"):
            await asyncio.Event().wait()
        await super().answer(model_id, context)


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances; a request may keep 1 MiB, all together 4 MiB."""
    with mesh(2, runtime=Watched, MM_RETRY_BUFFER=f"{MIB},{4 * MIB}", MM_SVC_GRPC_MAX_MSG_SIZE=str(16 * MIB)) as made:
        yield made


def shadowed(pair: Mesh, name: str, path: str = "fake:?", prefix: str = "", active: str = "") -> tuple[str, Metadata]:
    """A virtual model with one that answers and a shadow; the shadow's name, and the header of requests."""
    active, shadow = f"{active}{name}active", f"{prefix}{name}shadow"
    pair.client.register(active, load=True)
    pair.client.register(shadow, path)
    pair.put(f"vmodels/{name}", VModelRecord(active=active, target=active, shadow=shadow).encode())
    header: Metadata = (("mm-vmodel-id", name),)
    asked = model_mesh_pb2.GetVModelStatusRequest(vModelId=name)

    def is_known(client: Client) -> bool:
        return bool(client.mm.getVModelStatus(asked, timeout=GUARD_S).activeModelId == active)

    for instance in pair.instances:
        until(partial(is_known, instance.client), f"{instance.name} knows it")
    return shadow, header


def counts(pair: Mesh) -> dict[str, int]:
    """What became of the copies of requests, on both instances."""
    metrics = [instance.metrics() for instance in pair.instances]
    return {
        name: sum(int(each.get(f'meshd_shadow_total{{outcome="{name}",}}', 0)) for each in metrics) for name in OUTCOMES
    }


def since(before: dict[str, int], pair: Mesh) -> dict[str, int]:
    return {name: count - before[name] for name, count in counts(pair).items()}


def seen_by(pair: Mesh, model: str) -> list[tuple[tuple[bytes, ...], dict[str, str | bytes]]]:
    return [(sent, told) for instance in pair.instances for name, sent, told in instance.fake.seen if name == model]


@pytest.mark.parametrize("place", ["here", "over a hop"])
def test_the_shadow_sees_the_same_bytes_and_metadata_and_its_own_id(pair: Mesh, model: str, place: str) -> None:
    before = counts(pair)
    shadow, header = shadowed(pair, model)
    pair.copy(shadow, 0 if place == "here" else 1)
    until(lambda: pair.client.state(shadow) == "LOADED", "known to be ready")
    own: Metadata = (("x-user", "u"), ("trace-bin", b"\x00\xff"))
    messages = [b"one", b"", bytes(range(256)) * 1000]
    call = pair.client.channel.stream_stream(WATCH)(
        iter(messages), metadata=(*header, *own, ("mm-balanced", "true"), ("mm-vmodel-key", "k")), timeout=GUARD_S
    )
    assert list(call) == [b"".join(messages)]
    until(lambda: seen_by(pair, shadow) != [], "the shadow has seen it")
    ((sent, told),) = seen_by(pair, shadow)
    assert sent == tuple(messages)
    assert {name: told[name] for name, _ in own} == dict(own)
    assert told["mm-model-id"] == shadow
    assert {name for name in told if name.startswith("mm-")} == {"mm-model-id", "mm-model-id-bin"}
    until(lambda: since(before, pair) == {"answered": 1, "failed": 0, "dropped": 0}, "counted")


def test_unary_calls_of_both_kinds_are_seen_and_load_the_shadow(pair: Mesh, model: str) -> None:
    before = counts(pair)
    shadow, header = shadowed(pair, model)
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(pair.client.channel)
    stub.ModelInfer(v2.ModelInferRequest(model_name="theirs"), metadata=header, timeout=GUARD_S)
    assert pair.client.call(ECHO, b"body", header).body == b"body"
    until(lambda: since(before, pair) == {"answered": 2, "failed": 0, "dropped": 0}, "counted")
    infers = [i.fake.counts[shadow].infers for i in pair.instances if shadow in i.fake.counts]
    assert sum(infers) == 2
    until(lambda: pair.client.state(shadow) == "LOADED", "known to be ready")


@pytest.mark.parametrize("path", ["fake:?infer_fail=INTERNAL", "fake:?fail=INTERNAL", "fake:?size=100GiB"])
def test_a_shadow_that_fails_is_counted_and_clients_have_their_answers(pair: Mesh, model: str, path: str) -> None:
    """It answers with an error, cannot be loaded, or cannot be anywhere."""
    before = counts(pair)
    _, header = shadowed(pair, model, path)
    for number in range(10):
        body = str(number).encode()
        assert pair.client.call(ECHO, body, header).body == body
    until(lambda: since(before, pair) == {"answered": 0, "failed": 10, "dropped": 0}, "counted")


@pytest.mark.parametrize(("path", "prefix"), [("fake:?", "frozen"), ("fake:?load_ms=3600000", "")])
def test_a_shadow_that_hangs_holds_up_no_client_and_no_instance_that_goes(path: str, prefix: str) -> None:
    """It never answers, or never loads. So many calls to it are under way, and what comes beyond them is dropped."""
    total = MOST_AT_ONCE + 36
    with mesh(1, runtime=Watched) as alone:
        _, header = shadowed(alone, "v", path, prefix)
        for number in range(total):
            body = str(number).encode()
            assert alone.client.call(ECHO, body, header).body == body
        until(lambda: counts(alone)["dropped"] == 36, "counted")
        assert counts(alone) == {"answered": 0, "failed": 0, "dropped": total - MOST_AT_ONCE}
        alone.stop(0)


def test_what_is_larger_than_may_be_kept_is_dropped_and_answered(pair: Mesh, model: str) -> None:
    before = counts(pair)
    shadow, header = shadowed(pair, model)
    body = bytes(2 * MIB)
    assert pair.client.call(ECHO, body, header).body == body
    call = pair.client.channel.stream_stream(WATCH)(iter([bytes(MIB - 1), b"xx"]), metadata=header, timeout=GUARD_S)
    assert [len(message) for message in call] == [MIB + 1]
    until(lambda: since(before, pair) == {"answered": 0, "failed": 0, "dropped": 2}, "counted")
    assert seen_by(pair, shadow) == []


def test_a_call_that_the_client_gave_up_has_no_shadow(pair: Mesh, model: str) -> None:
    before = counts(pair)
    shadow, header = shadowed(pair, model, active="frozen")
    call = pair.client.begin(WATCH, b"body", header)
    until(lambda: seen_by(pair, f"frozen{model}active") != [], "under way")
    call.cancel()
    until(lambda: sum(since(before, pair).values()) == 1, "counted")
    assert since(before, pair)["dropped"] == 1
    assert seen_by(pair, shadow) == []
