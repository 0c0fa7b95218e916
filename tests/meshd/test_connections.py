"""Connections to other instances: one for each address, for as long as anybody is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random

import grpc.aio
import pytest

from meshcore.commands import Peer, Peers
from meshd.certificates import Identity
from meshd.metrics import Metrics
from meshd.plane.inbound import Retained
from meshd.plane.methods import Methods
from meshd.plane.python import PythonPlane
from meshd.spi import RuntimeClient
from meshd.tls import Dialer, Material
from tests.certificates import Authority
from tests.processes import free_port


def plane_to_others(runtime: RuntimeClient, dialer: Dialer | None = None) -> PythonPlane:
    methods, retained = Methods({}, True), Retained(0, 0)
    return PythonPlane("me", b"key", runtime, methods, lambda: 0, Random(1), Metrics(), retained, dialer or Dialer())


def test_an_instance_that_is_back_is_connected_to_at_once() -> None:
    """A connection that failed answers for itself until its backoff is over; who is back must not wait for that."""

    async def test() -> None:
        runtime = RuntimeClient(("127.0.0.1:1",), max_message_bytes=1, min_churn_age_ms=0)
        plane = plane_to_others(runtime)
        port = free_port()
        here = f"127.0.0.1:{port}"
        plane.peers(Peers((Peer("other", here, True),)))

        async def call() -> str:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await plane.channel("other").unary_unary("/a.B/C")(b"")
            return str(caught.value.code().name)

        assert await call() == "UNAVAILABLE"
        plane.peers(Peers((Peer("other", here, False),)))
        server = grpc.aio.server()
        assert server.add_insecure_port(here) == port
        await server.start()
        plane.peers(Peers((Peer("other", here, True),)))
        try:
            assert await call() == "UNIMPLEMENTED", "the other side answered"
        finally:
            await server.stop(None)
            await plane.close()
            await runtime.close()

    asyncio.run(test())


def test_a_connection_over_tls_that_was_given_up_is_told_of_once() -> None:
    """Whoever looks for certificates that are not accepted looks seldom: the connection may be gone by then."""

    async def test() -> None:
        authority = Authority()
        pair = authority.issue()
        identity = Identity(pair.key, pair.certificate, "mesh.local", datetime.now(UTC))
        dialer = Dialer(Material(identity, None, authority.pem, False))
        runtime = RuntimeClient(("127.0.0.1:1",), max_message_bytes=1, min_churn_age_ms=0)
        plane = plane_to_others(runtime, dialer)
        here = f"127.0.0.1:{free_port()}"
        plane.peers(Peers((Peer("other", here, True),)))
        with pytest.raises(grpc.aio.AioRpcError):
            await plane.channel("other").unary_unary("/a.B/C")(b"")
        assert [dialer.take_failing(), dialer.take_failing()] == [{here}] * 2, "it goes on failing"
        plane.peers(Peers((Peer("other", here, False),)))
        plane.peers(Peers((Peer("other", here, True),)))
        assert [dialer.take_failing(), dialer.take_failing()] == [{here}, set()]
        await plane.close()
        await runtime.close()

    asyncio.run(test())


def test_a_connection_lasts_as_long_as_anybody_is_at_its_address() -> None:
    """An instance that starts again gets its former self's address before that one's record is gone."""

    async def test() -> None:
        runtime = RuntimeClient(("127.0.0.1:1",), max_message_bytes=1, min_churn_age_ms=0)
        plane = plane_to_others(runtime)
        here = "127.0.0.1:2"
        plane.peers(Peers((Peer("former", here, True),)))
        connection = plane.channel("former")
        plane.peers(Peers((Peer("present", here, True),)))
        plane.peers(Peers((Peer("former", "", False),)))
        assert plane.channel("former") is None
        assert plane.channel("present") is connection
        plane.peers(Peers((Peer("present", "127.0.0.1:3", True),)))
        assert plane.channel("present") is not connection
        plane.peers(Peers((Peer("late", here, True),)))
        assert plane.channel("late") not in (None, connection), "the first one was closed with the last who was there"
        await plane.close()
        await runtime.close()

    asyncio.run(test())
