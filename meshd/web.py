"""The HTTP ports beside gRPC: probes, metrics, and the wait of containers that are to stop after this one."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence

from aiohttp import web

ANSWER_LIMIT_S = 5
"""When a port closes, answers that are on their way have this long."""

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class ListenError(Exception):
    """A port that cannot be opened; the text names its setting."""


class Listener:
    """An open HTTP port."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self.port = port
        self._runner = runner

    async def close(self) -> None:
        """Take no more requests and let those under way be answered."""
        await self._runner.cleanup()


async def listen(
    app: web.Application, setting: str, bind: str, port: int, tls: ssl.SSLContext | None = None
) -> Listener:
    """Serve ``app``. ``bind`` empty: on all addresses; ``port`` 0: any that is free. Raises ListenError."""
    sock = bound(setting, bind, port)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=ANSWER_LIMIT_S)
    await runner.setup()
    await web.SockSite(runner, sock, ssl_context=tls).start()
    return Listener(runner, sock.getsockname()[1])


def probes(missing: Callable[[], Sequence[str]], is_alive: Callable[[], bool]) -> web.Application:
    """``/ready``: 200, or 503 with what ``missing`` names; ``/live``: 200, or 500."""

    async def ready(_: web.Request) -> web.Response:
        reasons = missing()
        if reasons:
            return web.Response(status=503, text=f"not ready: {', '.join(reasons)}\n")
        return web.Response(text="ready\n")

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive\n") if is_alive() else web.Response(status=500, text="not alive\n")

    return _app({"/ready": ready, "/live": live})


def metrics(exposition: Callable[[Collection[str]], bytes]) -> web.Application:
    """``/metrics``: the exposition, narrowed by ``name[]``, compressed where the scraper can read that."""

    async def scrape(request: web.Request) -> web.Response:
        body = exposition(request.query.getall("name[]", []))
        response = web.Response(body=body, headers={"Content-Type": TEXT_FORMAT})
        if _takes_gzip(request.headers.get("Accept-Encoding", "")):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    return _app({"/metrics": scrape})


def prestop_limit_s(shutdown_timeout_ms: int) -> float:
    """How long ``/prestop`` waits at most: a shutdown that takes twice its time will not end by waiting."""
    return 2 * (shutdown_timeout_ms / 1000 + 1)


def prestop(may_go: Callable[[], Awaitable[str]], limit_s: float) -> web.Application:
    """``/prestop``: answers with what ``may_go`` does, or after ``limit_s``.

    The containers beside this one call it before they stop, so that they are there for as long as they are needed.
    """

    async def wait(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(limit_s):
                return web.Response(text=f"{await may_go()}\n")
        except TimeoutError:
            return web.Response(text=f"still needed after {limit_s:g} s\n")

    return _app({"/prestop": wait})


def _app(pages: dict[str, Callable[[web.Request], Awaitable[web.Response]]]) -> web.Application:
    app = web.Application()
    for path, page in pages.items():
        app.router.add_get(path, page)
        app.router.add_get(f"{path}/", page)
    return app


def bound(setting: str, bind: str, port: int) -> socket.socket:
    """One listening socket, never a shared one: who finds the port taken is to hear of it. Raises ListenError."""
    try:
        if not bind:
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", port))
        family, _, _, _, address = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        where = f"port {port} on {bind or 'all addresses'}"
        # Negative numbers are those of name lookups, whose text is in the error itself.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ListenError(f"{setting}: {where} cannot be opened: {reason}") from error


def _takes_gzip(accepted: str) -> bool:
    codings = [coding.replace(" ", "").lower() for coding in accepted.split(",")]
    return "gzip" in [coding.partition(";")[0] for coding in codings if not coding.endswith(";q=0")]
