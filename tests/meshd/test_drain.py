"""An instance that is told to go: calls under way go on to their end, however long they are."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import grpc

from tests.client import GUARD_S
from tests.meshd.mesh import Mesh, mesh
from tests.processes import until

STREAM = "/some.Service/Stream"


class Talk:
    """A stream that somebody is in the middle of."""

    def __init__(self, channel: grpc.Channel, model: str) -> None:
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers = channel.stream_stream(STREAM)(
            iter(self._said.get, None), metadata=(("mm-model-id", model),), timeout=GUARD_S
        )

    def say(self, message: bytes) -> bytes:
        self._said.put(message)
        return bytes(next(self._answers))

    def end(self) -> grpc.StatusCode:
        self._said.put(None)
        assert list(self._answers) == []
        return self._answers.code()


def talks(pair: Mesh) -> Iterator[Talk]:
    """One straight, and one over a hop: both on i0's copy."""
    for instance in pair.instances:
        yield Talk(instance.client.channel, "m")


def test_streams_go_on_while_their_instance_drains() -> None:
    """Neither the copy's leaving its record nor that its instance is not ready ends them; the instance waits."""
    with mesh(2, SHUTDOWN_TIMEOUT_MS="60000") as pair:
        pair.client.register("m")
        pair.copy("m", 0)
        until(lambda: pair[1].client.state("m") == "LOADED", "i1 knows of the copy")
        straight, over_a_hop = talks(pair)
        assert (straight.say(b"a"), over_a_hop.say(b"a")) == (b"a", b"a")
        pair.run(_set(pair[0].app.stop))
        until(lambda: pair[0].ready()[0] == 503, "i0 is not ready any more")
        assert (straight.say(b"b"), over_a_hop.say(b"b")) == (b"b", b"b")
        assert straight.end() is grpc.StatusCode.OK
        until(lambda: pair[1].client.holders("m") in ([], ["i1"]), "i0 has no clients: its copy leaves the record")
        assert over_a_hop.say(b"c") == b"c"
        assert not pair[0].task.done()
        assert over_a_hop.end() is grpc.StatusCode.OK
        pair.run(_ended(pair[0].task))


async def _set(event: Any) -> None:
    event.set()


async def _ended(task: Any) -> None:
    await task
