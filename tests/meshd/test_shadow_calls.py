"""Shadow calls by themselves: their bounds, what ends them, and that each request is counted once."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from meshcore.asks import Answered, Done, Failed, Kind, Request, RuntimeFailed
from meshcore.errors import Code, UnknownModel
from meshd.plane.call import Ended
from meshd.plane.shadow import MOST_AT_ONCE, Nobody
from tests.meshd.scene import ANY, KNOWN, OK, REQUEST_BYTES, Scene, played, until


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (OK, "answered"),
        (Done(Answered(Ended(grpc.StatusCode.INTERNAL, "in the middle"))), "failed"),
        (Done(RuntimeFailed(Code.INTERNAL, "broken")), "failed"),
        (Failed(UnknownModel()), "failed"),
        (RuntimeError("a defect"), "failed"),
    ],
)
@pytest.mark.parametrize("path", [KNOWN, ANY])
def test_every_end_is_counted_once(end: Done | Failed | Exception, outcome: str, path: str) -> None:
    async def scenario(scene: Scene) -> None:
        scene.desk.end = end
        scene.desk.may_end.set()
        scene.send(path=path)
        await scene.over()
        assert scene.desk.asked == [Request("shadow", is_asked_for=False, is_shadow=True)]
        assert {name: count for name, count in scene.counts().items() if count} == {outcome: 1}

    played(scenario)


def test_calls_beyond_the_most_at_once_are_dropped_and_not_queued() -> None:
    async def scenario(scene: Scene) -> None:
        for _ in range(MOST_AT_ONCE + 3):
            scene.send(b"")
        assert scene.counts() == {"answered": 0, "failed": 0, "dropped": 3}
        scene.desk.may_end.set()
        await scene.over()
        scene.send()
        await scene.over()
        assert scene.counts() == {"answered": MOST_AT_ONCE + 1, "failed": 0, "dropped": 3}

    played(scenario)


def test_calls_beyond_the_bytes_of_one_or_of_all_are_dropped() -> None:
    async def scenario(scene: Scene) -> None:
        scene.send(bytes(REQUEST_BYTES + 1))
        scene.send(bytes(REQUEST_BYTES))
        scene.send(bytes(REQUEST_BYTES))
        scene.send(bytes(REQUEST_BYTES))
        assert scene.counts()["dropped"] == 2
        assert scene.plane.shadows.buffer.used_bytes == 2 * REQUEST_BYTES
        assert scene.plane.buffer.used_bytes == 0, "the room of clients is their own"
        scene.desk.may_end.set()
        await scene.over()
        assert scene.counts() == {"answered": 2, "failed": 0, "dropped": 2}

    played(scenario)


def test_a_stream_that_outgrows_its_room_is_dropped_and_gives_the_room_back_at_once() -> None:
    async def scenario(scene: Scene) -> None:
        shadows = scene.plane.shadows
        copied = shadows.begin("shadow", None)
        copied.take(bytes(60))
        copied.take(bytes(60))
        copied.take(bytes(10))
        assert (shadows.buffer.used_bytes, copied.messages) == (0, [])
        shadows.send(copied, ANY, (), False, None)
        assert scene.counts() == {"answered": 0, "failed": 0, "dropped": 1}

    played(scenario)


def test_a_call_has_as_long_as_the_client_gave_and_then_is_given_up() -> None:
    async def scenario(scene: Scene) -> None:
        scene.send(given_s=0.001)
        await scene.over()
        assert scene.counts() == {"answered": 0, "failed": 1, "dropped": 0}

    played(scenario)


def test_nobody_waits_for_shadow_calls_when_the_instance_goes() -> None:
    async def scenario(scene: Scene) -> None:
        scene.send()
        scene.send(path=ANY)
        await until(lambda: len(scene.desk.calls) == 2)
        assert (scene.plane.of_clients.open, scene.plane.of_peers.open, scene.plane.of_nobody.open) == (0, 0, 2)
        scene.plane.shadows.end()
        scene.send()
        await scene.over()
        assert scene.counts() == {"answered": 0, "failed": 0, "dropped": 3}
        assert scene.plane.of_nobody.open == 0

    played(scenario)


def test_the_call_reads_what_was_kept_and_drops_what_it_is_told() -> None:
    async def scenario(scene: Scene) -> None:
        copied = scene.plane.shadows.begin("shadow", None)
        for message in (b"one", b"", b"two"):
            copied.take(message)
        nobody = Nobody(copied.messages, 1.0)
        assert [await nobody.read() for _ in range(3)] == [b"one", b"", b"two"]
        assert await nobody.read() is grpc.aio.EOF
        copied.drop()

    played(scenario)


def test_an_instance_takes_so_many_shadow_calls_of_others_too() -> None:
    async def scenario(scene: Scene) -> None:
        passed_on = Request("shadow", kind=Kind.HIT, origin="other", hops=1, is_asked_for=False, is_shadow=True)

        async def serve() -> Done | Failed:
            return await scene.plane.serve(passed_on, None)  # type: ignore[arg-type]

        tasks = [asyncio.create_task(serve()) for _ in range(MOST_AT_ONCE)]
        await until(lambda: len(scene.desk.calls) == MOST_AT_ONCE)
        refused = await serve()
        assert isinstance(refused, Failed)
        assert refused.error.code is Code.RESOURCE_EXHAUSTED
        scene.desk.may_end.set()
        assert [await task for task in tasks] == [OK] * MOST_AT_ONCE
        assert await serve() == OK

    played(scenario)
