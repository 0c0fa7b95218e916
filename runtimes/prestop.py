"""Asks the mesh, before a runtime ends, to have its models loaded elsewhere, and waits until they are."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


def check_url(url: str) -> None:
    """Raises ValueError for what is no http:// address."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"--prestop {url!r}: write an address as http://127.0.0.1:8090/prestop")


async def may_go(url: str, limit_s: float) -> str:
    """GET ``url`` and wait for the answer, ``limit_s`` at most; empty: it came, else why it did not."""
    parts = urlsplit(url)
    path = parts.path or "/"
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).decode("ascii", "replace").split()
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer within {limit_s:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if status[1:2] == ["200"] else f"answered {' '.join(status) or 'nothing'}"
