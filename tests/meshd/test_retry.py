"""Requests that are tried again elsewhere: what of them is kept, how much, and what happens to those that are not."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from meshd import app
from meshd.plane import stream
from meshd.plane.python import PythonPlane
from protos import grpc_predict_v2_pb2 as v2
from protos import grpc_predict_v2_pb2_grpc
from runtimes import sdk
from runtimes.behaviour import Behaviour
from tests.client import ECHO, GUARD_S, Metadata, refused
from tests.meshd.mesh import MIB, Instance, Mesh, mesh
from tests.meshd.test_plane import Spy
from tests.processes import until

BIG = 16 * MIB
STREAM, SUM, BREAK, ONE, LATE = (
    "/some.Service/Stream",
    *(f"/spy.Spy/{name}" for name in ("Sum", "Break", "One", "Late")),
)


class Gated(Spy):
    """Loads as long as it is open."""

    is_open = True

    async def load(self, model: sdk.ModelInfo) -> sdk.Loaded:
        while not self.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return await super().load(model)


@pytest.fixture
def pair() -> Iterator[Mesh]:
    """Two instances whose runtimes take messages of any size; a request may keep 1 MiB, all together 4 MiB."""
    limits = {"MM_RETRY_BUFFER": f"{MIB},{4 * MIB}", "MM_SVC_GRPC_MAX_MSG_SIZE": str(2 * BIG)}
    with mesh(2, runtime=Gated, **limits) as made:
        yield made


def named(model: str, *more: tuple[str, str]) -> Metadata:
    return (("mm-model-id", model), *more)


def only_on_i0(pair: Mesh, model: str, path: str = "fake:?") -> None:
    pair.client.register(model, path)
    pair.copy(model, 0)
    until(lambda: pair[1].client.state(model) == "LOADED", "i1 knows of the copy")


def infer(instance: Instance, model: str, request: Any) -> Any:
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(instance.client.channel)
    return stub.ModelInfer(request, metadata=named(model), timeout=GUARD_S)


def loads(pair: Mesh, model: str) -> int:
    return sum(i.fake.counts[model].loads for i in pair.instances if model in i.fake.counts)


def test_a_request_within_the_buffer_is_sent_again_whole(pair: Mesh) -> None:
    only_on_i0(pair, "m")
    body = bytes(range(256)) * 4096
    for instance in pair.instances:
        del pair[0].fake.models["m"]
        assert instance.client.call(ECHO, body, named("m")).body == body
        until(lambda: "m" in pair[0].fake.models or "m" in pair[1].fake.models, "loaded again")
        pair.copy("m", 0)
    assert all(each.metrics()["meshd_retained_bytes"] == 0 for each in pair.instances)


def test_a_unary_request_within_the_buffer_is_sent_again_whole(pair: Mesh) -> None:
    """As those are whose method is not known."""
    only_on_i0(pair, "m")
    request = v2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(range(256)) * 4000])
    for instance in pair.instances:
        del pair[0].fake.models["m"]
        assert infer(instance, "m", request).raw_output_contents == request.raw_input_contents
        until(lambda: "m" in pair[0].fake.models or "m" in pair[1].fake.models, "loaded again")
        pair.copy("m", 0)
    assert all(each.metrics()["meshd_retained_bytes"] == 0 for each in pair.instances)


def test_a_stream_within_the_buffer_is_sent_again_from_its_first_message(pair: Mesh) -> None:
    only_on_i0(pair, "m")
    messages = [bytes([number]) * 1000 for number in range(200)]
    for instance in pair.instances:
        pair[0].fake.models.pop("m", None)
        answers = instance.client.channel.stream_stream(STREAM)(iter(messages), metadata=named("m"), timeout=GUARD_S)
        assert list(answers) == messages
        pair.copy("m", 0)


def test_a_conversation_is_tried_again_while_its_client_waits_for_an_answer(pair: Mesh) -> None:
    """What was kept is enough: the client says nothing before it has heard something."""
    only_on_i0(pair, "m")
    for instance in pair.instances:
        pair[0].fake.models.pop("m", None)
        said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        said.put(b"hello")
        method = instance.client.channel.stream_stream(STREAM)
        answers = method(iter(said.get, None), metadata=named("m"), timeout=GUARD_S)
        assert next(answers) == b"hello"
        said.put(b"bye")
        assert next(answers) == b"bye"
        said.put(None)
        assert list(answers) == []
        pair.copy("m", 0)


def test_an_error_that_comes_as_the_answer_is_about_to_begin_reaches_the_client(pair: Mesh) -> None:
    """The first message is held about as long as this runtime takes to fail after it."""
    only_on_i0(pair, "m")

    def call(number: int) -> tuple[str, str]:
        method = pair[number % 2].client.channel.unary_unary(LATE)
        return refused(lambda: method(str(0.0175 + number % 9 / 2000).encode(), metadata=named("m"), timeout=GUARD_S))

    with ThreadPoolExecutor(4) as pool:
        ends = set(pool.map(call, range(300)))
    assert ends == {("FAILED_PRECONDITION", "spy.Spy/Late: FAILED_PRECONDITION: enough")}


def test_calls_on_a_connection_that_is_closed_are_tried_again_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not left without an end when the time is over that a leaving instance's calls have."""
    planes: list[PythonPlane] = []

    class Kept(PythonPlane):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            planes.append(self)

    async def close_connections() -> None:
        for plane in planes:
            while plane._channels:
                await plane._channels.popitem()[1].close(grace=0)

    monkeypatch.setattr(app, "PythonPlane", Kept)
    with mesh(2, runtime=Spy) as pair:
        only_on_i0(pair, "m")
        only_on_i0(pair, "slow")
        pair[0].fake.models["slow"] = Behaviour(infer_ms=600_000)
        said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        said.put(b"hello")
        method = pair[1].client.channel.stream_stream(STREAM)
        answers: Any = method(iter(said.get, None), metadata=named("m"), timeout=GUARD_S)
        assert next(answers) == b"hello"
        waiting = pair[1].client.begin(ECHO, b"x", named("slow"))
        until(lambda: pair[0].fake.counts["slow"].in_flight == 1, "it is under way")
        pair[0].fake.models["slow"] = Behaviour()  # whoever asks again is answered at once
        pair.run(close_connections())
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert (caught.value.code().name, caught.value.details()) == ("UNAVAILABLE", "i0: the connection was closed")
        assert waiting.result() == b"x"
        said.put(None)


def test_a_request_beyond_the_buffer_passes_and_is_not_tried_twice(pair: Mesh) -> None:
    """Straight, the copy that is lost costs one request; over a hop too. Both heal the mesh for the next one."""

    def sum_of(instance: Instance, model: str) -> bytes:
        method = instance.client.channel.stream_unary(SUM)
        return bytes(method(map(bytes, (BIG, BIG)), metadata=named(model), timeout=GUARD_S))

    for instance in pair.instances:
        only_on_i0(pair, instance.name)
        assert sum_of(instance, instance.name) == str(2 * BIG).encode()
        del pair[0].fake.models[instance.name]
        code, text = refused(lambda instance=instance: sum_of(instance, instance.name))  # type: ignore[misc]
        assert (code, "larger than what is kept" in text) == ("UNAVAILABLE", True), text
        assert sum_of(instance, instance.name) == str(2 * BIG).encode()
        assert instance.metrics()["meshd_unretained"] >= 3


def test_a_copy_that_moved_answers_a_request_beyond_the_buffer(pair: Mesh) -> None:
    """What a verdict comes to before any of the request was taken from the client is no reason to give up."""
    pair.client.register("m", "fake:?load_ms=50")
    assert pair[1].client.call(ECHO, bytes(BIG), named("m")).body == bytes(BIG)
    assert loads(pair, "m") == 1


def test_a_unary_request_beyond_the_buffer_is_not_tried_twice(pair: Mesh) -> None:
    request = v2.ModelInferRequest(model_name="m", raw_input_contents=[bytes(BIG)])
    for instance in pair.instances:
        only_on_i0(pair, instance.name)
        del pair[0].fake.models[instance.name]
        code, text = refused(lambda instance=instance: infer(instance, instance.name, request))  # type: ignore[misc]
        assert (code, "larger than what is kept" in text) == ("UNAVAILABLE", True), text
        assert len(infer(instance, instance.name, request).raw_output_contents[0]) == BIG


def test_what_is_kept_stays_under_its_cap_and_is_given_back(pair: Mesh) -> None:
    """64 requests of which each may be kept, and all together not."""
    only_on_i0(pair, "slow", "fake:?infer_ms=600000")
    body = bytes(MIB // 2)
    calls = [instance.client.begin(ECHO, body, named("slow")) for instance in pair.instances for _ in range(32)]
    until(lambda: pair[0].fake.counts["slow"].in_flight == 64, "all are under way")
    until(
        lambda: [instance.metrics()["meshd_retained_bytes"] for instance in pair.instances] == [4 * MIB, 4 * MIB],
        "as much is kept as may be",
    )
    for call in calls:
        call.cancel()
    until(lambda: all(i.metrics()["meshd_retained_bytes"] == 0 for i in pair.instances), "all is given back")
    until(lambda: pair[1].metrics()["meshd_unretained"] == 32 - 8, "what had no room is counted")


def test_large_requests_at_once_pass_unkept(pair: Mesh) -> None:
    """64 requests of 16 MiB in flight: none is kept, all are answered."""
    only_on_i0(pair, "m")
    body, peak = bytes(BIG), [0.0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            peak[0] = max(peak[0], *(instance.metrics()["meshd_retained_bytes"] for instance in pair.instances))

    def call(number: int) -> int:
        return len(pair[number % 2].client.call(ECHO, body, named("m")).body)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(call, range(64))) == [BIG] * 64
    finally:
        is_over.set()
        watcher.join()
    assert peak[0] <= 4 * MIB
    assert sum(instance.metrics()["meshd_unretained"] for instance in pair.instances) >= 64


def test_a_client_that_waits_for_a_load_is_not_read() -> None:
    """The flow control of its connection holds it back, whatever it would like to send."""
    sent = [0]

    def messages() -> Iterator[bytes]:
        for _ in range(2000):
            sent[0] += 1
            yield bytes(64 << 10)

    with mesh(runtime=Gated) as lone:
        lone[0].fake.is_open = False
        lone.client.register("m")
        answers = lone.client.channel.stream_stream(STREAM)(messages(), metadata=named("m"), timeout=GUARD_S)
        until(lambda: lone.client.state("m") == "LOADING", "it is being loaded")
        assert lone[0].metrics()["meshd_retained_bytes"] == 0
        assert sent[0] < 2000
        lone[0].fake.is_open = True
        assert sum(len(answer) for answer in answers) == 2000 * (64 << 10)


def test_an_only_message_is_no_answer_without_its_status(pair: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime says after it that the model is lost, again and again: the request goes round as any other."""
    monkeypatch.setattr(stream, "FIRST_S", GUARD_S)  # however long that takes here
    only_on_i0(pair, "m")
    for instance in pair.instances:
        method = instance.client.channel.unary_unary(BREAK)
        told = refused(lambda method=method: method(b"a", metadata=named("m"), timeout=GUARD_S))  # type: ignore[misc]
        assert told == ("INTERNAL", "8 retry iterations exhausted")


def test_a_first_message_is_not_held_for_long(pair: Mesh) -> None:
    """Where the next one takes its time the answer begins without it."""
    only_on_i0(pair, "m")
    for instance in pair.instances:
        method = instance.client.channel.unary_stream(ONE)
        answers: Any = method(b"a", metadata=named("m"), timeout=GUARD_S)
        assert next(answers) == b"a", "and the status never comes"
        answers.cancel()


def test_an_answer_that_has_begun_is_not_tried_again(pair: Mesh) -> None:
    """Its error is the client's, even where the words would mean a lost copy."""
    only_on_i0(pair, "m")
    for instance in pair.instances:
        method = instance.client.channel.stream_stream(BREAK)
        answers: Any = method(iter([b"a", b"b"]), metadata=named("m"), timeout=GUARD_S)
        assert (next(answers), next(answers)) == (b"a", b"b")
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert loads(pair, "m") == 1
