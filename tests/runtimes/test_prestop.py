"""What a runtime makes of the answer, or the silence, of the mesh that it asks before it ends."""

from __future__ import annotations

import asyncio

import pytest

from runtimes.prestop import check_url, may_go
from tests.processes import free_port


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n", "answered HTTP/1.1 404 Not Found"),
        (b"", "answered nothing"),
    ],
)
def test_only_a_yes_is_one(status: bytes, why: str) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(status)
        writer.close()

    async def ask() -> str:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await may_go(f"http://127.0.0.1:{port}/prestop", 60)

    assert asyncio.run(ask()) == why
    assert asked == [b"GET /prestop HTTP/1.1\r\n"]


def test_where_nobody_answers_nobody_is_waited_for() -> None:
    """No port is open there, or somebody takes the call and says nothing."""
    assert "Connect call failed" in asyncio.run(may_go(f"http://127.0.0.1:{free_port()}/prestop", 60))

    over = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        over.set()

    async def ask() -> str:
        async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
            answer = await may_go(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.05)
            await over.wait()
            return answer

    assert asyncio.run(ask()) == "no answer within 0.05 s"


@pytest.mark.parametrize("url", ["127.0.0.1:8090/prestop", "https://127.0.0.1/", "http://", "x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"--prestop .*: write an address as http"):
        check_url(url)
