"""Servers that many calls come to at once: each is answered, however late the event loop comes to it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import grpc.aio
import pytest

from meshd.servers import Limits, options
from runtimes import sdk
from tests.client import ECHO, GUARD_S, connect

CALLS = 5000
"""More than gRPC keeps for an event loop that is busy."""


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method sends the request back."""

    def service(self, handler_call_details: Any) -> Any:
        """See grpc."""

        async def echo(body: bytes, context: Any) -> bytes:
            return body

        return grpc.unary_unary_rpc_method_handler(echo)


@pytest.mark.parametrize("given", [options(Limits(-1, 8 << 10)), sdk.OPTIONS], ids=["mesh", "runtime"])
def test_crowd_that_comes_while_the_event_loop_is_busy_is_answered(given: tuple[tuple[str, int], ...]) -> None:
    async def scenario() -> list[bytes]:
        server = grpc.aio.server(options=given)
        server.add_generic_rpc_handlers((Echo(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        with connect(f"127.0.0.1:{port}") as channel:
            echo = channel.unary_unary(ECHO)
            assert await asyncio.to_thread(echo, b"", timeout=GUARD_S) == b""
            calls: list[Any] = []
            crowd = threading.Thread(
                target=lambda: calls.extend(echo.future(b"x", timeout=GUARD_S) for _ in range(CALLS))
            )
            crowd.start()
            crowd.join()  # which keeps the event loop from taking any
            answers: list[bytes] = await asyncio.to_thread(lambda: [call.result() for call in calls])
        await server.stop(None)
        return answers

    assert asyncio.run(scenario()) == [b"x"] * CALLS
