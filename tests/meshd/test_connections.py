"""Connections to other instances: one for each address, for as long as anybody is there."""

from __future__ import annotations

import asyncio
from random import Random

from meshcore.commands import Peer, Peers
from meshd.metrics import Metrics
from meshd.plane.inbound import Retained
from meshd.plane.methods import Methods
from meshd.plane.python import PythonPlane
from meshd.spi import RuntimeClient
from meshd.tls import Dialer


def test_a_connection_lasts_as_long_as_anybody_is_at_its_address() -> None:
    """An instance that starts again gets its former self's address before that one's record is gone."""

    async def test() -> None:
        runtime = RuntimeClient(("127.0.0.1:1",), max_message_bytes=1, min_churn_age_ms=0)
        methods = Methods({}, True)
        plane = PythonPlane("me", b"key", runtime, methods, lambda: 0, Random(1), Metrics(), Retained(0, 0), Dialer())
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
