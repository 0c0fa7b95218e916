"""One HTTP GET as a probe makes it: what is answered, and what the other side takes the time to be."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection

WAIT_S = 3.0
SILENT = f"no answer within {WAIT_S:g} s"
MOST_BYTES = 8 << 20
"""Of an answer; the rest is not read."""


@dataclass(frozen=True, slots=True)
class Page:
    """``status`` 0: nothing was answered, and ``text`` says why. ``skew_ms``: how far ahead of this machine the other
    side's clock is at least (negative: behind); None: it did not tell."""

    status: int
    text: str
    skew_ms: int | None = None


async def get(address: str, path: str, tls: ssl.SSLContext | None = None) -> Page:
    """The page at ``path`` of host:port, without proxies."""
    return await asyncio.to_thread(_get, address, path, tls)


def _get(address: str, path: str, tls: ssl.SSLContext | None) -> Page:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    before_ms = now_ms()
    connection = (
        HTTPSConnection(host, int(port), timeout=WAIT_S, context=tls)
        if tls
        else HTTPConnection(host, int(port), timeout=WAIT_S)
    )
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        date, after_ms = answer.getheader("Date"), now_ms()
        body = answer.read(MOST_BYTES)
    except TimeoutError:
        return Page(0, SILENT)
    except (OSError, HTTPException) as error:
        return Page(0, str(getattr(error, "strerror", None) or error or type(error).__name__))
    finally:
        connection.close()
    return Page(answer.status, body.decode("utf-8", "replace"), skew_ms(date, before_ms, after_ms))


def skew_ms(date: str | None, before_ms: int, after_ms: int) -> int | None:
    """How far ahead the clock was that made a ``Date`` header between two instants here; 0 where it may be right.

    The header has whole seconds, cut off.
    """
    try:
        begin_ms = int(parsedate_to_datetime(date or "").timestamp() * 1000)
    except (TypeError, ValueError):
        return None
    if begin_ms > after_ms:
        return begin_ms - after_ms
    return min(0, begin_ms + 1000 - before_ms)


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def without_proof() -> ssl.SSLContext:
    """For a look at somebody whose certificate is judged apart, or signed by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
