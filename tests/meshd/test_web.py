from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from meshd.metrics import Metrics
from meshd.selfsigned import server_context
from meshd.web import Listener, ListenError, listen, metrics, prestop, prestop_limit_s, probes

GUARD_S = 60


def run(scenario: Awaitable[None]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(GUARD_S):
            await scenario

    asyncio.run(guarded())


@asynccontextmanager
async def served(
    app: web.Application, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Listener, ClientSession]]:
    listener = await listen(app, "MM_TEST_PORT", "127.0.0.1", 0, tls)
    try:
        async with ClientSession(f"http{'s' if tls else ''}://127.0.0.1:{listener.port}") as session:
            yield listener, session
    finally:
        await listener.close()


async def got(session: ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


def test_readiness_says_what_is_missing() -> None:
    async def scene() -> None:
        missing = ["the runtime is not ready", "the registry is not read"]
        async with served(probes(lambda: missing, lambda: True)) as (_, session):
            assert await got(session, "/ready") == (
                503, "not ready: the runtime is not ready, the registry is not read\n",
            )  # fmt: skip
            missing.clear()
            assert await got(session, "/ready") == (200, "ready\n")
            assert await got(session, "/ready/") == (200, "ready\n")

    run(scene())


def test_liveness_is_its_own_question() -> None:
    async def scene() -> None:
        lives = [True]
        async with served(probes(lambda: ["all"], lambda: lives[0])) as (_, session):
            assert await got(session, "/live/") == (200, "alive\n")
            lives[0] = False
            assert (await got(session, "/live"))[0] == 500
            assert (await got(session, "/other"))[0] == 404
            assert (await got(session, "/"))[0] == 404

    run(scene())


def test_metrics_are_scraped_whole_narrowed_and_compressed() -> None:
    async def scene() -> None:
        async with served(metrics(Metrics().exposition)) as (_, session):
            async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
                assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
                assert "Content-Encoding" not in response.headers
                assert "modelmesh_loadmodel_failure 0.0\n" in await response.text()
            async with session.get("/metrics/", headers={"Accept-Encoding": "deflate, gzip;q=0.5"}) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                assert "meshd_requests 0.0\n" in await response.text()
            async with session.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"}) as response:
                assert "Content-Encoding" not in response.headers
            status, text = await got(session, "/metrics?name[]=meshd_hits&name[]=meshd_cold")
            assert status == 200
            assert [line for line in text.splitlines() if line[0] != "#"] == ["meshd_hits 0.0", "meshd_cold 0.0"]
            assert (await got(session, "/"))[0] == 404

    run(scene())


def test_metrics_can_be_scraped_over_tls_without_a_certificate_of_ones_own() -> None:
    async def scene() -> None:
        async with (
            served(metrics(Metrics().exposition), server_context("i1")) as (_, session),
            session.get("/metrics", ssl=False) as response,
        ):
            assert response.status == 200

    run(scene())


def test_prestop_answers_when_the_instance_has_stopped_even_as_the_port_closes() -> None:
    async def scene() -> None:
        stopped, asked = asyncio.Event(), list[None]()

        async def may_go() -> str:
            asked.append(None)
            await stopped.wait()
            return "stopped"

        async with served(prestop(may_go, GUARD_S)) as (listener, session):
            waiting = [asyncio.create_task(got(session, path)) for path in ("/prestop", "/prestop/")]
            while len(asked) < len(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            assert (await got(session, "/other"))[0] == 404
            assert not any(wait.done() for wait in waiting)
            stopped.set()
            await listener.close()
            assert [await wait for wait in waiting] == [(200, "stopped\n")] * 2

    run(scene())


def test_prestop_does_not_wait_for_ever() -> None:
    async def scene() -> None:
        async def never() -> str:
            await asyncio.Event().wait()
            return ""

        async with served(prestop(never, 0.1)) as (_, session):
            assert await got(session, "/prestop") == (200, "still needed after 0.1 s\n")

    assert prestop_limit_s(90_000) == 182
    run(scene())


def test_a_port_in_use_is_one_clear_sentence() -> None:
    async def scene() -> None:
        app = probes(list, lambda: True)
        async with served(app) as (listener, _):
            with pytest.raises(ListenError) as caught:
                await listen(app, "MM_PROBE_PORT", "127.0.0.1", listener.port)
            assert str(caught.value) == (
                f"MM_PROBE_PORT: port {listener.port} on 127.0.0.1 cannot be opened: Address already in use"
            )
            with pytest.raises(ListenError, match=r"^MM_PROBE_PORT: port \d+ on all addresses cannot be opened: "):
                await listen(app, "MM_PROBE_PORT", "", listener.port)

    run(scene())


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    async def scene() -> None:
        with pytest.raises(ListenError, match=r"^MM_X: port 0 on 203\.0\.113\.77 cannot be opened: Cannot assign"):
            await listen(probes(list, lambda: True), "MM_X", "203.0.113.77", 0)
        with pytest.raises(ListenError, match=r"^MM_X: port 0 on no\.such\.invalid cannot be opened: "):
            await listen(probes(list, lambda: True), "MM_X", "no.such.invalid", 0)

    run(scene())


def test_without_an_address_every_one_answers_on_one_port() -> None:
    async def scene() -> None:
        listener = await listen(probes(list, lambda: True), "MM_X", "", 0)
        try:
            async with ClientSession() as session:
                for host in ("127.0.0.1", "localhost"):
                    assert (await got(session, f"http://{host}:{listener.port}/ready"))[0] == 200
        finally:
            await listener.close()

    run(scene())
