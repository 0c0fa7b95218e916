"""Instances that come and go while somebody asks them."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from mmctl import endpoints as endpoints_module
from mmctl.__main__ import run
from mmctl.asking import decisions
from mmctl.endpoints import Endpoints
from mmctl.errors import Unavailable
from mmctl.mesh import MeshCluster
from mmctl.tls import NO_TLS
from mmctl.values import Registration
from protos import meshd_pb2 as pb
from protos import meshd_pb2_grpc as pb_grpc
from tests.freezing import freeze

pytestmark = pytest.mark.usefixtures("patient")


class Instance(pb_grpc.MeshServicer):  # type: ignore[misc]
    """Says who it is, once it may."""

    def __init__(self, name: str) -> None:
        self.name, self.is_asked, self.may_answer = name, asyncio.Event(), asyncio.Event()
        self.decided = 0

    async def Info(self, request: Any, context: Any) -> Any:
        """See meshd.v1."""
        self.is_asked.set()
        await self.may_answer.wait()
        return pb.InfoResponse(instance=self.name)

    async def Decisions(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """What was decided so far, then it ends as an instance that goes."""
        for seq in range(1, self.decided + 1):
            yield pb.Reason(instance="a", at_ms=1_000 + seq // 2, seq=seq)
        yield pb.Reason(instance="b", rule="lost")
        await context.abort(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")

    async def Register(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """As where the store is away."""
        at = 0
        async for _ in requests:
            yield pb.RegisterResult(index=at, code=grpc.StatusCode.UNAVAILABLE.value[0], text="the store is away")
            at += 1

    async def Unregister(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """As where the store is away."""
        at = 0
        async for _ in requests:
            yield pb.UnregisterResult(index=at, code=grpc.StatusCode.UNAVAILABLE.value[0], text="the store is away")
            at += 1


@asynccontextmanager
async def served(instance: Instance) -> AsyncIterator[str]:
    """The address of ``instance`` while it is there."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    pb_grpc.add_MeshServicer_to_server(instance, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _info(channel: grpc.aio.Channel) -> Awaitable[Any]:
    call: Awaitable[Any] = pb_grpc.MeshStub(channel).Info(pb.InfoRequest(), timeout=30)
    return call


def test_whoever_took_the_place_of_all_that_were_there_is_asked() -> None:
    async def scenario() -> None:
        there: list[str] = []
        one, other = Instance("one"), Instance("other")
        one.may_answer.set()
        other.may_answer.set()
        async with served(other) as after:
            async with served(one) as before:
                there.append(before)
                endpoints = Endpoints([before], NO_TLS, lambda: there)
                assert (await endpoints.call(_info)).instance == "one"
            there[:] = [after]
            assert (await endpoints.call(_info)).instance == "other"
            there.clear()  # nobody is known to be there: those before are asked on
            assert (await endpoints.call(_info)).instance == "other"
            await endpoints.close()

    asyncio.run(scenario())


def test_call_that_is_under_way_ends_well_where_its_instance_is_asked_no_more() -> None:
    async def scenario() -> None:
        one = Instance("one")
        async with served(one) as before, served(Instance("other")) as after:
            endpoints = Endpoints([before], NO_TLS)
            call = asyncio.ensure_future(endpoints.call(_info))
            await one.is_asked.wait()
            await endpoints.renew([after])
            one.may_answer.set()
            assert (await call).instance == "one"
            assert endpoints.addresses == (after,)
            await endpoints.close()

    asyncio.run(scenario())


def test_store_that_is_away_is_unavailable_as_it_is_through_the_registry() -> None:
    async def scenario() -> None:
        async with served(Instance("one")) as there:
            for words in (["register", "a", "--type", "t"], ["unregister", "a", "b", "--yes"]):
                assert await asyncio.to_thread(run, [*words, "--endpoint", there]) == 4

    asyncio.run(scenario())


def test_decisions_are_followed_on_by_the_next_instance_each_told_once() -> None:
    async def scenario() -> None:
        one, other, there = Instance("one"), Instance("other"), list[str]()
        one.decided, other.decided = 3, 5
        async with served(other) as after:
            async with served(one) as before:
                endpoints = Endpoints([before], NO_TLS, lambda: there)
                told = decisions(endpoints, {}, 10, follow=True)
                assert [(await anext(told)).seq for _ in range(4)] == [1, 2, 3, 0]
                there.append(after)
            assert [(await anext(told)).seq for _ in range(3)] == [4, 5, 0]
            other.decided = 6
            assert (await anext(told)).seq == 6
            await told.aclose()
            await endpoints.close()

    asyncio.run(scenario())


def test_decisions_end_where_nobody_is_left_to_tell_them() -> None:
    async def scenario() -> None:
        async with served(Instance("one")) as before:
            endpoints = Endpoints([before], NO_TLS)
            told = decisions(endpoints, {}, 10, follow=True)
            assert (await anext(told)).rule == "lost"
        with pytest.raises(Unavailable, match=before):  # its connection may, or may not, be known to be gone yet
            await anext(told)
        await endpoints.close()

    asyncio.run(scenario())


STANDING = """
import grpc, sys, threading
from concurrent.futures import ThreadPoolExecutor
from protos import meshd_pb2_grpc as pb_grpc

class Instance(pb_grpc.MeshServicer):
    def Register(self, requests, context):
        print("asked", flush=True)
        threading.Event().wait()

server = grpc.server(ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
pb_grpc.add_MeshServicer_to_server(Instance(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
threading.Event().wait()
"""


def test_instance_that_stands_still_in_the_middle_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints_module, "SILENCE_MS", 500)
    monkeypatch.setattr(endpoints_module, "SIGN_MS", 3_000)

    async def scenario() -> None:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", STANDING, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            port = int(await process.stdout.readline())
            cluster = MeshCluster([f"127.0.0.1:{port}"])
            told = asyncio.ensure_future(anext(aiter(cluster.register([Registration("a", "t")], False))))
            assert await process.stdout.readline() == b"asked\n"
            freeze(process.pid)
            with pytest.raises(Unavailable, match="1 of 1 not answered"):
                await asyncio.wait_for(told, 60)
            await cluster.close()
        finally:
            process.kill()
            await process.wait()

    asyncio.run(scenario())


def test_many_that_say_nothing_take_no_longer_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints_module, "CONNECT_S", 0.4)

    async def scenario(addresses: list[str]) -> None:
        endpoints = Endpoints(addresses, NO_TLS)
        async with asyncio.timeout(12):  # one after the other they took 28 s
            with pytest.raises(Unavailable) as raised:
                await endpoints.call(_info)
        assert str(raised.value).count("no connection within") == len(addresses)
        await endpoints.close()

    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(40)]
        asyncio.run(scenario([f"127.0.0.1:{each.getsockname()[1]}" for each in silent]))
